//! Inputs: what brings metrics.

use async_trait::async_trait;
use muster_metric::Batch;
use serde_json::Value;

use crate::{GatherContext, PluginError, ServiceContext, StartContext};

/// An input that is asked for its metrics once each interval.
#[async_trait]
pub trait Input: Send + 'static {
    /// Acquires what the input holds for its life. Called once, while the change that brings the
    /// input is being prepared: an error refuses the change. Whatever it starts or opens must end
    /// when the input is dropped and `cx.group()` is stopped.
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let _ = cx;
        Ok(())
    }

    /// Appends the current metrics to `batch`. Never called twice at the same time.
    ///
    /// The future is dropped when the gather's timeout passes or the input is removed: it must
    /// hold its connections itself, so that they close with it. What takes a thread goes through
    /// [`GatherContext::blocking`]. A failure of one target among several is reported with
    /// [`GatherContext::report`], so that the others still count.
    ///
    /// Metrics without a time get that of the collection.
    ///
    /// # Errors
    /// If nothing could be gathered, or something is missing. What is in `batch` is used anyway.
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError>;

    /// What must survive a change of options or a restart (counters, offsets).
    fn state(&self) -> Option<Value> {
        None
    }

    /// Takes over what [`state`](Self::state) gave earlier, perhaps under other options. Called
    /// after [`start`](Self::start) and before the first gather, when the predecessor has ended.
    /// What it does not understand it ignores.
    fn restore(&mut self, state: Value) {
        let _ = state;
    }

    /// Whether two gathers are needed before the numbers mean something (rates): `--test` and
    /// `--once` then gather twice, half a second apart.
    fn needs_two_gathers(&self) -> bool {
        false
    }
}

/// An input that brings metrics when they come: a listener, a follower of files, a child process.
#[async_trait]
pub trait ServiceInput: Send + 'static {
    /// Acquires what the input holds for its life (binds the port, opens the files). Called once,
    /// while the change that brings the input is being prepared: an error refuses the change.
    /// Whatever it starts or opens must end when the input is dropped and `cx.group()` is stopped.
    ///
    /// Exclusive resources go through [`StartContext::resources`], so that the next generation of
    /// the same component inherits them without a gap.
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let _ = cx;
        Ok(())
    }

    /// Works until cancelled. Metrics go out with [`ServiceContext::emit`]; helpers are spawned
    /// into [`ServiceContext::group`], which is stopped when `run` ends.
    ///
    /// When [`ServiceContext::cancelled`] resolves there is a second to finish what is at hand;
    /// then the future is dropped.
    ///
    /// # Errors
    /// If the input cannot go on. It is started again with backoff.
    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError>;

    /// What must survive a change of options or a restart (offsets); asked for when `run` has
    /// ended. What must survive a kill too is kept with [`ServiceContext::save_state`] meanwhile.
    fn state(&self) -> Option<Value> {
        None
    }

    /// Takes over what was kept earlier, perhaps under other options. Called after
    /// [`start`](Self::start) and before [`run`](Self::run), when the predecessor has ended. What
    /// it does not understand it ignores.
    fn restore(&mut self, state: Value) {
        let _ = state;
    }
}
