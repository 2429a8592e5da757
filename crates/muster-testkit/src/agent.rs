//! The agent as a process, with a state directory and ports of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Process, Response, eventually, free_ports, request_unix};

/// How to start an agent.
#[derive(Debug)]
pub struct AgentBuilder {
    binary: PathBuf,
    config: String,
    directory: TempDir,
    state: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub process: Process,
    /// Holds the configuration file, the state directory and whatever the test puts there.
    pub directory: TempDir,
    binary: PathBuf,
    /// The API's port on 127.0.0.1.
    pub port: u16,
    state: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The standard output.
    pub out: String,
    /// The standard error output.
    pub err: String,
}

impl AgentBuilder {
    /// An agent of this binary without any component. `{dir}` in the configuration stands for the
    /// agent's folder.
    pub fn new(binary: &str) -> Self {
        Self {
            binary: binary.into(),
            config: String::new(),
            directory: tempfile::tempdir().expect("a folder"),
            state: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With these tables in its configuration file.
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        self.config = config.to_owned();
        self
    }

    /// With further arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With its state in this directory instead of one in its own folder.
    #[must_use]
    pub fn state_dir(mut self, directory: &Path) -> Self {
        self.state = Some(directory.to_owned());
        self
    }

    /// With a file in its folder; `{dir}` in the text stands for the folder.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        let text = text.replace("{dir}", &self.directory.path().display().to_string());
        fs::write(self.path(name), text).expect("a file of the test");
        self
    }

    /// Where the test's files lie.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts it and waits until its API answers.
    ///
    /// # Panics
    /// If it ends instead.
    #[track_caller]
    pub fn start(self) -> Agent {
        let [port] = free_ports();
        let state = self
            .state
            .unwrap_or_else(|| self.directory.path().join("state"));
        let directory = self.directory;
        write_config(directory.path(), port, &self.config);
        let process = launch(
            &self.binary,
            directory.path(),
            &state,
            &self.arguments,
            &self.environment,
        );
        let (arguments, environment) = (self.arguments, self.environment);
        let agent = Agent {
            process,
            directory,
            binary: self.binary,
            port,
            state,
            arguments,
            environment,
        };
        agent.wait_ready();
        agent
    }

    /// Runs it to its end: for `--test`, `--once` and configurations that are refused. The
    /// configuration is used as it is, without a `[control]` table before it.
    ///
    /// # Panics
    /// If it does not end within `bound`.
    #[track_caller]
    pub fn run(self, bound: Duration) -> Output {
        let path = self.directory.path();
        let config = self.config.replace("{dir}", &path.display().to_string());
        fs::write(path.join("muster.conf"), config).expect("the configuration");
        let state = self.state.clone().unwrap_or_else(|| path.join("state"));
        let mut command = command(
            &self.binary,
            path,
            &state,
            &self.arguments,
            &self.environment,
        );
        let out = path.join("stdout.log");
        let file = |path: &Path| fs::File::create(path).expect("a log file");
        let err = path.join("stderr.log");
        command
            .stdin(Stdio::null())
            .stdout(file(&out))
            .stderr(file(&err));
        let mut child = command.spawn().expect("the program runs");
        let begin = Instant::now();
        let read = |path: &Path| {
            String::from_utf8_lossy(&fs::read(path).expect("a log file")).into_owned()
        };
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                break status;
            }
            if begin.elapsed() > bound {
                let _ = child.kill();
                let _ = child.wait();
                panic!("does not end within {bound:?}; it says:\n{}", read(&err));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Output {
            code: status.code(),
            out: read(&out),
            err: read(&err),
        }
    }
}

fn write_config(path: &Path, port: u16, config: &str) {
    let config = config.replace("{dir}", &path.display().to_string());
    let config = format!("[control]\naddress = \"127.0.0.1:{port}\"\n{config}");
    // Renamed into place, so that an agent that watches the file never sees half of it.
    let fresh = path.join("muster.conf.new");
    fs::write(&fresh, config).expect("the configuration");
    fs::rename(&fresh, path.join("muster.conf")).expect("the configuration");
}

fn command(
    binary: &Path,
    path: &Path,
    state: &Path,
    arguments: &[String],
    environment: &[(String, String)],
) -> Command {
    let mut command = Command::new(binary);
    command
        .arg("--config")
        .arg(path.join("muster.conf"))
        .arg("--state-dir")
        .arg(state)
        .args(arguments)
        .envs(environment.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .env("NO_COLOR", "1");
    command
}

fn launch(
    binary: &Path,
    path: &Path,
    state: &Path,
    arguments: &[String],
    environment: &[(String, String)],
) -> Process {
    Process::start(
        command(binary, path, state, arguments, environment),
        path,
        "muster",
    )
}

impl Agent {
    /// Where the test's files lie.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The text of a file in the agent's folder; empty if it is not there yet.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The API's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.state.join("api.sock")
    }

    /// The API's token.
    pub fn token(&self) -> String {
        fs::read_to_string(self.state.join("token"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Waits until the API answers.
    ///
    /// # Panics
    /// If the process ends instead.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually("the agent's API answers", || {
            assert!(
                self.is_alive(),
                "the agent ended; it says:\n{}",
                self.process.log()
            );
            request_unix(&self.socket(), "GET", "/healthz", &[], "").filter(|r| r.status == 200)
        });
    }

    fn is_alive(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Sends a request with a JSON body (or none) to the unix socket.
    ///
    /// # Panics
    /// If nobody answers.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Response {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = ["Content-Type: application/json"];
        let answer = request_unix(&self.socket(), method, path, &headers, &text);
        answer.unwrap_or_else(|| {
            panic!(
                "no answer to {method} {path}; the agent says:\n{}",
                self.process.log()
            )
        })
    }

    /// Gets JSON from the API.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.api("GET", path, &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Runs the program with these arguments against this agent.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("MUSTER_STATE_DIR", &self.state)
            .env("NO_COLOR", "1");
        let output = command.output().expect("the program runs");
        Output {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same folder and port, and waits until its API answers.
    #[track_caller]
    pub fn restart(&mut self) {
        self.launch();
        self.wait_ready();
    }

    /// Starts it again on the same folder and port, and does not wait.
    pub fn launch(&mut self) {
        self.process = launch(
            &self.binary,
            self.directory.path(),
            &self.state,
            &self.arguments,
            &self.environment,
        );
    }

    /// Writes another configuration; the agent is not told.
    pub fn set_config(&self, config: &str) {
        write_config(self.directory.path(), self.port, config);
    }

    /// Writes another configuration and tells the agent with SIGHUP.
    pub fn reload(&self, config: &str) {
        self.set_config(config);
        self.process.signal("HUP");
    }

    /// What has been logged, the standard output included.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Tells it to end and waits until it has.
    ///
    /// # Panics
    /// If it does not end within `bound`.
    #[track_caller]
    pub fn stop(&mut self, bound: Duration) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait_end(bound).code()
    }
}
