//! `prometheus`: the text exposition format.

mod exposition;
mod series;
#[cfg(test)]
mod tests;
mod text;

use muster_metric::{Metric, MetricType, Timestamp};
use muster_options::{Globs, JsonSchema, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::names::name_list;
use crate::{BuiltSerializer, Serializer, SerializerRow, Written};

pub use exposition::{Exposition, ExpositionOptions, Naming};
pub use text::PrometheusText;

pub(super) const ROW: SerializerRow = SerializerRow {
    name: "prometheus",
    summary: "Prometheus' text exposition format",
    options: PrometheusOptions::describe,
    build,
};

/// Options of the `prometheus` serializer.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PrometheusOptions {
    /// Whether to write the metrics' times, in milliseconds.
    prometheus_export_timestamp: bool,
    /// Whether to sort families by name and samples by labels.
    prometheus_sort_metrics: bool,
    /// Whether text fields become labels; otherwise they are left out.
    prometheus_string_as_label: bool,
    /// Whether to leave the lines with help out.
    prometheus_compact_encoding: bool,
    /// Types by the name of the sample, where the metric has none of its own. May hold `*`, `?`,
    /// `[abc]`.
    prometheus_metric_types: MetricTypes,
    /// Accepted for configurations that set it; the samples of a call are grouped either way.
    use_batch_format: bool,
}

/// Names by type.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct MetricTypes {
    /// Names of counters.
    counter: Vec<String>,
    /// Names of gauges.
    gauge: Vec<String>,
}

/// Which names are counters, which gauges.
#[derive(Debug, Default)]
pub(crate) struct TypesByName {
    counters: Globs,
    gauges: Globs,
}

impl TypesByName {
    fn of(&self, name: &str, kind: MetricType) -> MetricType {
        if self.counters.matches(name) {
            MetricType::Counter
        } else if self.gauges.matches(name) {
            MetricType::Gauge
        } else {
            kind
        }
    }
}

fn build(table: &Table) -> BuiltSerializer {
    let options = PrometheusOptions::parse(table)?;
    let mut errors = Vec::new();
    let mut names = |option: &str, names: &[String]| {
        let option = format!("prometheus_metric_types.{option}");
        name_list(&option, names)
            .map_err(|error| errors.push(error))
            .unwrap_or_default()
    };
    let types = &options.prometheus_metric_types;
    let (counters, gauges) = (
        names("counter", &types.counter),
        names("gauge", &types.gauge),
    );
    if !errors.is_empty() {
        return Err(errors);
    }
    let exposition = ExpositionOptions {
        naming: Naming::MeasurementAndField,
        string_as_label: options.prometheus_string_as_label,
        export_timestamp: options.prometheus_export_timestamp,
        compact: options.prometheus_compact_encoding,
        sort: options.prometheus_sort_metrics,
        types: std::sync::Arc::new(TypesByName { counters, gauges }),
    };
    Ok(Box::new(PrometheusSerializer(exposition)))
}

#[derive(Debug)]
struct PrometheusSerializer(ExpositionOptions);

impl Serializer for PrometheusSerializer {
    fn serialize(
        &self,
        metrics: &mut dyn Iterator<Item = Metric<'_>>,
        out: &mut Vec<u8>,
    ) -> Written {
        let mut written = Written::default();
        let mut exposition = Exposition::new(self.0.clone());
        for metric in metrics {
            match exposition.add(metric, Timestamp::from_nanos(0)) {
                true => written.metrics += 1,
                false => written.left_out += 1,
            }
        }
        exposition.write(out);
        written
    }

    fn content_type(&self) -> &'static str {
        PrometheusText::CONTENT_TYPE
    }
}
