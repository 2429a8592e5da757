//! From a row to a metric.

use std::collections::HashMap;

use ::csv::ByteRecord;
use muster_metric::{Batch, Text, Value};

use super::super::value::go_bool;
use super::{ColumnType, CsvOptions, CsvParser, MAX_COLUMNS};
use crate::format::excerpt;

/// What becomes of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Nothing: it has no name, or a later column has the same.
    None,
    Name,
    Time,
    Tag,
    Field(Option<ColumnType>),
}

#[derive(Debug)]
struct Column {
    name: String,
    /// The name in the batch.
    text: Text,
    role: Role,
}

/// The columns of one input.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    metadata: Vec<(Text, Text)>,
}

impl Columns {
    pub(super) fn new(
        options: &CsvOptions,
        header: Vec<String>,
        metadata: &[(String, String)],
        batch: &mut Batch,
    ) -> Result<Self, String> {
        let given = &options.csv_column_names;
        let names = if given.is_empty() {
            header
        } else {
            given.clone()
        };
        let types = &options.csv_column_types;
        if !types.is_empty() && names.len() > types.len() {
            let (types, names) = (types.len(), names.len());
            return Err(format!(
                "csv_column_types has {types} types for {names} columns"
            ));
        }
        let time = &options.csv_timestamp_column;
        if !time.is_empty() && !names.contains(time) {
            return Err(format!(
                "there is no column \"{time}\", which is csv_timestamp_column"
            ));
        }
        // Of columns of the same name the last one counts.
        let mut last: HashMap<&str, usize, foldhash::fast::RandomState> = HashMap::default();
        for (at, name) in names.iter().enumerate() {
            last.insert(name, at);
        }
        let role = |(at, name): (usize, &String)| {
            if name.is_empty() || last.get(name.as_str()) != Some(&at) {
                Role::None
            } else if *name == options.csv_measurement_column {
                Role::Name
            } else if name == time {
                Role::Time
            } else if options.csv_tag_columns.contains(name) {
                Role::Tag
            } else {
                Role::Field(types.get(at).copied())
            }
        };
        let roles: Vec<Role> = names.iter().enumerate().map(role).collect();
        let column = |(name, role): (String, Role)| Column {
            text: batch.text(&name),
            name,
            role,
        };
        let columns = names.into_iter().zip(roles).map(column).collect();
        let pair = |(key, value): &(String, String)| (batch.text(key), batch.text(value));
        Ok(Self {
            columns,
            metadata: metadata.iter().map(pair).collect(),
        })
    }
}

impl CsvParser {
    /// Adds the metric of a row; false if it has no field. An error names the byte in the row.
    pub(super) fn row(
        &self,
        columns: &Columns,
        record: &ByteRecord,
        batch: &mut Batch,
    ) -> Result<bool, (u64, String)> {
        if record.len() > MAX_COLUMNS {
            return Err((1, format!("the row has more than {MAX_COLUMNS} columns")));
        }
        let options = &self.options;
        let mut name = "";
        let mut time = None;
        let mut cells = Vec::with_capacity(columns.columns.len());
        let values = record.iter().skip(options.csv_skip_columns).enumerate();
        for ((at, bytes), column) in values.zip(&columns.columns) {
            let wrong = |message: String| (byte_column(record, at, options), message);
            let value = std::str::from_utf8(bytes).map_err(|_| {
                wrong(format!(
                    "the value of column \"{}\" is no valid UTF-8",
                    column.name
                ))
            })?;
            let value = if options.csv_trim_space {
                value.trim()
            } else {
                value
            };
            if options.csv_skip_values.iter().any(|skip| skip == value) {
                continue;
            }
            match column.role {
                Role::None => {}
                Role::Name => name = value,
                Role::Time => {
                    if let Some((format, zone)) = &self.time {
                        let read = format.read(value, zone);
                        time = Some(read.map_err(|error| wrong(error.to_string()))?);
                    }
                }
                Role::Tag => cells.push((column.text, None, value)),
                Role::Field(kind) => {
                    let field = typed(kind, value).map_err(|what| {
                        let value = excerpt(value);
                        wrong(format!(
                            "{value} in column \"{}\" is no {what}",
                            column.name
                        ))
                    })?;
                    cells.push((column.text, Some(field), value));
                }
            }
        }
        if self.time.is_some() && time.is_none() {
            return Err((1, "the row has no time".to_owned()));
        }
        let mut metric = batch.metric(name);
        // Of equal tags the last one counts: metadata stand first if they are to lose.
        let (first, second): (&[_], &[_]) = match options.csv_tag_overwrite {
            true => (&columns.metadata, &[]),
            false => (&[], &columns.metadata),
        };
        for (key, value) in first {
            metric.add_tag(*key, *value);
        }
        for (column, field, value) in cells {
            match field {
                Some(field) => metric.add_new_field(column, field),
                None => metric.add_tag(column, value),
            };
        }
        for (key, value) in second {
            metric.add_tag(*key, *value);
        }
        if metric.field_count() == 0 {
            return Ok(false);
        }
        metric.finish(time);
        Ok(true)
    }
}

/// About where in its line the value stands: quotes around the values before are not counted.
fn byte_column(record: &ByteRecord, at: usize, options: &CsvOptions) -> u64 {
    let before = record
        .iter()
        .take(options.csv_skip_columns.saturating_add(at));
    before.map(|value| value.len() as u64 + 1).sum::<u64>() + 1
}

fn typed(kind: Option<ColumnType>, value: &str) -> Result<Value<'_>, &'static str> {
    match kind {
        Some(ColumnType::Int) => value.parse().map(Value::Int).map_err(|_| "integer"),
        Some(ColumnType::Float) => value.parse().map(Value::Float).map_err(|_| "number"),
        Some(ColumnType::Bool) => go_bool(value).map(Value::Bool).ok_or("boolean"),
        Some(ColumnType::String | ColumnType::Timestamp) => Ok(Value::Text(value)),
        None => Ok(guess(value)),
    }
}

fn guess(value: &str) -> Value<'_> {
    if let Ok(number) = value.parse() {
        Value::Int(number)
    } else if let Ok(number) = value.parse() {
        Value::Float(number)
    } else {
        go_bool(value).map_or(Value::Text(value), Value::Bool)
    }
}
