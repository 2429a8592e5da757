//! A check of one server, and waiting for what it finds.

use std::sync::Arc;
use std::time::Duration;

use muster_net::TlsClientOptions;
use muster_options::Secret;
use muster_sentinel::resolve::Resolver;
use muster_sentinel::{
    Board, CheckKind, Checker, Depth, Dialer, Health, Instance, Interest, Probe, Reason,
    RedisOptions, RedisProbe, Slot, State, Status, Subscription, Target, Thresholds, Timing,
};
use muster_tasks::{Group, TaskHandle};
use muster_testkit::Redis;

/// How long to wait for an effect.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server's check. It runs on its own group, so that it can be stopped.
pub(crate) struct Watched {
    group: Group,
    pub(crate) slot: Arc<Slot>,
    pub(crate) health: Arc<Health>,
    news: Subscription,
    _task: TaskHandle<()>,
}

/// How a server is checked.
pub(crate) struct How {
    pub(crate) target: Target,
    pub(crate) username: &'static str,
    pub(crate) password: &'static str,
    pub(crate) depth: Depth,
    pub(crate) tls: TlsClientOptions,
}

impl How {
    pub(crate) fn at(target: Target) -> Self {
        Self {
            target,
            username: "",
            password: "",
            depth: Depth::Info,
            tls: TlsClientOptions::default(),
        }
    }

    pub(crate) fn of(redis: &Redis) -> Self {
        Self::at(Target::Tcp {
            host: "127.0.0.1".to_owned(),
            port: redis.port,
        })
    }
}

impl Watched {
    pub(crate) fn new(root: &Group, redis: &Redis) -> Self {
        Self::start(root, How::of(redis))
    }

    pub(crate) fn start(root: &Group, how: How) -> Self {
        let group = root.group("check");
        let dialer = Dialer::new(Resolver::new(&group), &how.tls).unwrap();
        let options = Arc::new(RedisOptions {
            username: how.username.to_owned(),
            password: Secret::new(how.password),
            depth: how.depth,
            reconnect_every: 3,
            dialer,
        });
        let target = how.target;
        let instance = Instance {
            kind: CheckKind::Redis,
            cluster: String::new(),
            target: target.clone(),
        };
        let timing = Timing {
            interval: Duration::from_millis(100),
            timeout: Duration::from_millis(100),
        };
        let thresholds = Thresholds {
            interval: timing.interval,
            down_after: Duration::from_millis(300),
            ..Thresholds::default()
        };
        let board = Board::default();
        let slot = board.open(instance, Arc::new(thresholds)).unwrap();
        let news = board.subscribe(Interest::EveryCheck);
        let health = Arc::new(Health::default());
        let checker = Checker {
            board,
            slot: Arc::clone(&slot),
            timing,
            health: Arc::clone(&health),
            make: Arc::new(move || -> Box<dyn Probe> {
                Box::new(RedisProbe::new(target.clone(), Arc::clone(&options)))
            }),
        };
        let task = group.spawn_cx("check", |cx| checker.run(cx)).unwrap();
        Self {
            group,
            slot,
            health,
            news,
            _task: task,
        }
    }

    /// Waits until the status is as told.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        what: &'a str,
        is: impl Fn(&Status) -> bool + 'a,
    ) -> impl Future<Output = Status> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let wait = async {
                loop {
                    let status = self.slot.status();
                    if is(&status) {
                        return status;
                    }
                    self.news.changed().await;
                }
            };
            match tokio::time::timeout(PATIENCE, wait).await {
                Ok(status) => status,
                Err(_) => panic!(
                    "{place}: waited in vain for {what}: {:#?}\n{:#?}",
                    self.slot.status(),
                    self.slot.transitions()
                ),
            }
        }
    }

    #[track_caller]
    pub(crate) fn until_state(
        &self,
        state: State,
        reason: Reason,
    ) -> impl Future<Output = Status> + '_ {
        let what = "a state";
        self.until(what, move |status| {
            (status.state, status.reason) == (state, reason)
        })
    }

    /// Waits until all is well.
    #[track_caller]
    pub(crate) fn until_up(&self) -> impl Future<Output = Status> + '_ {
        self.until_state(State::Up, Reason::Ok)
    }

    /// Whether such a state was passed.
    pub(crate) fn has_been(&self, state: State, reason: Reason) -> bool {
        let transitions = self.slot.transitions();
        transitions
            .iter()
            .any(|t| (t.to, t.reason) == (state, reason))
    }

    pub(crate) async fn end(self) {
        let report = self.group.stop().await;
        assert!(report.is_clean(), "{report}");
    }
}
