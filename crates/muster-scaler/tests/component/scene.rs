//! A scaler on a stage of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_gitlab::double::{Double, JobSpec, Options};
use muster_net::testing::{FakeHttp, answer};
use muster_plugin::Kind;
use muster_plugin::compliance::{Plugin, Running, Stage};
use muster_scaler::{Controller, PLUGINS, Scalers, Status};
use muster_scaler_core::ServerState;
use muster_tasks::Group;
use toml::Table;

/// The longest wait for an effect.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A scaler that runs.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) running: Running,
    scalers: Arc<Scalers>,
}

impl Scene {
    /// Runs a scaler with these options.
    pub(crate) async fn set(options: &str) -> Self {
        let table: Table = toml::from_str(options).unwrap();
        let built = Stage::build(&PLUGINS[0], &table);
        let Plugin::Service(mut scaler) = built.unwrap_or_else(|errors| panic!("{errors:?}"))
        else {
            panic!("no service");
        };
        let stage = Stage::new(Kind::Scaler);
        let cx = stage.start_context();
        let scalers = cx.resources().shared();
        scaler.start(&cx).await.unwrap();
        let running = stage.run(scaler).unwrap();
        Self {
            stage,
            running,
            scalers,
        }
    }

    /// The controller; not to be kept.
    pub(crate) fn controller(&self) -> Option<Arc<Controller>> {
        let all = self.scalers.all();
        all.into_iter().map(|(_, controller)| controller).next()
    }

    /// What the scaler says of itself.
    pub(crate) fn status(&self) -> Arc<Status> {
        let controller = self.controller();
        controller.map_or_else(Arc::default, |controller| {
            Arc::clone(&controller.status().borrow())
        })
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) {
        let is = |_: &Running| is(&self.status());
        let came = self.running.wait_until(PATIENCE, is).await;
        let reports = self.running.take_reports();
        assert!(came, "{what}: {:?}, {reports:?}", self.status());
    }

    /// Waits for so many more decisions.
    pub(crate) async fn decisions(&self, more: u64) {
        let count = |status: &Status| status.ledger.decisions;
        let before = count(&self.status());
        self.until("it decides", |status| count(status) >= before + more)
            .await;
    }

    /// Ends it, in less than five seconds and with nothing left.
    pub(crate) async fn end(self) {
        let begun = tokio::time::Instant::now();
        let _ = self.running.stop().await;
        let report = self.stage.end().await;
        assert!(report.is_clean(), "{report}");
        assert!(begun.elapsed() < Duration::from_secs(5), "it ends late");
    }
}

/// Whether a server is in that state.
pub(crate) fn has(state: ServerState) -> impl Fn(&Status) -> bool {
    move |status| {
        let mut servers = status.ledger.servers.values();
        servers.any(|server| server.state == state)
    }
}

/// The options of a scaler that decides once a second, without its sources and pools.
pub(crate) fn options(state: &Path) -> String {
    format!(
        "mode = \"on\"\nowner = \"prod-1\"\nstate = \"{}\"\ntick = \"1s\"\nlist_every = \"1s\"\n",
        state.display()
    )
}

/// A Prometheus that knows no host.
pub(crate) async fn prometheus(group: &Group) -> FakeHttp {
    let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    FakeHttp::start(group, move |_| answer(200, body)).await
}

/// A GitLab where in the project `shop/web` a job waits for each of these tags; for the empty one it
/// has none.
pub(crate) async fn gitlab(group: &Group, tags: &[&str]) -> Double {
    let double = Double::start(group, Options::default()).await.unwrap();
    let project = double.add_project("shop/web");
    let job = |tag: &&str| JobSpec {
        name: format!("job {tag}"),
        stage: "test".to_owned(),
        tags: tag.split_whitespace().map(str::to_owned).collect(),
        ..JobSpec::default()
    };
    let jobs: Vec<JobSpec> = tags.iter().map(job).collect();
    double.add_pipeline(project, &jobs);
    double
}
