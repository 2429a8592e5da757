//! The jobs of some days, before anybody ran them.

use std::collections::HashMap;

use muster_scaler_core::Time;
use serde::{Deserialize, Serialize};

/// The jobs of some days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// In the order of their arrival.
    pub pipelines: Vec<Pipeline>,
    /// The names of the jobs.
    pub names: Names,
    /// The sets of tags of the jobs: each the sorted tags, joined by commas.
    pub tags: Names,
}

/// A pipeline: jobs that wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// When it was made.
    pub arrival: Time,
    /// Its project: jobs of the same name in the same project are alike.
    pub project: u32,
    /// Its name; empty: none.
    pub name: String,
    /// Its jobs, by stage.
    pub jobs: Vec<Job>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name, as a position in [`Load::names`].
    pub name: u32,
    /// Its tags, as a position in [`Load::tags`].
    pub tags: u32,
    /// Its stage, from 0. Stages may be left out.
    pub stage: u16,
    /// How long it runs, in milliseconds.
    pub millis: u32,
    /// The positions in the pipeline of the jobs that it waits for, all before it; none: all jobs of
    /// earlier stages.
    pub needs: Option<Vec<u32>>,
}

/// Words, each kept once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Names {
    words: Vec<String>,
    index: HashMap<String, u32>,
}

impl Names {
    /// The position of a word, which is added if it is new.
    pub fn position(&mut self, word: &str) -> u32 {
        if let Some(at) = self.index.get(word) {
            return *at;
        }
        let at = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.push(word.to_owned());
        self.index.insert(word.to_owned(), at);
        at
    }

    /// The word at a position; empty if there is none.
    pub fn word(&self, at: u32) -> &str {
        self.words.get(at as usize).map_or("", String::as_str)
    }

    /// All words.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Names {}

impl From<Vec<String>> for Names {
    fn from(words: Vec<String>) -> Self {
        let positions = words.iter().cloned().zip(0..);
        let index = positions.collect();
        Self { words, index }
    }
}

impl From<Names> for Vec<String> {
    fn from(names: Names) -> Self {
        names.words
    }
}

impl Load {
    /// How many jobs there are.
    pub fn jobs(&self) -> usize {
        self.pipelines
            .iter()
            .map(|pipeline| pipeline.jobs.len())
            .sum()
    }

    /// Hours that all jobs run, together.
    pub fn job_hours(&self) -> f64 {
        let jobs = self.pipelines.iter().flat_map(|pipeline| &pipeline.jobs);
        jobs.map(|job| f64::from(job.millis) / 3_600_000.0).sum()
    }

    /// The arrivals of the first and of the last pipeline.
    pub fn span(&self) -> Option<(Time, Time)> {
        let first = self.pipelines.first()?.arrival;
        let last = self.pipelines.last()?.arrival;
        Some((first, last))
    }
}
