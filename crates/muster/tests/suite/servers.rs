//! Real servers: what is written can be read back, what they expose can be scraped, and Prometheus
//! reads what Muster exposes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use muster_testkit::{
    InfluxDb, NodeExporter, Prometheus, VictoriaMetrics, eventually, eventually_within, free_ports,
    request,
};
use serde_json::Value;

use super::support::{Ask, FAST, TO_FILE, agent, beside, mock};

const BOUND: Duration = Duration::from_secs(20);

/// Points with every type and awkward character that InfluxDB 1.6 stores.
const POINTS: &str = "\
weather,city=New\\ York,station=a\\,b\\=c temperature=21.5,humidity=60i,sunny=true,text=\"say \\\"hi\\\" \\\\ ok\" 1700000000000000000
weather,city=New\\ York,station=a\\,b\\=c temperature=-0.001,humidity=-9007199254740993i,sunny=false 1700000000000000001
weather,city=K\u{f6}ln temperature=1e300,humidity=9223372036854775807i 1700000000123456789
we\\,ird\\ name,tag\\ key=v field\\ key=1,b=2i 1699999999999999999
early value=0 1
";

fn one_shot(output: &str) -> (Option<i32>, String) {
    let config = format!(
        "[agent]\nprecision = \"1ns\"\nomit_hostname = true\n[[inputs.file]]\nfiles = [\"{{dir}}/points\"]\n{output}"
    );
    let output = agent(&config)
        .file("points", POINTS)
        .args(&["--once"])
        .run(BOUND);
    (output.code, output.err)
}

/// The rows of a query as lists of column and value.
fn rows(influx: &InfluxDb, query: &str) -> Vec<BTreeMap<String, Value>> {
    let answer = influx.query("test", query);
    let mut all = Vec::new();
    for series in answer["results"][0]["series"]
        .as_array()
        .unwrap_or(&Vec::new())
    {
        let columns = series["columns"].as_array().unwrap();
        for values in series["values"].as_array().unwrap() {
            let pairs = columns.iter().zip(values.as_array().unwrap());
            let name = |column: &Value| column.as_str().unwrap().to_owned();
            let there = pairs.filter(|(_, value)| !value.is_null());
            all.push(
                there
                    .map(|(column, value)| (name(column), value.clone()))
                    .collect(),
            );
        }
    }
    all
}

fn row(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

#[test]
fn influxdb_gives_back_every_point() {
    let _beside = beside();
    let influx = InfluxDb::start();
    let url = format!("http://127.0.0.1:{}", influx.port);
    // The database is made by the output.
    let (code, err) = one_shot(&format!(
        "[[outputs.influxdb]]\nurls = [\"{url}\"]\ndatabase = \"test\"\n"
    ));
    assert_eq!(code, Some(0), "{err}");
    let york = [
        ("city", Value::from("New York")),
        ("station", Value::from("a,b=c")),
    ];
    let mut first = row(&york);
    first.extend(row(&[
        ("time", 1_700_000_000_000_000_000i64.into()),
        ("temperature", 21.5.into()),
        ("humidity", 60.into()),
        ("sunny", true.into()),
        ("text", "say \"hi\" \\ ok".into()),
    ]));
    let mut second = row(&york);
    second.extend(row(&[
        ("time", 1_700_000_000_000_000_001i64.into()),
        ("temperature", (-0.001).into()),
        ("humidity", (-9_007_199_254_740_993i64).into()),
        ("sunny", false.into()),
    ]));
    let third = row(&[
        ("time", 1_700_000_000_123_456_789i64.into()),
        ("city", "K\u{f6}ln".into()),
        ("temperature", 1e300.into()),
        ("humidity", i64::MAX.into()),
    ]);
    assert_eq!(
        rows(&influx, "SELECT * FROM \"weather\""),
        [first, second, third]
    );
    let weird = row(&[
        ("time", 1_699_999_999_999_999_999i64.into()),
        ("tag key", "v".into()),
        ("field key", 1.into()),
        ("b", 2.into()),
    ]);
    assert_eq!(rows(&influx, "SELECT * FROM \"we,ird name\""), [weird]);
    let early = row(&[("time", 1.into()), ("value", 0.into())]);
    assert_eq!(rows(&influx, "SELECT * FROM \"early\""), [early]);
}

#[test]
fn a_lot_of_points_arrive_in_influxdb() {
    let _beside = beside();
    let influx = InfluxDb::start();
    let url = format!("http://127.0.0.1:{}", influx.port);
    let mut points = String::new();
    for n in 0..20_000 {
        points += &format!(
            "bulk,host=h{} value={n}i {}\n",
            n % 10,
            1_700_000_000_000_000_000i64 + n
        );
    }
    let config = format!(
        "[agent]\nprecision = \"1ns\"\nomit_hostname = true\nmetric_buffer_limit = 100000\n[[inputs.file]]\nfiles = [\"{{dir}}/points\"]\n\
         [[outputs.influxdb]]\nurls = [\"{url}\"]\ndatabase = \"test\"\n"
    );
    let output = agent(&config)
        .file("points", &points)
        .args(&["--once"])
        .run(BOUND);
    assert_eq!(output.code, Some(0), "{}", output.err);
    let all = rows(&influx, "SELECT \"value\" FROM \"bulk\"");
    assert_eq!(all.len(), 20_000);
    for (n, row) in all.iter().enumerate() {
        assert_eq!(
            (&row["value"], row["time"].as_i64()),
            (&n.into(), Some(1_700_000_000_000_000_000 + n as i64))
        );
    }
}

#[test]
fn victoria_metrics_gives_back_every_point() {
    let _beside = beside();
    let victoria = VictoriaMetrics::start();
    let url = format!("http://127.0.0.1:{}", victoria.port);
    let (code, err) = one_shot(&format!(
        "[[outputs.influxdb]]\nurls = [\"{url}\"]\ndatabase = \"test\"\nskip_database_creation = true\n"
    ));
    assert_eq!(code, Some(0), "{err}");
    let series = |selector: &str| {
        eventually("the points show", || {
            let mut found = victoria.export(selector);
            let first = found.pop()?;
            assert!(found.is_empty(), "{selector}: several series");
            Some(first)
        })
    };
    let york = series("weather_temperature{city=\"New York\",station=\"a,b=c\"}");
    // It keeps milliseconds: both points of the first series are at the same one.
    let values: Vec<f64> = york["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect();
    assert_eq!(values, [21.5, -0.001]);
    assert_eq!(
        york["timestamps"],
        serde_json::json!([1_700_000_000_000i64, 1_700_000_000_000i64])
    );
    let koeln = series("weather_humidity{city=\"K\u{f6}ln\"}");
    assert_eq!(
        koeln["timestamps"],
        serde_json::json!([1_700_000_000_123i64])
    );
    assert_eq!(koeln["values"][0].as_f64(), Some(i64::MAX as f64));
    let sunny = series("weather_sunny{city=\"New York\"}");
    assert_eq!(sunny["values"], serde_json::json!([1, 0]));
}

#[test]
fn the_node_exporter_is_scraped_whole() {
    let _beside = beside();
    let exporter = NodeExporter::start();
    let url = format!("http://127.0.0.1:{}/metrics", exporter.port);
    let config = format!(
        "{FAST}{TO_FILE}[[inputs.prometheus]]\nid = \"scrape\"\ninterval = \"1s\"\nurls = [\"{url}\"]\nmetric_version = 2\n"
    );
    let agent = agent(&config).start();
    agent.wait_state("inputs", "scrape", "running");
    let text = agent.wait_out("a scrape", |text| text.matches("node_load15=").count() >= 2);
    // Every sample of the exporter's page whose value is a number must be a field of that name.
    let page = request(exporter.port, "GET", "/metrics", &[], "")
        .unwrap()
        .body;
    let mut wanted = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        let of_summary =
            line.contains("quantile=") || name.starts_with("go_") || name.starts_with("promhttp_");
        if value.is_finite() && !of_summary {
            wanted.insert(name);
        }
    }
    assert!(wanted.len() > 100, "{} names", wanted.len());
    let missing: Vec<_> = wanted
        .iter()
        .filter(|name| !text.contains(&format!(" {name}=")) && !text.contains(&format!(",{name}=")))
        .collect();
    assert!(
        missing.is_empty(),
        "of {} names these are missing: {missing:?}",
        wanted.len()
    );
    // One line as an example: the machine's name as tag, 1 as value.
    let uname = text
        .lines()
        .find(|line| line.contains("node_uname_info="))
        .unwrap();
    assert!(
        uname.contains(",sysname=Linux") && uname.contains("node_uname_info=1 "),
        "{uname}"
    );
}

#[test]
fn prometheus_and_promtool_read_what_muster_exposes() {
    let _beside = beside();
    let [port] = free_ports();
    let config = format!(
        "{FAST}[[outputs.prometheus_client]]\nid = \"shown\"\nlisten = \"127.0.0.1:{port}\"\n\
         {}[[inputs.mock.constant]]\nname = \"answer\"\nvalue = 42.5\n\
         [[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.internal]]\n",
        mock("m", "")
    );
    let agent = agent(&config).start();
    let shown = || request(port, "GET", "/metrics", &[], "").map(|answer| answer.body);
    eventually("the metrics show", || {
        shown().filter(|page| page.contains("mock_answer"))
    });
    let prometheus = Prometheus::scraping(&[agent.port, port]);
    let value = |query: &str| -> Option<f64> {
        let result = prometheus.query(query);
        result.first()?["value"][1].as_str()?.parse().ok()
    };
    let instance = |port: u16| format!("instance=\"127.0.0.1:{port}\"");
    eventually_within(
        Duration::from_secs(30),
        "Prometheus has scraped both",
        || {
            let up = |port| value(&format!("up{{{}}}", instance(port)));
            (up(agent.port) == Some(1.0) && up(port) == Some(1.0)).then_some(())
        },
    );
    assert_eq!(value("mock_answer{n=\"m\"}"), Some(42.5));
    let selector = format!(
        "muster_component_runs_total{{id=\"m\",{}}}",
        instance(agent.port)
    );
    assert!(value(&selector).unwrap() > 0.0);
    assert!(value("muster_tasks").unwrap() > 0.0);
    let own = request(agent.port, "GET", "/metrics", &[], "")
        .unwrap()
        .body;
    promtool("the agent's own metrics", &own);
    promtool("prometheus_client", &shown().unwrap());
}

#[track_caller]
fn promtool(what: &str, page: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool; install it with: apt-get install -y --no-install-recommends prometheus");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    // 1 is a page that cannot be read; 3 are remarks on names, which are the gathered systems' own.
    let unreadable =
        output.status.code() == Some(1) || !matches!(output.status.code(), Some(0 | 3));
    assert!(!unreadable, "{what}: {said}");
    let own_remarks: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("muster_"))
        .collect();
    assert!(own_remarks.is_empty(), "{what}: {own_remarks:?}");
}
