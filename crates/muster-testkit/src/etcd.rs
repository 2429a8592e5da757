//! etcd, alone and as a cluster of three.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::{Mutex, const_mutex};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Process, eventually_within, free_ports, request};

/// How long a server may take to serve: three at once start slowly on a busy machine.
const START: Duration = Duration::from_secs(60);

/// So many KiB must be free for a server's data to be held in memory. It takes up to 128 MiB.
const ROOM: u64 = 4 << 20;

/// One server of etcd, alone or of a cluster. It grants leases from 1 s.
#[derive(Debug)]
pub struct Etcd {
    process: Option<Process>,
    directory: TempDir,
    arguments: Vec<String>,
    /// The port for clients.
    pub port: u16,
    /// The port for clients with TLS, if it was started with it.
    pub tls_port: Option<u16>,
}

/// What a server is told beside its ports.
struct Member<'a> {
    name: &'a str,
    peer_port: u16,
    /// All members with their URLs.
    cluster: &'a str,
    /// Heartbeat and election timeout in milliseconds.
    timing: [u32; 2],
    /// Certificate and key for TLS on a port of its own.
    tls: Option<(u16, &'a Path, &'a Path)>,
}

impl Etcd {
    /// Starts an empty one and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        Self::start_alone(None)
    }

    /// As [`start`](Self::start), with TLS on [`tls_port`](Self::tls_port) beside.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        Self::start_alone(Some((certificate, key)))
    }

    fn start_alone(tls: Option<(&Path, &Path)>) -> Self {
        let [port, peer_port, tls_port] = free_ports();
        let mut server = Self::prepare(
            port,
            &Member {
                name: "n0",
                peer_port,
                cluster: &format!("n0=http://127.0.0.1:{peer_port}"),
                timing: [20, 100],
                tls: tls.map(|(certificate, key)| (tls_port, certificate, key)),
            },
        );
        server.start_again();
        server.wait_until_it_serves();
        server
    }

    /// One that all tests of a process share as long as one of them holds it. Each keeps to keys of its
    /// own.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Etcd>> = const_mutex(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn prepare(port: u16, member: &Member<'_>) -> Self {
        let directory = folder();
        let data = directory.path().join("data").display().to_string();
        let peer = format!("http://127.0.0.1:{}", member.peer_port);
        let mut clients = format!("http://127.0.0.1:{port}");
        let mut arguments = Vec::new();
        let mut set = |name: &str, value: &str| {
            arguments.extend([format!("--{name}"), value.to_owned()]);
        };
        if let Some((port, certificate, key)) = member.tls {
            clients.push_str(&format!(",https://127.0.0.1:{port}"));
            set("cert-file", &certificate.display().to_string());
            set("key-file", &key.display().to_string());
        }
        set("name", member.name);
        set("data-dir", &data);
        set("listen-client-urls", &clients);
        set("advertise-client-urls", &clients);
        set("listen-peer-urls", &peer);
        set("initial-advertise-peer-urls", &peer);
        set("initial-cluster", member.cluster);
        set("heartbeat-interval", &member.timing[0].to_string());
        set("election-timeout", &member.timing[1].to_string());
        set("logger", "zap");
        set("log-outputs", "stderr");
        Self {
            process: None,
            directory,
            arguments,
            port,
            tls_port: member.tls.map(|(port, ..)| port),
        }
    }

    /// Starts it again on the same ports and data after [`kill`](Self::kill). Does not wait.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn start_again(&mut self) {
        let mut command = Command::new("etcd");
        command.args(&self.arguments);
        // Variables of this name would be options.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ETCD")) {
            command.env_remove(name);
        }
        let folder = self.directory.path();
        self.process = Some(Process::start(command, folder, "etcd-server"));
    }

    /// Waits until it serves clients.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_until_it_serves(&self) {
        eventually_within(START, "etcd serves", || {
            let health = request(self.port, "GET", "/health", &[], "")?;
            health.body.contains("true").then_some(())
        });
    }

    /// Kills it; its data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Holds it (SIGSTOP): it keeps its connections, and the kernel takes new ones for it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn hold(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// What clients connect to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Calls its JSON gateway without a token; `None` if nobody answers.
    pub fn call(&self, path: &str, body: &Value) -> Option<Value> {
        let answer = request(self.port, "POST", path, &[], &body.to_string())?;
        serde_json::from_str(&answer.body).ok()
    }

    /// The value of a key, if it is there and text. Read without a token.
    pub fn value(&self, key: &str) -> Option<String> {
        let answer = self.call("/v3/kv/range", &json!({ "key": STANDARD.encode(key) }))?;
        decode(&answer["kvs"][0]["value"])
    }

    /// All keys that begin so. Read without a token.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().expect("a prefix") += 1;
        let range = json!({ "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end) });
        let answer = self.call("/v3/kv/range", &range).expect("an answer");
        let kvs = answer["kvs"].as_array().into_iter().flatten();
        kvs.filter_map(|kv| decode(&kv["key"])).collect()
    }

    /// From now on it wants a login: `root` with this password, who may do everything.
    ///
    /// # Panics
    /// If it does not take it.
    pub fn want_login(&self, password: &str) {
        let calls = [
            ("user/add", json!({ "name": "root", "password": password })),
            ("role/add", json!({ "name": "root" })),
            ("user/grant", json!({ "user": "root", "role": "root" })),
            ("enable", json!({})),
        ];
        for (path, body) in calls {
            // One that took too long may have been done.
            eventually_within(START, path, || {
                let done = self.call(&format!("/v3/auth/{path}"), &body)?;
                let error = done["error"].as_str().unwrap_or_default();
                let is_done = error.is_empty()
                    || error.contains("already")
                    || error.contains("user name is empty");
                is_done.then_some(())
            });
        }
    }
}

/// A folder for a server's data: in memory where there is room, because a busy disk makes it too slow for its own
/// deadlines.
fn folder() -> TempDir {
    let free = Command::new("df")
        .args(["--output=avail", "-k", "/dev/shm"])
        .output();
    let free = free.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().nth(1)?.trim().parse::<u64>().ok()
    });
    let folder = match free {
        Some(kibibytes) if kibibytes > ROOM => tempfile::tempdir_in("/dev/shm"),
        _ => tempfile::tempdir(),
    };
    folder.expect("a folder")
}

fn decode(text: &Value) -> Option<String> {
    let bytes = STANDARD.decode(text.as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// Three servers of etcd.
#[derive(Debug)]
pub struct EtcdCluster {
    /// The servers.
    pub servers: [Etcd; 3],
}

impl EtcdCluster {
    /// Starts three empty ones and waits until they serve.
    ///
    /// # Panics
    /// If it is not installed or they do not start.
    pub fn start() -> Self {
        let ports = free_ports::<6>();
        let members: [String; 3] =
            std::array::from_fn(|i| format!("n{i}=http://127.0.0.1:{}", ports[3 + i]));
        let servers = std::array::from_fn(|i| {
            let member = Member {
                name: &format!("n{i}"),
                peer_port: ports[3 + i],
                cluster: &members.join(","),
                timing: [50, 500],
                tls: None,
            };
            let mut server = Etcd::prepare(ports[i], &member);
            server.start_again();
            server
        });
        let cluster = Self { servers };
        cluster.wait_until_all_serve();
        cluster
    }

    /// Waits until all serve.
    ///
    /// # Panics
    /// If they do not.
    pub fn wait_until_all_serve(&self) {
        self.servers.iter().for_each(Etcd::wait_until_it_serves);
    }

    /// What clients connect to.
    pub fn address(&self) -> String {
        self.servers.each_ref().map(Etcd::address).join(",")
    }

    /// The number of the leader in [`servers`](Self::servers); waits for one.
    ///
    /// # Panics
    /// If there is none.
    pub fn leader(&self) -> usize {
        eventually_within(START, "there is a leader", || {
            let is_leader = |server: &Etcd| {
                let status = server.call("/v3/maintenance/status", &json!({}))?;
                Some(status["leader"] == status["header"]["member_id"])
            };
            self.servers
                .iter()
                .position(|server| is_leader(server) == Some(true))
        })
    }
}
