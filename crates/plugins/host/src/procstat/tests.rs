use muster_metric::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::testing::{Host, Run, check, gather_live};

/// Adds a process that runs since the given second after boot.
fn process(host: Host, pid: u32, parent: u32, name: &str, ticks: u64) -> Host {
    let dir = format!("proc/{pid}");
    let stat = format!(
        "{pid} ({name}) S {parent} 9 9 0 -1 0 11 12 13 14 {ticks} 50 7 8 20 5 3 0 1000 0 0 0 \
         0 0 0 0 0 0 0 0 0 0 0 0 17 0 2 0 25 0 0\n"
    );
    let status = format!(
        "Name:\t{name}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nVmSize:\t8000 kB\nVmLck:\t0 kB\n\
         VmRSS:\t4000 kB\nVmData:\t2000 kB\nVmStk:\t132 kB\nVmSwap:\t16 kB\n\
         ShdPnd:\t0000000000000402\nvoluntary_ctxt_switches:\t21\n\
         nonvoluntary_ctxt_switches:\t22\n",
        uid = if pid < 100 { 0 } else { 1000 }
    );
    host.write(&format!("{dir}/stat"), stat)
        .write(&format!("{dir}/status"), status)
        .write(
            &format!("{dir}/cmdline"),
            format!("/usr/bin/{name}\0--id\0{pid}\0"),
        )
        .write(&format!("{dir}/fd/0"), "")
        .write(&format!("{dir}/fd/1"), "")
        .link(&format!("{dir}/exe"), &format!("/usr/bin/{name}"))
}

fn host() -> Host {
    let host = Host::server().write(
        "etc/passwd",
        "root:x:0:0::/:/bin/sh\nada:x:1000:1000::/:/x\n",
    );
    let host = process(host, 50, 1, "webd", 100);
    let host = process(host, 51, 50, "worker", 100);
    let host = process(host, 120, 51, "helper", 100);
    let host = host.write("proc/50/cgroup", "0::/system.slice/web.service\n");
    host.write(
        "proc/51/cgroup",
        "1:cpu:/\n0::/system.slice/web.service/inner\n",
    )
}

/// The tags of the processes and groups that are found.
fn tags(options: &str, host: &Host) -> Vec<String> {
    let lines = Run::new(build, &format!("properties = []\n{options}"), host).gather();
    let tags = |line: &String| match split(line) {
        Some((tags, fields)) if tags.starts_with("procstat_lookup") => {
            let tags = tags.strip_prefix("procstat_lookup,").unwrap();
            format!("{tags} {}", fields.split_once(',').unwrap().0)
        }
        Some((tags, _)) if tags.starts_with("procstat") => tags.to_owned(),
        _ => line.clone(),
    };
    lines.iter().map(tags).collect()
}

/// At the first space that is not escaped.
fn split(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    let at = (1..bytes.len()).find(|at| bytes[*at] == b' ' && bytes[at - 1] != b'\\')?;
    Some((&line[..at], &line[at + 1..]))
}

const BASICS: &str = "pid=50i,ppid=1i,status=\"sleep\",num_threads=3i,num_fds=2i,\
    voluntary_context_switches=21i,involuntary_context_switches=22i,minor_faults=11u,\
    major_faults=13u,child_minor_faults=12u,child_major_faults=14u,\
    created_at=1700000010000000000i";

#[test]
fn reports_all_properties() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
        Max cpu time              unlimited            unlimited            seconds\n\
        Max open files            1024                 4096                 files\n\
        Max realtime timeout      1                    1                    us\n";
    let host = host()
        .write("proc/50/limits", limits)
        .write(
            "proc/50/io",
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n",
        )
        .write(
            "proc/50/smaps_rollup",
            "1-2 ---p [rollup]\nRss: 4000 kB\nPss:  10 kB\nAnonymous: 2 kB\n",
        );
    check(
        build,
        "exe = '^webd$'",
        &host,
        &[
            &format!(
                "procstat,exe=^webd$,process_name=webd {BASICS},read_count=3u,write_count=4u,\
             read_bytes=1u,write_bytes=2u,disk_read_bytes=5u,disk_write_bytes=6u,\
             cpu_time_user=1,cpu_time_system=0.5,cpu_time_iowait=0.25,cpu_time=1u,\
             nice_priority=15i,realtime_priority=2u,signals_pending=2u,\
             rlimit_cpu_time_soft=18446744073709551615u,\
             rlimit_cpu_time_hard=18446744073709551615u,rlimit_num_fds_soft=1024u,\
             rlimit_num_fds_hard=4096u,memory_rss=4096000u,memory_vms=8192000u,\
             memory_swap=16384u,memory_data=2048000u,memory_stack=135168u,memory_locked=0u,\
             memory_usage=0.1,memory_size=8192000u,memory_pss=10240u,memory_anonymous=2048u"
            ),
            "procstat_lookup,exe=^webd$,pid_finder=pgrep,result=success \
         pid_count=1i,running=1i,result_code=0i",
        ],
    );
}

#[test]
fn computes_usage_from_two_gathers() {
    let host = host().write("proc/uptime", "100.00 1\n");
    let options = "pid_file = '/run/web.pid'\nproperties = ['cpu']\nprefix = 'web'";
    let host = host.write("run/web.pid", "50\n");
    let mut run = Run::new(build, options, &host);
    assert!(!run.gather()[0].contains("cpu_usage"));
    // 500 ticks of ten milliseconds in ten seconds: half a processor, a quarter of two.
    let host = process(
        host.write("proc/uptime", "110.00 1\n").remove("proc/50"),
        50,
        1,
        "webd",
        600,
    );
    assert!(run.gather()[0].contains(",web_cpu_usage=50"));
    let state = run.input.state().unwrap();
    let host = process(
        host.write("proc/uptime", "120.00 1\n").remove("proc/50"),
        50,
        1,
        "webd",
        1100,
    );
    let mut solaris = Run::new(build, &format!("{options}\nmode = 'solaris'"), &host);
    solaris.input.restore(state.clone());
    assert!(solaris.gather()[0].contains(",web_cpu_usage=25"));
    // Another process with the same number starts anew, and so does a clock that went backwards.
    let _host = process(
        host.write("proc/uptime", "5.00 1\n").remove("proc/50"),
        50,
        1,
        "webd",
        1,
    );
    let mut rebooted = Run::new(build, options, &_host);
    rebooted.input.restore(state);
    assert!(!rebooted.gather()[0].contains("cpu_usage"));
}

#[test]
fn finds_processes_by_every_option() {
    let host = host();
    let lookup = |tags: &str, count: u32| format!("{tags} pid_count={count}i");
    let success = "pid_finder=pgrep,result=success";
    assert_eq!(
        tags("pattern = '--id 5'", &host),
        [
            "procstat,pattern=--id\\ 5,process_name=webd".to_owned(),
            "procstat,pattern=--id\\ 5,process_name=worker".to_owned(),
            lookup(&format!("pattern=--id\\ 5,{success}"), 2),
        ]
    );
    assert_eq!(
        tags("user = 'ada'\nprocess_name = 'x'", &host),
        [
            "procstat,process_name=x,user=ada".to_owned(),
            lookup(&format!("{success},user=ada"), 1),
        ]
    );
    assert_eq!(
        tags("systemd_unit = 'web.service'", &host),
        [
            "procstat,process_name=webd,systemd_unit=web.service".to_owned(),
            lookup(&format!("{success},systemd_unit=web.service"), 1),
        ]
    );
    assert_eq!(tags("systemd_unit = 'w*'\ninclude_systemd_children = true", &host), [
        "procstat,cgroup_full=/system.slice/web.service,process_name=webd,systemd_unit=web.service".to_owned(),
        "procstat,cgroup_full=/system.slice/web.service,process_name=worker,systemd_unit=web.service".to_owned(),
        lookup(&format!("cgroup_full=/system.slice/web.service,{success},systemd_unit=web.service"), 2),
    ]);
    let nothing = lookup("exe=none,pid_finder=native,result=success", 0);
    assert_eq!(
        tags("exe = 'none'\npid_finder = 'native'", &host),
        [nothing]
    );
    let everything = "tag_with = ['ppid', 'status', 'user', 'pid', 'cmdline']\nexe = 'helper'";
    assert_eq!(
        tags(everything, &host),
        [
            "procstat,cmdline=/usr/bin/helper\\ --id\\ 120,exe=helper,pid=120,ppid=51,\
         process_name=helper,status=sleep,user=ada"
                .to_owned(),
            lookup(&format!("exe=helper,{success}"), 1),
        ]
    );
}

#[test]
fn finds_control_groups() {
    let host = host()
        .write("sys/fs/cgroup/a.slice/x/cgroup.procs", "50\n120\n")
        .write("sys/fs/cgroup/b.slice/cgroup.procs", "51\n9999\n");
    let success = "pid_finder=pgrep,result=success";
    assert_eq!(
        tags("cgroup = 'b.slice'", &host),
        [
            "procstat,cgroup=b.slice,process_name=worker".to_owned(),
            format!("cgroup=b.slice,{success} pid_count=2i"),
        ]
    );
    let got = tags("cgroup = '?.slice/*'\nfilter = []", &host);
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got[0].contains("cgroup_full=") && got[0].contains("a.slice/x,process_name=webd"));
    assert_eq!(
        tags("cgroup = 'none'", &host),
        [
            "cgroup=none,pid_finder=pgrep,result=lookup_error pid_count=0i",
            "report: find the control group none: there is no such folder",
        ]
    );
}

#[test]
fn filters_by_several_conditions_with_children() {
    let host = host();
    let filter = "[[filter]]\nname = 'web'\npatterns = ['webd']\nusers = ['r*']\n\
        executables = ['/usr/bin/*']\nprocess_names = ['web?']\n";
    let lookup =
        |count: u32| format!("filter=web,pid_finder=pgrep,result=success pid_count={count}i");
    let all = [
        "procstat,filter=web,process_name=webd",
        "procstat,child_level=1,filter=web,parent_pid=50,process_name=worker",
        "procstat,child_level=2,filter=web,parent_pid=51,process_name=helper",
    ];
    for (depth, count) in [(0, 1), (1, 2), (-1, 3)] {
        let mut want: Vec<String> = all[..count].iter().map(|tags| (*tags).to_owned()).collect();
        want.push(lookup(count as u32));
        assert_eq!(
            tags(&format!("{filter}recursion_depth = {depth}"), &host),
            want
        );
    }
    assert_eq!(tags(&filter.replace("r*", "ada"), &host), [lookup(0)]);
}

#[test]
fn a_process_that_cannot_be_read_does_not_hide_the_others() {
    let host = host()
        .write("proc/77/stat", "nonsense")
        .write("proc/78/gone", "");
    let got = tags("exe = 'webd'", &host);
    assert_eq!(got[0], "procstat,exe=webd,process_name=webd");
    assert_eq!(
        got[2..],
        ["report: read /proc/77: the form of its stat is not known"]
    );
    let missing = "report: read a pid from /run/none.pid: the file cannot be read";
    let got = tags("pid_file = '/run/none.pid'", &host);
    assert_eq!(got[1], missing);
}

#[test]
fn says_what_is_wrong_with_the_options() {
    let check = |text: &str, want: &[&str]| {
        let errors = build(&toml::from_str(text).unwrap(), Roots::from_env())
            .err()
            .unwrap();
        let got: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(got, want);
    };
    check("", &[": no processes are chosen"]);
    check(
        "exe = '('",
        &["exe: is no regular expression: unclosed group"],
    );
    check(
        "user = 'x'\nproperties = ['sockets']",
        &["properties: `sockets` cannot be used yet"],
    );
    check(
        "exe = 'x'\nsupervisor_units = ['a']",
        &["supervisor_units: supervisor cannot be used yet"],
    );
    check(
        "[[filter]]\npatterns = ['[']\nwin_service = ['x']\nusers = ['[']",
        &[
            "filter[0].win_service: a Windows service cannot be used yet",
            "filter[0].name: must be given",
            "filter[0].users[0]: \"[\" is no pattern: a [ has no ]",
            "filter[0].patterns[0]: is no regular expression: unclosed character class",
        ],
    );
}

#[test]
fn reads_this_process() {
    let pid = std::process::id();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    std::fs::write(&file, pid.to_string()).unwrap();
    let (batch, reports) = gather_live(build, &format!("pid_file = '{}'", file.display()));
    assert!(reports.is_empty(), "{reports:?}");
    let metric = batch.iter().next().unwrap();
    let field = |name: &str| metric.field(name).and_then(|value| value.as_f64()).unwrap();
    assert_eq!(field("pid"), f64::from(pid));
    assert!(field("memory_rss") > 0.0 && field("num_fds") > 0.0 && field("num_threads") >= 1.0);
    let age = Timestamp::now().nanos() as f64 - field("created_at");
    assert!((0.0..86_400e9).contains(&age), "{age}");
}

proptest! {
    #[test]
    fn never_panics(text in "(\\PC{0,9}[(]?\\PC{0,5}[)]?( [-0-9S]{1,21}){0,50}\n?){0,3}|((Max open files|Uid:|ShdPnd:|0::) ?[-0-9a-f/ ]{0,20}\n){0,4}") {
        parser::Stat::parse(&text);
        parser::limits(&text).count();
        parser::uid(&text);
        parser::pending_signals(&text);
        parser::users(&text);
        parser::cgroups(&text).for_each(|path| { parser::unit(path); });
        parser::command_line(text.as_bytes());
    }
}
