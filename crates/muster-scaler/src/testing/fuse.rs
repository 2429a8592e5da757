//! Effects are counted, and at a chosen one everything stops: as far as the world can see, the
//! process was killed there.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, Listing, Provider, ProviderError,
    ServerSpec,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::desk::Keep;
use crate::runners::{MakeAnswer, OwnedRunner, RunnerListing, RunnerSpec, Runners, RunnersError};
use crate::store::{Kept, Store, StoreError};

/// Counts effects; at the chosen one the process is dead, before or after it.
#[derive(Debug)]
pub struct Fuse {
    at: u64,
    after: bool,
    effects: AtomicU64,
    blown: AtomicBool,
    noticed: Notify,
    asked_for: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Fuse {
    /// Dies at the effect with this number, from 0: just before it, or just `after` it. `asked_for`
    /// counts the requests for each server, over many lives.
    pub fn at(at: u64, after: bool, asked_for: Arc<Mutex<BTreeMap<String, u32>>>) -> Arc<Self> {
        Arc::new(Self {
            at,
            after,
            effects: AtomicU64::new(0),
            blown: AtomicBool::new(false),
            noticed: Notify::new(),
            asked_for,
        })
    }

    /// Returns when the process is dead.
    pub async fn blown(&self) {
        loop {
            let noticed = self.noticed.notified();
            if self.blown.load(SeqCst) {
                return;
            }
            noticed.await;
        }
    }

    /// Whether the process is dead.
    pub fn is_blown(&self) -> bool {
        self.blown.load(SeqCst)
    }

    fn asked(&self, name: &str) {
        *self.asked_for.lock().entry(name.to_owned()).or_default() += 1;
    }

    fn blow(&self) {
        self.blown.store(true, SeqCst);
        self.noticed.notify_waiters();
    }

    /// An effect. A dead process has none, and hears of none. If the chosen one is given up before it
    /// ends, the next one kills.
    async fn effect<T>(&self, effect: impl Future<Output = T>) -> T {
        if self.is_blown() {
            return std::future::pending().await;
        }
        let number = self.effects.fetch_add(1, SeqCst);
        if number >= self.at && !self.after {
            self.blow();
            return std::future::pending().await;
        }
        let result = effect.await;
        if number >= self.at {
            self.blow();
        }
        if self.is_blown() {
            return std::future::pending().await;
        }
        result
    }
}

/// Something whose calls are effects.
#[derive(Debug)]
pub struct Fused<T> {
    inner: T,
    fuse: Arc<Fuse>,
}

impl<T> Fused<T> {
    /// The same with its effects counted.
    pub fn new(inner: T, fuse: &Arc<Fuse>) -> Self {
        let fuse = Arc::clone(fuse);
        Self { inner, fuse }
    }
}

#[async_trait]
impl Provider for Fused<Arc<dyn Provider>> {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        self.fuse.effect(self.inner.list_owned(owner)).await
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let asked = async {
            self.fuse.asked(&spec.name.0);
            self.inner.create(spec).await
        };
        self.fuse.effect(asked).await
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        self.fuse.effect(self.inner.delete(id, owner)).await
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        self.fuse.effect(self.inner.describe(id)).await
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        self.fuse.effect(self.inner.limits()).await
    }
}

#[async_trait]
impl Runners for Fused<Arc<dyn Runners>> {
    async fn make_runner(&self, spec: &RunnerSpec) -> MakeAnswer {
        self.fuse.effect(self.inner.make_runner(spec)).await
    }

    async fn pause(&self, runner: u64) -> Result<(), RunnersError> {
        self.fuse.effect(self.inner.pause(runner)).await
    }

    async fn unpause(&self, runner: u64) -> Result<(), RunnersError> {
        self.fuse.effect(self.inner.unpause(runner)).await
    }

    async fn delete(&self, runner: u64) -> Result<(), RunnersError> {
        self.fuse.effect(self.inner.delete(runner)).await
    }

    async fn view(&self, runner: u64) -> Result<Option<OwnedRunner>, RunnersError> {
        self.fuse.effect(self.inner.view(runner)).await
    }

    async fn exists(&self, runner: u64) -> Result<bool, RunnersError> {
        self.fuse.effect(self.inner.exists(runner)).await
    }

    async fn list_owned(&self, owner: &str) -> Result<RunnerListing, RunnersError> {
        self.fuse.effect(self.inner.list_owned(owner)).await
    }
}

impl Keep for Fused<Store> {
    fn keep(&mut self, from: &Kept, to: &Kept) -> Result<(), StoreError> {
        let dead = || StoreError::Disk {
            doing: "write",
            path: "ledger".into(),
            reason: "the process is dead".to_owned(),
        };
        if self.fuse.is_blown() {
            return Err(dead());
        }
        let number = self.fuse.effects.fetch_add(1, SeqCst);
        if number >= self.fuse.at && !self.fuse.after {
            self.fuse.blow();
            return Err(dead());
        }
        let kept = self.inner.keep(from, to);
        if number >= self.fuse.at {
            self.fuse.blow();
            return Err(dead());
        }
        kept
    }
}
