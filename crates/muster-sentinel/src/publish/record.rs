//! What is known of one key, and what is to be done about it. Pure.

use std::hash::BuildHasher;
use std::time::Instant;

/// What is known of a key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing for sure: it must be read first.
    Unknown,
    /// It is not there.
    Absent,
    /// It is there, and ours to write.
    Ours {
        /// Its version.
        version: i64,
    },
    /// It is there, and must be deleted before it can be written: it is bound to a session of ours that is over.
    Left,
    /// It is somebody else's, who goes before us.
    Theirs,
}

/// One instance's key.
#[derive(Debug)]
pub(super) struct Record {
    /// What is above it.
    pub(super) folder: String,
    /// The key.
    pub(super) path: String,
    pub(super) known: Known,
    /// The version and the hash of what we wrote last and know to be written.
    written: Option<(i64, u64)>,
    /// Something has changed since.
    pub(super) dirty: bool,
    /// When it is to be written or looked at again.
    pub(super) due: Instant,
    /// The instance is not on the board any more.
    pub(super) gone: bool,
    /// Somebody was told that another one writes it, or that it cannot be written.
    pub(super) told: bool,
}

/// What is to be done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// It is to be written for the first time: it is not there.
    Create,
    /// It is to be written: it has this version.
    Put(i64),
    /// It is to be deleted, whatever its version, and written anew.
    Replace,
    /// It is to be deleted, if it has this version; `None` for any.
    Delete(Option<i64>),
}

impl Step {
    /// How many operations it takes at most.
    pub(super) fn operations(self) -> usize {
        match self {
            Self::Rest => 0,
            Self::Create | Self::Put(_) | Self::Delete(_) => 1,
            Self::Replace => 2,
        }
    }
}

impl Record {
    pub(super) fn new(folder: String, name: &str, due: Instant) -> Self {
        Self {
            path: format!("{folder}/{name}"),
            folder,
            known: Known::Unknown,
            written: None,
            dirty: true,
            due,
            gone: false,
            told: false,
        }
    }

    /// What is to be done so that the key holds `desired`.
    pub(super) fn step(&self, desired: Option<&[u8]>) -> Step {
        match (self.known, desired) {
            (Known::Unknown | Known::Theirs, _) | (Known::Absent, None) => Step::Rest,
            (Known::Absent, Some(_)) => Step::Create,
            (Known::Left, None) => Step::Delete(None),
            (Known::Left, Some(_)) => Step::Replace,
            (Known::Ours { version }, None) => Step::Delete(Some(version)),
            (Known::Ours { version }, Some(data)) => {
                // A document is written again although only its times have changed; a key that
                // says no more than that it is there is not.
                let is_written = self.written == Some((version, hash(data)));
                let is_current = self.written.is_some_and(|(v, _)| v == version) && !self.dirty;
                if is_written || is_current {
                    Step::Rest
                } else {
                    Step::Put(version)
                }
            }
        }
    }

    /// What it holds is to be written anew, although it may be what we wrote: it is bound to what is over.
    pub(super) fn is_bound_elsewhere(&mut self) {
        self.written = None;
    }

    /// The key holds this now.
    pub(super) fn is_written(&mut self, version: i64, data: &[u8]) {
        self.known = Known::Ours { version };
        self.written = Some((version, hash(data)));
        self.dirty = false;
        self.told = false;
    }
}

fn hash(data: &[u8]) -> u64 {
    foldhash::fast::FixedState::default().hash_one(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(known: Known) -> Record {
        let mut record = Record::new("/f".to_owned(), "n", Instant::now());
        record.known = known;
        record
    }

    #[test]
    fn steps() {
        let check = |known: Known, desired: Option<&[u8]>, expected: Step| {
            assert_eq!(record(known).step(desired), expected, "{known:?}");
        };
        let ours = Known::Ours { version: 7 };
        let cases = [
            (Known::Unknown, Step::Rest, Step::Rest),
            (Known::Theirs, Step::Rest, Step::Rest),
            (Known::Absent, Step::Create, Step::Rest),
            (Known::Left, Step::Replace, Step::Delete(None)),
            (ours, Step::Put(7), Step::Delete(Some(7))),
        ];
        for (known, with, without) in cases {
            check(known, Some(b"x"), with);
            check(known, None, without);
        }
    }

    #[test]
    fn what_is_written_is_not_written_again() {
        let step = |record: &Record, data: &[u8]| record.step(Some(data));
        let mut record = record(Known::Absent);
        record.is_written(3, b"x");
        // It was read again after a reconnection, and is as we left it.
        record.known = Known::Ours { version: 3 };
        assert_eq!(step(&record, b"later"), Step::Rest);
        // Somebody else has written it.
        record.known = Known::Ours { version: 4 };
        assert_eq!(step(&record, b"x"), Step::Put(4));
        record.known = Known::Ours { version: 3 };
        record.dirty = true;
        assert_eq!(step(&record, b"x"), Step::Rest);
        assert_eq!(step(&record, b"later"), Step::Put(3));
        // It is as we left it, and would go with what is over.
        record.is_bound_elsewhere();
        assert_eq!(step(&record, b"x"), Step::Put(3));
    }
}
