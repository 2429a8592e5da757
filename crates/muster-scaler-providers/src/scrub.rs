//! Takes secrets out of what others say.

use muster_options::Secret;

/// Shorter words of user data are no secrets: they are keys and paths.
const SHORTEST_WORD: usize = 12;

/// The most that is kept of a complaint, in characters.
const LONGEST: usize = 400;

/// `text` as one short line without any of the secrets, whole or as a word of them: a program may
/// complain about one line of the user data that it was given.
pub(crate) fn scrub<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        let whole = secret.expose();
        if !whole.is_empty() {
            text = text.replace(whole, "***");
        }
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || "-_.+/=".contains(c);
        for word in whole.split(|c| !is_of_word(c)) {
            if word.len() >= SHORTEST_WORD {
                text = text.replace(word, "***");
            }
        }
    }
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_whole_secrets_and_their_words() {
        let data = Secret::new("#cloud-config\ntoken: glrt-0123456789abcdef\n");
        let check = |text: &str, want: &str| assert_eq!(scrub(text, [&data]), want);
        check("bad line 2:\n  glrt-0123456789abcdef", "bad line 2: ***");
        check("no such image", "no such image");
        assert_eq!(
            scrub("pw is hunter2!", [&Secret::new("hunter2")]),
            "pw is ***!"
        );
        assert_eq!(scrub("nothing", [&Secret::default()]), "nothing");
        assert_eq!(scrub(&"x".repeat(500), []).len(), LONGEST + 3);
    }
}
