//! Prometheus, told what to scrape.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::servers::encode;
use crate::{Process, Response, eventually, free_ports, request};

/// Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    _directory: TempDir,
    /// The HTTP port.
    pub port: u16,
}

impl Prometheus {
    /// Starts one that scrapes these ports of 127.0.0.1 at `/metrics` twice a second.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn scraping(targets: &[u16]) -> Self {
        let list: Vec<String> = targets
            .iter()
            .map(|port| format!("'127.0.0.1:{port}'"))
            .collect();
        Self::start(
            "500ms",
            &format!(
                "- job_name: test\n  static_configs:\n  - targets: [{}]\n",
                list.join(", ")
            ),
        )
    }

    /// Starts one that finds its targets by HTTP at that URL, which it asks once a second, beside
    /// those ports of 127.0.0.1. Scrapes once a second. Its first look at targets that are found
    /// comes up to five seconds after they are.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn discovering(url: &str, job: &str, targets: &[u16]) -> Self {
        let list: Vec<String> = targets
            .iter()
            .map(|port| format!("'127.0.0.1:{port}'"))
            .collect();
        Self::start(
            "1s",
            &format!(
                "- job_name: {job}\n  static_configs:\n  - targets: [{}]\n  http_sd_configs:\n  \
                 - url: {url}\n    refresh_interval: 1s\n",
                list.join(", ")
            ),
        )
    }

    /// Starts one with this list `scrape_configs`, in YAML.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start(interval: &str, scrape_configs: &str) -> Self {
        let [port] = free_ports();
        let directory = tempfile::tempdir().expect("a folder");
        let config = format!(
            "global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\n\
             scrape_configs:\n{scrape_configs}"
        );
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, config).expect("the configuration");
        let mut command = Command::new("prometheus");
        command.args([
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}/data", directory.path().display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ]);
        let process = Process::start(command, directory.path(), "prometheus");
        eventually("Prometheus answers", || {
            request(port, "GET", "/-/ready", &[], "").filter(|answer| answer.status == 200)
        });
        Self {
            process,
            _directory: directory,
            port,
        }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The result of an instant query.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn query(&self, query: &str) -> Vec<serde_json::Value> {
        let path = format!("/api/v1/query?query={}", encode(query));
        let answer: Response =
            request(self.port, "GET", &path, &[], "").expect("Prometheus answers");
        answer.json()["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }
}
