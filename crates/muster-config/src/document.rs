//! One TOML text: read with places, turned into plain tables.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use muster_plugin::{Kind, Registry};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::template::Filled;
use crate::{Diagnostic, EnvMode, Environment, LoadOptions, Place, SourceText};
use crate::{comments, mask, template};

/// So many syntax errors of a text are told; what follows is often due to them.
const MOST_SYNTAX_ERRORS: usize = 20;

/// A value with its place.
pub(crate) type Node<'t> = Spanned<DeValue<'t>>;

/// A text that is ready to be read as TOML.
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    name: String,
    text: String,
    /// What environment variables brought into the text: not to be shown.
    filled: Vec<Range<usize>>,
}

impl Text {
    /// Takes off the byte order mark and, if that is asked for, puts environment variables in.
    pub(crate) fn new(
        path: PathBuf,
        raw: &str,
        options: &LoadOptions,
        env: &dyn Environment,
    ) -> Result<Self, Diagnostic> {
        let name = path.display().to_string();
        let raw = raw.strip_prefix('\u{feff}').unwrap_or(raw);
        if options.env_mode == EnvMode::Strict {
            return Ok(Self {
                path,
                name,
                text: raw.to_owned(),
                filled: Vec::new(),
            });
        }
        let stripped = comments::strip(raw);
        match template::expand_text(&stripped, !options.old_env_behavior, env) {
            Ok(Filled { text, filled }) => Ok(Self {
                path,
                name,
                text,
                filled,
            }),
            Err((at, missing)) => {
                let at = at.min(stripped.len());
                let source = Arc::new(SourceText::new(name, stripped, Vec::new()));
                Err(Diagnostic::error(missing.to_string()).at(Place {
                    source,
                    span: at..at + 1,
                }))
            }
        }
    }
}

impl Text {
    /// The name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A text, read.
pub(crate) struct Document<'t> {
    pub(crate) path: PathBuf,
    pub(crate) source: Arc<SourceText>,
    pub(crate) root: DeTable<'t>,
    text: &'t str,
}

impl<'t> Document<'t> {
    /// Reads a text.
    ///
    /// # Errors
    /// All its syntax errors that can be told.
    pub(crate) fn parse(text: &'t Text, registry: &Registry) -> Result<Self, Vec<Diagnostic>> {
        let (root, problems) = DeTable::parse_recoverable(&text.text);
        let root = root.into_inner();
        let mut secrets = text.filled.clone();
        find_secrets(&root, &text.text, registry, &mut secrets);
        if !problems.is_empty() {
            secrets.extend(suspicious_lines(&text.text));
        }
        let source = Arc::new(SourceText::new(
            text.name.clone(),
            text.text.clone(),
            secrets,
        ));
        if problems.is_empty() {
            return Ok(Self {
                path: text.path.clone(),
                source,
                root,
                text: &text.text,
            });
        }
        let mut seen = HashSet::new();
        let mut diagnostics = Vec::new();
        for problem in problems {
            let span = problem.span().unwrap_or(0..0);
            if seen.insert(span.clone()) && diagnostics.len() < MOST_SYNTAX_ERRORS {
                let place = Place {
                    source: Arc::clone(&source),
                    span,
                };
                diagnostics.push(Diagnostic::error(problem.message()).at(place));
            }
        }
        Err(diagnostics)
    }

    /// A place in this text.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place {
            source: Arc::clone(&self.source),
            span,
        }
    }

    /// The very characters of a value.
    pub(crate) fn raw(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }
}

/// How strings are taken over, so that resolving variables later gives what the user meant.
pub(crate) fn take_text(text: &str, options: &LoadOptions) -> String {
    match options.env_mode {
        EnvMode::Text => template::protect(text),
        EnvMode::Strict if options.old_env_behavior => template::modernize(text),
        EnvMode::Strict => text.to_owned(),
    }
}

/// The plain table, without places. Numbers that do not fit are reported.
pub(crate) fn plain_table(
    table: &DeTable<'_>,
    take: &dyn Fn(&str) -> String,
    problems: &mut Vec<(Range<usize>, String)>,
) -> Table {
    let pair = |(key, value): (&Spanned<_>, &Node<'_>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), plain(value, take, problems))
    };
    table.iter().map(pair).collect()
}

fn plain(
    node: &Node<'_>,
    take: &dyn Fn(&str) -> String,
    problems: &mut Vec<(Range<usize>, String)>,
) -> Value {
    match node.get_ref() {
        DeValue::String(text) => Value::String(take(text)),
        DeValue::Integer(number) => {
            let value = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_else(|_| {
                problems.push((node.span(), format!("{number} does not fit into 64 bits")));
                0
            });
            Value::Integer(value)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or_else(|_| {
            problems.push((node.span(), format!("{number} is no number")));
            0.0
        })),
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| plain(item, take, problems))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(plain_table(table, take, problems)),
    }
}

/// Where the option at `path` stands: the key of a table entry if `key` says so, else its value.
pub(crate) fn locate(table: &DeTable<'_>, path: &str, key: bool) -> Option<Range<usize>> {
    let same = |a: &str, b: &str| a == b || canonical(a) == canonical(b);
    let (name, value, rest) = table
        .iter()
        .filter_map(|(name, value)| {
            let head = path
                .get(..name.get_ref().len())
                .filter(|h| same(h, name.get_ref()));
            // A key that is written in another way may have another length.
            let first = path
                .split(['.', '['])
                .next()
                .filter(|h| same(h, name.get_ref()));
            let head = head.or(first)?;
            let rest = &path[head.len()..];
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some((name, value, rest))
        })
        .max_by_key(|(_, _, rest)| path.len() - rest.len())?;
    if rest.is_empty() && (key || value.get_ref().is_table()) {
        return Some(name.span());
    }
    Some(locate_in(value, rest, key).unwrap_or_else(|| value.span()))
}

fn locate_in(node: &Node<'_>, path: &str, key: bool) -> Option<Range<usize>> {
    if path.is_empty() {
        return Some(node.span());
    }
    match node.get_ref() {
        DeValue::Table(table) => locate(table, path.strip_prefix('.').unwrap_or(path), key),
        DeValue::Array(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            locate_in(items.get(index.parse::<usize>().ok()?)?, rest, key)
        }
        _ => None,
    }
}

/// A key without case and underscores, as Telegraf compares the keys of `[agent]`.
pub(crate) fn canonical(key: &str) -> String {
    key.chars()
        .filter(|c| *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

/// The byte ranges of secrets: of options that say so, of keys that look so, of URLs' passwords.
fn find_secrets(root: &DeTable<'_>, text: &str, registry: &Registry, out: &mut Vec<Range<usize>>) {
    for (key, value) in root {
        let kinds = || Kind::ALL.into_iter().filter(|k| k.table() == key.get_ref());
        let (Some(first), DeValue::Table(plugins)) = (kinds().next(), value.get_ref()) else {
            collect_secrets(value, text, false, &[], out);
            continue;
        };
        for (plugin, value) in plugins {
            let plugin = plugin.get_ref();
            let kind = kinds().find(|kind| registry.find(*kind, plugin).is_some());
            let docs = mask::documented(registry, kind.unwrap_or(first), plugin);
            collect_secrets(value, text, false, &docs, out);
        }
    }
}

fn collect_secrets(
    node: &Node<'_>,
    text: &str,
    secret: bool,
    docs: &[muster_options::OptionDoc],
    out: &mut Vec<Range<usize>>,
) {
    match node.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                let (is_secret, parts) = mask::of_key(key.get_ref(), docs);
                collect_secrets(value, text, secret || is_secret, parts, out);
            }
        }
        DeValue::Array(items) => {
            items
                .iter()
                .for_each(|item| collect_secrets(item, text, secret, docs, out));
        }
        DeValue::Boolean(_) => {}
        _ if secret => out.push(within_quotes(node.span(), text)),
        DeValue::String(_) => {
            let raw = text.get(node.span()).unwrap_or_default();
            let start = node.span().start;
            out.extend(mask::url_password(raw).map(|r| start + r.start..start + r.end));
        }
        _ => {}
    }
}

fn within_quotes(span: Range<usize>, text: &str) -> Range<usize> {
    let raw = text.get(span.clone()).unwrap_or_default();
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        if raw.len() >= 2 * quote.len() && raw.starts_with(quote) && raw.ends_with(quote) {
            return span.start + quote.len()..span.end - quote.len();
        }
    }
    span
}

/// For a text that cannot be read: whatever follows a key that looks like that of a secret, to the
/// end of the line, and the rest of a string that goes on below.
fn suspicious_lines(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((key, value)) = line.split_once('=')
            && (mask::looks_secret(key) || mask::looks_secret(value))
        {
            let from = start + key.len() + 1;
            let goes_on = ["\"\"\"", "'''"]
                .iter()
                .any(|q| value.matches(q).count() == 1);
            let end = if goes_on {
                text.len()
            } else {
                start + line.trim_end().len()
            };
            found.push(from..end.max(from));
        } else if let Some(password) = mask::url_password(line) {
            found.push(start + password.start..start + password.end);
        }
        start += line.len();
    }
    found
}
