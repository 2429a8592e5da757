//! `processors.printer`: prints the metrics that pass as line protocol on standard output.

use std::io::Write as _;

use muster_metric::line_protocol::Writer;
use muster_options::{JsonSchema, Options};
use muster_plugin::{Build, FormatUse, PluginRow, ProcessContext, Processor, Selected};
use serde::{Deserialize, Serialize};

pub(crate) const ROW: PluginRow = PluginRow {
    name: "printer",
    summary: "prints the metrics that pass on standard output",
    options: PrinterOptions::describe,
    format: FormatUse::None,
    build: Build::Processor(|cx| {
        let options = PrinterOptions::parse(cx.options())?;
        Ok(Box::new(Printer {
            writer: options.writer(),
        }))
    }),
};

/// How the lines look.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PrinterOptions {
    /// The most bytes of a line; longer metrics are split by fields. 0 for no limit.
    influx_max_line_bytes: u32,
    /// Print fields in the order of their keys.
    influx_sort_fields: bool,
    /// Print unsigned integers with the suffix `u`, not as signed ones.
    influx_uint_support: bool,
    /// Print no timestamps.
    influx_omit_timestamp: bool,
}

impl PrinterOptions {
    fn writer(&self) -> Writer {
        Writer {
            uint_support: self.influx_uint_support,
            sort_fields: self.influx_sort_fields,
            omit_timestamp: self.influx_omit_timestamp,
            max_line_bytes: self.influx_max_line_bytes as usize,
            ..Writer::default()
        }
    }
}

#[derive(Debug)]
struct Printer {
    writer: Writer,
}

impl Printer {
    fn render(&self, metrics: &mut Selected<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        metrics.for_each(|metric| {
            // What line protocol cannot express is not printed.
            let _ = self.writer.write(metric.view(), &mut out);
        });
        out
    }
}

impl Processor for Printer {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let out = self.render(metrics);
        // Nobody may be reading; the metrics go on all the same.
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(&out).and_then(|()| stdout.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::read;

    fn check(options: &str, want: &str) {
        let options = PrinterOptions::parse(&toml::from_str(options).unwrap()).unwrap();
        let mut batch = read("m,a=1 z=1u,b=2 5");
        let out = Printer {
            writer: options.writer(),
        }
        .render(&mut Selected::all(&mut batch));
        assert_eq!(String::from_utf8(out).unwrap(), want);
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn prints() {
        check("", "m,a=1 z=1i,b=2 5\n");
        check(
            "influx_sort_fields = true\ninflux_uint_support = true",
            "m,a=1 b=2,z=1u 5\n",
        );
        check("influx_omit_timestamp = true", "m,a=1 z=1i,b=2\n");
    }
}
