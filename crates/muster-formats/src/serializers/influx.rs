//! `influx`: line protocol, written by [`muster_metric::line_protocol`].

use muster_metric::line_protocol::Writer;
use muster_metric::{Metric, Precision};
use muster_options::{JsonSchema, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{BuiltSerializer, Serializer, SerializerRow, Written};

pub(super) const ROW: SerializerRow = SerializerRow {
    name: "influx",
    summary: "InfluxDB line protocol",
    options: InfluxOptions::describe,
    build,
};

/// Options of the `influx` serializer.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InfluxOptions {
    /// The longest line, in bytes; a metric that is longer becomes several lines with a part of
    /// its fields each. 0: no limit.
    influx_max_line_bytes: usize,
    /// Whether to write fields in the order of their keys.
    influx_sort_fields: bool,
    /// Whether to write unsigned integers as such (`42u`). If false they are written as signed
    /// ones, at most 9223372036854775807.
    influx_uint_support: bool,
    /// Whether to leave the times out.
    influx_omit_timestamp: bool,
    /// Accepted for configurations that set it; lines are lines either way.
    use_batch_format: bool,
}

fn build(table: &Table) -> BuiltSerializer {
    let options = InfluxOptions::parse(table)?;
    Ok(Box::new(InfluxSerializer(Writer {
        uint_support: options.influx_uint_support,
        sort_fields: options.influx_sort_fields,
        omit_timestamp: options.influx_omit_timestamp,
        max_line_bytes: options.influx_max_line_bytes,
        precision: Precision::NANOSECOND,
    })))
}

#[derive(Debug)]
struct InfluxSerializer(Writer);

impl Serializer for InfluxSerializer {
    fn serialize(
        &self,
        metrics: &mut dyn Iterator<Item = Metric<'_>>,
        out: &mut Vec<u8>,
    ) -> Written {
        let written = self.0.write_all(metrics, out);
        Written {
            metrics: written.metrics,
            left_out: written.unwritable,
        }
    }

    fn content_type(&self) -> &'static str {
        "text/plain; charset=utf-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_batch, check_serializer, survives_serializing};
    use muster_metric::{Batch, Timestamp};
    use proptest::prelude::*;

    #[test]
    fn writes_lines() {
        let mut batch = Batch::new();
        let time = Timestamp::from_nanos(7);
        batch
            .metric("m")
            .tag("t", "a b")
            .field("z", u64::MAX)
            .field("a", true)
            .at(time);
        batch.metric("m").field("nan", f64::NAN).at(time);
        let check = |options, want| check_serializer("influx", options, &batch, want);
        check("", "m,t=a\\ b z=9223372036854775807i,a=true 7\n");
        check(
            "influx_uint_support = true",
            "m,t=a\\ b z=18446744073709551615u,a=true 7\n",
        );
        check(
            "influx_sort_fields = true",
            "m,t=a\\ b a=true,z=9223372036854775807i 7\n",
        );
        check(
            "influx_omit_timestamp = true",
            "m,t=a\\ b z=9223372036854775807i,a=true\n",
        );
        check(
            "influx_max_line_bytes = 34",
            "m,t=a\\ b z=9223372036854775807i 7\nm,t=a\\ b a=true 7\n",
        );
    }

    proptest! {
        #[test]
        fn survives_anything(batch in any_batch()) {
            survives_serializing(&ROW, &batch);
        }
    }
}
