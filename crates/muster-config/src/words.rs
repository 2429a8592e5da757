//! Types in the words of configuration, not in those of the program.

use muster_options::OptionError;

const WORDS: [(&str, &str); 16] = [
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u32", "expected a whole number from 0 on"),
    ("expected u64", "expected a whole number from 0 on"),
    ("expected usize", "expected a whole number from 0 on"),
    ("expected i8", "expected a whole number from -128 to 127"),
    ("expected i16", "expected a whole number"),
    ("expected i32", "expected a whole number"),
    ("expected i64", "expected a whole number"),
    ("expected f32", "expected a number"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected a table"),
    ("found sequence", "found a list"),
    ("found map", "found a table"),
];

/// Puts a message into plain words.
pub(crate) fn plain(error: &mut OptionError) {
    for (from, to) in WORDS {
        // Quoted values stay as they are: types stand at the start or at the end.
        if let Some(rest) = error.message.strip_prefix(from)
            && (rest.is_empty() || rest.starts_with(','))
        {
            error.message = format!("{to}{rest}");
        }
        if let Some(start) = error.message.strip_suffix(from)
            && start.ends_with(", ")
        {
            error.message = format!("{start}{to}");
        }
    }
    let hinted = error.hint.is_some();
    if error.message.starts_with("expected a list, found string") && !hinted {
        let key = error.path.rsplit('.').next().unwrap_or(&error.path);
        error.hint = Some(format!("write a list: `{key} = [\"...\"]`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_plainly() {
        let check = |message: &str, want: &str| {
            let mut error = OptionError::new("a.b", message);
            plain(&mut error);
            let hint = error
                .hint
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            assert_eq!(format!("{}{hint}", error.message), want);
        };
        check(
            "invalid value: integer `-1`, expected u8",
            "invalid value: integer `-1`, expected a whole number from 0 to 255",
        );
        check(
            "expected a boolean, found integer `1`",
            "expected true or false, found integer `1`",
        );
        check(
            "expected a string, found sequence",
            "expected a string, found a list",
        );
        check(
            "expected a sequence, found string \"x\"",
            "expected a list, found string \"x\" (write a list: `b = [\"...\"]`)",
        );
        check(
            "unknown value \"expected u8\"",
            "unknown value \"expected u8\"",
        );
    }
}
