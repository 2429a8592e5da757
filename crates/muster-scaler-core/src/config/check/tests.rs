//! A mistake each.

use super::*;

const GOOD: &str = r#"
owner = "muster-1"
[gitlab]
url = "https://gitlab.example.com"
token = "glpat-secret"
projects = ["group/project"]
[[pool]]
name = "docker"
match_tags = ["docker"]
[[pool.provider]]
kind = "exec"
boot_timeout = "2m"
command = ["hidden-word"]
"#;

fn read(text: &str) -> Result<Config, Vec<OptionError>> {
    Config::read(&toml::from_str(text).unwrap())
}

/// What is reported when `from` is replaced in the good configuration.
fn check(from: &str, to: &str, path: &str, message: &str) {
    assert!(GOOD.contains(from), "{from}");
    let errors = read(&GOOD.replace(from, to)).unwrap_err();
    let found = errors
        .iter()
        .any(|e| e.path == path && e.message.contains(message));
    assert!(found && errors.len() == 1, "{to}: {errors:?}");
}

#[test]
fn a_good_one_has_no_problems() {
    let config = read(GOOD).unwrap();
    let provider = &config.pool[0].provider[0];
    assert_eq!(provider.common.kind, "exec");
    assert_eq!(provider.common.boot_timeout.as_secs(), 120);
    assert!(provider.table.contains_key("command"));
}

#[test]
fn neither_tokens_nor_a_providers_options_are_shown() {
    let config = read(GOOD).unwrap();
    let shown = format!("{config:?}{}", serde_json::to_string(&config).unwrap());
    assert!(
        !shown.contains("glpat-secret") && !shown.contains("hidden-word"),
        "{shown}"
    );
}

#[test]
fn every_mistake_at_the_top_has_its_path() {
    let top = "owner = \"muster-1\"";
    let with = |line: &str| format!("{top}\n{line}");
    check(top, "", "owner", "name the owner");
    check(top, "owner = \"a b\"", "owner", "at most 40");
    check(top, &with("tick = '10m'"), "tick", "from 1s to 5m");
    check(
        top,
        &with("list_every = '0s'"),
        "list_every",
        "from 1s to 10m",
    );
    check(
        top,
        &with("long_polling = '1h'"),
        "long_polling",
        "from 1s to 10m",
    );
    check(
        top,
        &with("listen = 'here'"),
        "listen",
        "an address and a port",
    );
    check(
        top,
        &with("join_url = 'http://x'"),
        "join_url",
        "nothing listens",
    );
    check(top, &with("moed = 'on'"), "moed", "unknown option");
    check(top, &with("mode = 'of'"), "mode", "unknown value");
    check(
        top,
        &with("prometheus.url = 'ftp://x'"),
        "prometheus.url",
        "http://",
    );
    check(
        top,
        &with("prometheus.min_coverage = 1.5"),
        "prometheus.min_coverage",
        "from 0 to 1",
    );
    check(
        top,
        &with("prometheus.min_coverage = nan"),
        "prometheus.min_coverage",
        "from 0 to 1",
    );
    check(
        top,
        &with("prometheus.max_age = 0"),
        "prometheus.max_age",
        "from 1s",
    );
    check(
        top,
        &with("prometheus.timeout = '5m'"),
        "prometheus.timeout",
        "to 1m",
    );
    let both = with("prometheus.bearer_token = 'x'\nprometheus.username = 'y'");
    check(top, &both, "prometheus.bearer_token", "either this");
    assert_eq!(read("owner = 'x'").unwrap_err()[0].path, "pool");
    assert!(read("mode = 'off'").is_ok());
}

#[test]
fn every_mistake_of_gitlab_has_its_path() {
    let token = "token = \"glpat-secret\"";
    let with = |line: &str| format!("{token}\n{line}");
    check(token, "", "gitlab.token", "is needed");
    check(
        token,
        &with("token_file = '/x'"),
        "gitlab.token_file",
        "either this",
    );
    check(token, &with("poll = '0s'"), "gitlab.poll", "from 1s");
    check(
        token,
        &with("timeout = '0s'"),
        "gitlab.timeout",
        "from 100ms",
    );
    check(
        token,
        &with("runner_type = 'x'"),
        "gitlab.runner_type",
        "must be",
    );
    check(
        token,
        &with("runner_type = 'group_type'"),
        "gitlab.runner_scope",
        "the ID",
    );
    check(
        "https://gitlab.example.com",
        "gitlab",
        "gitlab.url",
        "http://",
    );
    check(
        "projects = [\"group/project\"]",
        "",
        "gitlab.projects",
        "name the projects",
    );
}

#[test]
fn every_mistake_of_a_pool_has_its_path() {
    let name = "name = \"docker\"";
    let with = |line: &str| format!("{name}\n{line}");
    let pool = |line: &str, path: &str, message: &str| {
        check(name, &with(line), &format!("pool[0].{path}"), message);
    };
    check(name, "name = 'a b'", "pool[0].name", "1 to 30");
    check(
        "match_tags = [\"docker\"]",
        "",
        "pool[0].match_tags",
        "no job matches",
    );
    check(
        "[\"docker\"]",
        "['a,b']",
        "pool[0].match_tags[0]",
        "no comma",
    );
    pool("slots_per_server = 0", "slots_per_server", "from 1");
    pool("max_servers = 2000", "max_servers", "to 1000");
    pool("headroom = -1.0", "headroom", "from 0 to 10");
    pool("headroom = inf", "headroom", "from 0 to 10");
    pool("hard_ttl = '1m'", "hard_ttl", "from 10m");
    pool("min_life = '30h'", "min_life", "to 24h");
    pool("drain_deadline = '1m'", "drain_deadline", "from 3m");
    pool("billing_quantum = '2d'", "billing_quantum", "to 24h");
    pool("target_wait_p95 = 0", "target_wait_p95", "from 1s");
    pool("pending_query = 'x'", "pending_query", "reduced mode");
    pool(
        "rate.create_per_minute = 0",
        "rate.create_per_minute",
        "from 1",
    );
    pool(
        "rate.delete_per_minute = 0",
        "rate.delete_per_minute",
        "from 1",
    );
    pool("overload.calm = '2d'", "overload.calm", "to 24h");
    pool(
        "overload.cpu_pressure = { above = 1.5, for = '1m' }",
        "overload.cpu_pressure.above",
        "at most 1",
    );
    pool(
        "overload.memory_stall = { above = 0.0, for = '1m' }",
        "overload.memory_stall.above",
        "above 0",
    );
    pool(
        "overload.relief_time = '1s'",
        "overload.relief_time",
        "from 1m",
    );
    pool(
        "overload = { relief = 'pause-host', relief_hosts = 0 }",
        "overload.relief_hosts",
        "from 1",
    );
    pool(
        "budget.server_hours_per_day = -1.0",
        "budget.server_hours_per_day",
        "not below 0",
    );
    pool(
        "budget.money_per_month = 10.0",
        "budget.money_per_month",
        "price_per_hour",
    );
    pool(
        "schedule = [{ cron = '* *', warm = 1 }]",
        "schedule[0].cron",
        "2 fields",
    );
    pool("schedule = [{ warm = 1 }]", "schedule[0].cron", "when");
    pool(
        "schedule = [{ cron = '* * * * *' }]",
        "schedule[0]",
        "set `warm`",
    );
    pool(
        "schedule = [{ cron = '* * * * *', timezone = 'X/Y', warm = 1 }]",
        "schedule[0].timezone",
        "no time zone",
    );
    pool(
        "schedule = [{ cron = '* * * * *', headroom = 11.0 }]",
        "schedule[0].headroom",
        "to 10",
    );
    pool(
        "schedule = [{ cron = '* * * * *', max_servers = 1001 }]",
        "schedule[0].max_servers",
        "to 1000",
    );
    pool("slots = 1", "slots", "unknown option");
}

#[test]
fn every_mistake_of_a_provider_has_its_path() {
    let kind = "kind = \"exec\"";
    let provider = |to: &str, option: &str, message: &str| {
        check(kind, to, &format!("pool[0].provider[0].{option}"), message);
    };
    provider("", "kind", "which kind");
    provider(
        "kind = 'exec'\nprice_per_hour = -1.0",
        "price_per_hour",
        "not below 0",
    );
    provider("kind = 'exec'\ntimeout = '2h'", "timeout", "to 1h");
    provider("kind = 'exec'\ntimeout = 'soon'", "timeout", "no duration");
    check(
        "boot_timeout = \"2m\"",
        "boot_timeout = 0",
        "pool[0].provider[0].boot_timeout",
        "from 1s",
    );
}

#[test]
fn pools_do_not_take_each_others_place() {
    let second = |name: &str, tags: &str| {
        format!("{GOOD}\n[[pool]]\nname = '{name}'\nmatch_tags = {tags}\nmax_servers = 0")
    };
    let path = |text: &str| read(text).unwrap_err()[0].path.clone();
    assert_eq!(path(&second("docker", "['other']")), "pool[1].name");
    assert_eq!(path(&second("other", "['docker']")), "pool[1].match_tags");
    assert!(read(&second("other", "['docker', 'gpu']")).is_ok());
}

#[test]
fn without_gitlab_nothing_is_asked_of_it() {
    let reduced = |line: &str| {
        let text = format!("owner = 'x'\n[[pool]]\nname = 'p'\nrun_untagged = true\n{line}");
        read(&text).err().unwrap_or_default()
    };
    assert!(reduced("max_servers = 0").is_empty());
    assert_eq!(
        reduced("max_servers = 0\ngrow_blind = true")[0].path,
        "pool[0].grow_blind"
    );
    let relief = reduced("max_servers = 0\noverload.relief = 'pause-host'");
    assert_eq!(relief[0].path, "pool[0].overload.relief");
    assert_eq!(reduced("max_servers = 1")[0].path, "pool[0].provider");
}
