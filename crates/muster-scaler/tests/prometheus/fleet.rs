//! Runners that are nothing but their metrics, and a Prometheus that scrapes them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_net::testing::{FakeHttp, answer};
use muster_scaler_core::Time;
use muster_scaler_core::config::{Config, PoolConfig};
use muster_tasks::Group;
use muster_testkit::Prometheus;
use parking_lot::Mutex;

/// The longest wait for an effect.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::default() + since
}

/// A page that can be changed. `TIME` in it is the present time in milliseconds, or that at which it
/// was frozen.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    text: Arc<Mutex<String>>,
    frozen: Arc<Mutex<Option<Time>>>,
    pub(crate) port: u16,
}

impl Page {
    pub(crate) async fn start(group: &Group, text: String) -> Self {
        let text = Arc::new(Mutex::new(text));
        let frozen: Arc<Mutex<Option<Time>>> = Arc::default();
        let (shown, since) = (Arc::clone(&text), Arc::clone(&frozen));
        let server = FakeHttp::start(group, move |_| {
            let time = since.lock().unwrap_or_else(now).millis();
            answer(200, &shown.lock().replace("TIME", &time.to_string()))
        })
        .await;
        let port = server.url().rsplit(':').next().unwrap().parse().unwrap();
        Self { text, frozen, port }
    }

    pub(crate) fn set(&self, text: String) {
        *self.text.lock() = text;
    }

    /// From now on it shows the time of now, or again that which it is.
    pub(crate) fn freeze(&self, frozen: bool) {
        *self.frozen.lock() = frozen.then(now);
    }
}

/// What a runner with four slots tells that runs three jobs.
pub(crate) fn runner() -> String {
    let labels = "runner=\"x\",system_id=\"s_x\"";
    format!(
        "gitlab_runner_concurrent 4\n\
         gitlab_runner_jobs{{{labels},state=\"idle\",stage=\"\"}} 0\n\
         gitlab_runner_jobs{{{labels},state=\"running\",stage=\"step_script\"}} 3\n"
    )
}

/// A scaler with one pool, whose permanent hosts are selected so.
pub(crate) fn config(prometheus: &Prometheus, permanent: &str) -> Config {
    let mut config = Config {
        owner: "prod-1".to_owned(),
        pool: vec![PoolConfig {
            name: "small".to_owned(),
            permanent: permanent.to_owned(),
            ..PoolConfig::default()
        }],
        ..Config::default()
    };
    config.prometheus.url = prometheus.url();
    config.prometheus.timeout = muster_options::Duration::from_secs(20);
    config
}
