//! Families: what is known of a sample from the lines before.

use std::collections::HashMap;

use muster_metric::MetricType;

use super::Dialect;

/// A family's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl Kind {
    fn new(word: &str) -> Option<Self> {
        Some(match word {
            "untyped" | "unknown" => Self::Unknown,
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            _ => return None,
        })
    }

    pub(super) fn metric_type(self) -> MetricType {
        match self {
            Self::Unknown => MetricType::Untyped,
            Self::Counter => MetricType::Counter,
            Self::Gauge | Self::Info | Self::StateSet => MetricType::Gauge,
            Self::Histogram | Self::GaugeHistogram => MetricType::Histogram,
            Self::Summary => MetricType::Summary,
        }
    }

    /// The suffixes that samples of such a family may have, with what they then are.
    fn suffixes(self, dialect: Dialect) -> &'static [(&'static str, Role)] {
        const HISTOGRAM: &[(&str, Role)] = &[
            ("_bucket", Role::Bucket),
            ("_sum", Role::Part("sum")),
            ("_count", Role::Part("count")),
            ("_created", Role::Part("created")),
        ];
        const GAUGE_HISTOGRAM: &[(&str, Role)] = &[
            ("_bucket", Role::Bucket),
            ("_gsum", Role::Part("sum")),
            ("_gcount", Role::Part("count")),
        ];
        const SUMMARY: &[(&str, Role)] = &[
            ("", Role::Quantile),
            ("_sum", Role::Part("sum")),
            ("_count", Role::Part("count")),
            ("_created", Role::Part("created")),
        ];
        const OPEN_COUNTER: &[(&str, Role)] = &[
            ("_total", Role::Value),
            ("_created", Role::Part("created")),
            ("", Role::Value),
        ];
        const INFO: &[(&str, Role)] = &[("_info", Role::Info), ("", Role::Value)];
        const PLAIN: &[(&str, Role)] = &[("", Role::Value)];
        match self {
            Self::Histogram => HISTOGRAM,
            Self::GaugeHistogram => GAUGE_HISTOGRAM,
            Self::Summary => SUMMARY,
            Self::Counter if dialect == Dialect::OpenMetrics => OPEN_COUNTER,
            Self::Info => INFO,
            _ => PLAIN,
        }
    }
}

/// What a sample is of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Value,
    Info,
    Bucket,
    Quantile,
    /// Sum, count or time of creation of a series.
    Part(&'static str),
}

/// What is known of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) unit: &'a str,
}

/// The families that were declared so far.
#[derive(Debug)]
pub(super) struct Families<'a> {
    dialect: Dialect,
    current: Family<'a>,
    others: HashMap<&'a str, Family<'a>, foldhash::fast::RandomState>,
}

impl<'a> Families<'a> {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            current: Family::default(),
            others: HashMap::default(),
        }
    }

    /// Takes note of a type. False if there is no such type.
    pub(super) fn set_kind(&mut self, name: &'a str, word: &str) -> bool {
        self.enter(name);
        let kind = Kind::new(word);
        self.current.kind = kind.unwrap_or_default();
        kind.is_some()
    }

    /// Takes note of a unit.
    pub(super) fn set_unit(&mut self, name: &'a str, unit: &'a str) {
        self.enter(name);
        self.current.unit = unit;
    }

    fn enter(&mut self, name: &'a str) {
        if self.current.name == name {
            return;
        }
        let next = self.others.get(name).copied();
        if !self.current.name.is_empty() {
            self.others.insert(self.current.name, self.current);
        }
        self.current = next.unwrap_or(Family {
            name,
            ..Family::default()
        });
    }

    /// The family that a sample belongs to, and what the sample is of it. A sample that nothing
    /// was said of is a family of its own.
    pub(super) fn of(&mut self, sample: &'a str) -> (Family<'a>, Role) {
        if let Some(role) = role(&self.current, sample, self.dialect) {
            return (self.current, role);
        }
        // Families are to stand together; those that do not are looked up.
        let shorter = sample.rfind('_').map_or("", |end| &sample[..end]);
        for name in [sample, shorter] {
            if let Some(family) = self.others.get(name).copied()
                && let Some(role) = role(&family, sample, self.dialect)
            {
                self.enter(name);
                return (family, role);
            }
        }
        self.enter(sample);
        (self.current, Role::Value)
    }
}

fn role(family: &Family<'_>, sample: &str, dialect: Dialect) -> Option<Role> {
    if family.name.is_empty() {
        return None;
    }
    let suffix = sample.strip_prefix(family.name)?;
    let suffixes = family.kind.suffixes(dialect);
    suffixes
        .iter()
        .find(|(known, _)| *known == suffix)
        .map(|(_, role)| *role)
}
