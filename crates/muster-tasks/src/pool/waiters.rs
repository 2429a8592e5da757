//! Jobs that wait for room in the queue, first come, first served.

use std::collections::VecDeque;
use std::task::Waker;

use super::queue::Queued;

/// A line of jobs. Each has a ticket; tickets count up. A job that gave up leaves a gap that goes when
/// it comes to either end, so there are never more gaps than jobs that waited at a time.
pub(super) struct Waiters<J, T> {
    line: VecDeque<Option<Waiter<J, T>>>,
    /// The ticket of the first in the line.
    first: u64,
    len: usize,
}

struct Waiter<J, T> {
    queued: Queued<J, T>,
    waker: Waker,
}

impl<J, T> Waiters<J, T> {
    pub(super) fn new() -> Self {
        Self {
            line: VecDeque::new(),
            first: 0,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, queued: Queued<J, T>, waker: Waker) -> u64 {
        self.line.push_back(Some(Waiter { queued, waker }));
        self.len += 1;
        self.first + self.line.len() as u64 - 1
    }

    /// Takes the first job out of the line.
    pub(super) fn pop(&mut self) -> Option<(Queued<J, T>, Waker)> {
        while let Some(waiter) = self.line.pop_front() {
            self.first += 1;
            if let Some(Waiter { queued, waker }) = waiter {
                self.len -= 1;
                return Some((queued, waker));
            }
        }
        None
    }

    fn place(&mut self, ticket: u64) -> Option<&mut Option<Waiter<J, T>>> {
        let place = usize::try_from(ticket.checked_sub(self.first)?).ok()?;
        self.line.get_mut(place)
    }

    /// Whether a ticket is still in the line.
    pub(super) fn is_waiting(&mut self, ticket: u64) -> bool {
        self.place(ticket).is_some_and(|waiter| waiter.is_some())
    }

    /// Changes whom to wake. Returns the old waker.
    pub(super) fn update(&mut self, ticket: u64, waker: &Waker) -> Option<Waker> {
        let waiter = self.place(ticket)?.as_mut()?;
        if waiter.waker.will_wake(waker) {
            return None;
        }
        Some(std::mem::replace(&mut waiter.waker, waker.clone()))
    }

    /// Takes a job out of the line, wherever it stands.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Queued<J, T>> {
        let waiter = self.place(ticket)?.take()?;
        self.len -= 1;
        while self.line.back().is_some_and(Option::is_none) {
            self.line.pop_back();
        }
        while self.line.front().is_some_and(Option::is_none) {
            self.line.pop_front();
            self.first += 1;
        }
        Some(waiter.queued)
    }

    /// Those to wake when nobody is let in any more.
    pub(super) fn wakers(&self) -> Vec<Waker> {
        self.line
            .iter()
            .flatten()
            .map(|waiter| waiter.waker.clone())
            .collect()
    }
}
