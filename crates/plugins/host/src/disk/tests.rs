use std::sync::Arc;

use super::*;
use crate::testing::{Host, Run, check, gather_live};

const GIB: u64 = 1 << 30;

fn space(total: u64) -> Space {
    let quarter = total / 4;
    Space {
        total,
        free: quarter,
        used: quarter,
        inodes_total: 100,
        inodes_free: 75,
    }
}

/// A host's mounts, with sizes made up: the `/proc` has none.
fn run(options: &str, host: &Host) -> Run {
    let options: Disk = Disk::parse(&toml::from_str(options).unwrap()).unwrap();
    let prober = Prober::asking(Arc::new(|path| match path.to_str() {
        Some("/proc") => Ok(Space::default()),
        Some("/locked" | "/host/locked") => Err(io::ErrorKind::PermissionDenied.into()),
        Some("/broken") => Err(io::Error::other("input/output error")),
        _ => Ok(space(4 * GIB)),
    }));
    Run::of(Box::new(DiskInput {
        options,
        roots: host.roots(),
        prober,
        buffer: Vec::new(),
    }))
}

const FIELDS: &str = "total=4294967296u,free=1073741824u,used=1073741824u,used_percent=50,\
    inodes_total=100u,inodes_free=75u,inodes_used=25u,inodes_used_percent=25";

fn lines(tags: &[&str]) -> Vec<String> {
    tags.iter()
        .map(|tags| format!("disk,{tags} {FIELDS}"))
        .collect()
}

const ALL: [&str; 6] = [
    "device=sda1,fstype=ext4,mode=rw,path=/",
    "device=tmpfs,fstype=tmpfs,mode=rw,path=/run",
    "device=dm-0,fstype=xfs,label=vg-data,mode=rw,path=/srv/my\\ data",
    "device=sda1,fstype=ext4,mode=ro,path=/mnt/part",
    "device=nas:/export,fstype=nfs4,mode=rw,path=/mnt/nas",
    "device=sda1,fstype=ext4,mode=rw,path=/broken",
];

#[test]
fn reports_all_mounts_that_have_a_size() {
    let host = Host::server();
    let mut want = lines(&ALL[..5]);
    want.push("report: read the size of /broken: input/output error".into());
    assert_eq!(run("", &host).gather(), want);
}

#[test]
fn leaves_out_what_the_options_say() {
    let host = Host::server();
    let gather = |options| run(options, &host).gather();
    assert_eq!(gather("mount_points = ['/', '/none']"), lines(&ALL[..1]));
    let got = gather("ignore_fs = ['tmpfs', 'nfs4']\nignore_mount_opts = ['bind', 'noexec']");
    assert_eq!(got[..got.len() - 1], lines(&[ALL[0], ALL[2]]));
    // What is named is reported even if it is only that it may not be looked at.
    assert_eq!(
        gather("mount_points = ['/locked']"),
        ["report: read the size of /locked: permission denied"]
    );
}

#[test]
fn finds_the_mounts_of_a_host_below_a_prefix() {
    let host = Host::server().write(
        "proc/1/mountinfo",
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /host/home rw - ext4 /dev/sda2 rw\n",
    );
    let mut run = run("mount_points = ['/', '/home']", &host);
    let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let ask = move |path: &Path| {
        seen.lock().push(path.to_owned());
        Ok(space(4 * GIB))
    };
    run.replace(Box::new(DiskInput {
        options: Disk::default(),
        roots: host.roots().with_mount_prefix("/host"),
        prober: Prober::asking(Arc::new(ask)),
        buffer: Vec::new(),
    }));
    assert_eq!(
        run.gather(),
        lines(&[ALL[0], "device=sda2,fstype=ext4,mode=rw,path=/home"])
    );
    assert_eq!(
        *asked.lock(),
        [Path::new("/host/"), Path::new("/host/home")]
    );
}

#[test]
fn a_dead_mount_holds_nothing_up() {
    let host = Host::server();
    let (revive, dead) = std::sync::mpsc::channel::<()>();
    let dead = parking_lot::Mutex::new(dead);
    let ask = move |path: &Path| {
        if path == Path::new("/mnt/nas") {
            // Answers when the test says so, or ends with it.
            dead.lock().recv().ok();
        }
        Ok(space(4 * GIB))
    };
    let mut run = Run::of(Box::new(DiskInput {
        options: Disk::parse(&toml::from_str("ignore_fs = ['tmpfs']").unwrap()).unwrap(),
        roots: host.roots(),
        prober: Prober::asking(Arc::new(ask)),
        buffer: Vec::new(),
    }));
    run.timeout = std::time::Duration::from_millis(800);
    let alive = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.starts_with("disk,"))
            .count()
    };
    for _ in 0..3 {
        let got = run.gather();
        assert_eq!(alive(&got), 6, "{got:?}");
        let report = got.last().unwrap();
        assert!(
            report.starts_with("report: read the size of /mnt/nas: no answer for"),
            "{report}"
        );
    }
    assert_eq!(run.blocking_threads(), 1, "a single thread waits for it");
    revive.send(()).unwrap();
    run.until(|run| run.blocking_threads() == 0);
    revive.send(()).unwrap();
    assert_eq!(alive(&run.gather()), 7);
}

#[test]
fn falls_back_to_its_own_mounts_and_says_when_there_are_none() {
    let own = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
    let host = Host::server()
        .remove("proc/1/mountinfo")
        .write("proc/self/mountinfo", own);
    assert_eq!(run("", &host).gather(), lines(&ALL[..1]));
    let host = host.remove("proc/self");
    let error = "error: read /proc/self/mountinfo: No such file or directory (os error 2)";
    check(build, "", &host, &[error]);
}

#[test]
fn reads_the_mounts_of_this_machine() {
    let (batch, _) = gather_live(build, "mount_points = ['/']");
    let metric = batch.iter().next().unwrap();
    let field = |name| metric.field(name).unwrap().as_f64().unwrap();
    assert_eq!(metric.tag("path"), Some("/"));
    assert!(field("total") > 0.0 && field("used") + field("free") <= field("total"));
    assert!((0.0..=100.0).contains(&field("used_percent")));
}
