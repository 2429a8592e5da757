//! Spawning into a group.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Group;
use super::limit::Place;
use crate::Name;
use crate::blocking::{self, BlockingCtx, BlockingOptions};
use crate::ctx::Ctx;
use crate::entry::Entry;
use crate::error::{Closed, Refusal};
use crate::handle::TaskHandle;
use crate::scope::Scoped;
use crate::shared::{EntryRef, Live};
use crate::signal::{HAS_CTX, QUEUED, SCOPED};
use crate::task::{Discard, Keep, Plain, Sink, Task, WithCx, Work};

impl Group {
    /// Spawns a future and returns a handle for its result.
    ///
    /// The future cannot hear of a cancel: when it is cancelled it is dropped at its next
    /// suspension point. Use [`spawn_cx`](Self::spawn_cx) for work that wants to end in its own way.
    /// Costs 0.1 to 0.2 us more than `tokio::spawn`.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the future is dropped without being run.
    #[track_caller]
    #[inline]
    pub fn spawn<F>(&self, name: impl Into<Name>, fut: F) -> Result<TaskHandle<F::Output>, Closed>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (live, [entry]) = self.enter(name.into(), Location::caller(), 0)?;
        Ok(TaskHandle::new(entry, self.start(live, fut, Keep)))
    }

    /// Spawns work that gets a [`Ctx`], through which it hears of a cancel.
    ///
    /// The closure is called inside the new task, so a panic in it is the task's panic.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the closure is dropped without being called.
    #[track_caller]
    #[inline]
    pub fn spawn_cx<C, F>(
        &self,
        name: impl Into<Name>,
        work: C,
    ) -> Result<TaskHandle<F::Output>, Closed>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (live, [own, entry]) = self.enter(name.into(), Location::caller(), HAS_CTX)?;
        let work = WithCx::new(work, Ctx::new(own));
        Ok(TaskHandle::new(entry, self.start(live, work, Keep)))
    }

    /// Spawns a future whose result nobody wants. The cheapest way to spawn.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the future is dropped without being run.
    #[track_caller]
    #[inline]
    pub fn go<F>(&self, name: impl Into<Name>, fut: F) -> Result<(), Closed>
    where
        F: Future + Send + 'static,
    {
        let (live, []) = self.enter(name.into(), Location::caller(), 0)?;
        drop(self.start(live, fut, Discard));
        Ok(())
    }

    /// Spawns work that gets a [`Ctx`] and whose result nobody wants.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the closure is dropped without being called.
    #[track_caller]
    #[inline]
    pub fn go_cx<C, F>(&self, name: impl Into<Name>, work: C) -> Result<(), Closed>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
    {
        let (live, [own]) = self.enter(name.into(), Location::caller(), HAS_CTX)?;
        let work = WithCx::new(work, Ctx::new(own));
        drop(self.start(live, work, Discard));
        Ok(())
    }

    /// Spawns work that can fail; an error is logged, counted, and handled as the group's
    /// [`on_error`](crate::GroupBuilder::on_error) says.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the closure is dropped without being called.
    #[track_caller]
    pub fn go_result<C, F, E>(&self, name: impl Into<Name>, work: C) -> Result<(), Closed>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let (live, [cx, own]) = self.enter(name.into(), Location::caller(), HAS_CTX)?;
        let fut = async move {
            let error = match work(Ctx::new(cx)).await {
                Ok(()) => return,
                Err(error) => error.to_string(),
            };
            own.group.on_error(&own, error.into());
        };
        drop(self.start(live, fut, Discard));
        Ok(())
    }

    /// Spawns a future if a place is free under the group's
    /// [`limit`](crate::GroupBuilder::limit). Without a limit, the same as [`spawn`](Self::spawn).
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks, or with [`Refusal::Limit`] if no place is free.
    #[track_caller]
    pub fn try_spawn<F>(
        &self,
        name: impl Into<Name>,
        fut: F,
    ) -> Result<TaskHandle<F::Output>, Closed>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let name = name.into();
        let place = match &self.inner.settings.limit {
            None => None,
            Some(limit) => match limit.try_place() {
                Some(place) => Some(place),
                None => return Err(self.inner.refuse(&name, Refusal::Limit(limit.size()))),
            },
        };
        self.spawn_at(name, Location::caller(), place, fut)
    }

    /// Waits for a free place under the group's [`limit`](crate::GroupBuilder::limit) and then
    /// spawns: the caller is slowed down instead of tasks piling up.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    ///
    /// # Cancel safety
    /// Giving up the await spawns nothing and gives up the place in the queue.
    #[track_caller]
    pub fn spawn_wait<F>(
        &self,
        name: impl Into<Name>,
        fut: F,
    ) -> impl Future<Output = Result<TaskHandle<F::Output>, Closed>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (name, location) = (name.into(), Location::caller());
        async move {
            let place = match &self.inner.settings.limit {
                None => None,
                Some(limit) => Some(Arc::clone(limit).place().await),
            };
            self.spawn_at(name, location, place, fut)
        }
    }

    /// Runs a closure that blocks on a named thread of its own.
    ///
    /// Neither tokio's workers nor its blocking pool are used, so threads that never end take
    /// nothing from anybody else; their number is bounded by
    /// [`blocking_limit`](crate::GroupBuilder::blocking_limit). A thread cannot be ended from
    /// outside: the closure should look at [`BlockingCtx::is_cancelled`]. One that does not end is
    /// listed (state `blocking`) until it does, and a stop reports it. Starting a thread costs
    /// about 20 us.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks, with [`Refusal::BlockingLimit`] if the bound is
    /// reached, or with [`Refusal::NoThread`] if the system refuses a thread.
    #[track_caller]
    pub fn spawn_blocking<C, T>(
        &self,
        name: impl Into<Name>,
        work: C,
    ) -> Result<TaskHandle<T>, Closed>
    where
        C: FnOnce(BlockingCtx) -> T + Send + 'static,
        T: Send + 'static,
    {
        let options = BlockingOptions::default();
        blocking::spawn(self, name.into(), Location::caller(), &options, work)
    }

    /// Like [`spawn_blocking`](Self::spawn_blocking), with options.
    ///
    /// # Errors
    /// As [`spawn_blocking`](Self::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking_with<C, T>(
        &self,
        name: impl Into<Name>,
        options: &BlockingOptions,
        work: C,
    ) -> Result<TaskHandle<T>, Closed>
    where
        C: FnOnce(BlockingCtx) -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking::spawn(self, name.into(), Location::caller(), options, work)
    }

    /// Spawns work that owns a scope: what it spawns through its [`Ctx`] ends with it, and it
    /// ends only when that has ended (the scope is made on first use). The task is asked to end and
    /// aborted like any other; its scope gets the group's grace period.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the closure is dropped without being called.
    #[track_caller]
    pub fn spawn_scoped<C, F>(
        &self,
        name: impl Into<Name>,
        work: C,
    ) -> Result<TaskHandle<F::Output>, Closed>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let live = self.enter_scoped(name.into(), Location::caller())?;
        Ok(self.launch_scoped(live, (), work))
    }

    /// Lists a scoped task that [`launch_scoped`](Self::launch_scoped) starts.
    pub(crate) fn enter_scoped(
        &self,
        name: Name,
        location: &'static Location<'static>,
    ) -> Result<Live, Closed> {
        let (live, []) = self.enter(name, location, HAS_CTX | SCOPED)?;
        Ok(live)
    }

    /// Starts scoped work with a guard that is dropped after the work and its scope.
    pub(crate) fn launch_scoped<C, F, G>(
        &self,
        live: Live,
        guard: G,
        work: C,
    ) -> TaskHandle<F::Output>
    where
        C: FnOnce(Ctx) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
        G: Send + 'static,
    {
        let (cx, own, entry) = (Ctx::new(live.share()), live.share(), live.share());
        let limit = self.inner.settings.limit.clone();
        let fut = async move {
            let _place = match limit {
                Some(limit) => Some(queue(&own, limit).await),
                None => None,
            };
            work(cx).await
        };
        let work = Scoped::new(fut, live.share(), guard);
        TaskHandle::new(entry, self.launch(Task::new(work, live, Keep)))
    }

    fn spawn_at<F>(
        &self,
        name: Name,
        location: &'static Location<'static>,
        place: Option<Place>,
        fut: F,
    ) -> Result<TaskHandle<F::Output>, Closed>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (live, [entry]) = self.enter(name, location, 0)?;
        // The place is held already: the task does not queue.
        live.signal.clear(QUEUED);
        let fut = async move {
            let _place = place;
            fut.await
        };
        let task = self.launch(Task::new(Plain { fut }, live, Keep));
        Ok(TaskHandle::new(entry, task))
    }

    /// Lists a task that [`launch`](Self::launch) starts.
    #[inline]
    pub(crate) fn enter<const N: usize>(
        &self,
        name: Name,
        location: &'static Location<'static>,
        bits: u16,
    ) -> Result<(Live, [EntryRef; N]), Closed> {
        if self.inner.runtime.is_none() && Handle::try_current().is_err() {
            return Err(self.inner.refuse(&name, Refusal::NoRuntime));
        }
        let queued = if self.inner.settings.limit.is_some() {
            QUEUED
        } else {
            0
        };
        self.inner.register(name, location, bits | queued)
    }

    /// Starts a listed task, under the group's limit.
    #[inline]
    pub(crate) fn start<F, S>(&self, live: Live, fut: F, sink: S) -> JoinHandle<S::Output>
    where
        F: Future + Send + 'static,
        S: Sink<F::Output> + Send + 'static,
    {
        match &self.inner.settings.limit {
            None => self.launch(Task::new(Plain { fut }, live, sink)),
            Some(limit) => {
                let (limit, own) = (Arc::clone(limit), live.share());
                let fut = async move {
                    let _place = queue(&own, limit).await;
                    fut.await
                };
                self.launch(Task::new(Plain { fut }, live, sink))
            }
        }
    }

    #[inline]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where group tasks are spawned"
    )]
    pub(crate) fn launch<W, S>(&self, task: Task<W, S>) -> JoinHandle<S::Output>
    where
        W: Work + Send + 'static,
        S: Sink<W::Value> + Send + 'static,
    {
        match &self.inner.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }
}

/// Waits for a place under the limit. A task that waits can be dropped without harm.
async fn queue(entry: &Entry, limit: Arc<super::limit::Limit>) -> Place {
    let place = limit.place().await;
    entry.signal.clear(QUEUED);
    place
}
