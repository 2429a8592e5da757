//! `csv`: one row a metric.

use std::sync::atomic::{AtomicBool, Ordering};

use muster_metric::{Metric, Value};
use muster_options::{JsonSchema, OptionError, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::go_time::{TimeFormat, zone};
use crate::{BuiltSerializer, Serializer, SerializerRow, Written};

pub(super) const ROW: SerializerRow = SerializerRow {
    name: "csv",
    summary: "Rows of values with a delimiter",
    options: CsvOptions::describe,
    build,
};

/// Options of the `csv` serializer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct CsvOptions {
    /// How to write timestamps: `unix`, `unix_ms`, `unix_us`, `unix_ns`, or a Go layout such as
    /// `2006-01-02T15:04:05Z07:00`, in UTC.
    csv_timestamp_format: String,
    /// What separates values: one ASCII character.
    csv_separator: String,
    /// Whether the first row is a header, made from the first metric. It is written once for
    /// each run of the output, not once for each file.
    csv_header: bool,
    /// Whether the header says what a column is: `tag_` and `field_` before its name.
    csv_column_prefix: bool,
    /// The columns, in this order: `timestamp`, `name`, `tag.` with a tag's key, `field.` with a
    /// field's key. What a metric lacks is left empty; what is not listed is left out. Empty:
    /// time, name, then all tags and all fields of each metric, each in the order of keys.
    csv_columns: Vec<String>,
    /// Accepted for configurations that set it; rows are rows either way.
    use_batch_format: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            csv_timestamp_format: "unix".to_owned(),
            csv_separator: ",".to_owned(),
            csv_header: false,
            csv_column_prefix: false,
            csv_columns: Vec::new(),
            use_batch_format: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Name,
    Tag(String),
    Field(String),
}

#[derive(Debug)]
struct CsvSerializer {
    time: TimeFormat,
    separator: u8,
    prefix: bool,
    columns: Vec<Column>,
    /// Whether the header is still to be written.
    header: AtomicBool,
}

fn build(table: &Table) -> BuiltSerializer {
    let options = CsvOptions::parse(table)?;
    let mut errors = Vec::new();
    let format = match options.csv_timestamp_format.as_str() {
        "" => "unix",
        format => format,
    };
    let time = TimeFormat::new(format).unwrap_or_else(|error| {
        errors.push(OptionError::new("csv_timestamp_format", error.to_string()));
        TimeFormat::Unix(1)
    });
    let separator = match options.csv_separator.as_bytes() {
        [] => b',',
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => *byte,
        _ => {
            let text = &options.csv_separator;
            let message =
                format!("{text:?} is not one ASCII character other than quote or newline");
            errors.push(OptionError::new("csv_separator", message));
            b','
        }
    };
    let mut columns = Vec::new();
    for (at, text) in options.csv_columns.iter().enumerate() {
        match column(text) {
            Some(column) => columns.push(column),
            None => {
                let error = OptionError::new(
                    format!("csv_columns[{at}]"),
                    format!("\"{text}\" is none of timestamp, name, tag.KEY and field.KEY"),
                );
                errors.push(error);
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let (prefix, header) = (
        options.csv_column_prefix,
        AtomicBool::new(options.csv_header),
    );
    Ok(Box::new(CsvSerializer {
        time,
        separator,
        prefix,
        columns,
        header,
    }))
}

fn column(text: &str) -> Option<Column> {
    match text.split_once('.') {
        None if text == "timestamp" => Some(Column::Time),
        None if text == "name" => Some(Column::Name),
        Some(("tag", key)) if !key.is_empty() => Some(Column::Tag(key.to_owned())),
        Some(("field", key)) if !key.is_empty() => Some(Column::Field(key.to_owned())),
        _ => None,
    }
}

impl Serializer for CsvSerializer {
    fn serialize(
        &self,
        metrics: &mut dyn Iterator<Item = Metric<'_>>,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut written = Written::default();
        let Ok(utc) = zone("") else { return written };
        let mut cell = String::new();
        for metric in metrics {
            let own;
            let columns = if self.columns.is_empty() {
                own = all_columns(metric);
                &own
            } else {
                &self.columns
            };
            if metric.fields().len() == 0 {
                written.left_out += 1;
                continue;
            }
            if self.header.swap(false, Ordering::Relaxed) {
                for (at, column) in columns.iter().enumerate() {
                    self.push(at, &self.title(column), out);
                }
                out.push(b'\n');
            }
            for (at, column) in columns.iter().enumerate() {
                cell.clear();
                match column {
                    Column::Time => {
                        if let Some(time) = metric.time() {
                            self.time.write(time, &utc, &mut cell);
                        }
                    }
                    Column::Name => cell.push_str(metric.name()),
                    Column::Tag(key) => cell.push_str(metric.tag(key).unwrap_or_default()),
                    Column::Field(key) => push_value(metric.field(key), &mut cell),
                }
                self.push(at, &cell, out);
            }
            out.push(b'\n');
            written.metrics += 1;
        }
        written
    }

    fn content_type(&self) -> &'static str {
        "text/csv; charset=utf-8"
    }
}

/// Time, name, tags and fields, each by their keys.
fn all_columns(metric: Metric<'_>) -> Vec<Column> {
    let mut columns = vec![Column::Time, Column::Name];
    columns.extend(metric.tags().map(|(key, _)| Column::Tag(key.to_owned())));
    let mut fields: Vec<&str> = metric.fields().map(|(key, _)| key).collect();
    fields.sort_unstable();
    columns.extend(fields.into_iter().map(|key| Column::Field(key.to_owned())));
    columns
}

impl CsvSerializer {
    fn title(&self, column: &Column) -> String {
        match column {
            Column::Time => "timestamp".to_owned(),
            Column::Name => "measurement".to_owned(),
            Column::Tag(key) if self.prefix => format!("tag_{key}"),
            Column::Field(key) if self.prefix => format!("field_{key}"),
            Column::Tag(key) | Column::Field(key) => key.clone(),
        }
    }

    /// A cell, in quotes if it needs them.
    fn push(&self, at: usize, cell: &str, out: &mut Vec<u8>) {
        if at > 0 {
            out.push(self.separator);
        }
        let special = |b: u8| b == self.separator || matches!(b, b'"' | b'\n' | b'\r');
        if !cell.bytes().any(special) && !cell.starts_with([' ', '\t']) {
            out.extend_from_slice(cell.as_bytes());
            return;
        }
        out.push(b'"');
        for byte in cell.bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// Floats without exponent.
fn push_value(value: Option<Value<'_>>, cell: &mut String) {
    use std::fmt::Write;
    // Writing into a string cannot fail.
    let _ = match value {
        None => Ok(()),
        Some(Value::Float(number)) if number.is_infinite() => {
            cell.write_str(if number > 0.0 { "+Inf" } else { "-Inf" })
        }
        Some(Value::Float(number)) => write!(cell, "{number}"),
        Some(Value::Int(number)) => write!(cell, "{number}"),
        Some(Value::Uint(number)) => write!(cell, "{number}"),
        Some(Value::Bool(value)) => write!(cell, "{value}"),
        Some(Value::Text(text)) => cell.write_str(text),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_batch, check_serializer, serialize, survives_serializing};
    use muster_metric::{Batch, Timestamp};
    use proptest::prelude::*;

    fn batch() -> Batch {
        let mut batch = Batch::new();
        let time = Timestamp::from_seconds(1_458_229_140);
        let docker = batch.metric("docker").tag("host", "raynor").tag("a", "x,y");
        docker
            .field("z", 30_i64)
            .field("b", 4.5)
            .field("text", "a \"b\"\nc")
            .at(time);
        batch
            .metric("docker")
            .tag("host", "jim")
            .field("z", f64::NAN)
            .field("y", true)
            .at(time);
        batch
    }

    #[test]
    fn writes_rows() {
        let rows = "1458229140,docker,\"x,y\",raynor,4.5,\"a \"\"b\"\"\nc\",30\n\
            1458229140,docker,jim,true,NaN\n";
        check_serializer("csv", "", &batch(), rows);
        let header = format!("timestamp,measurement,a,host,b,text,z\n{rows}");
        check_serializer("csv", "csv_header = true", &batch(), &header);
        let header =
            format!("timestamp,measurement,tag_a,tag_host,field_b,field_text,field_z\n{rows}");
        check_serializer(
            "csv",
            "csv_header = true\ncsv_column_prefix = true",
            &batch(),
            &header,
        );
        let options = "csv_header = true\ncsv_separator = ';'\n\
            csv_timestamp_format = '2006-01-02'\n\
            csv_columns = ['field.z', 'tag.host', 'timestamp', 'field.no', 'name']";
        let rows = "z;host;timestamp;no;measurement\n30;raynor;2016-03-17;;docker\n\
            NaN;jim;2016-03-17;;docker\n";
        check_serializer("csv", options, &batch(), rows);
    }

    #[test]
    fn refuses_wrong_options() {
        let options = "csv_separator = '::'\ncsv_columns = ['time']\ncsv_timestamp_format = 'x'";
        let errors = serialize("csv", options, &Batch::new());
        for part in [
            "csv_separator: \"::\" is not one",
            "csv_columns[0]: \"time\" is none of",
        ] {
            assert!(errors.contains(part), "{errors}");
        }
    }

    proptest! {
        #[test]
        fn survives_anything(batch in any_batch()) {
            survives_serializing(&ROW, &batch);
        }
    }
}
