//! A group of goroutines that are at the same place.

use std::sync::Arc;

use super::{Frame, Stack, WaitClass};

/// So many goroutine IDs of a group are kept.
pub const MAX_IDS: usize = 64;

/// So many different objects of a group are counted by themselves.
pub const MAX_OBJECTS: usize = 8;

/// Goroutines with the same stack, wait reason, creator, labels and leak mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// How many; never 0, except in a delta profile's groups that shrank.
    pub count: u64,
    /// Where they are, leaf first.
    pub stack: Stack,
    /// What they wait for.
    pub class: WaitClass,
    /// The wait reason as Go printed it, without the marks and minutes after it:
    /// `chan receive (nil chan)`. Dumps only.
    pub reason: Option<Arc<str>>,
    /// The function that has the `go` statement, and its line. Dumps only; the main goroutine and
    /// the runtime's own have none.
    pub created_by: Option<Frame>,
    /// The profiler labels, sorted by key.
    pub labels: Arc<[Label]>,
    /// Whether Go's garbage collector has proved that they can never go on.
    pub leaked: bool,
    /// How long they wait.
    pub minutes: Minutes,
    /// The lowest of their IDs.
    pub ids: Ids,
    /// The objects that they probably wait on.
    pub objects: Objects,
}

impl Group {
    /// A group of `count` goroutines of which nothing else is known.
    pub fn new(count: u64, stack: Stack, class: WaitClass) -> Self {
        Self {
            count,
            stack,
            class,
            reason: None,
            created_by: None,
            labels: Arc::default(),
            leaked: false,
            minutes: Minutes::default(),
            ids: Ids::default(),
            objects: Objects::default(),
        }
    }

    /// Whether these are the goroutines that took this profile: every profile shows one.
    pub fn takes_profile(&self) -> bool {
        self.stack
            .iter()
            .take(6)
            .any(|frame| frame.function.starts_with("runtime/pprof."))
    }

    /// The value of a label, if it is there and a text.
    pub fn label(&self, key: &str) -> Option<&str> {
        let label = self.labels.iter().find(|label| &*label.key == key)?;
        match &label.value {
            LabelValue::Text(text) => Some(text),
            LabelValue::Number { .. } => None,
        }
    }
}

/// A profiler label of goroutines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// Its name.
    pub key: Arc<str>,
    /// Its value.
    pub value: LabelValue,
}

/// What a [`Label`] says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelValue {
    /// A text; Go has no others.
    Text(Arc<str>),
    /// A number with its unit, which may be empty; binary profiles of other programs.
    Number {
        /// The number.
        value: i64,
        /// Its unit.
        unit: Arc<str>,
    },
}

/// How long the goroutines of a group wait, in whole minutes. Dumps only.
///
/// All are lower bounds: Go begins to count at the first garbage collection that finds the
/// goroutine waiting, and stops showing it once the goroutine is marked as leaked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minutes {
    /// How many of the goroutines show a time, which is at least one minute.
    pub shown: u64,
    /// The longest; 0 if none shows a time.
    pub oldest: u64,
    /// The shortest of those that show a time; 0 if none does.
    pub youngest: u64,
}

impl Minutes {
    /// Takes in what one goroutine shows.
    pub(crate) fn add(&mut self, minutes: u64) {
        self.youngest = match self.shown {
            0 => minutes,
            _ => self.youngest.min(minutes),
        };
        self.oldest = self.oldest.max(minutes);
        self.shown += 1;
    }
}

/// The lowest [`MAX_IDS`] goroutine IDs of a group, ascending. Dumps only.
///
/// IDs only grow and are never given twice. So of the IDs kept here, those that still live in the
/// same group are also among the lowest of a later dump: comparing the two says how many survived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(Vec<u64>);

impl Ids {
    /// The IDs, ascending.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// How many of these are also in `later`, the same group of a later dump.
    pub fn survivors(&self, later: &Self) -> usize {
        self.0
            .iter()
            .filter(|id| later.0.binary_search(id).is_ok())
            .count()
    }

    /// Takes in an ID.
    pub(crate) fn add(&mut self, id: u64) {
        if self.0.len() == MAX_IDS && self.0.last().is_some_and(|last| id >= *last) {
            return;
        }
        if let Err(at) = self.0.binary_search(&id) {
            self.0.insert(at, id);
            self.0.truncate(MAX_IDS);
        }
    }
}

impl FromIterator<u64> for Ids {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        let mut all = Self::default();
        ids.into_iter().for_each(|id| all.add(id));
        all
    }
}

/// The first argument word of the innermost frame that shows one, and how many goroutines have it.
/// For the methods of a lock it is the lock, for a function that takes a channel often the channel:
/// many goroutines with one word wait on the same object. Dumps only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// At most [`MAX_OBJECTS`] words with their counts, in the order of the input.
    pub counts: Vec<(u64, u64)>,
    /// Goroutines with other words.
    pub others: u64,
}

impl Objects {
    /// Takes in the word of one goroutine.
    pub(crate) fn add(&mut self, word: u64) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == word) {
            *count += 1;
        } else if self.counts.len() < MAX_OBJECTS {
            self.counts.push((word, 1));
        } else {
            self.others += 1;
        }
    }
}
