//! Reading records.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use muster_scaler_core::{Config, Decision, Ledger, Observation, Time};

use super::{FORMAT, Line, files};
use crate::desk::Decide;

/// A line may be so long; a longer one is skipped with what follows it up to the next head.
const LINE_BYTES: u64 = 64 << 20;

/// Failed to read records.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory or a file cannot be read.
    #[error("read {path}: {reason}")]
    Disk {
        /// What was read.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

/// A decision with all that it was made from.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The configuration, without its secrets.
    pub config: Arc<Config>,
    /// Its hash, by which two configurations are told apart.
    pub config_hash: Arc<str>,
    /// The ledger before the decision.
    pub ledger: Ledger,
    /// What was seen.
    pub observation: Observation,
    /// What was decided.
    pub decision: Decision,
}

impl Recorded {
    /// Decides again by the same; the same as [`decision`](Self::decision) if the program and its
    /// record are as they should be.
    pub fn again(&self, decide: Decide) -> Decision {
        let at = self.decision.at;
        decide(&self.config, &self.observation, &self.ledger, at)
    }
}

/// The recorded decisions of a directory, from a time on, in order. What is torn or of another
/// format is left out and counted, with all that depends on it.
pub struct Records {
    left: VecDeque<PathBuf>,
    from: Time,
    file: Option<Box<dyn BufRead + Send>>,
    state: Option<State>,
    skipped: u64,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

struct State {
    config: Arc<Config>,
    hash: Arc<str>,
    ledger: Ledger,
}

impl Records {
    /// Those in the scaler's state directory that were made at `from` or later.
    ///
    /// # Errors
    /// If the directory cannot be read. One that is not there has no records.
    pub fn open(state: &Path, from: Time) -> Result<Self, ReadError> {
        let directory = state.join("records");
        let all = match files(&directory) {
            Ok(all) => all,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(reason) => {
                let path = directory;
                return Err(ReadError::Disk { path, reason });
            }
        };
        let first = super::day(from);
        let files = all.into_iter().filter(|file| file.day >= first);
        let mut left: VecDeque<PathBuf> = files.map(|file| file.path).collect();
        // A crash between packing and removing leaves both.
        let packed: Vec<PathBuf> = left.iter().map(|p| p.with_extension("jsonl.gz")).collect();
        left = left
            .iter()
            .zip(&packed)
            .filter(|(path, packed)| path == packed || !left.contains(packed))
            .map(|(path, _)| path.clone())
            .collect();
        Ok(Self {
            left,
            from,
            file: None,
            state: None,
            skipped: 0,
        })
    }

    /// The last decision at or before `at`, if one is recorded on that day or the day before.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if a file cannot be read.
    pub fn at(state: &Path, at: Time) -> Result<Option<Recorded>, ReadError> {
        let day = std::time::Duration::from_secs(24 * 3600);
        let mut last = None;
        for recorded in Self::open(state, at - day)? {
            let recorded = recorded?;
            if recorded.decision.at > at {
                break;
            }
            last = Some(recorded);
        }
        Ok(last)
    }

    /// How many lines were left out so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        loop {
            let Some(file) = &mut self.file else {
                let Some(path) = self.left.pop_front() else {
                    return Ok(None);
                };
                self.state = None;
                match open(&path) {
                    Ok(file) => self.file = Some(file),
                    // It was too old, and was removed or packed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(reason) => return Err(ReadError::Disk { path, reason }),
                }
                continue;
            };
            let mut line = Vec::new();
            let read = file.take(LINE_BYTES).read_until(b'\n', &mut line);
            match read {
                Ok(0) => self.file = None,
                Ok(_) => return Ok(Some(line)),
                // A packed file that is torn ends where it is torn.
                Err(_) => {
                    self.skipped += 1;
                    self.file = None;
                }
            }
        }
    }

    /// What a line says, if it is a decision that is wanted.
    fn take(&mut self, line: &[u8]) -> Option<Recorded> {
        let Ok(line) = serde_json::from_slice::<Line<'static>>(line) else {
            self.skipped += 1;
            self.state = None;
            return None;
        };
        match line {
            Line::Head(head) if head.format == FORMAT => {
                self.state = Some(State {
                    config: Arc::new(head.config.into_owned()),
                    hash: head.config_hash.into(),
                    ledger: head.ledger.into_owned(),
                });
                None
            }
            Line::Head(_) => {
                self.skipped += 1;
                self.state = None;
                None
            }
            Line::Events(events) => {
                self.fold(&events);
                None
            }
            Line::Decision(made) => {
                let Some(state) = &self.state else {
                    self.skipped += 1;
                    return None;
                };
                let (decision, observation) = (made.decision, made.observation);
                let wanted = (decision.at >= self.from).then(|| Recorded {
                    config: Arc::clone(&state.config),
                    config_hash: Arc::clone(&state.hash),
                    ledger: state.ledger.clone(),
                    observation: observation.into_owned(),
                    decision: Decision::clone(&decision),
                });
                self.fold(&decision.events);
                wanted
            }
        }
    }

    fn fold(&mut self, events: &[muster_scaler_core::Event]) {
        let Some(state) = &mut self.state else {
            self.skipped += 1;
            return;
        };
        if events
            .iter()
            .any(|event| state.ledger.apply(event).is_err())
        {
            self.skipped += 1;
            self.state = None;
        }
    }
}

impl Iterator for Records {
    type Item = Result<Recorded, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line() {
                Ok(Some(line)) => {
                    if let Some(recorded) = self.take(&line) {
                        return Some(Ok(recorded));
                    }
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    Ok(Box::new(BufReader::new(file)))
}
