use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use muster_scaler_core::{ProviderId, ServerName};

use super::*;

fn server() -> Server {
    let id = ProviderId {
        pool: "p".to_owned(),
        at: 0,
    };
    let mut server = Server::plan(ServerName("p-1".to_owned()), "p", id, Time::default());
    server.slots = 4;
    server
}

fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits for a file with something in it.
fn read(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ if begun.elapsed() > Duration::from_secs(30) => panic!("no {}", path.display()),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Runs a script on a machine whose runner writes down its arguments and ends when it is told to.
fn boot(script: &Secret, root: &Path, fetcher: &str) {
    let bin = root.join("bin");
    fs::create_dir(&bin).unwrap();
    // A shell could not: what a shell starts in the background ignores SIGQUIT, and a shell cannot undo
    // that. GitLab Runner can, as every program can that sets a handler.
    let runner = format!(
        "#!/usr/bin/env python3\nimport signal, sys\n\
         def quit(*_):\n    open('{0}/quit', 'w').write('quit\\n')\n    sys.exit(0)\n\
         signal.signal(signal.SIGQUIT, quit)\n\
         open('{0}/args', 'w').write(' '.join(sys.argv[1:]) + '\\n')\n\
         while True:\n    signal.pause()\n",
        root.display()
    );
    let path = bin.join("gitlab-runner");
    fs::write(&path, runner).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    program(
        &bin.join("off"),
        &format!("echo off > {}/off", root.display()),
    );
    program(&bin.join("curl"), fetcher);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    fs::write(root.join("script"), script.expose()).unwrap();
    let status = Command::new("sh")
        .arg(root.join("script"))
        .env("PATH", path)
        .env("MUSTER_ROOT", root)
        .env("MUSTER_POWEROFF", bin.join("off"))
        .status();
    assert!(status.unwrap().success());
}

fn soon(seconds: u64) -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::default() + now + Duration::from_secs(seconds)
}

#[test]
fn the_script_starts_the_runner_and_ends_it_when_its_life_is_over() {
    let root = tempfile::tempdir().unwrap();
    let token = Secret::new("glrt-it's \"odd\" $HOME `x`");
    let config = runner_config(&PoolConfig::default(), &server(), "https://g", &token);
    let script = user_data(&Boot::Config(&config), soon(2), Duration::from_secs(20)).unwrap();
    boot(&script, root.path(), "exit 1");
    let file = root.path().join("etc/gitlab-runner/config.toml");
    assert!(read(&root.path().join("args")).starts_with("run --config "));
    assert_eq!(read(&file), config.expose());
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(read(&root.path().join("quit")), "quit\n");
    assert_eq!(read(&root.path().join("off")), "off\n");
}

#[test]
fn a_server_that_joins_sends_its_word_and_keeps_what_it_gets() {
    let root = tempfile::tempdir().unwrap();
    let word = Secret::new("w0rd");
    let boots = Boot::Join {
        url: "http://scaler:1/",
        word: &word,
    };
    let script = user_data(&boots, soon(2), Duration::from_secs(20)).unwrap();
    let fetcher = format!(
        "echo \"$@\" > {0}/asked\ncat {0}/var/lib/muster/word > {0}/sent\necho 'concurrent = 1'",
        root.path().display()
    );
    boot(&script, root.path(), &fetcher);
    let file = root.path().join("etc/gitlab-runner/config.toml");
    assert_eq!(read(&file), "concurrent = 1\n");
    let sent = read(&root.path().join("sent"));
    let (word, number) = sent.split_once(' ').unwrap();
    assert_eq!((word, number.len()), ("w0rd", 32));
    let asked = read(&root.path().join("asked"));
    assert!(
        asked.trim_end().ends_with("http://scaler:1/join"),
        "{asked}"
    );
    assert!(!asked.contains("w0rd"), "{asked}");
    assert_eq!(read(&root.path().join("off")), "off\n");
    assert!(!root.path().join("var/lib/muster/word").exists());
}

#[test]
fn user_data_that_is_too_long_is_refused() {
    let config = Secret::new("x".repeat(40_000));
    let error = user_data(&Boot::Config(&config), soon(1), Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("join_url"), "{error}");
    let config = Secret::new("x".repeat(30_000));
    user_data(&Boot::Config(&config), soon(1), Duration::ZERO).unwrap();
}

#[test]
fn what_a_pool_says_of_its_runners_is_filled_in() {
    let pool = PoolConfig {
        runner_config: "{{name}} {{slots}} {{url}} {{token}}".to_owned(),
        ..PoolConfig::default()
    };
    let config = runner_config(&pool, &server(), "https://g", &Secret::new("t"));
    assert_eq!(config.expose(), "p-1 4 https://g t");
}
