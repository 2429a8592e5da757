//! What becomes of the options that every component has.

use std::time::Duration;

use muster_config::{
    AggregatorSettings, BuiltPlugin, Component, InputSettings, LogLevel, OutputSettings, Settings,
    StartupErrorBehavior, TimeSource, common_options, prepare,
};
use muster_metric::Precision;
use muster_plugin::Kind;

use crate::plugins::{environment, good, registry};

fn component(text: &str) -> Component {
    let config = good(text).config;
    let definition = config.definitions.last().unwrap();
    prepare(
        definition,
        &config.agent,
        &config.global_tags,
        &registry(),
        &environment(),
    )
    .unwrap()
}

fn input(text: &str) -> InputSettings {
    match component(text).settings {
        Settings::Input(settings) => settings,
        other => panic!("{other:?}"),
    }
}

fn output(text: &str) -> OutputSettings {
    match component(text).settings {
        Settings::Output(settings) => settings,
        other => panic!("{other:?}"),
    }
}

fn aggregator(text: &str) -> AggregatorSettings {
    match component(text).settings {
        Settings::Aggregator(settings) => settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn inputs_take_after_the_agent() {
    let of = input(
        "[agent]\ninterval = '2s'\nround_interval = false\ncollection_jitter = '1s'\ncollection_offset = '3s'\nalways_include_local_tags = true\ngather_on_start = true\n[[inputs.cpu]]\n",
    );
    assert_eq!(of.interval, Duration::from_secs(2));
    assert_eq!(of.collection_jitter, Duration::from_secs(1));
    assert_eq!(of.collection_offset, Duration::from_secs(3));
    assert!(!of.round_interval && of.gather_on_start);
    assert!(of.always_include_local_tags && !of.always_include_global_tags);
    assert!(of.global_tags.contains_key("host") && of.filter.is_empty() && of.naming.is_empty());

    let of = input(
        "[agent]\ncollection_jitter = '1s'\ncollection_offset = '3s'\n[[inputs.cpu]]\nalias = 'a'\ninterval = 0.5\nround_interval = 'false'\ncollection_jitter = 0\ncollection_offset = 0\nname_override = 'o'\nname_prefix = 'p_'\nname_suffix = '_s'\nstartup_error_behavior = 'retry'\ntime_source = 'collection_end'\nlog_level = 'debug'\nalways_include_global_tags = 'true'\nfieldexclude = ['x']\n[inputs.cpu.tags]\na = 'b'\n",
    );
    assert_eq!(of.alias.as_deref(), Some("a"));
    assert_eq!(of.interval, Duration::from_millis(500));
    // Zero switches the jitter off, but stands for the agent's offset.
    assert_eq!(
        (of.collection_jitter, of.collection_offset),
        (Duration::ZERO, Duration::from_secs(3))
    );
    assert!(!of.round_interval && of.always_include_global_tags);
    assert_eq!(of.naming.apply("cpu").as_deref(), Some("p_o_s"));
    assert_eq!(of.startup_error_behavior, StartupErrorBehavior::Retry);
    assert_eq!(
        (of.time_source, of.log_level),
        (TimeSource::CollectionEnd, Some(LogLevel::Debug))
    );
    assert_eq!(of.tags["a"], "b");
    assert!(of.filter.modifies());
}

#[test]
fn precision_is_the_inputs_the_agents_or_by_interval() {
    let check = |text: &str, own: Option<i64>, effective: i64| {
        let of = input(text);
        let nanos = |p: Precision| p.nanos();
        assert_eq!(
            (of.precision.map(nanos), of.effective_precision.nanos()),
            (own, effective),
            "{text}"
        );
    };
    check("[[inputs.cpu]]\n", None, 1_000_000_000);
    check("[[inputs.cpu]]\ninterval = '20ms'\n", None, 1_000_000);
    check("[[inputs.cpu]]\nprecision = '1us'\n", Some(1_000), 1_000);
    check(
        "[agent]\nprecision = '1ms'\n[[inputs.cpu]]\n",
        None,
        1_000_000,
    );
    check(
        "[agent]\nprecision = '1ms'\n[[inputs.cpu]]\nprecision = '0s'\n",
        None,
        1_000_000,
    );
    check("[agent]\nprecision = '1ms'\n[[inputs.listener]]\n", None, 1);
    check(
        "[[inputs.listener]]\nprecision = '1s'\n",
        Some(1_000_000_000),
        1_000_000_000,
    );
}

#[test]
fn a_gather_has_time_enough() {
    let check = |text: &str, millis: u64| {
        assert_eq!(input(text).timeout, Duration::from_millis(millis), "{text}");
    };
    check("[[inputs.cpu]]\n", 10_000);
    check("[[inputs.cpu]]\ninterval = '1s'\n", 5_000);
    check("[agent]\ntimeout = '2s'\n[[inputs.cpu]]\n", 2_000);
    check("[[inputs.cpu]]\ntimeout = '1s'\n", 1_000);
    // The timeout of `http` is its own: the gather's is longer.
    check("[[inputs.http]]\n", 10_000);
    check("[[inputs.http]]\ntimeout = '5s'\n", 10_000);
    check("[[inputs.http]]\ntimeout = 30\n", 31_000);
}

#[test]
fn outputs_take_after_the_agent() {
    let of = output("[[outputs.file]]\n");
    assert_eq!(
        (of.flush_interval, of.flush_jitter),
        (Duration::from_secs(10), Duration::ZERO)
    );
    assert_eq!(
        (of.metric_batch_size, of.metric_buffer_limit),
        (1000, 10_000)
    );
    assert_eq!(
        (of.buffer_bytes, of.timeout),
        (64 << 20, Duration::from_secs(30))
    );
    let of = output(
        "[agent]\nflush_jitter = '2s'\nmetric_batch_size = 5\n[[outputs.web]]\nflush_interval = '1s'\nflush_jitter = '0s'\nmetric_batch_size = 0\nmetric_buffer_limit = 7\nbuffer_bytes = '1MiB'\ntimeout = '40s'\nretry_backoff_max = '5s'\ndead_letter_file = '/x'\nname_override = 'n'\nnamepass = ['a']\n",
    );
    assert_eq!(
        (of.flush_interval, of.flush_jitter),
        (Duration::from_secs(1), Duration::from_secs(2))
    );
    assert_eq!((of.metric_batch_size, of.metric_buffer_limit), (5, 7));
    assert_eq!(
        (of.buffer_bytes, of.timeout),
        (1 << 20, Duration::from_secs(41))
    );
    assert_eq!(of.retry_backoff_max, Duration::from_secs(5));
    assert_eq!(of.dead_letter_file.unwrap().to_str(), Some("/x"));
    assert!(of.filter.selects() && !of.naming.is_empty());
}

#[test]
fn aggregators_have_windows() {
    let of = aggregator("[[aggregators.minmax]]\n");
    assert_eq!(
        (of.period, of.delay, of.grace),
        (
            Duration::from_secs(30),
            Duration::from_millis(100),
            Duration::ZERO
        )
    );
    assert!(of.round_interval && !of.drop_original);
    let of = aggregator(
        "[agent]\nround_interval = false\nprecision = '1ms'\n[[aggregators.minmax]]\nperiod = '1m'\ngrace = '5s'\ndrop_original = 'true'\nname_suffix = '_agg'\n[aggregators.minmax.tags]\na = 'b'\n",
    );
    assert_eq!(
        (of.period, of.grace, of.drop_original),
        (Duration::from_secs(60), Duration::from_secs(5), true)
    );
    assert_eq!(
        (of.round_interval, of.precision),
        (false, Precision::MILLISECOND)
    );
    assert_eq!(of.naming.apply("cpu").as_deref(), Some("cpu_agg"));
}

#[test]
fn builds_every_kind() {
    let built = |text: &str| format!("{:?}", component(text).built);
    assert_eq!(built("[[inputs.cpu]]\n"), "Input");
    assert_eq!(built("[[inputs.listener]]\n"), "Service");
    assert_eq!(built("[[processors.rename]]\n"), "Processor");
    assert_eq!(built("[[processors.dedup]]\n"), "StatefulProcessor");
    assert_eq!(built("[[aggregators.minmax]]\n"), "Aggregator");
    assert_eq!(built("[[outputs.file]]\n"), "Output");
    assert!(matches!(
        component("[[outputs.file]]\n").built,
        BuiltPlugin::Output(_)
    ));
}

#[test]
fn common_options_are_documented() {
    for kind in Kind::ALL {
        let docs = common_options(kind);
        assert!(docs.iter().all(|doc| !doc.doc.is_empty()), "{docs:#?}");
        let has = |name: &str| docs.iter().any(|doc| doc.name == name);
        assert!(has("alias") && has("namepass") && has("log_level"));
        assert_eq!(has("interval"), kind == Kind::Input);
        assert_eq!(has("order"), kind == Kind::Processor);
        assert_eq!(has("period"), kind == Kind::Aggregator);
        assert_eq!(has("flush_interval"), kind == Kind::Output);
    }
}

#[test]
fn problems_of_a_definition_without_a_text() {
    let mut definition = good("[[inputs.cpu]]\nid = 'a'\n")
        .config
        .definitions
        .remove(0);
    definition.source = muster_config::Source::Api;
    definition.options = toml::from_str("percpu = 1\nx = 2\n").unwrap();
    let config = muster_config::Config::default();
    let errors = prepare(
        &definition,
        &config.agent,
        &config.global_tags,
        &registry(),
        &environment(),
    )
    .unwrap_err();
    let shown = muster_config::Diagnostics::of_options(&definition, errors).to_string();
    assert_eq!(
        shown,
        "inputs/a (the API): percpu: expected true or false, found integer `1`\n\
         inputs/a (the API): x: unknown option `x` (known options: percpu, totalcpu, skip)"
    );
    definition.plugin = "cpuu".to_owned();
    let errors = prepare(
        &definition,
        &config.agent,
        &config.global_tags,
        &registry(),
        &environment(),
    )
    .unwrap_err();
    assert_eq!(errors[0].to_string(), ": unknown input plugin `cpuu`");
}
