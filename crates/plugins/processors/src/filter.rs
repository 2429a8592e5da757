//! `processors.filter`: keeps or drops metrics by rules.
//!
//! The rules are tried in order, and the first that fits decides. All that a rule names must fit:
//! one of the names, of each tag one of the values, and at least one of the fields. If no rule
//! fits, the default decides.

use std::collections::BTreeMap;

use muster_metric::Metric;
use muster_options::{Globs, JsonSchema, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Processor, Selected,
};
use serde::{Deserialize, Serialize};

use crate::pattern::globs;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "filter",
    summary: "keeps or drops metrics by name, tags and fields",
    options: FilterOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(build),
};

/// Which metrics to keep.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FilterOptions {
    /// What becomes of a metric that no rule fits.
    default: Action,
    /// The rules, tried in this order.
    rule: Vec<RuleOptions>,
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self {
            default: Action::Pass,
            rule: Vec::new(),
        }
    }
}

/// One rule. What is not given is not looked at.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RuleOptions {
    /// Names of measurements, with wildcards; one of them must fit.
    name: Vec<String>,
    /// Tags with lists of values, with wildcards; each tag must be there with one of its values.
    tags: BTreeMap<String, Vec<String>>,
    /// Keys of fields, with wildcards; one of the metric's fields must fit.
    fields: Vec<String>,
    /// What becomes of a metric that the rule fits.
    action: Action,
}

impl Default for RuleOptions {
    fn default() -> Self {
        let (name, fields) = (Vec::new(), Vec::new());
        Self {
            name,
            tags: BTreeMap::new(),
            fields,
            action: Action::Drop,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// The metric goes on.
    Pass,
    /// The metric is dropped.
    Drop,
}

#[derive(Debug)]
struct Rule {
    name: Globs,
    tags: Vec<(Box<str>, Globs)>,
    fields: Globs,
    action: Action,
}

#[derive(Debug)]
struct Filter {
    rules: Vec<Rule>,
    default: Action,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Processor>> {
    let options = FilterOptions::parse(cx.options())?;
    let mut errors = Vec::new();
    let mut patterns = |path: String, entries: &[String]| {
        globs(&path, entries).unwrap_or_else(|error| {
            errors.push(error);
            Globs::default()
        })
    };
    let mut rules = Vec::new();
    for (at, rule) in options.rule.iter().enumerate() {
        let name = patterns(format!("rule[{at}].name"), &rule.name);
        let fields = patterns(format!("rule[{at}].fields"), &rule.fields);
        let tags = rule.tags.iter().map(|(key, values)| {
            (
                key.as_str().into(),
                patterns(format!("rule[{at}].tags.{key}"), values),
            )
        });
        rules.push(Rule {
            name,
            tags: tags.collect(),
            fields,
            action: rule.action,
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Box::new(Filter {
        rules,
        default: options.default,
    }))
}

impl Rule {
    fn fits(&self, metric: Metric<'_>) -> bool {
        (self.name.is_empty() || self.name.matches(metric.name()))
            && self.tags.iter().all(|(key, values)| {
                metric
                    .tag(key)
                    .is_some_and(|value| values.is_empty() || values.matches(value))
            })
            && (self.fields.is_empty() || metric.fields().any(|(key, _)| self.fields.matches(key)))
    }
}

impl Processor for Filter {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        metrics.for_each(|metric| {
            let view = metric.view();
            let rule = self.rules.iter().find(|rule| rule.fits(view));
            if rule.map_or(self.default, |rule| rule.action) == Action::Drop {
                metric.discard();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_refused};

    const LINES: &str = "cpu,host=a,zone=x usage=1 1\ncpu,host=b usage=2 2\nmem,host=a free=3 3";

    #[test]
    fn drops_and_keeps() {
        check("filter", "", LINES, LINES);
        check("filter", "default = 'drop'", LINES, "");
        check(
            "filter",
            "[[rule]]\nname = ['c*']",
            LINES,
            "mem,host=a free=3 3",
        );
        check(
            "filter",
            "default = 'drop'\n[[rule]]\nname = ['cpu']\naction = 'pass'\n[rule.tags]\nhost = ['a', 'c?']",
            LINES,
            "cpu,host=a,zone=x usage=1 1",
        );
        check(
            "filter",
            "[[rule]]\nfields = ['fr*']",
            LINES,
            "cpu,host=a,zone=x usage=1 1\ncpu,host=b usage=2 2",
        );
        // All tags must be there.
        check(
            "filter",
            "[[rule]]\n[rule.tags]\nhost = ['*']\nzone = ['x']",
            LINES,
            "cpu,host=b usage=2 2\nmem,host=a free=3 3",
        );
        // The first rule that fits decides.
        check(
            "filter",
            "[[rule]]\nname = ['cpu']\naction = 'pass'\n[[rule]]\nname = ['*']",
            LINES,
            "cpu,host=a,zone=x usage=1 1\ncpu,host=b usage=2 2",
        );
    }

    #[test]
    fn says_what_is_wrong() {
        check_refused("filter", "default = 'keep'", &["default"]);
        check_refused(
            "filter",
            "[[rule]]\nname = ['[']\n[rule.tags]\na = ['x*', '[']",
            &["rule[0].name[0]", "rule[0].tags.a[1]"],
        );
    }
}
