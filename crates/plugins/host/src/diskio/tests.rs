use proptest::prelude::*;

use super::*;
use crate::testing::{Host, Run, check, gather_live};

const SDA: &str = "reads=2000u,writes=1000u,read_bytes=5120000u,write_bytes=2560000u,\
    read_time=400u,write_time=900u,io_time=700u,weighted_io_time=1300u,iops_in_progress=1u,\
    merged_reads=10u,merged_writes=20u";
const ZERO: &str = "reads=0u,writes=0u,read_bytes=0u,write_bytes=0u,read_time=0u,write_time=0u,\
    io_time=0u,weighted_io_time=0u,iops_in_progress=0u,merged_reads=0u,merged_writes=0u";

#[test]
fn reports_every_device() {
    check(
        build,
        "",
        &Host::server(),
        &[
            &format!("diskio,name=loop0 {ZERO}"),
            &format!("diskio,name=sda {SDA}"),
            &format!("diskio,name=sda1 {ZERO}"),
            &format!("diskio,name=dm-0 {ZERO}"),
        ],
    );
}

#[test]
fn chooses_by_pattern_and_link() {
    let both = [
        format!("diskio,name=sda1 {ZERO}"),
        format!("diskio,name=dm-0 {ZERO}"),
    ];
    let both = [both[0].as_str(), both[1].as_str()];
    let options = "devices = ['sd?1', '/dev/mapper/vg-data', '/dev/none']";
    check(build, options, &Host::server(), &both);
    let table = toml::from_str("devices = ['[a']").unwrap();
    assert_eq!(
        build(&table, Roots::from_env()).err().unwrap()[0].path,
        "devices[0]"
    );
}

#[test]
fn names_and_tags_by_what_udev_knows() {
    let options = "devices = ['sda', 'dm-0']\nskip_serial_number = false\n\
        device_tags = ['ID_BUS', 'DEVTYPE', 'NONE']\nname_templates = ['$DM_VG_NAME/${DM_LV_NAME}']";
    check(
        build,
        options,
        &Host::server(),
        &[
            &format!("diskio,DEVTYPE=disk,ID_BUS=ata,name=sda,serial=Example_Disk_4711 {SDA}"),
            &format!("diskio,DEVTYPE=disk,name=vg/data,serial=unknown {ZERO}"),
        ],
    );
}

#[test]
fn computes_rates_from_the_second_gather_on() {
    let host = Host::server();
    let table = "devices = ['sda']";
    let mut run = Run::new(build, table, &host);
    assert_eq!(run.gather().len(), 1);
    // Ten seconds later: 100 reads that took 300 ms, the device busy for 250 ms.
    let host = host.write(
        "proc/diskstats",
        "8 0 sda 2100 10 10000 700 1000 20 5000 900 0 950 1600 0 0 0 0 0 0\n",
    );
    run.pass(10);
    let got = run.gather();
    assert_eq!(
        got[1],
        "diskio,name=sda io_util=2.5,io_await=3,io_svctm=2.5"
    );
    // The counters outlive a change of options.
    let mut changed = Run::new(build, "devices = ['sd*']", &host);
    changed.input.restore(run.input.state().unwrap());
    changed.pass(20);
    assert_eq!(changed.gather()[1], "diskio,name=sda io_util=0");
    // A device that came back counts from zero again.
    let _host = host.write("proc/diskstats", "8 0 sda 1 0 0 0 0 0 0 0 0 0 0\n");
    changed.pass(10);
    assert_eq!(changed.gather().len(), 1);
}

#[test]
fn templates() {
    for (text, want) in [
        ("$A", Some("1")),
        ("x-${A}y$B", Some("x-1y2")),
        ("$A$C", None),
        ("$$A", Some("$1")),
        ("${A", Some("${A")),
        ("5$", Some("5$")),
        ("plain", Some("plain")),
    ] {
        let device = Device::default().with([("A", "1"), ("B", "2")]);
        assert_eq!(
            Template::parse(text).fill(&device).as_deref(),
            want,
            "{text}"
        );
    }
}

#[test]
fn reads_this_machine() {
    let (batch, reports) = gather_live(build, "skip_serial_number = false");
    assert!(reports.is_empty(), "{reports:?}");
    for metric in batch.iter() {
        assert!(metric.tag("name").is_some() && metric.tag("serial").is_some());
        assert_eq!(metric.fields().len(), 11);
    }
}

proptest! {
    #[test]
    fn never_panics(text in "([0-9]{1,3} [0-9] [a-z]{0,3}( [0-9-]{1,22}){0,12}\n?){0,4}", name in "\\PC{0,20}|[$A{}]{0,9}") {
        let zero = Stats::default();
        for line in parser::devices(&text) {
            line.stats.fields();
            line.stats.rates(&zero, 1.0);
            zero.rates(&line.stats, 1.0);
        }
        Template::parse(&name);
        names::properties(&text, &name);
    }
}
