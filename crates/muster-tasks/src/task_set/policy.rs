//! What is wanted of a set of tasks, and what there is when it was had.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::TaskSet;
use crate::Name;
use crate::group::StopReport;
use crate::handle::{NotDone, Outcome};

/// How every task of a set ended.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Collected<T> {
    /// The outcomes in the order of spawning. Tasks that had not ended when the policy was content or
    /// the time was up have been cancelled, so theirs say so (or are what they returned when they were asked to
    /// end). One that could not be ended counts as [`Aborted`](Outcome::Aborted); `rest` names it.
    pub outcomes: Vec<Outcome<T>>,
    /// The index of the task that made the policy content; `None` if all had ended before, or the time
    /// was up.
    pub by: Option<usize>,
    /// The time that was allowed, if it was up.
    pub timed_out: Option<Duration>,
    /// How the stop of the rest went.
    pub rest: StopReport,
}

impl<T> Collected<T> {
    /// The values of the tasks that ran to their end, in the order of spawning.
    pub fn values(self) -> impl Iterator<Item = T> {
        self.outcomes.into_iter().filter_map(Outcome::done)
    }
}

/// Why a task gave no value.
#[derive(Clone, Debug)]
pub enum Fault<E> {
    /// It returned this error.
    Error(E),
    /// It panicked, was cancelled or aborted.
    NotDone(NotDone),
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::NotDone(error) => error.fmt(f),
        }
    }
}

/// Not all tasks of a set have succeeded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AllOkError<V, E> {
    /// The first failure: index, name, and what it was. `None` if the time was up.
    pub first: Option<(usize, Name, Fault<E>)>,
    /// The values that there are, with their indices.
    pub values: Vec<(usize, V)>,
    /// The time that was allowed, if it was up.
    pub timed_out: Option<Duration>,
    /// How the stop of the rest went.
    pub rest: StopReport,
}

impl<V, E: fmt::Display> fmt::Display for AllOkError<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.first, self.timed_out) {
            (Some((_, name, fault)), _) => write!(f, "task `{name}`: {fault}"),
            (None, Some(after)) => write!(f, "not all tasks were done within {after:?}"),
            (None, None) => f.write_str("not all tasks were done"),
        }
    }
}

impl<V: fmt::Debug, E: fmt::Debug + fmt::Display> std::error::Error for AllOkError<V, E> {}

/// No task of a set has succeeded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FirstOkError<E> {
    /// Why: for each task its name and what there was instead of a value, in the order of spawning.
    pub faults: Vec<(Name, Fault<E>)>,
    /// The time that was allowed, if it was up.
    pub timed_out: Option<Duration>,
    /// How the stop of the rest went.
    pub rest: StopReport,
}

impl<E: fmt::Display> fmt::Display for FirstOkError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} tasks succeeded", self.faults.len())?;
        if let Some(after) = self.timed_out {
            write!(f, " within {after:?}")?;
        }
        for (place, (name, fault)) in self.faults.iter().enumerate() {
            let sign = if place == 0 { ": " } else { "; " };
            write!(f, "{sign}task `{name}`: {fault}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for FirstOkError<E> {}

impl<T: Send + 'static> TaskSet<T> {
    /// Waits for all tasks, or until the time is up.
    ///
    /// # Cancel safety
    /// Giving up the await cancels and aborts the tasks and drops their results. This holds for all policies.
    pub async fn collect(self) -> Collected<T> {
        self.until(|_, _| false).await
    }

    /// Waits until a task ends of whose index and outcome `is_enough` says yes; then the rest is cancelled and
    /// awaited. Waits for all if it never does. It is asked once for each task, in the order in which they end.
    pub async fn until(
        self,
        mut is_enough: impl FnMut(usize, &Outcome<T>) -> bool,
    ) -> Collected<T> {
        // Nobody may spawn into the group beside the set.
        self.group.close();
        let until = self.timeout.map(|after| Instant::now() + after);
        let mut outcomes: Vec<Option<Outcome<T>>> = self.names.iter().map(|_| None).collect();
        let (mut by, mut timed_out) = (None, None);
        for _ in 0..self.names.len() {
            let next = poll_fn(|cx| self.ended.poll_next(cx.waker()));
            let next = match until {
                Some(at) => timeout_at(at, next).await.ok(),
                None => Some(next.await),
            };
            let Some((index, outcome)) = next else {
                timed_out = self.timeout;
                break;
            };
            let enough = is_enough(index, &outcome);
            keep(&mut outcomes, index, outcome);
            if enough {
                by = Some(index);
                break;
            }
        }
        let rest = self.group.stop().await;
        // Every task that is not stuck has ended; its outcome is there or is just being handed over.
        let stuck = rest.stuck.len() + rest.blocking.len();
        let mut missing = outcomes.iter().filter(|outcome| outcome.is_none()).count();
        while missing > stuck {
            let (index, outcome) = poll_fn(|cx| self.ended.poll_next(cx.waker())).await;
            keep(&mut outcomes, index, outcome);
            missing -= 1;
        }
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or(Outcome::Aborted));
        Collected {
            outcomes: outcomes.collect(),
            by,
            timed_out,
            rest,
        }
    }

    /// Waits for the first task that ends, however it does; the rest is cancelled and awaited. Returns its
    /// index and outcome; `None` if the set is empty or the time was up.
    pub async fn first_done(self) -> Option<(usize, Outcome<T>)> {
        let mut collected = self.until(|_, _| true).await;
        let index = collected.by?;
        Some((index, collected.outcomes.swap_remove(index)))
    }
}

fn keep<T>(outcomes: &mut [Option<Outcome<T>>], index: usize, outcome: Outcome<T>) {
    if let Some(place) = outcomes.get_mut(index) {
        *place = Some(outcome);
    }
}

fn fault<V, E>(outcome: Outcome<Result<V, E>>) -> Result<V, Fault<E>> {
    match outcome.into_result() {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::Error(error)),
        Err(error) => Err(Fault::NotDone(error)),
    }
}

impl<V: Send + 'static, E: Send + 'static> TaskSet<Result<V, E>> {
    /// Waits until all tasks have succeeded and returns their values in the order of spawning. The
    /// first that fails, panics or is cancelled ends it: the rest is cancelled and awaited.
    ///
    /// # Errors
    /// [`AllOkError`] with the first failure, or because the time was up, and with the values that there
    /// are.
    pub async fn all_ok(self) -> Result<Vec<V>, AllOkError<V, E>> {
        let names = self.names.clone();
        let collected = self
            .until(|_, outcome| !matches!(outcome, Outcome::Done(Ok(_))))
            .await;
        let Collected {
            outcomes,
            by,
            timed_out,
            rest,
        } = collected;
        let mut values = Vec::with_capacity(outcomes.len());
        let mut first = None;
        for (index, (outcome, name)) in outcomes.into_iter().zip(names).enumerate() {
            match fault(outcome) {
                Ok(value) => values.push((index, value)),
                Err(fault) if by == Some(index) => first = Some((index, name, fault)),
                Err(_) => {}
            }
        }
        if by.is_none() && timed_out.is_none() {
            return Ok(values.into_iter().map(|(_, value)| value).collect());
        }
        Err(AllOkError {
            first,
            values,
            timed_out,
            rest,
        })
    }

    /// Waits for the first task that succeeds and returns its value; the rest is cancelled and
    /// awaited.
    ///
    /// # Errors
    /// [`FirstOkError`] if none has succeeded (in time), with why, for each. An empty set is an error.
    pub async fn first_ok(self) -> Result<V, FirstOkError<E>> {
        let names = self.names.clone();
        let collected = self
            .until(|_, outcome| matches!(outcome, Outcome::Done(Ok(_))))
            .await;
        let mut faults = Vec::new();
        for (index, (outcome, name)) in collected.outcomes.into_iter().zip(names).enumerate() {
            match fault(outcome) {
                Ok(value) if collected.by == Some(index) => return Ok(value),
                // It succeeded while it was asked to end because the time was up: that is still a success.
                Ok(value) if collected.by.is_none() => return Ok(value),
                Ok(_) => {}
                Err(fault) => faults.push((name, fault)),
            }
        }
        Err(FirstOkError {
            faults,
            timed_out: collected.timed_out,
            rest: collected.rest,
        })
    }
}
