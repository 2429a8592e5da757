//! Where IDs come from, and that they are unique.

use muster_config::Definition;

use crate::plugins::{check, good, registry};

fn ids(text: &str) -> Vec<String> {
    good(text)
        .config
        .definitions
        .iter()
        .map(|d| d.id.to_string())
        .collect()
}

#[test]
fn id_then_alias_then_hash() {
    let found = ids(
        "[[inputs.cpu]]\nid = 'a'\nalias = 'x'\n[[inputs.cpu]]\nalias = 'my cpu'\n[[inputs.cpu]]\n",
    );
    assert_eq!(&found[..2], ["inputs/a", "inputs/my-cpu"]);
    assert!(
        found[2].starts_with("inputs/cpu-") && found[2].len() == "inputs/cpu-".len() + 8,
        "{found:?}"
    );
    assert!(
        !good("[[inputs.cpu]]\nid = 'a'\n").config.definitions[0]
            .options
            .contains_key("id")
    );
}

#[test]
fn the_hash_is_that_of_the_options_as_written() {
    let id = |text: &str| ids(text).remove(0);
    let plain = id("[[inputs.cpu]]\npercpu = true\nskip = 1\n");
    assert_eq!(
        plain,
        id("# other order\n[[inputs.cpu]]\n  skip = 1 # note\n  percpu = true\n")
    );
    assert_eq!(plain, id("[inputs.cpu]\nskip = 1\npercpu = true\n"));
    assert_ne!(plain, id("[[inputs.cpu]]\npercpu = true\nskip = 0x1\n"));
    // sha256 of "inputs.cpu\0percpu:true\0skip:1\0".
    assert_eq!(plain, "inputs/cpu-39811eec");
    let tagged = id("[[inputs.cpu]]\n[inputs.cpu.tags]\na = 'b'\n");
    assert_eq!(tagged, id("[[inputs.cpu]]\ntags = {a = 'b'}\n"));
    assert_ne!(tagged, id("[[inputs.cpu]]\ntags = {a = \"b\"}\n"));
}

#[test]
fn identical_anonymous_blocks_are_numbered() {
    let found = ids("[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.cpu]]\n[[inputs.cpu]]\n");
    let first = &found[0];
    assert_eq!(found[2], format!("{first}-2"));
    assert_eq!(found[3], format!("{first}-3"));
    let taken = first.trim_start_matches("inputs/");
    let found = ids(&format!("[[inputs.cpu]]\n[[inputs.mem]]\nid = '{taken}'\n"));
    assert_eq!(
        found,
        [format!("inputs/{taken}-2"), format!("inputs/{taken}")]
    );
}

#[test]
fn equal_ids_are_an_error_that_names_both_places() {
    check(
        "[[inputs.cpu]]\nid = 'a'\n[[inputs.mem]]\nalias = 'a'\n[[outputs.file]]\nid = 'a'\n",
        &[
            "muster.conf:4:9: two inputs have the ID `a` (the first one: muster.conf:2:6) (give one of them an `id` of its own)",
        ],
    );
    let problems =
        crate::plugins::read("[[inputs.cpu]]\nid = 'a'\n[[inputs.mem]]\nid = 'a'\n").unwrap_err();
    let shown = problems.render(false);
    assert!(
        shown.contains("2 | id = 'a'") && shown.contains("4 | id = 'a'"),
        "{shown}"
    );
}

#[test]
fn an_id_is_short_and_plain() {
    check(
        "[[inputs.cpu]]\nid = 'a b'\n[[inputs.cpu]]\nid = 7\n",
        &[
            "muster.conf:2:6: `id` in `inputs.cpu`: \"a b\" is no ID: an ID has 1 to 128 letters, digits and `.` `_` `:` `@` `-`, and begins with a letter, a digit or `_`",
            "muster.conf:4:6: `id` in `inputs.cpu`: expected a string, found integer",
        ],
    );
}

#[test]
fn definitions_survive_json() {
    let text = "[[inputs.http]]\nid = 'a'\nurls = ['http://u:pw@h']\npassword = 'hunter2'\ntimeout = 2.5\n[inputs.http.headers]\nx = 'y'\n";
    let definition = good(text).config.definitions.remove(0);
    let json = serde_json::to_string(&definition).unwrap();
    let back: Definition = serde_json::from_str(&json).unwrap();
    assert_eq!(back, definition);
    assert_eq!(
        json.matches(r#""id":{"kind":"input","id":"a"}"#).count(),
        1,
        "{json}"
    );
    let mut moved = back.clone();
    moved.source = muster_config::Source::Api;
    assert!(moved.same_configuration(&definition) && moved != definition);
    moved.paused = true;
    assert!(!moved.same_configuration(&definition));
    assert!(!format!("{definition:?}").contains("hunter2"));
    let masked = definition.masked(&registry()).to_string();
    assert!(
        !masked.contains("hunter2") && !masked.contains("pw"),
        "{masked}"
    );
    assert!(masked.contains("http://u:***@h"), "{masked}");
}
