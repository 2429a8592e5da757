//! Finding a part of a document by a path in the style of GJSON.

use std::borrow::Cow;
use std::cmp::Ordering;

use muster_options::Globs;
use serde_json::Value;

/// A path, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    /// A key of an object, or a position in an array.
    Key(String),
    /// The first key that matches.
    Pattern(Globs),
    /// Every element; at the end, how many there are.
    Each,
    /// The first element, or all elements, that fit.
    Where { test: Test, all: bool },
}

/// `left op right`; without an operator, whether there is something at `left`.
#[derive(Clone, Debug)]
struct Test {
    left: Path,
    right: Option<(Op, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

impl Path {
    /// Takes a path apart; nothing for an empty one.
    pub(super) fn new(text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut steps = Vec::new();
        for part in split(text)? {
            steps.push(step(&part)?);
        }
        Ok(Some(Self(steps)))
    }

    /// What is at the path.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Option<Cow<'a, Value>> {
        find(&self.0, value)
    }
}

/// Splits at dots and bars outside of parentheses and not after a backslash.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in text.chars() {
        let in_test = depth > 0;
        match c {
            _ if escaped => {}
            '"' if in_test => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            '.' | '|' if !in_test => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    match (depth, parts.iter().any(String::is_empty)) {
        (1.., _) => Err("a parenthesis is not closed".to_owned()),
        (_, true) => Err("a key between two dots is empty".to_owned()),
        _ => Ok(parts),
    }
}

fn step(part: &str) -> Result<Step, String> {
    if part == "#" {
        return Ok(Step::Each);
    }
    if let Some(test) = part.strip_prefix("#(") {
        let (test, all) = match test.strip_suffix(")#") {
            Some(test) => (test, true),
            None => (
                test.strip_suffix(')').ok_or("wanted #(...) or #(...)#")?,
                false,
            ),
        };
        return Ok(Step::Where {
            test: Test::new(test)?,
            all,
        });
    }
    if part.starts_with(['@', '{', '[', '!', '#']) {
        return Err(format!(
            "\"{part}\": modifiers and several paths at once are not supported yet; what works \
             is keys, positions, *, ?, #, #(...) and #(...)#"
        ));
    }
    if part.contains(['*', '?']) {
        let pattern = Globs::new(&[part], &[]).map_err(|error| error.to_string())?;
        return Ok(Step::Pattern(pattern));
    }
    let mut key = String::new();
    let mut escaped = false;
    for c in part.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            key.push(c);
        }
    }
    Ok(Step::Key(key))
}

impl Test {
    fn new(text: &str) -> Result<Self, String> {
        const OPS: [(&str, Op); 7] = [
            ("==", Op::Equal),
            ("!=", Op::Unequal),
            ("<=", Op::LessOrEqual),
            (">=", Op::MoreOrEqual),
            ("=", Op::Equal),
            ("<", Op::Less),
            (">", Op::More),
        ];
        let path = |text: &str| Ok::<_, String>(Path::new(text.trim())?.unwrap_or(Self::whole()));
        let Some(at) = text.find(['=', '!', '<', '>', '%']) else {
            return Ok(Self {
                left: path(text)?,
                right: None,
            });
        };
        let (left, rest) = text.split_at(at);
        let Some((word, op)) = OPS.iter().find(|(word, _)| rest.starts_with(word)) else {
            return Err(format!(
                "\"{rest}\": only ==, !=, <, <=, > and >= are supported yet"
            ));
        };
        let right = rest[word.len()..].trim();
        let right = serde_json::from_str(right).unwrap_or_else(|_| Value::from(right));
        Ok(Self {
            left: path(left)?,
            right: Some((*op, right)),
        })
    }

    fn whole() -> Path {
        Path(Vec::new())
    }

    fn holds(&self, value: &Value) -> bool {
        let Some(left) = self.left.find(value) else {
            return false;
        };
        let Some((op, right)) = &self.right else {
            return true;
        };
        let order = match (left.as_ref(), right) {
            (Value::String(left), Value::String(right)) => Some(left.as_str().cmp(right)),
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            (Value::Number(left), Value::Number(right)) => left
                .as_f64()
                .zip(right.as_f64())
                .and_then(|(l, r)| l.partial_cmp(&r)),
            (Value::Null, Value::Null) => Some(Ordering::Equal),
            _ => None,
        };
        match op {
            Op::Equal => order == Some(Ordering::Equal),
            Op::Unequal => order != Some(Ordering::Equal),
            Op::Less => order == Some(Ordering::Less),
            Op::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Op::More => order == Some(Ordering::Greater),
            Op::MoreOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Option<Cow<'a, Value>> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(Cow::Borrowed(value));
    };
    match (step, value) {
        (Step::Key(key), Value::Object(object)) => find(rest, object.get(key)?),
        (Step::Key(key), Value::Array(items)) => find(rest, items.get(key.parse::<usize>().ok()?)?),
        (Step::Pattern(pattern), Value::Object(object)) => {
            find(rest, object.iter().find(|(key, _)| pattern.matches(key))?.1)
        }
        (Step::Each, Value::Array(items)) if rest.is_empty() => {
            Some(Cow::Owned(Value::from(items.len())))
        }
        (Step::Each, Value::Array(items)) => Some(collect(items.iter(), rest)),
        (Step::Where { test, all: false }, Value::Array(items)) => {
            find(rest, items.iter().find(|item| test.holds(item))?)
        }
        (Step::Where { test, all: true }, Value::Array(items)) => {
            Some(collect(items.iter().filter(|item| test.holds(item)), rest))
        }
        _ => None,
    }
}

fn collect<'a>(items: impl Iterator<Item = &'a Value>, rest: &[Step]) -> Cow<'static, Value> {
    Cow::Owned(
        items
            .filter_map(|item| find(rest, item))
            .map(Cow::into_owned)
            .collect(),
    )
}
