//! Which metrics a component takes, and which of their fields and tags.

use std::collections::BTreeMap;

use muster_metric::{Metric, MetricMut};
use muster_options::{Globs, OptionError};

use crate::settings::FilterOptions;

/// The filters of a component, compiled.
///
/// First [`select`](Self::select) decides by name, then by tags, whether the component takes the
/// metric at all; then [`modify`](Self::modify) removes fields, then tags.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    name: Choice,
    tag_pass: Vec<(String, Globs)>,
    tag_drop: Vec<(String, Globs)>,
    fields: Choice,
    tags: Choice,
}

/// Pass, and not drop; each only if given.
#[derive(Clone, Debug, Default)]
struct Choice {
    pass: Option<Globs>,
    drop: Option<Globs>,
}

impl Choice {
    fn takes(&self, text: &str) -> bool {
        self.pass.as_ref().is_none_or(|pass| pass.matches(text))
            && !self.drop.as_ref().is_some_and(|drop| drop.matches(text))
    }

    fn is_empty(&self) -> bool {
        self.pass.is_none() && self.drop.is_none()
    }
}

impl Filter {
    /// Compiles the filters.
    ///
    /// # Errors
    /// Every malformed pattern, and `metricpass`, which is not supported yet.
    pub fn new(options: &FilterOptions) -> Result<Self, Vec<OptionError>> {
        let mut errors = Vec::new();
        if !options.metricpass.is_empty() {
            errors.push(
                OptionError::new("metricpass", "`metricpass` is not supported yet")
                    .with_hint("use `namepass`, `tagpass` and their like where they suffice"),
            );
        }
        let mut compile = Compile { errors };
        let choice = |compile: &mut Compile, pass: [(&str, &[String], &str); 3], drop| Choice {
            pass: compile.joined(pass),
            drop: compile.joined(drop),
        };
        let FilterOptions {
            namepass_separator: pass_sep,
            namedrop_separator: drop_sep,
            ..
        } = options;
        let none: (&str, &[String], &str) = ("", &[], "");
        let filter = Self {
            name: choice(
                &mut compile,
                [("namepass", &options.namepass, pass_sep), none, none],
                [("namedrop", &options.namedrop, drop_sep), none, none],
            ),
            tag_pass: compile.by_tag("tagpass", &options.tagpass),
            tag_drop: compile.by_tag("tagdrop", &options.tagdrop),
            fields: choice(
                &mut compile,
                [
                    ("fieldinclude", &options.fieldinclude, ""),
                    ("fieldpass", &options.fieldpass, ""),
                    ("pass", &options.pass, ""),
                ],
                [
                    ("fieldexclude", &options.fieldexclude, ""),
                    ("fielddrop", &options.fielddrop, ""),
                    ("drop", &options.drop, ""),
                ],
            ),
            tags: choice(
                &mut compile,
                [("taginclude", &options.taginclude, ""), none, none],
                [("tagexclude", &options.tagexclude, ""), none, none],
            ),
        };
        if compile.errors.is_empty() {
            Ok(filter)
        } else {
            Err(compile.errors)
        }
    }

    /// Whether every metric passes as it is.
    pub fn is_empty(&self) -> bool {
        !self.selects() && !self.modifies()
    }

    /// Whether some metrics may not be selected.
    pub fn selects(&self) -> bool {
        !(self.name.is_empty() && self.tag_pass.is_empty() && self.tag_drop.is_empty())
    }

    /// Whether some fields or tags may be removed.
    pub fn modifies(&self) -> bool {
        !(self.fields.is_empty() && self.tags.is_empty())
    }

    /// Whether the component takes this metric. A tag matches if one of the listed keys is there
    /// with a value that matches one of its patterns.
    pub fn select(&self, metric: Metric<'_>) -> bool {
        self.name.takes(metric.name())
            && (self.tag_pass.is_empty() || any_tag(&self.tag_pass, metric))
            && !any_tag(&self.tag_drop, metric)
    }

    /// Removes the fields, then the tags, that are not wanted. False if no field is left: then the
    /// metric is to be dropped.
    pub fn modify(&self, metric: &mut MetricMut<'_>) -> bool {
        if !self.fields.is_empty() {
            metric.retain_fields(|key, _| self.fields.takes(key));
            if metric.field_count() == 0 {
                return false;
            }
        }
        if !self.tags.is_empty() {
            metric.retain_tags(|key, _| self.tags.takes(key));
        }
        metric.field_count() > 0
    }
}

fn any_tag(filters: &[(String, Globs)], metric: Metric<'_>) -> bool {
    filters
        .iter()
        .any(|(key, globs)| metric.tag(key).is_some_and(|value| globs.matches(value)))
}

struct Compile {
    errors: Vec<OptionError>,
}

impl Compile {
    /// The patterns of several options as one list.
    fn joined(&mut self, options: [(&str, &[String], &str); 3]) -> Option<Globs> {
        let mut all: Vec<&String> = Vec::new();
        let mut separators = Vec::new();
        let errors_before = self.errors.len();
        for (name, patterns, separator) in options {
            separators.extend(separator.chars());
            self.check_each(name, patterns, &separators);
            all.extend(patterns);
        }
        if all.is_empty() || self.errors.len() > errors_before {
            return None;
        }
        match Globs::new(&all, &separators) {
            Ok(globs) => Some(globs),
            Err(error) => {
                self.errors
                    .push(OptionError::new(options[0].0, error.to_string()));
                None
            }
        }
    }

    fn by_tag(&mut self, name: &str, tags: &BTreeMap<String, Vec<String>>) -> Vec<(String, Globs)> {
        let mut filters = Vec::new();
        for (key, patterns) in tags {
            let path = format!("{name}.{key}");
            self.check_each(&path, patterns, &[]);
            match Globs::new(patterns, &[]) {
                Ok(globs) => filters.push((key.clone(), globs)),
                Err(_) if self.errors.iter().any(|e| e.path.starts_with(&path)) => {}
                Err(error) => self.errors.push(OptionError::new(path, error.to_string())),
            }
        }
        filters
    }

    /// Points at the very pattern that is malformed.
    fn check_each(&mut self, path: &str, patterns: &[String], separators: &[char]) {
        for (at, pattern) in patterns.iter().enumerate() {
            if let Err(error) = Globs::new(&[pattern], separators) {
                self.errors
                    .push(OptionError::new(format!("{path}[{at}]"), error.to_string()));
            }
        }
    }
}
