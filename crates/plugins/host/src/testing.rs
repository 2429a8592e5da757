//! What the tests of all plugins share: a made-up host, and gathering from it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use muster_metric::line_protocol::Writer;
use muster_metric::{Batch, Timestamp};
use muster_plugin::{Built, ComponentId, GatherContext, Input, Kind};
use muster_tasks::Group;
use toml::Table;

use crate::Roots;

/// A copy of a host's files, to be changed at will.
pub(crate) struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// A small server, made up: `testdata/server`.
    pub(crate) fn server() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/server"),
            dir.path(),
        );
        let host = Self { dir };
        // Links do not survive every way of fetching the sources.
        host.link("dev/mapper/vg-data", "../dm-0")
            .link("dev/sda", "sda_target")
    }

    pub(crate) fn write(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    pub(crate) fn remove(self, path: &str) -> Self {
        let path = self.dir.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
        .unwrap();
        self
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::under(self.dir.path())
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// How a plugin is built.
pub(crate) type BuildInput = fn(&Table, Roots) -> Built<Box<dyn Input>>;

/// An input that is gathered from again and again.
pub(crate) struct Run {
    pub(crate) input: Box<dyn Input>,
    pub(crate) timeout: Duration,
    runtime: tokio::runtime::Runtime,
    group: Group,
    now: Timestamp,
    /// Left out of messages, so that tests see `/proc/stat`.
    prefix: String,
}

impl Run {
    pub(crate) fn new(build: BuildInput, options: &str, host: &Host) -> Self {
        let table = toml::from_str(options).unwrap();
        let mut run = Self::of(build(&table, host.roots()).unwrap());
        run.prefix = host.dir.path().display().to_string();
        run
    }

    pub(crate) fn of(input: Box<dyn Input>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let group = {
            let _inside = runtime.enter();
            Group::root("test")
        };
        let (timeout, now) = (
            Duration::from_secs(10),
            Timestamp::from_seconds(1_700_000_000),
        );
        Self {
            input,
            timeout,
            runtime,
            group,
            now,
            prefix: String::new(),
        }
    }

    pub(crate) fn replace(&mut self, input: Box<dyn Input>) {
        self.input = input;
    }

    /// Lets seconds pass before the next gather.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(Duration::from_secs(seconds));
    }

    /// The metrics, and the reported problems.
    pub(crate) fn batch(&mut self) -> (Batch, Vec<String>) {
        let id = ComponentId::new(Kind::Input, "test");
        let interval = Duration::from_secs(10);
        let cx = GatherContext::new(id, self.group.clone(), self.now, interval, self.timeout);
        let mut batch = Batch::new();
        let result = self.runtime.block_on(self.input.gather(&cx, &mut batch));
        let text = |message: String| message.replace(&self.prefix, "");
        let (errors, _) = cx.take_reports();
        let mut problems: Vec<String> = errors
            .iter()
            .map(|error| text(format!("report: {error}")))
            .collect();
        problems.extend(result.err().map(|error| text(format!("error: {error}"))));
        (batch, problems)
    }

    /// The metrics as line protocol, unsigned numbers marked as such, then the problems.
    pub(crate) fn gather(&mut self) -> Vec<String> {
        let (batch, problems) = self.batch();
        let mut lines = lines(&batch);
        lines.extend(problems);
        lines
    }

    pub(crate) fn blocking_threads(&self) -> usize {
        self.group.blocking_threads().0
    }

    /// Waits until something is so.
    pub(crate) fn until(&mut self, mut so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !so(self) {
            assert!(Instant::now() < end, "waited in vain");
            std::thread::yield_now();
        }
    }
}

fn lines(batch: &Batch) -> Vec<String> {
    let writer = Writer {
        uint_support: true,
        ..Writer::default()
    };
    let mut out = Vec::new();
    let written = writer.write_all(batch.iter(), &mut out);
    assert_eq!(written.unwritable, 0, "a metric without fields");
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Builds the plugin, gathers once, and compares.
#[track_caller]
pub(crate) fn check(build: BuildInput, options: &str, host: &Host, want: &[&str]) {
    assert_eq!(Run::new(build, options, host).gather(), want, "{options}");
}

/// Gathers from the machine that the test runs on.
pub(crate) fn gather_live(build: BuildInput, options: &str) -> (Batch, Vec<String>) {
    let table = toml::from_str(options).unwrap();
    Run::of(build(&table, Roots::from_vars(|_| None)).unwrap()).batch()
}
