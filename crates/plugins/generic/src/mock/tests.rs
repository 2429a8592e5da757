use muster_metric::{Batch, Value as Field};
use muster_options::Options;
use muster_plugin::Input;
use toml::Table;

use super::{Fault, Mock, MockOptions};

fn mock(text: &str) -> Mock {
    let table: Table = toml::from_str(text).unwrap();
    Mock::new(MockOptions::parse(&table).unwrap()).unwrap()
}

/// What a gather adds, without its faults.
fn fields(mock: &mut Mock) -> Vec<(String, String)> {
    let mut batch = Batch::new();
    let mut metric = batch.metric("m");
    mock.values.add_to(&mut metric, mock.sequence);
    metric.untimed();
    mock.values.advance();
    mock.sequence += 1;
    let metric = batch.get(0).unwrap();
    metric
        .fields()
        .map(|(name, value)| {
            let shown = match value {
                Field::Float(v) => format!("{v:.3}"),
                Field::Int(v) => format!("{v}i"),
                Field::Uint(v) => format!("{v}u"),
                Field::Bool(v) => v.to_string(),
                Field::Text(v) => format!("{v:?}"),
            };
            (name.to_owned(), shown)
        })
        .collect()
}

#[test]
fn follows_its_algorithms() {
    let mut mock = mock(
        r#"
        [[constant]]
        name = "text"
        value = "a"
        [[constant]]
        name = "int"
        value = 3
        [[constant]]
        name = "yes"
        value = true
        [[sine_wave]]
        name = "wave"
        amplitude = 2.0
        period = 0.5
        base_line = 1.0
        [[step]]
        name = "step"
        start = 5.0
        step = -2.0
        [[stock]]
        name = "stock"
        price = 10.0
        volatility = 0.0
        "#,
    );
    let check = |got: &[(String, String)], wave: &str, step: &str| {
        let got: Vec<_> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let same = [("text", "\"a\""), ("int", "3i"), ("yes", "true")];
        assert_eq!(got[..3], same);
        assert_eq!(
            got[3..],
            [("wave", wave), ("step", step), ("stock", "10.000")]
        );
    };
    check(&fields(&mut mock), "1.000", "5.000");
    check(&fields(&mut mock), "3.000", "3.000");
}

#[test]
fn random_values_stay_in_their_bounds() {
    let mut mock = mock("random = [{ name = 'r', min = 2.0, max = 3.0 }]");
    for _ in 0..1000 {
        let got: f64 = fields(&mut mock)[0].1.parse().unwrap();
        assert!((2.0..=3.0).contains(&got), "{got}");
    }
}

#[test]
fn without_fields_there_is_one() {
    assert_eq!(fields(&mut mock(""))[0].0, "value");
}

#[test]
fn faults_come_when_they_are_due() {
    let check = |text: &str, want: &str| {
        let mut mock = mock(text);
        let got: String = (0..want.len())
            .map(|_| {
                if mock.next_fault().is_some() {
                    'x'
                } else {
                    '.'
                }
            })
            .collect();
        assert_eq!(got, want, "{text}");
    };
    check("", "......");
    check("fault = 'error'", "xxxxxx");
    check("fault = 'error'\nfault_every = 3", "..x..x..x");
    check("fault = 'error'\nfault_after = 2", "..xxxx");
    check(
        "fault = 'error'\nfault_after = 2\nfault_every = 2",
        "...x.x.x",
    );
    assert_eq!(mock("fault = 'hang'").next_fault(), Some(Fault::Hang));
}

#[test]
fn goes_on_where_it_was() {
    let text = "sequence = true\nstep = [{ name = 's', start = 1.0, step = 1.0 }]";
    let mut first = mock(text);
    fields(&mut first);
    fields(&mut first);
    let mut second = mock(&format!("metrics = 2\n{text}"));
    second.restore(first.state().unwrap());
    assert_eq!(second.sequence, 2);
    assert_eq!(fields(&mut second), [("s".to_owned(), "3.000".to_owned())]);
    second.restore(serde_json::json!({ "sequence": "what" }));
    assert_eq!(second.sequence, 0);
}

#[test]
fn names_what_is_wrong() {
    let table: Table = toml::from_str(
        "metric_name = ''\nfault_every = 0\nconstant = [{ name = '', value = [1] }]",
    )
    .unwrap();
    let errors = Mock::new(MockOptions::parse(&table).unwrap()).unwrap_err();
    let paths: Vec<_> = errors.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "metric_name",
            "fault_every",
            "constant[0].name",
            "constant[0].value"
        ]
    );
}
