//! `internal`: the agent's numbers about itself.

use std::sync::Arc;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::JsonSchema;
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, Options, PluginError, PluginRow,
    StartContext, Telemetry,
};
use serde::{Deserialize, Serialize};

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "internal",
    summary: "gives the agent's numbers about itself",
    options: InternalOptions::describe,
    format: FormatUse::None,
    build: Build::Input(build),
};

/// Gives the agent's numbers about itself: `internal_agent`, and for each component
/// `internal_gather`, `internal_process`, `internal_aggregate` or `internal_write`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct InternalOptions {
    /// Adds `internal_memstats`: the memory, threads and open files of the agent's process.
    collect_memstats: bool,
    /// Accepted from configurations made for Telegraf; there is no Go runtime to tell about.
    collect_gostats: bool,
    /// Gives each component its own metric, with its ID, instead of adding up those of the same
    /// plugin and alias.
    per_instance: bool,
}

impl Default for InternalOptions {
    fn default() -> Self {
        Self {
            collect_memstats: true,
            collect_gostats: false,
            per_instance: false,
        }
    }
}

struct Internal {
    options: InternalOptions,
    telemetry: Option<Arc<dyn Telemetry>>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Input>> {
    let options = InternalOptions::parse(cx.options())?;
    Ok(Box::new(Internal {
        options,
        telemetry: None,
    }))
}

#[async_trait]
impl Input for Internal {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        self.telemetry = cx.telemetry();
        Ok(())
    }

    async fn gather(&mut self, _: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        if let Some(telemetry) = &self.telemetry {
            telemetry.collect(self.options.per_instance, batch);
        }
        if self.options.collect_memstats {
            // These are made up by the kernel on reading: nothing can hang.
            let read = |file: &str| {
                let failed = PluginError::io(format!("read /proc/self/{file}"));
                std::fs::read_to_string(format!("/proc/self/{file}")).map_err(failed)
            };
            let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
            memstats(&read("status")?, open_files, batch);
        }
        Ok(())
    }
}

/// The lines of /proc/self/status that count, with the fields that they make.
const LINES: [(&str, &str); 7] = [
    ("VmSize", "virtual_bytes"),
    ("VmRSS", "rss_bytes"),
    ("VmHWM", "rss_peak_bytes"),
    ("RssAnon", "rss_anonymous_bytes"),
    ("VmData", "data_bytes"),
    ("VmSwap", "swap_bytes"),
    ("Threads", "threads"),
];

fn memstats(status: &str, open_files: usize, batch: &mut Batch) {
    let mut metric = batch.metric("internal_memstats");
    for line in status.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let Some((_, field)) = LINES.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        let mut words = rest.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else {
            continue;
        };
        let scale = if words.next() == Some("kB") { 1024 } else { 1 };
        metric.add_field(*field, number.saturating_mul(scale));
    }
    metric.add_field("open_files", i64::try_from(open_files).unwrap_or(i64::MAX));
    metric.untimed();
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_metric::Value;

    #[test]
    fn reads_status() {
        let status = "Name:\tmuster\nVmSize:\t   20 kB\nVmRSS:\t3 kB\nThreads:\t7\nVmHWM: x\n";
        let mut batch = Batch::new();
        memstats(status, 5, &mut batch);
        let metric = batch.get(0).unwrap();
        let fields: Vec<_> = metric.fields().collect();
        let want = [
            ("virtual_bytes", 20_480),
            ("rss_bytes", 3072),
            ("threads", 7),
            ("open_files", 5),
        ];
        assert_eq!(fields, want.map(|(name, value)| (name, Value::Int(value))));
    }

    struct Numbers;

    impl Telemetry for Numbers {
        fn collect(&self, per_instance: bool, batch: &mut Batch) {
            batch
                .metric("internal_agent")
                .field("each", per_instance)
                .untimed();
        }
    }

    #[muster_tasks::test]
    async fn gives_the_agents_numbers(root: muster_tasks::Group) {
        use muster_plugin::compliance::Stage;
        use muster_plugin::{ComponentId, Kind, Resources};
        let id = ComponentId::new(Kind::Input, "internal");
        let interval = std::time::Duration::from_secs(1);
        let cx = StartContext::new(id, root, Resources::new(), interval);
        let options = InternalOptions {
            per_instance: true,
            ..InternalOptions::default()
        };
        let mut internal = Internal {
            options,
            telemetry: None,
        };
        internal
            .start(&cx.with_telemetry(Arc::new(Numbers)))
            .await
            .unwrap();
        let stage = Stage::new(Kind::Input);
        let (batch, _, result) = stage.gather(&mut internal).await.unwrap();
        result.unwrap();
        let names: Vec<_> = batch.iter().map(|metric| metric.name()).collect();
        assert_eq!(names, ["internal_agent", "internal_memstats"]);
        assert_eq!(batch.get(0).unwrap().field("each"), Some(Value::Bool(true)));
        assert!(stage.end().await.is_clean());
    }
}
