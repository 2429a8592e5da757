//! What is going to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by time; those of the same time in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: i64,
    number: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            added: 0,
        }
    }

    /// Adds what happens then, in milliseconds.
    pub(crate) fn add(&mut self, at: i64, event: E) {
        self.added += 1;
        let number = self.added;
        self.heap.push(Reverse(Entry { at, number, event }));
    }

    /// When the next happens.
    pub(crate) fn next_at(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// The next that happens at `until` at the latest.
    pub(crate) fn take_until(&mut self, until: i64) -> Option<(i64, E)> {
        self.next_at().filter(|at| *at <= until)?;
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at, entry.event))
    }
}
