//! What the tests of this crate share.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_metric::line_protocol::Writer;
use muster_net::testing::PATIENCE;
use muster_options::OptionError;
use muster_plugin::compliance::{Running, Stage};
use muster_plugin::{
    BuildContext, Built, ComponentId, Emit, Input, Kind, PluginError, PluginRow, Resources,
    ServiceContext, ServiceInput, StartContext,
};
use muster_tasks::{Ctx, Group, TaskHandle};
use parking_lot::Mutex;

/// Builds a plugin with its own constructor.
pub(crate) fn build<T>(
    row: &PluginRow,
    options: &str,
    build: impl Fn(&BuildContext) -> Built<T>,
) -> Result<T, Vec<OptionError>> {
    let table = toml::from_str(options).unwrap();
    build(&BuildContext::new(row, &table)?)
}

/// What is wrong with these options, as one text.
pub(crate) fn problems<T>(
    row: &PluginRow,
    options: &str,
    make: impl Fn(&BuildContext) -> Built<T>,
) -> String {
    let errors = build(row, options, make)
        .err()
        .expect("options that are wrong");
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The metrics of a batch as lines.
pub(crate) fn lines_of(batch: &Batch) -> Vec<String> {
    let mut out = Vec::new();
    Writer::default().write_all(batch.iter(), &mut out);
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Starts and gathers once: the metrics as lines, and the failures.
pub(crate) async fn gather(mut input: impl Input) -> (Vec<String>, Vec<String>) {
    let stage = Stage::new(Kind::Input);
    input.start(&stage.start_context()).await.unwrap();
    let (batch, reports, result) = stage.gather(&mut input).await.unwrap();
    let mut failures: Vec<String> = reports.iter().map(ToString::to_string).collect();
    failures.extend(result.err().map(|error| error.to_string()));
    drop(input);
    assert!(stage.end().await.is_clean());
    (lines_of(&batch), failures)
}

/// Waits until that many metrics are there and takes them as lines.
pub(crate) async fn lines(running: &Running, count: usize) -> Vec<String> {
    assert!(
        running.wait_until(PATIENCE, |r| r.count() >= count).await,
        "{}",
        running.count()
    );
    running.take().iter().flat_map(lines_of).collect()
}

/// Waits for a failure that says `part`.
pub(crate) async fn failure(running: &Running, part: &str) -> String {
    let found = Mutex::new(None);
    let look = |r: &Running| {
        let reports = r.take_reports().into_iter().map(|e| e.to_string());
        let hit = reports.into_iter().find(|text| text.contains(part));
        let mut found = found.lock();
        *found = found.take().or(hit);
        found.is_some()
    };
    assert!(
        running.wait_until(PATIENCE, look).await,
        "no failure says {part:?}"
    );
    found.into_inner().unwrap_or_default()
}

/// Several generations of one component, or several components, on the same resources.
pub(crate) struct World {
    pub(crate) root: Group,
    resources: Resources,
    seen: Arc<Sink>,
}

#[derive(Default)]
struct Sink(Mutex<Vec<String>>);

#[async_trait]
impl Emit for Sink {
    async fn emit(&self, batch: Batch) {
        self.0.lock().extend(lines_of(&batch));
    }

    fn report(&self, error: PluginError) {
        self.0.lock().push(format!("error: {error}"));
    }

    fn save_state(&self, _: serde_json::Value) {}
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            root: Group::root("world"),
            resources: Resources::new(),
            seen: Arc::default(),
        }
    }

    pub(crate) fn start_context(&self, id: &str) -> StartContext {
        let id = ComponentId::new(Kind::Input, id);
        let group = self.root.group("component");
        StartContext::new(id, group, self.resources.clone(), Duration::from_secs(1))
    }

    /// Runs an input that was started.
    pub(crate) fn run(&self, id: &str, mut input: impl ServiceInput) -> TaskHandle<()> {
        let (id, emit) = (ComponentId::new(Kind::Input, id), Arc::clone(&self.seen));
        let work = move |cx: Ctx| async move {
            let second = Duration::from_secs(1);
            let cx = ServiceContext::new(id, cx, second, second, emit);
            input.run(&cx).await.unwrap();
        };
        self.root.spawn_scoped("run", work).unwrap()
    }

    /// Waits until that many metrics have come and takes them as lines.
    pub(crate) async fn lines(&self, count: usize) -> Vec<String> {
        let wait = async {
            while self.seen.0.lock().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, wait).await;
        let lines = std::mem::take(&mut *self.seen.0.lock());
        assert!(
            in_time.is_ok(),
            "{count} metrics were to come, not {}",
            lines.len()
        );
        lines
    }

    pub(crate) async fn end(self) {
        let report = self.root.stop().await;
        assert!(report.is_clean(), "{report}");
    }
}

/// What a service answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

/// Sends a request; `prepare` adds to it.
pub(crate) async fn request(
    method: &str,
    url: &str,
    prepare: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> Answered {
    let tls = muster_net::TlsClientOptions {
        insecure_skip_verify: true,
        ..Default::default()
    };
    let client = muster_net::ClientBuilder::new(PATIENCE)
        .build(&tls)
        .unwrap();
    let request = client.request(method.parse().unwrap(), url);
    let response = prepare(request).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answered {
        status,
        headers,
        body: response.text().await.unwrap(),
    }
}
