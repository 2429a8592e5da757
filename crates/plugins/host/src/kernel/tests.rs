use proptest::prelude::*;

use super::*;
use crate::testing::{Host, check};

const COUNTERS: &str = "kernel interrupts=4100000i,context_switches=9800000i,\
    boot_time=1700000000i,processes_forked=52000i,entropy_avail=256i";

#[test]
fn reports_the_counters() {
    check(build, "", &Host::server(), &[COUNTERS]);
}

#[test]
fn reports_merged_pages_and_pressure_on_request() {
    let ksm = format!(
        "{COUNTERS},ksm_full_scans=3i,ksm_pages_shared=100i,ksm_pages_sharing=700i,ksm_run=1i"
    );
    check(
        build,
        "collect = ['ksm', 'psi']",
        &Host::server(),
        &[
            ksm.as_str(),
            "pressure,resource=cpu,type=some avg10=1.5,avg60=0.75,avg300=0.25",
            "pressure,resource=cpu,type=some total=471350i",
            "pressure,resource=memory,type=some avg10=0,avg60=0,avg300=0",
            "pressure,resource=memory,type=some total=1200i",
            "pressure,resource=memory,type=full avg10=0,avg60=0,avg300=0",
            "pressure,resource=memory,type=full total=800i",
            "report: read /proc/pressure/io: No such file or directory (os error 2)",
        ],
    );
}

#[test]
fn does_without_files_that_containers_lack() {
    let host = Host::server().remove("proc/sys").remove("sys/kernel");
    let counters = COUNTERS.strip_suffix(",entropy_avail=256i").unwrap();
    check(
        build,
        "collect = ['ksm']",
        &host,
        &[
            counters,
            "report: read /sys/kernel/mm/ksm: entity not found",
        ],
    );
}

#[test]
fn refuses_unknown_extras() {
    let table = toml::from_str("collect = ['kms']").unwrap();
    let errors = build(&table, Roots::from_env()).err().unwrap();
    assert_eq!(
        errors[0].to_string(),
        "collect[0]: unknown value \"kms\"; possible are ksm, psi"
    );
}

proptest! {
    #[test]
    fn never_panics(text in "((intr|ctxt|page|btime|some|full|avg10=|total=)? ?[-0-9.a=]{0,22}\n?){0,9}") {
        parser::counters(&text).count();
        parser::stalls(&text).count();
    }
}
