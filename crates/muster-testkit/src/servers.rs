//! Real servers from Debian's packages, each on free ports in a folder of its own.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::{Process, eventually, free_ports, request};

/// InfluxDB 1.6.
#[derive(Debug)]
pub struct InfluxDb {
    process: Process,
    directory: TempDir,
    /// The HTTP port.
    pub port: u16,
    rpc: u16,
}

impl InfluxDb {
    /// Starts one with no database.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        let [port, rpc] = free_ports();
        let directory = tempfile::tempdir().expect("a folder");
        let process = Self::launch(&directory, port, rpc);
        Self {
            process,
            directory,
            port,
            rpc,
        }
    }

    fn launch(directory: &TempDir, port: u16, rpc: u16) -> Process {
        let path = directory.path();
        let at = path.display();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n\
             [meta]\n  dir = \"{at}/meta\"\n[data]\n  dir = \"{at}/data\"\n  wal-dir = \"{at}/wal\"\n\
             [http]\n  bind-address = \"127.0.0.1:{port}\"\n  auth-enabled = false\n  log-enabled = false\n\
             [monitor]\n  store-enabled = false\n"
        );
        let file = path.join("influxdb.conf");
        fs::write(&file, config).expect("the configuration");
        let mut command = Command::new("influxd");
        command.arg("run").arg("-config").arg(file);
        let process = Process::start(command, path, "influxdb");
        eventually("InfluxDB answers", || {
            request(port, "GET", "/ping", &[], "").filter(|answer| answer.status == 204)
        });
        process
    }

    /// Ends it; its data stays.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.process = Self::launch(&self.directory, self.port, self.rpc);
    }

    /// Runs a query; times are nanoseconds.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn query(&self, database: &str, query: &str) -> serde_json::Value {
        let path = format!(
            "/query?db={}&epoch=ns&q={}",
            encode(database),
            encode(query)
        );
        let method = if query.starts_with("CREATE") {
            "POST"
        } else {
            "GET"
        };
        request(self.port, method, &path, &[], "")
            .expect("InfluxDB answers")
            .json()
    }
}

/// VictoriaMetrics, single node.
#[derive(Debug)]
pub struct VictoriaMetrics {
    _process: Process,
    _directory: TempDir,
    /// The HTTP port.
    pub port: u16,
}

impl VictoriaMetrics {
    /// Starts an empty one that shows new points soon.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        let [port] = free_ports();
        let directory = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("victoria-metrics");
        command.args([
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-storageDataPath={}/data", directory.path().display()),
            "-retentionPeriod=100y".to_owned(),
            "-memory.allowedPercent=2".to_owned(),
            "-loggerLevel=WARN".to_owned(),
            "-search.latencyOffset=0s".to_owned(),
            "-search.disableCache".to_owned(),
        ]);
        let process = Process::start(command, directory.path(), "victoria-metrics");
        eventually("VictoriaMetrics answers", || {
            request(port, "GET", "/health", &[], "").filter(|answer| answer.status == 200)
        });
        Self {
            _process: process,
            _directory: directory,
            port,
        }
    }

    /// All points of the series that match, one JSON object a line.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn export(&self, selector: &str) -> Vec<serde_json::Value> {
        let _ = request(self.port, "GET", "/internal/force_flush", &[], "");
        let path = format!("/api/v1/export?match[]={}", encode(selector));
        let answer = request(self.port, "GET", &path, &[], "").expect("VictoriaMetrics answers");
        answer
            .body
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// Prometheus' exporter of a host's metrics.
#[derive(Debug)]
pub struct NodeExporter {
    _process: Process,
    _directory: TempDir,
    /// The HTTP port.
    pub port: u16,
}

impl NodeExporter {
    /// Starts one with its default collectors.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        let [port] = free_ports();
        let directory = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("prometheus-node-exporter");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(command, directory.path(), "prometheus-node-exporter");
        eventually("the exporter answers", || {
            request(port, "GET", "/metrics", &[], "").filter(|answer| answer.status == 200)
        });
        Self {
            _process: process,
            _directory: directory,
            port,
        }
    }
}

/// Percent-encodes a query's value.
pub(crate) fn encode(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let byte = |b| {
        if keep(b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}
