//! Taking comments out of TOML, before anything else is done with the text.

/// The text without its comments. What is within quotes is no comment; lines keep their numbers.
pub(crate) fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['#', '"', '\'']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (kept, len) = if from.starts_with('#') {
            (
                0,
                from.find('\n').map_or(from.len(), |end| {
                    end - usize::from(from[..end].ends_with('\r'))
                }),
            )
        } else {
            let len = quoted_len(from);
            (len, len)
        };
        out.push_str(&from[..kept]);
        rest = &from[len..];
    }
    out.push_str(rest);
    out
}

/// How long the string is that the text begins with; a string on one line ends there in any case.
fn quoted_len(text: &str) -> usize {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let (open, multi_line) = if text.starts_with(&triple) {
        (3, true)
    } else {
        (1, false)
    };
    let bytes = text.as_bytes();
    let mut at = open;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == "\"" => at += 1,
            b'\n' if !multi_line => return at,
            _ if multi_line && text.get(at..).is_some_and(|rest| rest.starts_with(&triple)) => {
                return at + 3;
            }
            byte if !multi_line && byte == quote.as_bytes()[0] => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_quotes_from_comments() {
        let check = |text: &str, want: &str| assert_eq!(strip(text), want, "{text}");
        check("a = 1 # $X\nb = 2", "a = 1 \nb = 2");
        check("# x\r\na = \"#\" # y", "\r\na = \"#\" ");
        check(r##"a = "\"#" # "x"##, r##"a = "\"#" "##);
        check(r"a = '\' # x", r"a = '\' ");
        check("a = '''\n# in\n''' # out", "a = '''\n# in\n''' ");
        check(
            "a = \"\"\"\\\"\"\"# in\"\"\" # out",
            "a = \"\"\"\\\"\"\"# in\"\"\" ",
        );
        check("a = 'open # \nb = 1 # c", "a = 'open # \nb = 1 ");
        check("a = \"ü", "a = \"ü");
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_the_lines(text in r##"[a#"'\\\n\rü]{0,40}"##) {
            let stripped = strip(&text);
            prop_assert_eq!(stripped.matches('\n').count(), text.matches('\n').count());
        }
    }
}
