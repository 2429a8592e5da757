//! Variables in text: `$VAR`, `${VAR}`, `${VAR:-default}` and their like.

use std::borrow::Cow;
use std::ops::Range;

use crate::Environment;

/// Defaults in defaults are read to this depth.
const MOST_DEPTH: usize = 16;

/// So far the end of a `${...}` is searched for.
const LONGEST: usize = 16 << 10;

/// A variable that must be set and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{name}` is {state}{}{message}", if message.is_empty() { "" } else { ": " })]
pub(crate) struct Missing {
    name: String,
    state: &'static str,
    message: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    /// `$$`
    Dollar,
    /// `${` that begins nothing that we know.
    Stray,
    Variable(Variable<'t>),
}

#[derive(Debug, PartialEq, Eq)]
struct Variable<'t> {
    source: &'t str,
    name: &'t str,
    then: Option<(Rule, &'t str)>,
}

/// What the word after the name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// `-`, `+` or `?`.
    sign: u8,
    /// With `:`, an empty value counts as none.
    empty_is_unset: bool,
}

/// Replaces the variables in a text. What is not defined and what is malformed stays as it is:
/// replacement texts of regular expressions (`${1}`) must survive.
///
/// # Errors
/// If a variable is missing that the text says must be there (`${VAR:?message}`).
pub(crate) fn expand<'t>(text: &'t str, env: &dyn Environment) -> Result<Cow<'t, str>, Missing> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text, true) {
        push_expanded(&piece, env, &mut out)?;
    }
    Ok(Cow::Owned(out))
}

/// As [`expand`], and says which parts of the result came from the environment. `escapes` tells
/// whether `$$` stands for `$`.
pub(crate) fn expand_text(
    text: &str,
    escapes: bool,
    env: &dyn Environment,
) -> Result<Filled, (usize, Missing)> {
    let (mut out, mut filled) = (String::with_capacity(text.len()), Vec::new());
    for piece in pieces(text, escapes) {
        let start = out.len();
        push_expanded(&piece, env, &mut out).map_err(|missing| (start, missing))?;
        if let Piece::Variable(variable) = piece
            && out.get(start..) != Some(variable.source)
        {
            filled.push(start..out.len());
        }
    }
    Ok(Filled { text: out, filled })
}

/// A text with its variables replaced.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) text: String,
    /// What came from the environment.
    pub(crate) filled: Vec<Range<usize>>,
}

/// A text that [`expand`] turns into this one.
pub(crate) fn protect(text: &str) -> String {
    let plain = pieces(text, true)
        .iter()
        .all(|p| matches!(p, Piece::Text(_) | Piece::Stray));
    if plain {
        text.to_owned()
    } else {
        text.replace('$', "$$")
    }
}

/// A text that means now what this one meant when `$$` stood for itself.
pub(crate) fn modernize(text: &str) -> String {
    modernized(text, 0)
}

fn modernized(text: &str, depth: usize) -> String {
    if !text.contains("$$") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for piece in pieces(text, false) {
        match piece {
            Piece::Text(text) => out.push_str(&text.replace('$', "$$")),
            Piece::Dollar => out.push_str("$$"),
            Piece::Stray => out.push_str("$${"),
            Piece::Variable(Variable {
                source,
                then: Some((_, word)),
                ..
            }) if depth < MOST_DEPTH => {
                let head = source.strip_suffix('}').and_then(|s| s.strip_suffix(word));
                out.push_str(head.unwrap_or(source));
                out.push_str(&modernized(word, depth + 1));
                out.push('}');
            }
            Piece::Variable(variable) => out.push_str(variable.source),
        }
    }
    out
}

fn push_expanded(
    piece: &Piece<'_>,
    env: &dyn Environment,
    out: &mut String,
) -> Result<(), Missing> {
    match piece {
        Piece::Text(text) => out.push_str(text),
        Piece::Dollar => out.push('$'),
        Piece::Stray => out.push_str("${"),
        Piece::Variable(variable) => match value(variable, env, 0) {
            Ok(Some(value)) => out.push_str(&value),
            Ok(None) | Err(Problem::Malformed) => out.push_str(variable.source),
            Err(Problem::Missing(missing)) => return Err(missing),
        },
    }
    Ok(())
}

enum Problem {
    Missing(Missing),
    /// The default holds something malformed: then the whole stays as it is.
    Malformed,
}

/// The variable's value; `None` if it is not set and nothing is said for that case.
fn value(
    variable: &Variable<'_>,
    env: &dyn Environment,
    depth: usize,
) -> Result<Option<String>, Problem> {
    let set = env.get(variable.name);
    let Some((rule, word)) = variable.then else {
        return Ok(set);
    };
    let counts = set
        .as_ref()
        .is_some_and(|value| !(rule.empty_is_unset && value.is_empty()));
    match rule.sign {
        b'+' if counts => nested(word, env, depth).map(Some),
        b'+' => Ok(Some(set.unwrap_or_default())),
        _ if counts => Ok(set),
        b'-' => nested(word, env, depth).map(Some),
        _ => Err(Problem::Missing(Missing {
            name: variable.name.to_owned(),
            state: if set.is_some() { "empty" } else { "not set" },
            message: nested(word, env, depth)?,
        })),
    }
}

/// Within a default, what is not defined is empty.
fn nested(word: &str, env: &dyn Environment, depth: usize) -> Result<String, Problem> {
    if depth >= MOST_DEPTH {
        return Err(Problem::Malformed);
    }
    let mut out = String::new();
    for piece in pieces(word, true) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Dollar => out.push('$'),
            Piece::Stray => return Err(Problem::Malformed),
            Piece::Variable(variable) => {
                out.push_str(&value(&variable, env, depth + 1)?.unwrap_or_default());
            }
        }
    }
    Ok(out)
}

/// Cuts a text up. `escapes` tells whether `$$` stands for `$`.
fn pieces(text: &str, escapes: bool) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut plain) = (text, 0);
    while let Some(dollar) = rest[plain..].find('$').map(|at| plain + at) {
        let from = &rest[dollar..];
        let (piece, len) = if escapes && from.starts_with("$$") {
            (Piece::Dollar, 2)
        } else if let Some(variable) = variable(from) {
            let len = variable.source.len();
            (Piece::Variable(variable), len)
        } else if from.starts_with("${") {
            (Piece::Stray, 2)
        } else {
            plain = dollar + 1;
            continue;
        };
        if dollar > 0 {
            found.push(Piece::Text(&rest[..dollar]));
        }
        found.push(piece);
        (rest, plain) = (&rest[dollar + len..], 0);
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// The variable at the start of the text, which begins with `$`.
fn variable(text: &str) -> Option<Variable<'_>> {
    let after = text.strip_prefix('$')?;
    let Some(braced) = after.strip_prefix('{') else {
        let name = identifier(after)?;
        return Some(Variable {
            source: &text[..=name.len()],
            name,
            then: None,
        });
    };
    let name = identifier(braced)?;
    let rest = &braced[name.len()..];
    if rest.starts_with('}') {
        return Some(Variable {
            source: &text[..name.len() + 3],
            name,
            then: None,
        });
    }
    let (empty_is_unset, signed) = match rest.strip_prefix(':') {
        Some(signed) => (true, signed),
        None => (false, rest),
    };
    let sign = *signed
        .as_bytes()
        .first()
        .filter(|b| matches!(b, b'-' | b'+' | b'?'))?;
    let word = &signed[1..];
    let word = &word[..closing_brace(word)?];
    let end = text.len() - signed.len() + 1 + word.len() + 1;
    Some(Variable {
        source: &text[..end],
        name,
        then: Some((
            Rule {
                sign,
                empty_is_unset,
            },
            word,
        )),
    })
}

/// The longest identifier at the start, if there is one.
fn identifier(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let name = &text[..end];
    name.starts_with(|c: char| !c.is_ascii_digit())
        .then_some(name)
}

/// Where the brace is that closes the one before the text; each `${` on the way takes one more.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 1;
    for (at, byte) in bytes.iter().enumerate().take(LONGEST) {
        match byte {
            b'\n' => return None,
            b'{' if at > 0 && bytes[at - 1] == b'$' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn env() -> BTreeMap<String, String> {
        [
            ("A", "x"),
            ("AB", "y"),
            ("EMPTY", ""),
            ("_1", "z"),
            ("D", "$A"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    #[test]
    fn expands_every_form() {
        let check = |text: &str, want: &str| {
            assert_eq!(
                expand(text, &env()).map(Cow::into_owned),
                Ok(want.to_owned()),
                "{text}"
            );
        };
        check("no variables", "no variables");
        check("$A-${A}-$AB-$_1-$A.", "x-x-y-z-x.");
        check(
            "$Abc ${Abc} $ $1 ${1} ${A ${",
            "$Abc ${Abc} $ $1 ${1} ${A ${",
        );
        check("$$A $${A} $$$A $$", "$A ${A} $x $");
        check(r"\$A", r"\x");
        check(
            "${A:-d} ${EMPTY:-d} ${NO:-d} ${A-d} ${EMPTY-d} ${NO-d}",
            "x d d x  d",
        );
        check(
            "${A:+d} ${EMPTY:+d} ${NO:+d} ${A+d} ${EMPTY+d} ${NO+d}",
            "d   d d ",
        );
        check("${A:?m} ${A?m} [${EMPTY?m}]", "x x []");
        check("${NO:-${NONE:-${A}}} ${NO:-a$A}b} ${NO:-$NONE}", "x axb} ");
        check("${NO:-${1}} ${NO:-a{b}c}", "${NO:-${1}} a{bc}");
        check("${NO:-$$} ${NO:-} ${NO:-a\nb}", "$  ${NO:-a\nb}");
        check("$D ${NO:-$D}", "$A $A");
        check("${A.b} ${A:b} $é ü$A", "${A.b} ${A:b} $é üx");
    }

    #[test]
    fn a_variable_that_must_be_there() {
        let check = |text: &str, want: &str| {
            assert_eq!(
                expand(text, &env()).unwrap_err().to_string(),
                want,
                "{text}"
            );
        };
        check(
            "${NO:?give $A}",
            "the environment variable `NO` is not set: give x",
        );
        check("${EMPTY:?}", "the environment variable `EMPTY` is empty");
        check("${NO?why}", "the environment variable `NO` is not set: why");
        check(
            "${NO:-${NONE?why}}",
            "the environment variable `NONE` is not set: why",
        );
    }

    #[test]
    fn before_the_escape_two_dollars_were_two() {
        let check = |text: &str, want: &str| {
            let expanded = expand_text(text, false, &env()).unwrap().text;
            assert_eq!(expanded, want, "{text}");
            assert_eq!(expand(&modernize(text), &env()).unwrap(), want, "{text}");
        };
        check("$$A $$", "$x $$");
        check("$${A} $$1 ${1}", "$x $$1 ${1}");
        check("${1}$$", "${1}$$");
        check("a", "a");
    }

    #[test]
    fn tells_what_came_from_the_environment() {
        let got = expand_text("a = $A, $NO, $$", true, &env()).unwrap();
        assert_eq!((got.text.as_str(), got.filled.len()), ("a = x, $NO, $", 1));
        assert_eq!(got.filled[0], 4..5);
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[$${}A:?+\-1\n é]{0,30}", any: String) {
            for text in [text, any] {
                let _ = expand(&text, &env());
                let _ = expand_text(&text, false, &env());
                let source: String = pieces(&text, true).iter().map(|piece| match piece {
                    Piece::Text(text) => text,
                    Piece::Dollar => "$$",
                    Piece::Stray => "${",
                    Piece::Variable(variable) => variable.source,
                }).collect();
                prop_assert_eq!(source, text);
            }
        }

        #[test]
        fn what_is_protected_stays(text in r"[$${}A:?+\-1\n é]{0,30}") {
            let protected = protect(&text);
            prop_assert_eq!(expand(&protected, &env()).unwrap(), text);
        }

        #[test]
        fn deep_nesting_is_harmless(depth in 0usize..2000) {
            let text = "${NO:-".repeat(depth) + &"}".repeat(depth);
            let _ = expand(&text, &env());
            let _ = modernize(&(text + "$$"));
        }
    }
}
