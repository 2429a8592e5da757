//! Files as people have them, the sample, and the built-in set.

use muster_config::{AgentSettings, SampleOptions, default_config, prepare, sample};
use muster_plugin::{Kind, Registry};

use crate::plugins::{environment, good, registry};

#[test]
fn a_typical_file() {
    let loaded = good(
        r#"
# Gathers a host and a web service.
[global_tags]
  dc = "eu-1" # where
  rack = "${RACK:-r1}"

[agent]
  interval = "15s"
  round_interval = true
  metric_batch_size = 2000
  metric_buffer_limit = 20000
  collection_jitter = "0s"
  flush_interval = "10s"
  flush_jitter = "0s"
  precision = ""
  hostname = "web1"
  omit_hostname = false
  skip_processors_after_aggregators = true

[[outputs.web]]
  urls = ["http://127.0.0.1:8086"]
  username = "muster"
  password = "${PASSWORD}"
  timeout = "5s"
  namedrop = ["internal*"]
  [outputs.web.headers]
    X-Site = "eu"

[[outputs.file]]
  files = ["stdout", "/tmp/metrics.out"]
  namepass = ["internal*"]

[[processors.rename]]
  order = 1
  namepass = ["cpu"]

[[aggregators.minmax]]
  period = "30s"
  drop_original = false
  fieldpass = ["usage_*"]

[[inputs.cpu]]
  percpu = true
  totalcpu = true
  fielddrop = ["time_*"]
  [inputs.cpu.tagpass]
    cpu = ["cpu0", "cpu-total"]

[[inputs.mem]]
  # no configuration

[[inputs.http]]
  alias = "status"
  interval = "1m"
  urls = [
    "http://localhost/a", # first
    "http://localhost/b",
  ]
  name_override = "web_status"
  [[inputs.http.field]]
    name = "up"
    index = 1
  [inputs.http.tags]
    team = "web"

[[inputs.listener]]
  service_address = "udp://:8092"
"#,
    );
    let shown: Vec<_> = loaded
        .config
        .definitions
        .iter()
        .map(|d| format!("{}.{} {}", d.kind().plural(), d.plugin, d.source))
        .collect();
    assert_eq!(
        shown,
        [
            "outputs.web muster.conf:20",
            "outputs.file muster.conf:29",
            "processors.rename muster.conf:33",
            "aggregators.minmax muster.conf:37",
            "inputs.cpu muster.conf:42",
            "inputs.mem muster.conf:49",
            "inputs.http muster.conf:52",
            "inputs.listener muster.conf:66",
        ]
    );
    assert_eq!(loaded.config.global_tags["rack"], "r1");
    assert_eq!(loaded.config.global_tags["host"], "web1");
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}

#[test]
fn old_files_still_work() {
    let loaded = good(
        "[tags]\r\n  dc = 'x'\r\n[agent]\r\n  interval = 5\r\n  flushInterval = \"1m\"\r\n[outputs]\r\n[outputs.file]\r\n  files = ['stdout']\r\n[plugins.cpu]\r\n  pass = ['a*']\r\n[mem]\r\n",
    );
    assert_eq!(loaded.config.agent.interval.as_secs(), 5);
    assert_eq!(loaded.config.agent.flush_interval.as_secs(), 60);
    assert_eq!(loaded.config.definitions.len(), 3);
}

#[test]
fn the_sample_is_right() {
    let registry = registry();
    let text = sample(&registry, &SampleOptions::default());
    let definitions = good(&text).config.definitions;
    let ready: Vec<_> = definitions.iter().map(|d| d.plugin.as_str()).collect();
    assert_eq!(ready, ["file", "cpu", "mem"], "{text}");
    assert_eq!(definitions[0].options["files"][0].as_str(), Some("stdout"));
    assert!(
        text.contains("  ## Whether to report each core.\n  # percpu = true\n"),
        "{text}"
    );
    assert!(
        text.contains("# [[inputs.http]]\n#   ## Where to ask.\n#   # urls = []\n"),
        "{text}"
    );
    let options = SampleOptions {
        sections: vec!["inputs".into()],
        plugins: vec![(Kind::Input, "http".into())],
    };
    let text = sample(&registry, &options);
    assert_eq!(good(&text).config.definitions.len(), 1, "{text}");
    assert!(!text.contains("[agent]"));
}

/// With every option's comment sign taken away, the sample still says what the defaults are.
#[test]
fn the_samples_defaults_are_right() {
    let text = sample(&registry(), &SampleOptions::default());
    let of_agent = text
        .split("[agent]")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let options = of_agent
        .lines()
        .filter_map(|line| line.trim().strip_prefix("# "));
    let skip = |line: &&str| !line.contains("= \"\"") || line.starts_with("logfile =");
    let plain: Vec<&str> = options.filter(skip).collect();
    assert!(plain.len() > 20, "{plain:#?}");
    let agent = good(&format!("[agent]\n{}\n", plain.join("\n")))
        .config
        .agent;
    let default = AgentSettings {
        skip_processors_after_aggregators: agent.skip_processors_after_aggregators,
        ..AgentSettings::default()
    };
    assert_eq!(agent, default);
}

#[test]
fn the_built_in_set() {
    let config = default_config(&registry());
    let ids: Vec<_> = config
        .definitions
        .iter()
        .map(|d| d.id.to_string())
        .collect();
    assert_eq!(ids, ["inputs/cpu", "inputs/mem", "outputs/file"]);
    assert!(config.agent.gather_on_start);
    assert_eq!(config.agent.interval.as_secs(), 10);
    for definition in &config.definitions {
        prepare(
            definition,
            &config.agent,
            &config.global_tags,
            &registry(),
            &environment(),
        )
        .unwrap();
    }
    assert!(default_config(&Registry::default()).definitions.is_empty());
}
