//! `processors.rename`: gives measurements, tags and fields other names.
//!
//! The replacements are done one after the other, so a later one sees the names that an earlier
//! one gave. A tag or field that has the new name already is replaced.

use muster_metric::Text;
use muster_options::{JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginRow, ProcessContext, Processor, Selected,
};
use serde::{Deserialize, Serialize};

pub(crate) const ROW: PluginRow = PluginRow {
    name: "rename",
    summary: "renames measurements, tags and fields",
    options: RenameOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(build),
};

/// What to rename.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RenameOptions {
    /// What gets which name; done in this order.
    replace: Vec<Replace>,
}

/// One replacement.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Replace {
    /// The measurement of this name is renamed.
    measurement: String,
    /// The tag with this key is renamed.
    tag: String,
    /// The field with this key is renamed.
    field: String,
    /// The new name. A replacement without one does nothing.
    dest: String,
}

#[derive(Debug)]
enum Subject {
    Measurement,
    Tag,
    Field,
}

/// One name to look for and what it becomes.
#[derive(Debug)]
struct Rule {
    subject: Subject,
    from: Box<str>,
    to: Box<str>,
}

#[derive(Debug)]
struct Rename {
    rules: Vec<Rule>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Processor>> {
    let options = RenameOptions::parse(cx.options())?;
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for (at, replace) in options.replace.iter().enumerate() {
        let subjects = [
            (Subject::Measurement, &replace.measurement),
            (Subject::Tag, &replace.tag),
            (Subject::Field, &replace.field),
        ];
        if subjects.iter().all(|(_, from)| from.is_empty()) {
            let message = "says what to rename to, but not what";
            let hint = "give `measurement`, `tag` or `field`";
            errors.push(OptionError::new(format!("replace[{at}]"), message).with_hint(hint));
        }
        for (subject, from) in subjects {
            if !from.is_empty() && !replace.dest.is_empty() {
                let (from, to) = (from.as_str().into(), replace.dest.as_str().into());
                rules.push(Rule { subject, from, to });
            }
        }
    }
    if errors.is_empty() {
        Ok(Box::new(Rename { rules }))
    } else {
        Err(errors)
    }
}

impl Processor for Rename {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        // The new names stand in the batch once, however many metrics get them.
        let batch = metrics.batch();
        let names: Vec<Text> = self.rules.iter().map(|rule| batch.text(&rule.to)).collect();
        metrics.for_each(|mut metric| {
            for (rule, name) in self.rules.iter().zip(&names) {
                match rule.subject {
                    Subject::Measurement => {
                        if metric.name() == &*rule.from {
                            metric.set_name(*name);
                        }
                    }
                    Subject::Tag => {
                        metric.rename_tag(&rule.from, *name);
                    }
                    Subject::Field => {
                        metric.rename_field(&rule.from, *name);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_refused};

    #[test]
    fn renames() {
        let options = r#"
            [[replace]]
            measurement = "network"
            dest = "net"
            [[replace]]
            tag = "hostname"
            dest = "host"
            [[replace]]
            field = "lower"
            dest = "min"
        "#;
        check(
            "rename",
            options,
            "network,a=1,hostname=db1 lower=1i,upper=2i 1\nother,zone=x up=1 2\nnetwork,host=old,hostname=new min=1,lower=2 3",
            "net,a=1,host=db1 min=1i,upper=2i 1\nother,zone=x up=1 2\nnet,host=new min=2 3",
        );
    }

    #[test]
    fn one_after_the_other() {
        check(
            "rename",
            "[[replace]]\ntag = 'a'\ndest = 'b'\n[[replace]]\ntag = 'b'\ndest = 'c'",
            "m,a=1 v=1 1",
            "m,c=1 v=1 1",
        );
        check(
            "rename",
            "[[replace]]\ntag = 'a'\nfield = 'a'\nmeasurement = 'a'\ndest = 'x'",
            "a,a=1 a=1 1",
            "x,x=1 x=1 1",
        );
        check(
            "rename",
            "[[replace]]\ntag = 'a'\ndest = 'a'",
            "a,a=1 a=1 1",
            "a,a=1 a=1 1",
        );
        check(
            "rename",
            "[[replace]]\nfield = 'a'",
            "a,a=1 a=1 1",
            "a,a=1 a=1 1",
        );
    }

    #[test]
    fn says_what_is_wrong() {
        check_refused("rename", "[[replace]]\ndest = 'x'", &["replace[0]"]);
        check_refused("rename", "[[replace]]\ntags = 'x'", &["replace[0].tags"]);
    }
}
