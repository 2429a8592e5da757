//! Whatever the text, the answer is a configuration or a list of problems.

use muster_config::{EnvMode, LoadOptions};
use proptest::prelude::*;

use crate::plugins::read_with;

/// Pieces of which configurations are made, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[[inputs.cpu]]",
        "[inputs.cpu]",
        "[agent]",
        "[[outputs.file]]",
        "[cpu]",
        "[inputs.http.tags]",
        "[[inputs.http]]",
        "[[inputs.http.field]]",
        "[tags]",
        "[[processors.rename]]",
        "[[x",
        "]]",
        "[",
        "]",
        "percpu",
        "id",
        "alias",
        "password",
        "interval",
        "namepass",
        "tagpass",
        "tags",
        "field",
        " = ",
        "=",
        "true",
        "-1",
        "'a'",
        "\"$NAME\"",
        "'''",
        "\"\"\"",
        "{a = 1}",
        "{",
        "}",
        "[1, 'b']",
        "1979-05-27",
        "inf",
        "0x1F",
        "99999999999999999999",
        "a.b.c",
        ".",
        "#",
        "${NO:?x}",
        "http://a:b@c",
        "\u{feff}",
        "ü",
        "\r\n",
        "\n",
        "\n",
        "\n",
        " ",
        "\t",
        "\0",
        "\u{1b}[2J",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn survives(text: &str) {
    for env_mode in [EnvMode::Strict, EnvMode::Text] {
        for old_env_behavior in [false, true] {
            let options = LoadOptions {
                env_mode,
                old_env_behavior,
                ..LoadOptions::default()
            };
            if let Err(problems) = read_with(text, &options) {
                assert!(problems.errors() > 0);
                let shown = problems.render(false);
                assert!(!shown.contains('\x1b'), "{shown:?}");
                assert!(serde_json::to_string(&problems).is_ok());
                assert!(!problems.to_string().is_empty());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text(text: String) {
        survives(&text);
    }

    #[test]
    fn text_made_of_configuration(pieces in prop::collection::vec(piece(), 0..30)) {
        survives(&pieces.concat());
    }

    #[test]
    fn lines_made_of_configuration(lines in prop::collection::vec(prop::collection::vec(piece(), 1..4), 0..12)) {
        let lines: Vec<String> = lines.into_iter().map(|line| line.concat()).collect();
        survives(&lines.join("\n"));
    }
}
