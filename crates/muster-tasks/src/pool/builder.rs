//! Settings of a pool.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::queue::Shared;
use super::worker::{self, Keeper, Place, Work};
use super::{Inner, Pool, ShrinkMode};
use crate::Name;
use crate::ctx::Ctx;
use crate::error::Closed;
use crate::group::Group;
use crate::scope::Scoped;
use crate::signal::{HAS_CTX, SCOPED};
use crate::task::{Discard, Task};

/// What becomes of queued jobs when the pool's group is cancelled or stopped from above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// The workers go on with the queue until it is empty or they are aborted. The jobs' contexts
    /// say from the start that they are cancelled.
    #[default]
    Drain,
    /// They are given up at once, and counted as not started.
    Discard,
}

/// Builds a pool; made by [`Group::pool`].
#[must_use = "call worker() to make the pool"]
pub struct PoolBuilder {
    parent: Group,
    name: Name,
    size: usize,
    queue: usize,
    timeout: Option<Duration>,
    grace: Duration,
    on_stop: OnStop,
}

impl Group {
    /// A builder for a [`Pool`] that lives in a child group of this name.
    pub fn pool(&self, name: impl Into<Name>) -> PoolBuilder {
        PoolBuilder {
            parent: self.clone(),
            name: name.into(),
            size: std::thread::available_parallelism().map_or(1, usize::from),
            queue: 1024,
            timeout: None,
            grace: self.inner.settings.grace,
            on_stop: OnStop::default(),
        }
    }
}

impl PoolBuilder {
    /// How many workers there are at first; 0 is a pause. Default: as many as the machine has
    /// processors. See [`Pool::resize`].
    pub fn size(mut self, size: usize) -> Self {
        self.size = size;
        self
    }

    /// How many jobs may wait in the queue. Default 1024; 0 counts as 1.
    pub fn queue(mut self, capacity: usize) -> Self {
        self.queue = capacity;
        self
    }

    /// Longest time of a job: after this its context says that it is cancelled (with
    /// [`Cause::Timeout`](crate::Cause::Timeout)), after the grace period it is dropped. It counts as timed out in
    /// either case. Default: no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a job, and then what it has spawned, gets to end after it was told to. Default: that of the
    /// group.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What becomes of queued jobs when the group is stopped.
    pub fn on_stop(mut self, on_stop: OnStop) -> Self {
        self.on_stop = on_stop;
        self
    }

    /// Makes the pool and starts its workers. The closure is called for each job, in the task of a
    /// worker.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn worker<J, T, C, F>(self, work: C) -> Result<Pool<J, T>, Closed>
    where
        J: Send + 'static,
        T: Send + 'static,
        C: Fn(J, Ctx) -> F + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.build(work, |_| false, Location::caller())
    }

    /// Like [`worker`](Self::worker), for jobs that can fail: errors are counted as failed.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[track_caller]
    pub fn try_worker<J, T, E, C, F>(self, work: C) -> Result<Pool<J, Result<T, E>>, Closed>
    where
        J: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        C: Fn(J, Ctx) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.build(work, Result::is_err, Location::caller())
    }

    fn build<J, T, C, F>(
        self,
        call: C,
        is_failed: fn(&T) -> bool,
        location: &'static Location<'static>,
    ) -> Result<Pool<J, T>, Closed>
    where
        J: Send + 'static,
        T: Send + 'static,
        C: Fn(J, Ctx) -> F + Send + Sync + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let group = self.parent.builder(self.name).grace(self.grace).build();
        let shared = Arc::new(Shared::new(self.queue, self.on_stop == OnStop::Drain));
        let work = Arc::new(Work {
            call,
            is_failed,
            limit: self.timeout,
            grace: self.grace,
        });
        keep(&group, location, &shared)?;
        let of_pool = Arc::clone(&shared);
        let hire = move |group: &Group| hire(group, location, &of_pool, &work);
        let inner = Inner {
            group,
            shared,
            size: Mutex::new(Box::new(hire)),
            grace: self.grace,
        };
        inner.resize(self.size, ShrinkMode::Drain)?;
        Ok(Pool {
            inner: Arc::new(inner),
        })
    }
}

fn keep<J: Send + 'static, T: Send + 'static>(
    group: &Group,
    location: &'static Location<'static>,
    shared: &Arc<Shared<J, T>>,
) -> Result<(), Closed> {
    let (live, [entry, own]) = group.enter("keeper".into(), location, HAS_CTX | SCOPED)?;
    let guard = Keeper {
        shared: Arc::clone(shared),
        group: Arc::downgrade(&group.inner),
    };
    let fut = worker::keep(Arc::clone(shared), Ctx::new(own));
    drop(group.launch(Task::new(Scoped::new(fut, entry, guard), live, Discard)));
    Ok(())
}

/// Starts a worker.
fn hire<J, T, C, F>(
    group: &Group,
    location: &'static Location<'static>,
    shared: &Arc<Shared<J, T>>,
    work: &Arc<Work<C, T>>,
) -> Result<(), Closed>
where
    J: Send + 'static,
    T: Send + 'static,
    C: Fn(J, Ctx) -> F + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (key, live, entry, own) = shared.hire(|key| {
        let (live, [listed, entry, own]) =
            group.enter("worker".into(), location, HAS_CTX | SCOPED)?;
        Ok((listed, (key, live, entry, own)))
    })?;
    let place = Place {
        shared: Arc::clone(shared),
        key,
        group: Arc::downgrade(&group.inner),
    };
    let fut = worker::run(Arc::clone(shared), key, Arc::clone(work), Ctx::new(own));
    drop(group.launch(Task::new(Scoped::new(fut, entry, place), live, Discard)));
    Ok(())
}
