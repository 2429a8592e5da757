//! What the tests of all aggregators use: line protocol in, line protocol out.

use muster_metric::Batch;
use muster_metric::line_protocol::{OnError, Parser, Writer};
use muster_options::OptionError;
use muster_plugin::{Aggregator, Build, BuildContext};

/// Makes an aggregator from its row and TOML, as the agent does.
pub(crate) fn make(name: &str, options: &str) -> Result<Box<dyn Aggregator>, Vec<OptionError>> {
    let row = crate::PLUGINS.iter().find(|row| row.name == name).unwrap();
    let cx = BuildContext::new(row, &toml::from_str(options).unwrap())?;
    match row.build {
        Build::Aggregator(build) => build(&cx),
        _ => panic!("{name} is no aggregator"),
    }
}

pub(crate) fn read(lines: &str) -> Batch {
    let mut batch = Batch::new();
    let parser = Parser {
        on_error: OnError::Fail,
        ..Parser::default()
    };
    parser.parse(lines.as_bytes(), &mut batch).unwrap();
    batch
}

pub(crate) fn write(batch: &Batch) -> String {
    let mut out = Vec::new();
    Writer {
        uint_support: true,
        ..Writer::default()
    }
    .write_all(batch.iter(), &mut out);
    String::from_utf8(out).unwrap()
}

fn feed(aggregator: &mut dyn Aggregator, lines: &str) {
    for metric in read(lines).iter() {
        aggregator.add(metric);
    }
}

fn push(aggregator: &mut dyn Aggregator) -> String {
    let mut batch = Batch::new();
    aggregator.push(&mut batch);
    aggregator.reset();
    write(&batch).trim_end().to_owned()
}

/// The window of these metrics gives those, and the next one nothing.
#[track_caller]
pub(crate) fn check(name: &str, options: &str, input: &str, want: &str) {
    let mut aggregator = make(name, options).unwrap();
    feed(&mut *aggregator, input);
    assert_eq!(push(&mut *aggregator), want, "{name} with {options}");
    assert_eq!(
        push(&mut *aggregator),
        "",
        "{name} with {options}, the next window"
    );
}

/// A window that was handed over through its state gives what it gives undisturbed.
#[track_caller]
pub(crate) fn check_survives(name: &str, options: &str, first: &str, second: &str) {
    let mut undisturbed = make(name, options).unwrap();
    feed(&mut *undisturbed, first);
    let state = undisturbed.state().unwrap();
    let text = serde_json::to_string(&state).unwrap();
    feed(&mut *undisturbed, second);

    let mut successor = make(name, options).unwrap();
    for nonsense in [
        "null",
        "3",
        "[1, {}, {\"name\": 5}, [null, 1]]",
        "{\"a\": []}",
    ] {
        successor.restore(serde_json::from_str(nonsense).unwrap());
    }
    successor.restore(serde_json::from_str(&text).unwrap());
    feed(&mut *successor, second);
    let got = push(&mut *successor);
    assert_eq!(got, push(&mut *undisturbed), "{name} with {options}");
    assert!(!got.is_empty());
}

/// The options are refused with problems at these paths.
#[track_caller]
pub(crate) fn check_refused(name: &str, options: &str, paths: &[&str]) {
    let errors = make(name, options).err().unwrap_or_default();
    let got: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(got, paths, "{errors:?}");
}

#[test]
fn every_row_describes_its_options() {
    for row in crate::PLUGINS {
        let docs = (row.options)();
        assert!(
            !docs.is_empty() && docs.iter().all(|doc| !doc.doc.is_empty()),
            "{}",
            row.name
        );
    }
    assert!(crate::PLUGINS.is_sorted_by_key(|row| row.name));
}
