use proptest::prelude::*;

use super::*;
use crate::testing::{Host, check, gather_live};

const ETH0: &str = "net,interface=eth0 bytes_sent=900u,bytes_recv=100u,packets_sent=10u,\
    packets_recv=2u,err_in=3u,err_out=11u,drop_in=4u,drop_out=12u,speed=1000i";
const ETH1: &str = "net,interface=eth1 bytes_sent=0u,bytes_recv=0u,packets_sent=0u,\
    packets_recv=0u,err_in=0u,err_out=0u,drop_in=0u,drop_out=0u,speed=-1i";
const LO: &str = "net,interface=lo bytes_sent=7u,bytes_recv=7u,packets_sent=1u,packets_recv=1u,\
    err_in=0u,err_out=0u,drop_in=0u,drop_out=0u,speed=-1i";
const ALL: &str = "net,interface=all ip_forwarding=2i,ip_defaultttl=64i,icmpmsg_intype3=5i,\
    tcp_rtoalgorithm=1i,tcp_maxconn=-1i,udp_noports=9i";

#[test]
fn reports_interfaces_that_are_up_and_protocols() {
    check(build, "", &Host::server(), &[ETH0, ALL]);
    check(
        build,
        "ignore_protocol_stats = true",
        &Host::server(),
        &[ETH0],
    );
}

#[test]
fn reports_what_is_named_whatever_its_state() {
    let options = "interfaces = ['lo', 'eth[1-9]', 'ppp*']\nignore_protocol_stats = true";
    check(build, options, &Host::server(), &[LO, ETH1]);
}

#[test]
fn does_without_sys_and_protocols() {
    let host = Host::server().remove("sys/class").remove("proc/net/snmp");
    let unknown = ETH0.replace("speed=1000i", "speed=-1i");
    check(build, "", &host, &[&unknown, ETH1]);
    let host = host.remove("proc/net");
    check(
        build,
        "",
        &host,
        &["error: read /proc/net/dev: No such file or directory (os error 2)"],
    );
}

#[test]
fn reads_this_machine() {
    let (batch, reports) = gather_live(build, "interfaces = ['lo']");
    assert!(reports.is_empty(), "{reports:?}");
    let names: Vec<_> = batch
        .iter()
        .map(|metric| metric.tag("interface").unwrap())
        .collect();
    assert_eq!(names, ["lo", "all"]);
}

proptest! {
    #[test]
    fn never_panics(text in "([a-z:]{0,5}:?( [-0-9]{1,22}){0,17}\n?){0,6}|\\PC{0,50}") {
        parser::interfaces(&text).for_each(|interface| { interface.fields().count(); });
        parser::counters(&text).count();
        parser::hexadecimal(&text);
    }
}
