//! Whether the server is quick or lazy today.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long each kind of answer takes, and how often the server is lazy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moods {
    /// A quick answer takes this long.
    pub quick: Duration,
    /// A lazy one takes this long.
    pub lazy: Duration,
    /// Of a hundred answers so many are lazy.
    pub lazy_of_100: u64,
}

impl Default for Moods {
    fn default() -> Self {
        Self {
            quick: Duration::from_millis(100),
            lazy: Duration::from_secs(6),
            lazy_of_100: 50,
        }
    }
}

/// How one request is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// In no time.
    Quick,
    /// In its own time.
    Lazy,
}

impl Moods {
    /// Draws a mood.
    #[must_use]
    pub fn draw(&self) -> Mood {
        // Each `RandomState` has other keys, so its hash of nothing is a random number.
        let random = RandomState::new().hash_one(());
        if random % 100 < self.lazy_of_100 {
            Mood::Lazy
        } else {
            Mood::Quick
        }
    }

    /// How long an answer in this mood takes.
    #[must_use]
    pub fn takes(&self, mood: Mood) -> Duration {
        match mood {
            Mood::Quick => self.quick,
            Mood::Lazy => self.lazy,
        }
    }
}
