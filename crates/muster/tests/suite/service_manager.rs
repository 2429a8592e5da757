//! What a service manager is told, by the real binary: a socket of the test plays systemd.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use muster_testkit::{Process, Redis};
use tempfile::TempDir;

use super::support::{FAST, agent, beside};

const BINARY: &str = env!("CARGO_BIN_EXE_muster");
const WATCHDOG: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays the service manager.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _directory: TempDir,
}

impl Manager {
    /// One that listens at a path.
    fn at_path() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        Self::new(
            UnixDatagram::bind(&path).unwrap(),
            path.display().to_string(),
            directory,
        )
    }

    /// One that listens at a name without a file.
    fn abstract_name() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().display().to_string();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self::new(socket, format!("@{name}"), directory)
    }

    fn new(socket: UnixDatagram, name: String, directory: TempDir) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            name,
            _directory: directory,
        }
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("NOTIFY_SOCKET", self.name.clone()),
            ("WATCHDOG_USEC", WATCHDOG.as_micros().to_string()),
        ]
    }

    /// The next that it is told.
    #[track_caller]
    fn told(&self) -> String {
        let mut buffer = [0; 512];
        let length = self.socket.recv(&mut buffer).expect("it is told something");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// It is told that the process is ready, then for some periods that it works: not more often
    /// than twice in each.
    #[track_caller]
    fn sees_it_work(&self, since: Instant) {
        assert_eq!(self.told(), "READY=1");
        self.is_fed(6);
        // The first comes at once.
        assert!(since.elapsed() >= WATCHDOG / 2 * 5, "{:?}", since.elapsed());
    }

    #[track_caller]
    fn is_fed(&self, times: u32) {
        for _ in 0..times {
            assert_eq!(self.told(), "WATCHDOG=1");
        }
    }

    /// What it is told until the end: that the process works, and last that it ends.
    #[track_caller]
    fn sees_it_end(&self) {
        let mut last = self.told();
        while last == "WATCHDOG=1" {
            last = self.told();
        }
        assert_eq!(last, "STOPPING=1");
    }

    /// Whether it was told anything that it has not read.
    fn is_told_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let nothing = self.socket.recv(&mut [0; 512]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        nothing
    }
}

#[test]
fn the_manager_of_an_agent_is_told_how_it_is() {
    let _beside = beside();
    for manager in [Manager::at_path(), Manager::abstract_name()] {
        let mut builder = agent(FAST);
        for (name, value) in manager.environment() {
            builder = builder.env(name, &value);
        }
        let begin = Instant::now();
        let mut agent = builder.start();
        manager.sees_it_work(begin);
        // A process that is stuck says nothing.
        agent.process.signal("STOP");
        muster_testkit::eventually("it has stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.process.id()));
            stat.is_ok_and(|stat| stat.contains(") T ")).then_some(())
        });
        while !manager.is_told_nothing() {}
        std::thread::sleep(WATCHDOG);
        assert!(manager.is_told_nothing());
        agent.process.signal("CONT");
        manager.is_fed(3);
        assert_eq!(agent.stop(PATIENCE), Some(0), "{}", agent.log());
        manager.sees_it_end();
        assert!(manager.is_told_nothing(), "after the end");
    }
}

#[test]
fn the_manager_of_a_sentinel_is_told_how_it_is() {
    let _beside = beside();
    let (manager, redis) = (Manager::at_path(), Redis::start());
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command
        .args(["sentinel", "--redis", &redis.address()])
        .envs(manager.environment());
    let begin = Instant::now();
    let mut sentinel = Process::start(command, directory.path(), "muster");
    manager.sees_it_work(begin);
    sentinel.signal("TERM");
    manager.sees_it_end();
    let end = sentinel.wait_end(PATIENCE);
    assert!(end.success(), "{end}: {}", sentinel.log());
    assert!(sentinel.log().contains("is up"), "{}", sentinel.log());
}

#[test]
fn a_manager_that_is_not_there_keeps_nobody_from_work() {
    let _beside = beside();
    for name in ["/nowhere/notify", "vsock:2:1234", "@"] {
        let mut agent = agent(FAST)
            .env("NOTIFY_SOCKET", name)
            .env("WATCHDOG_USEC", "400000")
            .start();
        muster_testkit::eventually("it says so", || {
            agent.log().contains("service manager").then_some(())
        });
        assert_eq!(agent.stop(PATIENCE), Some(0), "{}", agent.log());
    }
}

#[test]
fn systemd_takes_the_units() {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/systemd");
    let directory = tempfile::tempdir().unwrap();
    let mut count = 0;
    for unit in std::fs::read_dir(units).unwrap() {
        let path = unit.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("Type=notify") && text.contains("WatchdogSec="));
        let at = directory.path().join(path.file_name().unwrap());
        std::fs::write(&at, text.replace("/usr/bin/muster", BINARY)).unwrap();
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&at)
            .output();
        let verified = verified.expect("systemd-analyze; install it with: apt-get install systemd");
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{}: {said}", path.display());
        assert!(!said.contains(".service:"), "{said}");
        count += 1;
    }
    assert_eq!(count, 2);
}
