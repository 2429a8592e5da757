//! Redis, with the ways to make it misbehave.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Process, eventually, free_ports};

/// A Redis server on a free port and on a unix socket, without persistence, where `DEBUG` works.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    directory: TempDir,
    /// The port of 127.0.0.1.
    pub port: u16,
    extra: Vec<String>,
}

impl Redis {
    /// Starts an empty one.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with further settings, each a name and its value: `["--requirepass", "x"]`.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn with(extra: &[&str]) -> Self {
        let [port] = free_ports();
        let directory = tempfile::tempdir().expect("a folder");
        let extra: Vec<String> = extra.iter().map(|&word| word.to_owned()).collect();
        let process = launch(directory.path(), port, &extra);
        let redis = Self {
            process,
            directory,
            port,
            extra,
        };
        redis.wait();
        redis
    }

    /// Waits until it answers, whatever it says.
    fn wait(&self) {
        eventually("Redis answers", || self.try_command(&["PING"]));
    }

    /// `127.0.0.1:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its unix socket.
    pub fn socket(&self) -> String {
        self.directory
            .path()
            .join("redis.sock")
            .display()
            .to_string()
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it; its data stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and data, with further settings, and waits until it
    /// answers.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self, extra: &[&str]) {
        self.process.kill();
        let mut words = self.extra.clone();
        words.extend(extra.iter().map(|&word| word.to_owned()));
        self.process = launch(self.directory.path(), self.port, &words);
        self.wait();
    }

    /// Freezes it: connections are accepted by the kernel, nothing is answered.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Makes every save of its data fail.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn block_saves(&self) {
        // A folder in the place of the file cannot be replaced by it.
        fs::create_dir_all(self.directory.path().join("dump.rdb/full")).expect("a folder");
    }

    /// Lets it save its data again.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn unblock_saves(&self) {
        fs::remove_dir_all(self.directory.path().join("dump.rdb")).expect("the folder");
    }

    /// Runs a command on a connection of its own and gives the first line of the reply, its kind
    /// included: `+PONG`, `-ERR ...`, `:1`, `$5`.
    ///
    /// # Panics
    /// If there is no reply within ten seconds.
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).expect("Redis answers")
    }

    /// Sets a setting.
    ///
    /// # Panics
    /// If Redis refuses it.
    pub fn set(&self, name: &str, value: &str) {
        let reply = self.command(&["CONFIG", "SET", name, value]);
        assert_eq!(reply, "+OK", "{name} {value}");
    }

    /// Sends a command on a connection of its own and does not wait for the reply. The command runs
    /// while the connection lives.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn send(&self, words: &[&str]) -> TcpStream {
        self.try_send(words).expect("Redis takes the command")
    }

    fn try_command(&self, words: &[&str]) -> Option<String> {
        let stream = self.try_send(words)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        let line = line.trim_end();
        (!line.is_empty()).then(|| line.to_owned())
    }

    fn try_send(&self, words: &[&str]) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(request.as_bytes()).ok()?;
        Some(stream)
    }
}

/// Redis Sentinel, which watches one master.
#[derive(Debug)]
pub struct RedisSentinel {
    _process: Process,
    _directory: TempDir,
    /// The port of 127.0.0.1.
    pub port: u16,
}

impl RedisSentinel {
    /// Starts one that watches `master` under this name.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn watching(name: &str, master: &Redis) -> Self {
        let [port] = free_ports();
        let directory = tempfile::tempdir().expect("a folder");
        let at = directory.path();
        let file = at.join("sentinel.conf");
        let watched = master.port;
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor {name} 127.0.0.1 {watched} 1\n",
            at.display()
        );
        fs::write(&file, config).expect("the configuration");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        let process = Process::start(command, at, "redis-server");
        eventually("Redis Sentinel answers", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            _process: process,
            _directory: directory,
            port,
        }
    }
}

fn launch(directory: &Path, port: u16, extra: &[String]) -> Process {
    let mut command = Command::new("redis-server");
    let port = port.to_string();
    let words = [
        "--bind",
        "127.0.0.1",
        "--port",
        &port,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    command.args(words);
    command.args([
        "--daemonize",
        "no",
        "--enable-debug-command",
        "local",
        "--dir",
    ]);
    command
        .arg(directory)
        .arg("--unixsocket")
        .arg(directory.join("redis.sock"));
    command.args(extra);
    Process::start(command, directory, "redis-server")
}
