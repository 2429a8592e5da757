use proptest::prelude::*;

use super::*;
use crate::testing::{Host, check};

const LEGACY: &str = "system load1=0.42,load5=0.36,load15=0.3,n_users=3i,n_unique_users=2i,n_cpus=2i,n_physical_cpus=1i";

fn utmp(records: &[(i16, &str)]) -> Vec<u8> {
    let record = |(kind, name): &(i16, &str)| {
        let mut bytes = vec![0; 384];
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        bytes[44..44 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    };
    records.iter().flat_map(record).collect()
}

fn host() -> Host {
    let logins = utmp(&[
        (2, "reboot"),
        (7, "ada"),
        (7, "grace"),
        (8, "gone"),
        (7, "ada"),
    ]);
    Host::server().write("run/utmp", logins)
}

#[test]
fn reports_three_metrics() {
    let uptime = [
        "system uptime=1249620u",
        "system uptime_format=\"14 days, 11:07\"",
    ];
    check(build, "", &host(), &[LEGACY, uptime[0], uptime[1]]);
    let without = LEGACY.replace("n_users=3i,n_unique_users=2i,", "");
    check(
        build,
        "",
        &Host::server(),
        &[&without, uptime[0], uptime[1]],
    );
}

#[test]
fn reports_what_is_chosen_in_one_metric() {
    check(
        build,
        "include = ['uptime', 'load', 'cpus']",
        &host(),
        &["system load1=0.42,load5=0.36,load15=0.3,n_cpus=2i,n_physical_cpus=1i,uptime=1249620u"],
    );
    let arch = rustix::system::uname()
        .machine()
        .to_string_lossy()
        .into_owned();
    check(
        build,
        "include = ['os']",
        &host(),
        &[&format!(
            "system os=\"linux\",arch=\"{arch}\",platform=\"raspbian\",platform_family=\"debian\",\
         platform_version=\"13\",kernel_version=\"6.12.1-test\""
        )],
    );
}

#[test]
fn reports_what_the_machine_says_of_itself() {
    let host = host()
        .write("sys/class/dmi/id/sys_vendor", "Example\n")
        .write("sys/class/dmi/id/chassis_type", "23\n");
    check(
        build,
        "include = ['dmi']",
        &host,
        &[concat!(
            "system bios_vendor=\"\",bios_version=\"\",bios_date=\"\",board_vendor=\"\",",
            "board_product=\"\",board_version=\"\",board_serial=\"\",board_asset_tag=\"\",",
            "chassis_vendor=\"\",chassis_type_code=\"23\",chassis_type=\"Rack Mount Chassis\",",
            "chassis_version=\"\",chassis_serial=\"\",chassis_asset_tag=\"\",",
            "product_vendor=\"Example\",product_name=\"\",product_family=\"\",product_version=\"\",",
            "product_serial=\"\",product_sku=\"\",product_uuid=\"\"",
        )],
    );
}

#[test]
fn what_is_missing_does_not_stop_the_rest() {
    let host = Host::server()
        .remove("proc/loadavg")
        .write("proc/uptime", "soon\n");
    check(
        build,
        "",
        &host,
        &[
            "system n_cpus=2i,n_physical_cpus=1i",
            "report: read /proc/loadavg: No such file or directory (os error 2)",
            "report: read the uptime: its form is not known",
        ],
    );
}

#[test]
fn counts_cores_by_any_means() {
    let cores = |host: &Host| {
        check(
            build,
            "include = ['cpus']",
            host,
            &["system n_cpus=2i,n_physical_cpus=2i"],
        );
    };
    // Without topology the processors' own description counts, and without that every processor.
    let host = Host::server().remove("sys/devices");
    cores(&host);
    cores(&host.remove("proc/cpuinfo"));
}

#[test]
fn refuses_an_empty_choice() {
    let table = toml::from_str("include = []").unwrap();
    assert_eq!(
        build(&table, Roots::from_env()).err().unwrap()[0].path,
        "include"
    );
}

#[test]
fn formats_uptime() {
    for (seconds, text) in [
        (59, " 0:00"),
        (3 * 3600 + 300, " 3:05"),
        (86_400 + 36_000, "1 day, 10:00"),
    ] {
        assert_eq!(parser::format_uptime(seconds), text);
    }
}

#[test]
fn knows_families() {
    for (id, like, family) in [
        ("debian", "", "debian"),
        ("pop", "ubuntu debian", "debian"),
        ("rocky", "rhel", "rhel"),
        ("x", "y", "x"),
    ] {
        assert_eq!(about::family(id, like), family);
    }
}

proptest! {
    #[test]
    fn never_panics(
        text in "((cpu[0-9]|core id\t:|physical id:|ID=)?[-0-9. a\"]{0,12}\n?){0,9}",
        bytes in proptest::collection::vec(any::<u8>(), 0..900),
    ) {
        parser::loadavg(&text);
        parser::uptime(&text);
        parser::count_cpus(&text);
        parser::count_cores(&text);
        about::os_release(&text, "ID");
        about::chassis(&text);
        let users = parser::users(&bytes);
        prop_assert!(users.names <= users.logins);
    }
}
