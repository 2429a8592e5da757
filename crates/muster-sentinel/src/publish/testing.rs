//! For tests of publishers: one that runs, with its own board.

use std::sync::Arc;
use std::time::Duration;

use muster_plugin::compliance::{Running, Stage};
use muster_plugin::{Kind, ServiceInput};

use crate::board::{Board, Slot};
use crate::status::{CheckKind, Instance, Outcome, Reason, Target};

/// The longest that a test waits for an effect.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A publisher that runs, with its own board.
pub(super) struct Published {
    stage: Stage,
    pub(super) running: Running,
    pub(super) board: Arc<Board>,
}

impl Published {
    pub(super) async fn start(mut publisher: impl ServiceInput + 'static) -> Self {
        let stage = Stage::new(Kind::Input);
        let cx = stage.start_context();
        let board = cx.resources().shared::<Board>();
        publisher.start(&cx).await.unwrap();
        let running = stage.run(Box::new(publisher)).unwrap();
        Self {
            stage,
            running,
            board,
        }
    }

    pub(super) fn open(&self, port: u16) -> Arc<Slot> {
        self.open_in("shop", CheckKind::Redis, port)
    }

    pub(super) fn open_in(&self, cluster: &str, kind: CheckKind, port: u16) -> Arc<Slot> {
        let instance = Instance {
            kind,
            cluster: cluster.to_owned(),
            target: Target::Tcp {
                host: "10.0.0.1".to_owned(),
                port,
            },
        };
        self.board.open(instance, Arc::default()).unwrap()
    }

    pub(super) fn observe(&self, slot: &Slot, reason: Reason) {
        let answer = Outcome::new(reason, "").into();
        slot.observe(self.board.clock().now(), answer, Duration::ZERO);
    }

    /// Waits until something with these words was reported.
    pub(super) async fn has_reported(&self, words: &str) {
        let reported = |running: &Running| {
            let reports = running.take_reports();
            reports
                .iter()
                .any(|report| report.to_string().contains(words))
        };
        let has = self.running.wait_until(PATIENCE, reported).await;
        assert!(has, "it does not say: {words}");
    }

    /// Stops it; it ends within its grace.
    pub(super) async fn stop(self) {
        self.running.stop().await.unwrap().1.unwrap();
        assert!(self.stage.end().await.is_clean());
    }

    /// Stops it; on a busy machine it may be dropped at the end of its grace.
    pub(super) async fn end(self) {
        if let Some((_, ended)) = self.running.stop().await {
            ended.unwrap();
        }
        assert!(self.stage.end().await.is_clean());
    }
}
