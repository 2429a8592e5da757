//! Jobs as a table: `arrival,pipeline,stage,name,tags,duration`.
//!
//! | column | meaning |
//! |---|---|
//! | `arrival` | when the job's pipeline was made: RFC 3339, or seconds since 1970 |
//! | `pipeline` | which jobs belong together: any word; `project/pipeline` also names the project |
//! | `stage` | the stage's position, from 0 to 999 |
//! | `name` | the job's name |
//! | `tags` | the job's tags, separated by commas |
//! | `duration` | how long it ran, in seconds, up to 30 days |
//!
//! The first line names the columns, in any order; others are left alone. Times are kept to the
//! millisecond.

use std::collections::HashMap;
use std::io::{Read, Write};

use jiff::Timestamp;
use muster_scaler_core::Time;

use crate::load::{Job, Load, Pipeline};

/// The most jobs of a table.
pub const MOST_JOBS: usize = 5_000_000;
/// The longest a field may be, in bytes.
const LONGEST: usize = 4096;
const MOST_SECONDS: f64 = 30.0 * 86_400.0;
const COLUMNS: [&str; 6] = ["arrival", "pipeline", "stage", "name", "tags", "duration"];

/// Failed to read or write a table of jobs.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A line is wrong.
    #[error("read line {line}: {what}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The columns are wrong.
    #[error("read line 1: the column `{0}` is missing; the columns are {columns}", columns = COLUMNS.join(","))]
    Column(&'static str),
    /// There are too many jobs.
    #[error("read more than {MOST_JOBS} jobs")]
    TooMany,
    /// There is no job.
    #[error("find a job in the table")]
    Empty,
    /// Reading or writing failed.
    #[error("read or write the table: {0}")]
    Io(#[from] csv::Error),
}

/// Reads a table. Rows may be in any order.
///
/// # Errors
/// For the first line that is wrong, for a table without jobs, and for one with more than
/// [`MOST_JOBS`].
pub fn read(from: impl Read) -> Result<Load, TableError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(from);
    let headers = reader.headers()?.clone();
    let mut columns = [0; 6];
    for (at, column) in columns.iter_mut().zip(COLUMNS) {
        let found = headers.iter().position(|header| header == column);
        *at = found.ok_or(TableError::Column(column))?;
    }
    let mut rows = Rows::default();
    let mut record = csv::StringRecord::new();
    let mut count = 0;
    while reader.read_record(&mut record)? {
        count += 1;
        if count > MOST_JOBS {
            return Err(TableError::TooMany);
        }
        let line = record.position().map_or(0, csv::Position::line);
        let fields = columns.map(|column| record.get(column));
        rows.add(fields)
            .map_err(|what| TableError::Line { line, what })?;
    }
    rows.load()
}

#[derive(Default)]
struct Rows {
    load: Load,
    /// Pipelines by their word.
    pipelines: HashMap<String, usize>,
    projects: HashMap<String, u32>,
}

impl Rows {
    fn add(&mut self, fields: [Option<&str>; 6]) -> Result<(), String> {
        for (field, column) in fields.iter().zip(COLUMNS) {
            match field {
                None => return Err(format!("the column `{column}` is missing")),
                Some(text) if text.len() > LONGEST => {
                    return Err(format!("`{column}` is longer than {LONGEST} bytes"));
                }
                Some(_) => {}
            }
        }
        let [arrival, pipeline, stage, name, tags, duration] =
            fields.map(Option::unwrap_or_default);
        let arrival = parse_arrival(arrival)?;
        let stage = stage.parse().ok().filter(|stage| *stage < 1000_u16);
        let stage = stage.ok_or("`stage` is not a number from 0 to 999")?;
        let seconds: Option<f64> = duration.parse().ok();
        let seconds = seconds.filter(|seconds| (0.0..=MOST_SECONDS).contains(seconds));
        let seconds = seconds.ok_or("`duration` is not a number of seconds up to 30 days")?;
        if pipeline.is_empty() {
            return Err("`pipeline` is empty".to_owned());
        }
        let mut tags: Vec<&str> = tags.split(',').map(str::trim).collect();
        tags.retain(|tag| !tag.is_empty());
        tags.sort_unstable();
        tags.dedup();
        let job = Job {
            name: self.load.names.position(name),
            tags: self.load.tags.position(&tags.join(",")),
            stage,
            millis: (seconds * 1000.0).round() as u32,
            needs: None,
        };
        let at = self.pipeline(pipeline, arrival);
        let pipeline = &mut self.load.pipelines[at];
        pipeline.arrival = pipeline.arrival.min(arrival);
        pipeline.jobs.push(job);
        Ok(())
    }

    fn pipeline(&mut self, word: &str, arrival: Time) -> usize {
        if let Some(at) = self.pipelines.get(word) {
            return *at;
        }
        let project = word.rsplit_once('/').map_or("", |(project, _)| project);
        let known = self.projects.len() as u32;
        let project = *self.projects.entry(project.to_owned()).or_insert(known);
        let at = self.load.pipelines.len();
        self.pipelines.insert(word.to_owned(), at);
        self.load.pipelines.push(Pipeline {
            arrival,
            project,
            name: word.to_owned(),
            jobs: Vec::new(),
        });
        at
    }

    fn load(mut self) -> Result<Load, TableError> {
        if self.load.pipelines.is_empty() {
            return Err(TableError::Empty);
        }
        for pipeline in &mut self.load.pipelines {
            pipeline.jobs.sort_by_key(|job| job.stage);
        }
        self.load.pipelines.sort_by_key(|pipeline| pipeline.arrival);
        Ok(self.load)
    }
}

fn parse_arrival(text: &str) -> Result<Time, String> {
    let millis = match text.parse::<f64>() {
        Ok(seconds) if (0.0..4e9).contains(&seconds) => (seconds * 1000.0).round() as i64,
        Ok(_) => return Err("`arrival` is not between 1970 and 2096".to_owned()),
        Err(_) => match text.parse::<Timestamp>() {
            Ok(time) if (0..4_000_000_000).contains(&time.as_second()) => time.as_millisecond(),
            Ok(_) => return Err("`arrival` is not between 1970 and 2096".to_owned()),
            Err(_) => {
                return Err("`arrival` is neither RFC 3339 nor seconds since 1970".to_owned());
            }
        },
    };
    Ok(Time::from_millis(millis))
}

/// Writes a load as a table. What jobs need of each other beyond their stages is left out.
///
/// # Errors
/// If writing fails.
pub fn write(load: &Load, to: impl Write) -> Result<(), TableError> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(COLUMNS)?;
    for (pipeline, number) in load.pipelines.iter().zip(1..) {
        let arrival = Timestamp::from_millisecond(pipeline.arrival.millis());
        let arrival = arrival.unwrap_or_default().to_string();
        let name = if pipeline.name.is_empty() {
            format!("project-{}/{number}", pipeline.project)
        } else {
            pipeline.name.clone()
        };
        for job in &pipeline.jobs {
            let seconds = f64::from(job.millis) / 1000.0;
            let (stage, seconds) = (job.stage.to_string(), seconds.to_string());
            let words = [load.names.word(job.name), load.tags.word(job.tags)];
            writer.write_record([&arrival, &name, &stage, words[0], words[1], &seconds])?;
        }
    }
    writer.flush().map_err(csv::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests;
