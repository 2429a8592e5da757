//! What is wrong with a configuration, and where.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use muster_options::OptionError;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::{Definition, Place};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but perhaps not as it was meant.
    Warning,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, as a lower-case phrase.
    pub message: String,
    /// What would be right, or what to do.
    pub hint: Option<String>,
    /// Where.
    pub place: Option<Place>,
    /// Where else to look, and why.
    pub related: Vec<(Place, String)>,
}

impl Diagnostic {
    /// Something that makes the configuration unusable.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// Something to be told of.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        let message = printable(&message);
        Self {
            severity,
            message,
            hint: None,
            place: None,
            related: Vec::new(),
        }
    }

    /// The same with its place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same with what would be right.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable(&hint.into()));
        self
    }

    /// The same with another place to look at.
    #[must_use]
    pub fn with_related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }

    /// The problem as people read it: place, message, the line with a caret, hint.
    pub fn render(&self, colored: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let shown: Vec<_> = self
            .place
            .iter()
            .map(|place| (place, AnnotationKind::Primary, ""))
            .chain(
                self.related
                    .iter()
                    .map(|(p, l)| (p, AnnotationKind::Context, l.as_str())),
            )
            .map(|(place, kind, label)| (place, kind, label, place.source.excerpt(&place.span)))
            .collect();
        let title = level.primary_title(self.message.as_str());
        let mut group = Group::with_title(title);
        for (place, kind, label, (line, number, span)) in &shown {
            let mut annotation = kind.span(span.clone());
            if !label.is_empty() {
                annotation = annotation.label(*label);
            }
            let snippet = Snippet::source(line.as_str())
                .path(place.source.name())
                .line_start(*number as usize)
                .annotation(annotation);
            group = group.element(snippet);
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let renderer = if colored {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    /// On one line: `file:line:column: message (hint)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        for (place, label) in &self.related {
            write!(f, " ({label}: {place})")?;
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Serialize for Diagnostic {
    /// As programs read it: `severity`, `message`, `hint`, `file`, `line`, `column`, `related`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Related<'a> {
            label: &'a str,
            file: &'a str,
            line: u32,
            column: u32,
        }
        let related: Vec<Related<'_>> = self
            .related
            .iter()
            .map(|(place, label)| Related {
                label,
                file: place.source.name(),
                line: place.line(),
                column: place.column(),
            })
            .collect();
        let place = self.place.as_ref();
        let mut out = serializer.serialize_struct("Diagnostic", 7)?;
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("hint", &self.hint)?;
        out.serialize_field("file", &place.map(|p| p.source.name()))?;
        out.serialize_field("line", &place.map(Place::line))?;
        out.serialize_field("column", &place.map(Place::column))?;
        out.serialize_field("related", &related)?;
        out.end()
    }
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// The problems of one definition that is not read from a text: each names the component, its
    /// source and the option.
    pub fn of_options(definition: &Definition, errors: Vec<OptionError>) -> Self {
        let of_option = |error: OptionError| {
            let place = if error.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", error.path)
            };
            let text = format!(
                "{} ({}): {place}{}",
                definition.id, definition.source, error.message
            );
            let diagnostic = Diagnostic::error(text);
            match error.hint {
                Some(hint) => diagnostic.with_hint(hint),
                None => diagnostic,
            }
        };
        Self(errors.into_iter().map(of_option).collect())
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.0
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// All of it as people read it, with an empty line between.
    pub fn render(&self, colored: bool) -> String {
        let shown: Vec<String> = self.0.iter().map(|d| d.render(colored)).collect();
        shown.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Without control characters: they could redraw the reader's terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
