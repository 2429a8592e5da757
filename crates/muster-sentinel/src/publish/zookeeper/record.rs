//! What is known of one node, and what is to be done about it. Pure.

use std::hash::BuildHasher;
use std::time::Instant;

use muster_zookeeper::{Mode, Op};

/// What is known of a node in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing for sure: it must be read first.
    Unknown,
    /// It is not there.
    Absent,
    /// It is there, and ours to write.
    Ours {
        /// Its version.
        version: i32,
    },
    /// It is there, bound to a session of ours that is over.
    Left,
    /// It is somebody else's, who goes before us.
    Theirs,
}

/// One instance's node.
#[derive(Debug)]
pub(super) struct Record {
    /// The node above.
    pub(super) folder: String,
    /// The node.
    pub(super) path: String,
    pub(super) known: Known,
    /// The version and the hash of what we wrote last and know to be written.
    written: Option<(i32, u64)>,
    /// Something has changed since.
    pub(super) dirty: bool,
    /// When it is to be written or looked at again.
    pub(super) due: Instant,
    /// The instance is not on the board any more.
    pub(super) gone: bool,
    /// Somebody was told that another one writes it, or that it cannot be written.
    pub(super) told: bool,
}

/// What is to be done about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// These operations, all or none.
    Write(Vec<Op>),
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

    /// What is to be done so that the node holds `desired`.
    pub(super) fn step(&self, desired: Option<&[u8]>, mode: Mode) -> Step {
        let create = |data: &[u8]| Op::Create {
            path: self.path.clone(),
            data: data.to_vec(),
            mode,
        };
        let delete = |version| Op::Delete {
            path: self.path.clone(),
            version,
        };
        match (self.known, desired) {
            (Known::Unknown | Known::Theirs, _) | (Known::Absent, None) => Step::Rest,
            (Known::Absent, Some(data)) => Step::Write(vec![create(data)]),
            (Known::Left, None) => Step::Write(vec![delete(None)]),
            (Known::Left, Some(data)) => Step::Write(vec![delete(None), create(data)]),
            (Known::Ours { version }, None) => Step::Write(vec![delete(Some(version))]),
            (Known::Ours { version }, Some(data)) => {
                // A document is written again although only its times have changed; a node that
                // says no more than that it is there is not.
                let is_written = self.written == Some((version, hash(data)));
                let is_current = self.written.is_some_and(|(v, _)| v == version) && !self.dirty;
                if is_written || is_current {
                    return Step::Rest;
                }
                Step::Write(vec![Op::Put {
                    path: self.path.clone(),
                    data: data.to_vec(),
                    version: Some(version),
                }])
            }
        }
    }

    /// The node holds this now.
    pub(super) fn is_written(&mut self, version: i32, data: &[u8]) {
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

    fn kinds(step: Step) -> String {
        let Step::Write(ops) = step else {
            return "rest".to_owned();
        };
        let kind = |op: &Op| match op {
            Op::Create { .. } => "create",
            Op::Put { .. } => "put",
            Op::Delete { .. } => "delete",
            Op::Check { .. } => "check",
        };
        ops.iter().map(kind).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn steps() {
        let check = |known: Known, desired: Option<&[u8]>, expected: &str| {
            let step = record(known).step(desired, Mode::Persistent);
            assert_eq!(kinds(step), expected, "{known:?}");
        };
        let ours = Known::Ours { version: 7 };
        let cases = [
            (Known::Unknown, "rest", "rest"),
            (Known::Theirs, "rest", "rest"),
            (Known::Absent, "create", "rest"),
            (Known::Left, "delete create", "delete"),
            (ours, "put", "delete"),
        ];
        for (known, with, without) in cases {
            check(known, Some(b"x"), with);
            check(known, None, without);
        }
    }

    #[test]
    fn what_is_written_is_not_written_again() {
        let step = |record: &Record, data: &[u8]| kinds(record.step(Some(data), Mode::Persistent));
        let mut record = record(Known::Absent);
        record.is_written(3, b"x");
        // It was read again after a reconnection, and is as we left it.
        record.known = Known::Ours { version: 3 };
        assert_eq!(step(&record, b"later"), "rest");
        // Somebody else has written it.
        record.known = Known::Ours { version: 4 };
        assert_eq!(step(&record, b"x"), "put");
        record.known = Known::Ours { version: 3 };
        record.dirty = true;
        assert_eq!(step(&record, b"x"), "rest");
        assert_eq!(step(&record, b"later"), "put");
    }
}
