//! `muster leaks` as a user meets it: the real binary against a service that leaks or does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_leaks::testing::{dump, grouped, proved};
use muster_testkit::eventually;
use serde_json::Value;

use super::support::beside;

const BINARY: &str = env!("CARGO_BIN_EXE_muster");

/// What a service is. One that leaks has more goroutines at each request for the grouped profile.
#[derive(Clone, Copy)]
enum Service {
    /// All is well.
    Well,
    /// A tenth more each time wait for a lock that is held, at least ten.
    Leaks,
    /// The same, and it proves it.
    LeaksAndProves,
    /// It is no Go service.
    OtherPage,
    /// It wants a token.
    WantsToken,
}

/// A service that shows pprof, as far as `muster leaks` asks for it. Ends when dropped.
struct Pprof {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pprof {
    fn start(service: Service, waiting: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, over) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (log, end) = (Arc::clone(&asked), Arc::clone(&over));
        let step = match service {
            Service::Leaks | Service::LeaksAndProves => (waiting / 10).max(10),
            _ => 0,
        };
        let waiting = AtomicU64::new(waiting);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Relaxed) {
                    return;
                }
                // A connection that breaks is the asker's affair.
                let _ = stream.map(|stream| serve(stream, service, (&waiting, step), &log));
            }
        });
        Self {
            address,
            asked,
            over,
            thread: Some(thread),
        }
    }

    /// How often it was asked for this path.
    fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == path).count()
    }
}

impl Drop for Pprof {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request.
fn serve(
    mut stream: TcpStream,
    service: Service,
    (waiting, step): (&AtomicU64, u64),
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    log.lock().unwrap().push(path.clone());
    let (status, body) = match (path.as_str(), service) {
        (_, Service::OtherPage) => ("200 OK", "<html>welcome</html>".to_owned()),
        (_, Service::WantsToken) if !head.contains("Bearer s3cret") => {
            ("401 Unauthorized", "who?".to_owned())
        }
        ("/debug/pprof/goroutine", _) => {
            let now = waiting.fetch_add(step, Relaxed);
            ("200 OK", grouped(now))
        }
        ("/debug/pprof/goroutine?debug=2", _) => ("200 OK", dump(waiting.load(Relaxed))),
        ("/debug/pprof/goroutineleak", Service::LeaksAndProves) => {
            ("200 OK", proved(waiting.load(Relaxed)))
        }
        _ => ("404 Not Found", "Unknown profile\n".to_owned()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../muster-leaks/tests/fixtures");
    path.join(name).display().to_string()
}

/// What a command printed.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// All parts are in what was printed.
    #[track_caller]
    fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            let Self { out, err, .. } = self;
            assert!(
                out.contains(part) || err.contains(part),
                "{part:?} is not in\n{out}\n{err}"
            );
        }
        self
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("leaks").args(arguments).stdin(Stdio::null());
    command
}

/// Runs `muster leaks` to its end and checks the exit code.
#[track_caller]
fn leaks(arguments: &[&str], code: i32) -> Ran {
    let output = command(arguments).output().unwrap();
    let ran = Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert_eq!(
        ran.code,
        Some(code),
        "{arguments:?}\n{}\n{}",
        ran.out,
        ran.err
    );
    ran
}

/// Watches often enough for a verdict, however slow the machine is.
const CI: [&str; 5] = ["--ci", "--every", "200ms", "--for", "8s"];

fn ci<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [more, &CI].concat()
}

#[test]
fn ci_tells_clean_suspects_and_confirmed_apart_by_the_exit_code() {
    let _others = beside();
    let well = Pprof::start(Service::Well, 50);
    let clean = leaks(&ci(&[&well.address, "--json"]), 0).json();
    assert_eq!(clean["status"], "clean");
    assert_eq!(clean["targets"][0]["suspects"], serde_json::json!([]));
    assert_eq!(
        well.asked("/debug/pprof/goroutine?debug=2"),
        0,
        "nothing grows: no dump"
    );

    let leaking = Pprof::start(Service::Leaks, 20);
    let ran = leaks(&ci(&[&leaking.address]), 1);
    ran.says(&[
        "suspects",
        "blocks at      main.go:12 main.take",
        "started at     main.go:9 main.ask",
        "survivors",
        "watching for",
    ]);
    assert_eq!(
        leaking.asked("/debug/pprof/goroutineleak"),
        1,
        "there is none: asked once"
    );

    let proving = Pprof::start(Service::LeaksAndProves, 20);
    let confirmed = leaks(&ci(&[&proving.address, &well.address, "--json"]), 2).json();
    assert_eq!(confirmed["status"], "confirmed");
    let targets = confirmed["targets"].as_array().unwrap();
    assert_eq!(targets[0]["suspects"][0]["evidence"], "proved");
    assert_eq!(targets[1]["status"], "clean");
}

#[test]
fn what_is_known_and_accepted_is_no_suspect() {
    let _others = beside();
    let leaking = Pprof::start(Service::Leaks, 20);
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "# known\nfunction=main.take file=*.go\n").unwrap();
    let rules = rules.display().to_string();
    leaks(&ci(&[&leaking.address, "--ignore-file", &rules]), 0);
    leaks(&ci(&[&leaking.address, "--ignore", "main.other"]), 1);
    std::fs::write(&rules, "main.f\nsize=3\n").unwrap();
    leaks(&[&leaking.address, "--ignore-file", &rules], 3).says(&["rules:2: ", "\"size\""]);
    leaks(&[&leaking.address, "--ignore", "size=3"], 2).says(&["\"size\""]);
    leaks(&["--list-idle"], 0).says(&["os/signal.loop", "UP TO"]);
}

#[test]
fn a_large_service_is_never_asked_for_a_dump() {
    let _others = beside();
    let large = Pprof::start(Service::Leaks, 100_000);
    let often = ["--ci", "--every", "50ms", "--for", "8s"];
    leaks(&[&[large.address.as_str()], &often[..]].concat(), 1).says(&["growth"]);
    assert!(large.asked("/debug/pprof/goroutine") > 5);
    assert_eq!(large.asked("/debug/pprof/goroutine?debug=2"), 0);
}

#[test]
fn live_lines_go_into_a_pipe_until_somebody_ends_it() {
    let _others = beside();
    let service = Pprof::start(Service::Leaks, 20);
    let mut child = command(&[&service.address, "--every", "100ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(
            line.contains(" clean: ") && line.contains(&service.address),
            "{line}"
        );
    }
    interrupt(&child);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let last = rest
        .lines()
        .rfind(|line| line.contains("samples"))
        .unwrap_or_default();
    assert!(
        last.ends_with(" samples"),
        "what is known is printed: {rest}"
    );
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn an_interrupt_ends_it_at_once_with_json() {
    let _others = beside();
    let service = Pprof::start(Service::Well, 5);
    let mut child = command(&[
        &service.address,
        "--for",
        "1h",
        "--every",
        "100ms",
        "--json",
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    eventually("it was asked twice", || {
        (service.asked("/debug/pprof/goroutine") >= 2).then_some(())
    });
    interrupt(&child);
    let mut out = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let verdict: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verdict["targets"][0]["goroutines"], 6);
}

#[test]
fn files_of_every_form_are_judged_and_grouped() {
    let _others = beside();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, waiting| {
        let path = folder.path().join(name);
        std::fs::write(&path, dump(waiting)).unwrap();
        path.display().to_string()
    };
    let (before, after) = (file("before.txt", 20), file("after.txt", 90));
    let ran = leaks(&["--once", &before, &after, "--ci"], 1);
    ran.says(&["suspects", "main.go:12 main.take"]);
    assert_eq!(
        leaks(&["--once", &before, &after, "--json"], 0).json()["status"],
        "suspects"
    );
    leaks(&["--once", &before, &before, "--ci"], 0);
    for go in ["go1.19", "go1.27"] {
        for form in [
            "goroutine.pb.gz",
            "goroutine.debug1.txt",
            "goroutine.debug2.txt",
            "panic.log",
        ] {
            let path = fixture(&format!("{go}/{form}"));
            leaks(&["--once", &path, "--json"], 0).json();
            let top = leaks(&["top", &path, "--json"], 0).json();
            let sites = top[0]["sites"].as_array().unwrap();
            assert!(
                !sites.is_empty() && sites[0]["at"]["line"].is_u64(),
                "{path}"
            );
            leaks(&["top", &path, "--limit", "2"], 0).says(&["WAITS FOR", "more"]);
        }
    }
    let proof = fixture("go1.27/goroutineleak.pb.gz");
    leaks(&["--once", &proof, "--ci"], 2)
        .says(&["confirmed, 8 goroutines", "8 proved to be leaked"]);
}

#[test]
fn a_baseline_says_what_is_more_now() {
    let _others = beside();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.json").display().to_string();
    let few = Pprof::start(Service::Well, 20);
    let many = Pprof::start(Service::Well, 200);
    leaks(&[&few.address, "--baseline", "save", &path], 0).says(&["21 goroutines"]);
    leaks(
        &[
            &few.address,
            "--baseline",
            "compare",
            &path,
            "--ci",
            "--every",
            "200ms",
            "--for",
            "8s",
        ],
        0,
    );
    leaks(&[&few.address, "--baseline", "compare", &path], 0).says(&["no more"]);
    let ran = leaks(
        &[&many.address, "--baseline", "compare", &path, "--json"],
        0,
    )
    .json();
    assert_eq!(ran["status"], "suspects");
    assert_eq!(ran["targets"][0]["changes"][0]["now"], 200);
    let file = folder.path().join("many.txt");
    std::fs::write(&file, dump(200)).unwrap();
    let file = file.display().to_string();
    leaks(
        &["--once", &file, "--baseline", "compare", &path, "--ci"],
        1,
    )
    .says(&["main.go:12"]);
    leaks(&[&few.address, "--baseline", "keep", &path], 2).says(&["save FILE or compare FILE"]);
    leaks(&[&few.address, "--baseline", "compare", &file], 3).says(&["baseline"]);
}

#[test]
fn the_page_is_whole_by_itself() {
    let _others = beside();
    let service = Pprof::start(Service::Leaks, 20);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let trace = "gc 1 @0.5s 1%: 0.25+1.5+0.25 ms clock, 0.1+0.2/0.3/0.4+0.1 ms cpu, 4->5->1 MB, \
                 5 MB goal, 0 MB stacks, 0 MB globals, 4 P\n";
    std::fs::write(
        path("err"),
        format!("{trace}{}", trace.replace("@0.5s", "@9.5s")),
    )
    .unwrap();
    let (html, err) = (
        path("page.html").display().to_string(),
        path("err").display().to_string(),
    );
    let more = [
        "report",
        &service.address,
        "--html",
        &html,
        "--gctrace",
        &err,
        "--title",
        "Shop & co",
    ];
    leaks(&ci(&more), 0).says(&["suspects", "page.html"]);
    let page = std::fs::read_to_string(&html).unwrap();
    for part in [
        "<h1>Shop &amp; co</h1>",
        "main.go:12 main.take",
        "main.go:9 main.ask",
        "<svg",
        "Pauses of the garbage collector",
        "All sites",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    // It loads nothing: addresses stand in texts only.
    for part in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(part), "{part} is in the page");
    }
    let file = fixture("go1.27/goroutineleak.pb.gz");
    leaks(&["report", &file, "--html", &html], 0).says(&["confirmed"]);
    leaks(&["report", &file, "--html", "/no/such/folder/x"], 3).says(&["failed to write"]);
}

#[test]
fn mistakes_are_explained() {
    let _others = beside();
    let check = |arguments: &[&str], code, parts: &[&str]| {
        leaks(arguments, code).says(parts);
    };
    check(&[], 2, &["<URL>"]);
    check(&["ftp://h:1"], 2, &["not of HTTP", "expected host:port"]);
    check(
        &["top", "nothing.txt"],
        2,
        &["no port", "or a file that is there"],
    );
    check(
        &["127.0.0.1:1"],
        4,
        &[
            "failed to reach http://127.0.0.1:1",
            "hint: is the service running",
        ],
    );
    let page = Pprof::start(Service::OtherPage, 0);
    check(&[&page.address], 4, &["<html>", "net/http/pprof"]);
    let closed = Pprof::start(Service::WantsToken, 3);
    check(
        &["top", &closed.address],
        4,
        &["denies access (401", "--token-file"],
    );
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let token = token.display().to_string();
    check(
        &["top", &closed.address, "--token-file", &token],
        0,
        &["4 goroutines"],
    );
    let header = "Authorization: Bearer s3cret";
    check(
        &["top", &closed.address, "--header", header, "--dump"],
        0,
        &["main.go:9"],
    );
    check(
        &["top", &closed.address, "--header", "s3cret"],
        2,
        &["NAME: VALUE"],
    );
    check(
        &["--once", "/no/such/file"],
        3,
        &["failed to read /no/such/file"],
    );
    check(
        &["--once", &token, "--json"],
        3,
        &["\"unusable\"", "expected a binary profile"],
    );
    let few = Pprof::start(Service::Well, 3);
    check(
        &[&few.address, "--ci", "--for", "10ms", "--every", "5s"],
        4,
        &["needs 5 samples"],
    );
    // One that is down does not keep the others, but fails a build.
    check(
        &[&few.address, "127.0.0.1:1", "--for", "3s", "--json"],
        0,
        &["\"errors\"", "127.0.0.1:1"],
    );
    check(
        &[&few.address, "127.0.0.1:1", "--ci"],
        4,
        &["failed to reach"],
    );
}
