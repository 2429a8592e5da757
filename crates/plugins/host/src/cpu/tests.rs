use proptest::prelude::*;

use super::*;
use crate::testing::{Host, Run, check, gather_live};

const FIRST: &str = "cpu  300 0 100 1600 0 0 0 0 0 0\ncpu0 200 0 50 750 0 0 0 0 0 0\n\
    cpu1 100 0 50 850 0 0 0 0 0 0\nintr 1\n";

fn stat(host: Host, text: &str) -> Host {
    host.write("proc/stat", text)
}

#[test]
fn computes_usage_from_two_gathers() {
    let host = stat(Host::server(), FIRST);
    let mut run = Run::new(build, "", &host);
    assert_eq!(run.gather(), [""; 0]);
    // Of cpu0's 200 ticks 50 were a guest's, which the kernel counts as user, too.
    let _host = stat(
        host,
        "cpu  450 10 140 1780 10 4 6 0 50 0\n\
        cpu0 300 10 80 800 10 0 0 0 50 0\ncpu1 150 0 60 980 0 4 6 0 0 0\n",
    );
    assert_eq!(
        run.gather(),
        [
            "cpu,cpu=cpu0 usage_user=25,usage_system=15,usage_idle=25,usage_nice=5,usage_iowait=5,\
         usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=25,usage_guest_nice=0",
            "cpu,cpu=cpu1 usage_user=25,usage_system=5,usage_idle=65,usage_nice=0,usage_iowait=0,\
         usage_irq=2,usage_softirq=3,usage_steal=0,usage_guest=0,usage_guest_nice=0",
            "cpu,cpu=cpu-total usage_user=25,usage_system=10,usage_idle=45,usage_nice=2.5,\
         usage_iowait=2.5,usage_irq=1,usage_softirq=1.5,usage_steal=0,usage_guest=12.5,\
         usage_guest_nice=0",
        ]
    );
    // The same counters again: no time passed, nothing to say.
    assert_eq!(run.gather(), [""; 0]);
}

#[test]
fn reports_times_and_what_is_active() {
    let options = "percpu = false\ncollect_cpu_time = true\nreport_active = true";
    check(
        build,
        options,
        &stat(Host::server(), FIRST),
        &[
            "cpu,cpu=cpu-total time_user=3,time_system=1,time_idle=16,time_nice=0,time_iowait=0,\
         time_irq=0,time_softirq=0,time_steal=0,time_guest=0,time_guest_nice=0,time_active=4",
        ],
    );
}

#[test]
fn tags_cores_and_reads_them_again_for_a_new_processor() {
    let host = stat(Host::server(), "cpu 1 1 1 1\ncpu0 1 1 1 1\n");
    let mut run = Run::new(build, "core_tags = true\ncollect_cpu_time = true", &host);
    let tags = |lines: Vec<String>| -> Vec<String> {
        lines
            .iter()
            .map(|line| line.split_once(' ').unwrap().0.to_owned())
            .collect()
    };
    assert_eq!(
        tags(run.gather()),
        ["cpu,core_id=0,cpu=cpu0,physical_id=0", "cpu,cpu=cpu-total"]
    );
    let host = stat(host, "cpu 1 1 1 1\ncpu1 1 1 1 1\n");
    assert_eq!(
        tags(run.gather()),
        ["cpu,core_id=1,cpu=cpu1,physical_id=0", "cpu,cpu=cpu-total"]
    );
    // A processor that is not described is not asked for again and again.
    let _host = stat(host, "cpu2 1 1 1 1\n");
    assert_eq!(tags(run.gather()), ["cpu,cpu=cpu2"]);
}

#[test]
fn a_processor_may_go_and_come_back() {
    let host = stat(Host::server(), "cpu0 1 0 0 1\ncpu1 1 0 0 1\n");
    let mut run = Run::new(build, "", &host);
    let names = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line[8..12].to_owned()).collect()
    };
    assert!(run.gather().is_empty());
    let host = stat(host, "cpu0 2 0 0 2\n");
    assert_eq!(names(&run.gather()), ["cpu0"]);
    let host = stat(host, "cpu0 3 0 0 3\ncpu1 2 0 0 2\n");
    assert_eq!(names(&run.gather()), ["cpu0"]);
    let _host = stat(host, "cpu0 4 0 0 4\ncpu1 3 0 0 3\n");
    assert_eq!(names(&run.gather()), ["cpu0", "cpu1"]);
}

#[test]
fn counters_that_go_backwards() {
    let host = stat(Host::server(), "cpu0 10 0 0 10 50 0 0 0 0 0\n");
    let mut run = Run::new(build, "", &host);
    assert!(run.gather().is_empty());
    // Waiting for disks may fall while the sum rises: it counts as nothing.
    let host = stat(host, "cpu0 20 0 0 60 40 0 0 0 0 0\n");
    let got = run.gather();
    assert!(
        got[0].contains("usage_user=20,") && got[0].contains("usage_iowait=0,"),
        "{got:?}"
    );
    let host = stat(host, "cpu0 1 0 0 1 1 0 0 0 0 0\n");
    let want = "report: compute the usage of cpu0: its time counters went backwards";
    assert_eq!(run.gather(), [want]);
    let _host = stat(host, "cpu0 2 0 0 2 1 0 0 0 0 0\n");
    assert_eq!(run.gather().len(), 1);
}

#[test]
fn counters_outlive_a_change_of_options() {
    let host = stat(Host::server(), FIRST);
    let mut run = Run::new(build, "", &host);
    assert!(run.gather().is_empty());
    let state = run.input.state().unwrap();
    let host = stat(
        host,
        "cpu  400 0 100 1700 0 0 0 0 0 0\ncpu0 300 0 50 850 0 0 0 0 0 0\n",
    );
    let mut changed = Run::new(build, "totalcpu = false", &host);
    changed.input.restore(state.clone());
    let got = changed.gather();
    assert!(
        got.len() == 1 && got[0].contains("usage_user=50,"),
        "{got:?}"
    );
    // After a reboot the kept counters are worth nothing, and no reason to complain.
    let host = stat(host, "cpu  1 0 0 1 0 0 0 0 0 0\n");
    let mut rebooted = Run::new(build, "", &host);
    rebooted.input.restore(state);
    rebooted.input.restore(serde_json::json!("nonsense"));
    assert_eq!(rebooted.gather(), [""; 0]);
}

#[test]
fn says_what_is_wrong() {
    let error = "error: read the processor times: it has no processor's times";
    check(build, "", &stat(Host::server(), "intr 1\n"), &[error]);
    let missing = "error: read /proc/stat: No such file or directory (os error 2)";
    check(build, "", &Host::server().remove("proc/stat"), &[missing]);
}

#[test]
fn reads_this_machine() {
    let (batch, reports) = gather_live(build, "collect_cpu_time = true\ncore_tags = true");
    assert!(reports.is_empty(), "{reports:?}");
    assert!(batch.len() >= 2);
    for metric in batch.iter() {
        assert_eq!(metric.kind(), MetricType::Counter);
        assert!(metric.field("time_idle").unwrap().as_f64().unwrap() > 0.0);
    }
}

proptest! {
    #[test]
    fn never_panics(text in "(cpu[0-9]{0,2}( [0-9-]{1,21}){0,12}\n?){0,4}|(processor|core id)\t: [0-9]{0,12}|\\PC{0,50}") {
        for (_, ticks) in parser::cpus(&text) {
            usage(&Ticks::default(), &ticks);
            usage(&ticks, &Ticks::default());
        }
        parser::cores(&text);
    }

    #[test]
    fn percentages_add_up(before in proptest::array::uniform8(0u64..1 << 40), passed in proptest::array::uniform8(0u64..1 << 30)) {
        let mut first = [0; 10];
        let mut second = [0; 10];
        for at in 0..8 {
            first[at] = before[at];
            second[at] = before[at] + passed[at];
        }
        if let Usage::Percent(percent) = usage(&Ticks(first), &Ticks(second)) {
            prop_assert!((percent.iter().sum::<f64>() - 100.0).abs() < 1e-6);
        }
    }
}
