//! A group of goroutines that are at the same place.

use std::sync::Arc;

use super::{Frame, Stack, WaitClass};

/// So many goroutine IDs of a group are kept.
pub const MAX_IDS: usize = 64;

/// So many labels of a group are kept, the first ones of the input.
pub const MAX_LABELS: usize = 64;

/// So many different objects of a group are counted by themselves.
pub const MAX_OBJECTS: usize = 8;

/// Goroutines with the same stack, wait reason, creator, labels and leak mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// How many; at least 1.
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
    /// The profiler labels, sorted by key; at most [`MAX_LABELS`].
    pub labels: Arc<[Label]>,
    /// Whether Go's garbage collector has proved that they can never go on.
    pub leaked: bool,
    /// How long they wait.
    pub minutes: Minutes,
    /// A sample of their IDs.
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
        self.stack.iter().take(6).any(|frame| {
            let function = frame.function.strip_prefix("runtime/pprof.");
            function.is_some_and(|name| name.starts_with("write") || name == "(*Profile).WriteTo")
        })
    }

    /// Adds up with a group that differs only in what single goroutines show.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.minutes.absorb(other.minutes);
        self.ids.absorb(&other.ids);
        for (word, count) in &other.objects.counts {
            self.objects.add(*word, *count);
        }
        self.objects.others += other.objects.others;
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
    /// What one goroutine shows.
    pub(crate) fn one(minutes: u64) -> Self {
        Self {
            shown: 1,
            oldest: minutes,
            youngest: minutes,
        }
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.youngest = match (self.shown, other.shown) {
            (0, _) => other.youngest,
            (_, 0) => self.youngest,
            _ => self.youngest.min(other.youngest),
        };
        self.oldest = self.oldest.max(other.oldest);
        self.shown += other.shown;
    }
}

/// A sample of the goroutine IDs of a group: those [`MAX_IDS`] whose hash is lowest. Dumps only.
///
/// IDs are never given twice. The hash chooses without regard to age, and the same IDs each time:
/// comparing the samples of two dumps says how many of the goroutines survived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    ids: Vec<u64>,
    /// IDs with a higher hash were left out; `None` if none was.
    limit: Option<u64>,
}

impl Ids {
    /// The IDs, ascending.
    pub fn as_slice(&self) -> &[u64] {
        &self.ids
    }

    /// How many of these are also in `later`, the same group of a later dump, and of how many that
    /// would be known.
    pub fn survivors(&self, later: &Self) -> (usize, usize) {
        let known = |id: &&u64| later.limit.is_none_or(|limit| hash(**id) <= limit);
        let comparable = self.ids.iter().filter(known);
        let alive = |id: &&u64| later.ids.binary_search(id).is_ok();
        (comparable.clone().filter(alive).count(), comparable.count())
    }

    /// Takes in the sample of another group: the result is the sample of both.
    pub(crate) fn absorb(&mut self, other: &Self) {
        other.ids.iter().for_each(|id| self.add(*id));
        let limit = self.limit.into_iter().chain(other.limit).min();
        self.limit = limit;
        self.ids
            .retain(|id| limit.is_none_or(|limit| hash(*id) <= limit));
    }

    /// Takes in an ID.
    pub(crate) fn add(&mut self, id: u64) {
        if self.limit.is_some_and(|limit| hash(id) > limit) {
            return;
        }
        let Err(at) = self.ids.binary_search(&id) else {
            return;
        };
        self.ids.insert(at, id);
        if self.ids.len() > MAX_IDS {
            let out = (0..self.ids.len()).max_by_key(|at| hash(self.ids[*at]));
            self.ids.remove(out.unwrap_or(0));
            let highest = self.ids.iter().map(|id| hash(*id)).max();
            self.limit = highest;
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

/// Spreads neighbouring IDs over all values; no two have the same hash.
fn hash(id: u64) -> u64 {
    let mixed = (id ^ (id >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
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
    /// Takes in the word of so many goroutines.
    pub(crate) fn add(&mut self, word: u64, goroutines: u64) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == word) {
            *count += goroutines;
        } else if self.counts.len() < MAX_OBJECTS {
            self.counts.push((word, goroutines));
        } else {
            self.others += goroutines;
        }
    }
}
