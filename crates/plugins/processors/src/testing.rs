//! What the tests of all processors use: line protocol in, line protocol out.

use muster_metric::line_protocol::{OnError, Parser, Writer};
use muster_metric::{Batch, Timestamp};
use muster_options::OptionError;
use muster_plugin::{Build, BuildContext, ProcessContext, Processor, Selected, StatefulProcessor};

/// A processor of either sort.
pub(crate) enum Made {
    Stateless(Box<dyn Processor>),
    Stateful(Box<dyn StatefulProcessor>),
}

/// Makes a processor from its row and TOML, as the agent does.
pub(crate) fn make(name: &str, options: &str) -> Result<Made, Vec<OptionError>> {
    let row = crate::PLUGINS.iter().find(|row| row.name == name).unwrap();
    let cx = BuildContext::new(row, &toml::from_str(options).unwrap())?;
    match row.build {
        Build::Processor(build) => build(&cx).map(Made::Stateless),
        Build::StatefulProcessor(build) => build(&cx).map(Made::Stateful),
        _ => panic!("{name} is no processor"),
    }
}

pub(crate) fn stateful(name: &str, options: &str) -> Box<dyn StatefulProcessor> {
    match make(name, options).unwrap() {
        Made::Stateful(made) => made,
        Made::Stateless(_) => panic!("{name} is stateless"),
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

/// A context at this many seconds after 1970.
pub(crate) fn at(seconds: i64) -> ProcessContext {
    ProcessContext {
        now: Timestamp::from_seconds(seconds),
    }
}

/// The metrics that a processor makes of these, at 100 s after 1970.
pub(crate) fn run(name: &str, options: &str, input: &str) -> String {
    let mut batch = read(input);
    match make(name, options).unwrap() {
        Made::Stateless(made) => made.apply(&mut Selected::all(&mut batch), &at(100)),
        Made::Stateful(mut made) => made.apply(&mut Selected::all(&mut batch), &at(100)),
    }
    write(&batch)
}

#[track_caller]
pub(crate) fn check(name: &str, options: &str, input: &str, want: &str) {
    assert_eq!(
        run(name, options, input).trim_end(),
        want,
        "{name} with {options}"
    );
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
        check_described(row.name, &(row.options)());
    }
    assert!(crate::PLUGINS.is_sorted_by_key(|row| row.name));
}

fn check_described(path: &str, docs: &[muster_options::OptionDoc]) {
    for doc in docs {
        assert!(
            !doc.doc.is_empty(),
            "{path}.{} has no doc comment",
            doc.name
        );
        check_described(&format!("{path}.{}", doc.name), &doc.options);
    }
}
