//! What filters let through and what they take away.

use muster_config::{Filter, FilterOptions};
use muster_metric::{Batch, Timestamp};
use muster_options::Options;

fn filter(text: &str) -> Filter {
    let options = FilterOptions::parse(&toml::from_str(text).unwrap()).unwrap();
    Filter::new(&options).unwrap()
}

fn cpu() -> Batch {
    let mut batch = Batch::new();
    batch
        .metric("cpu.total")
        .tag("cpu", "cpu0")
        .tag("host", "a")
        .field("usage_idle", 1.0)
        .field("usage_user", 2.0)
        .at(Timestamp::from_seconds(1));
    batch
}

/// Checks whether the metric is selected.
fn check(text: &str, want: bool) {
    assert_eq!(
        filter(text).select(cpu().iter().next().unwrap()),
        want,
        "{text}"
    );
}

/// Checks what is left of the metric: its fields and tags.
fn check_left(text: &str, want: &str) {
    let mut batch = cpu();
    let left = filter(text).modify(&mut batch.get_mut(0).unwrap());
    let metric = batch.get(0).unwrap();
    let fields: Vec<_> = metric.fields().map(|(k, _)| k).collect();
    let tags: Vec<_> = metric.tags().map(|(k, _)| k).collect();
    let shown = format!("{} | {}", fields.join(" "), tags.join(" "));
    assert_eq!(
        if left { shown } else { "nothing".to_owned() },
        want,
        "{text}"
    );
}

#[test]
fn names() {
    check("", true);
    check("namepass = ['cpu*']", true);
    check("namepass = ['cpu']", false);
    check("namepass = ['mem', '*.total']", true);
    check("namedrop = ['cpu*']", false);
    check("namepass = ['cpu*']\nnamedrop = ['*.total']", false);
    check("namepass = ['cpu*']\nnamepass_separator = '.'", false);
    check("namepass = ['cpu.*']\nnamepass_separator = '.'", true);
    check("namedrop = ['*']\nnamedrop_separator = '.'", true);
    check("namepass = ['{cpu.total,mem}']", false);
    check("namepass = ['{cpu.total,mem}', 'x*']", true);
}

#[test]
fn tags() {
    check("tagpass = {cpu = ['cpu0', 'cpu1']}", true);
    check("tagpass = {cpu = ['cpu[1-9]']}", false);
    check("tagpass = {cpu = ['nope'], host = ['a']}", true);
    check("tagpass = {missing = ['*']}", false);
    check("tagdrop = {host = ['a']}", false);
    check("tagdrop = {missing = ['*'], host = ['b']}", true);
    check("tagpass = {cpu = ['*']}\ntagdrop = {host = ['a']}", false);
    check("namepass = ['mem']\ntagpass = {cpu = ['*']}", false);
    check("tagpass = {cpu = []}", false);
}

#[test]
fn fields_then_tags() {
    check_left("", "usage_idle usage_user | cpu host");
    check_left("fieldinclude = ['*idle']", "usage_idle | cpu host");
    check_left("fieldexclude = ['*idle']", "usage_user | cpu host");
    check_left(
        "fieldinclude = ['usage*']\nfieldexclude = ['*user']",
        "usage_idle | cpu host",
    );
    check_left("fieldinclude = ['x']", "nothing");
    check_left("taginclude = ['cpu']", "usage_idle usage_user | cpu");
    check_left("tagexclude = ['*']", "usage_idle usage_user | ");
    check_left(
        "fieldpass = ['*idle']\npass = ['*user']",
        "usage_idle usage_user | cpu host",
    );
    check_left(
        "drop = ['*idle']\nfielddrop = ['x']",
        "usage_user | cpu host",
    );
}

#[test]
fn knows_whether_it_does_anything() {
    let check = |text: &str, want: (bool, bool, bool)| {
        let filter = filter(text);
        assert_eq!(
            (filter.is_empty(), filter.selects(), filter.modifies()),
            want,
            "{text}"
        );
    };
    check("", (true, false, false));
    check("namepass = []\ntagpass = {}", (true, false, false));
    check("namepass = ['a']", (false, true, false));
    check("tagexclude = ['a']", (false, false, true));
}
