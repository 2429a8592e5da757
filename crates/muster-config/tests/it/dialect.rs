//! Forms of tables and keys, and environment variables.

use muster_config::{EnvMode, LoadOptions, Settings};
use muster_plugin::Kind;

use crate::plugins::{check, environment, good, problems, read_with, registry};

/// The components of a text as `kind/plugin` in their order.
fn components(text: &str) -> Vec<String> {
    let definitions = good(text).config.definitions;
    definitions
        .iter()
        .map(|d| format!("{}/{}", d.id.kind, d.plugin))
        .collect()
}

#[test]
fn every_form_of_a_table() {
    let check = |text: &str, want: &[&str]| assert_eq!(components(text), want, "{text}");
    check(
        "[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.cpu]]\n",
        &["input/cpu", "input/mem", "input/cpu"],
    );
    check(
        "[inputs.cpu]\n[outputs.file]\n",
        &["input/cpu", "output/file"],
    );
    check(
        "[plugins.cpu]\n[[plugins.mem]]\n",
        &["input/cpu", "input/mem"],
    );
    check("[cpu]\npercpu = false\n", &["input/cpu"]);
    check("[inputs]\n[inputs.cpu]\n", &["input/cpu"]);
    check(
        "[[processors.dedup]]\n[[aggregators.minmax]]\n[agent]\nskip_processors_after_aggregators = true\n",
        &["processor/dedup", "aggregator/minmax"],
    );
    check(
        "\u{feff}[[inputs.cpu]]\r\n  percpu = true\r\n# end",
        &["input/cpu"],
    );
    check("", &[]);
}

#[test]
fn global_tags_add_up() {
    let config = good(
        "[agent]\nhostname = 'h1'\n[tags]\na = '1'\nhost = 'mine'\n[global_tags]\nb = '$NAME'\n",
    )
    .config;
    let tags: Vec<_> = config
        .global_tags
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(tags, ["a=1", "b=db1", "host=h1"]);
    let config = good("[agent]\nomit_hostname = true\n[tags]\nhost = 'mine'\n").config;
    assert_eq!(config.global_tags["host"], "mine");
    assert!(good("").config.global_tags.contains_key("host"));
    check(
        "[global_tags]\nrack = 7\n",
        &[
            "muster.conf:2:8: `rack` in `global_tags`: expected a string, found integer (write `rack = \"7\"`)",
        ],
    );
}

#[test]
fn agent_keys_in_any_spelling() {
    let agent = good("[agent]\nmetricBatchSize = 7\nFlushInterval = 3\nround_interval = false\n")
        .config
        .agent;
    assert_eq!(
        (agent.metric_batch_size, agent.flush_interval.as_secs()),
        (7, 3)
    );
    assert!(!agent.round_interval);
    check(
        "[agent]\ninterval = '1s'\nInterval = '2s'\nintervall = 1\nmetricBatchSize = 'x'\n",
        &[
            "muster.conf:2:1: `interval` is given twice in `agent`",
            "muster.conf:4:1: unknown option `intervall` in `agent` (did you mean `interval`?)",
            "muster.conf:5:19: `metric_batch_size` in `agent`: expected a whole number from 0 on, found string \"x\"",
        ],
    );
    check(
        "[control]\naddress = '127.0.0.1:1'\ninsecur = true\n",
        &["muster.conf:3:1: unknown option `insecur` in `control` (did you mean `insecure`?)"],
    );
    assert_eq!(good("[control]\naddress = ''\n").config.control.address, "");
}

#[test]
fn variables_are_resolved_in_strings_only() {
    let text = "[[inputs.cpu]]\nalias = '${NAME}'\ninterval = '$INTERVAL'\nname_suffix = '_$$${NO}${1}'\n[inputs.cpu.tags]\na = '${NO:-x}'\n# ${NO:?never}\n";
    let loaded = good(text);
    let definition = &loaded.config.definitions[0];
    assert_eq!(definition.id.to_string(), "inputs/db1");
    assert_eq!(definition.options["interval"].as_str(), Some("$INTERVAL"));
    let component = muster_config::prepare(
        definition,
        &loaded.config.agent,
        &loaded.config.global_tags,
        &registry(),
        &environment(),
    )
    .unwrap();
    let Settings::Input(settings) = component.settings else {
        panic!()
    };
    assert_eq!(settings.interval.as_secs(), 7);
    assert_eq!(settings.naming.suffix.as_deref(), Some("_$${NO}${1}"));
    assert_eq!(settings.tags["a"], "x");
    check(
        "[[inputs.cpu]]\nalias = '${NO:?name it}'\n[[inputs.mem]]\ntags = {a = ['x']}\n",
        &[
            "muster.conf:2:9: `alias` in `inputs.cpu`: the environment variable `NO` is not set: name it",
            "muster.conf:4:13: `tags.a` in `inputs.mem`: expected a string, found a list",
        ],
    );
    let unquoted = problems(crate::plugins::read("[[inputs.cpu]]\nskip = ${COUNT}\n"));
    assert!(unquoted[0].starts_with("muster.conf:2:"), "{unquoted:?}");
}

#[test]
fn variables_in_the_text_as_before() {
    let options = LoadOptions {
        env_mode: EnvMode::Text,
        ..LoadOptions::default()
    };
    let text = "# ${NO:?never}\n[[inputs.cpu]]\nskip = ${COUNT} # $COUNT\n[[inputs.${X:-mem}]]\nalias = \"a # $NAME $$NAME\"\n";
    let loaded = read_with(text, &options).unwrap();
    let [cpu, mem] = &loaded.config.definitions[..] else {
        panic!()
    };
    assert_eq!(cpu.options["skip"].as_integer(), Some(3));
    assert_eq!(cpu.source.to_string(), "muster.conf:2");
    assert_eq!((mem.plugin.as_str(), &*mem.id.id), ("mem", "a---db1--NAME"));
    // What came out of the text once is not resolved again.
    assert_eq!(mem.options["alias"].as_str(), Some("a # db1 $$NAME"));
    let old = LoadOptions {
        old_env_behavior: true,
        ..options
    };
    let loaded = read_with("[[inputs.cpu]]\nname_prefix = '$$NAME'\n", &old).unwrap();
    assert_eq!(
        loaded.config.definitions[0].options["name_prefix"].as_str(),
        Some("$$db1")
    );
    let old = LoadOptions {
        old_env_behavior: true,
        ..LoadOptions::default()
    };
    let loaded = read_with("[[inputs.cpu]]\nname_prefix = '$$NAME'\n", &old).unwrap();
    assert_eq!(
        loaded.config.definitions[0].options["name_prefix"].as_str(),
        Some("$$$NAME")
    );
    let missing = read_with(
        "a = ${NO:?why}\n",
        &LoadOptions {
            env_mode: EnvMode::Text,
            ..LoadOptions::default()
        },
    );
    assert_eq!(
        problems(missing),
        ["muster.conf:1:5: the environment variable `NO` is not set: why"]
    );
}

#[test]
fn filters_by_plugin_and_label() {
    let text = "[[inputs.cpu]]\n[inputs.cpu.labels]\nenv = 'prod'\n[[inputs.mem]]\n[[inputs.nope]]\n[[outputs.file]]\n[[outputs.web]]\n";
    let options = LoadOptions {
        input_filter: vec!["cpu:mem".into()],
        output_filter: vec!["file".into()],
        selectors: vec!["env=test*".into()],
        ..LoadOptions::default()
    };
    let loaded = read_with(text, &options).unwrap();
    let names: Vec<_> = loaded
        .config
        .definitions
        .iter()
        .map(|d| d.plugin.as_str())
        .collect();
    assert_eq!(names, ["mem", "file"]);
}

#[test]
fn processors_keep_their_order() {
    let text = "[[processors.rename]]\norder = 2\n[[processors.dedup]]\n[[inputs.cpu]]\n[[processors.rename]]\n";
    let definitions = good(text).config.definitions;
    let positions: Vec<_> = definitions
        .iter()
        .filter(|d| d.kind() == Kind::Processor)
        .map(|d| (d.plugin.as_str(), d.position))
        .collect();
    assert_eq!(positions, [("rename", 1), ("dedup", 2), ("rename", 3)]);
}
