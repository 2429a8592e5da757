use muster_plugin::{Build, FormatUse, Options, PluginRow};

use super::*;

const ROW: PluginRow = PluginRow {
    name: "redis",
    summary: "checks whether Redis servers are alive",
    options: RedisCheckOptions::describe,
    format: FormatUse::None,
    build: Build::Service(|cx| Ok(Box::new(RedisCheck::build(cx)?))),
};

fn build(options: &str) -> Built<RedisCheck> {
    let table = toml::from_str(options).unwrap();
    RedisCheck::build(&BuildContext::new(&ROW, &table)?)
}

#[test]
fn reads_servers() {
    let check = |text: &str, want: &str| {
        let got = read_target(text).map(|target| target.to_string());
        assert_eq!(got.as_deref(), Ok(want), "{text}");
    };
    check("127.0.0.1:6380", "127.0.0.1:6380");
    check("tcp://redis.example:6380", "redis.example:6380");
    check("redis.example", "redis.example:6379");
    check("[::1]", "[::1]:6379");
    check("[::1]:7000", "[::1]:7000");
    check("unix:///run/redis.sock", "/run/redis.sock");
    check("/run/redis.sock", "/run/redis.sock");
    for wrong in ["", "unix://", "::1", "host:port", "host:0", ":6379"] {
        assert!(read_target(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let errors = build(options).expect_err("options that are wrong");
        let got: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(got.join("\n").contains(want), "{options}: {got:?}");
    };
    check("servers = ['a:b']", "servers[0]");
    check("interval = '1ms'", "interval");
    check("timeout = '2s'", "timeout");
    check("rise = 0", "rise");
    check("down_on = ['hung']", "unknown reason \"hung\"");
    check("checks = 'all'", "possible are ping, info, replication");
    check("discover = 'clusters'", "is no source");
    check("discover = 'cluster'", "needs servers to ask");
    check("discover = '/etc/*/x'", "not its folder");
    check("discover_interval = '1ms'", "discover_interval");
    check("username = 'probe'", "a user needs a password");
    check("tls_min_version = 'x'", "tls_min_version");
    check("server = ['a']", "unknown option `server`");
    assert!(build("down_on = ['busy']\npassword = 'x'\nusername = 'y'").is_ok());
}

#[test]
fn what_is_only_asked_is_not_checked() {
    let check = |options: &str, want: &[&str]| {
        let built = build(options).unwrap();
        let named = read_target("10.0.0.9").unwrap();
        let found = Found::from([(named, Some("shop".to_owned()))]);
        let got = built.selection.checked(&found);
        let got: Vec<String> = got
            .iter()
            .map(|i| format!("{} {}", i.target, i.cluster))
            .collect();
        assert_eq!(got, want, "{options}");
    };
    check("", &["127.0.0.1:6379 ", "10.0.0.9:6379 shop"]);
    check("discover = 'processes'", &["10.0.0.9:6379 shop"]);
    let asked = "servers = ['10.0.0.1:26379']\ndiscover = 'sentinel'";
    check(asked, &["10.0.0.9:6379 shop"]);
    check(&format!("{asked}\ncluster = 'x'"), &["10.0.0.9:6379 x"]);
}
