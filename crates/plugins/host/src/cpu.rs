//! `cpu`: how busy the processors are, and with what.
//!
//! Read from `/proc/stat`, where the kernel counts for each processor how long it was in which
//! state, in ticks of (nearly always) a hundredth of a second.
//!
//! Measurement `cpu`, tag `cpu`: `cpu0`, `cpu1`, ... or `cpu-total`; with `core_tags` also
//! `core_id` and `physical_id`. The states are `user`, `system`, `idle`, `nice`, `iowait`, `irq`,
//! `softirq`, `steal`, `guest` and `guest_nice`.
//!
//! - `usage_<state>` (float, percent): the part of the time since the last gather that was spent
//!   in the state: `100 * (state - state before) / (all - all before)`, where `all` is the sum of
//!   the states without the guests. The kernel counts guests in `user` and `nice` as well; here
//!   they are taken out of these two, so that `usage_guest` and `usage_guest_nice` stand beside
//!   them. A state whose counter fell (the kernel allows that for `iowait`) counts as 0.
//! - `usage_active` (float, percent, with `report_active`): `100 - usage_idle`.
//! - `time_<state>` (float, seconds since boot, with `collect_cpu_time`), and `time_active`, the
//!   sum of all but idle, with `report_active`.
//!
//! The first gather has no usage. A processor that comes back after it was switched off starts
//! anew.

mod parser;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use self::parser::{CoreIds, CpuId, STATES, Ticks};
use self::usage::{Usage, usage};
use crate::Roots;
use crate::files::TextFile;

/// Which processor times to report.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cpu {
    /// Report each processor by itself.
    percpu: bool,
    /// Report all processors together, as `cpu-total`.
    totalcpu: bool,
    /// Also report the counters themselves: seconds since boot in each state.
    collect_cpu_time: bool,
    /// Also report the sum of all states but idle. It includes the time spent waiting for disks.
    report_active: bool,
    /// Tag each processor with the number of its core (`core_id`) and of its package
    /// (`physical_id`), where the kernel tells them.
    core_tags: bool,
}

impl Default for Cpu {
    fn default() -> Self {
        Self {
            percpu: true,
            totalcpu: true,
            collect_cpu_time: false,
            report_active: false,
            core_tags: false,
        }
    }
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    Ok(Box::new(CpuInput {
        options: Cpu::parse(options)?,
        stat: TextFile::new(roots.proc("stat")),
        cpuinfo: TextFile::new(roots.proc("cpuinfo")),
        cores: BTreeMap::new(),
        ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
        last: BTreeMap::new(),
        restored: false,
    }))
}

struct CpuInput {
    options: Cpu,
    stat: TextFile,
    cpuinfo: TextFile,
    /// Read again when a processor turns up that is not in here.
    cores: BTreeMap<u32, CoreIds>,
    ticks_per_second: f64,
    last: BTreeMap<CpuId, Ticks>,
    /// Whether `last` is from an earlier life, perhaps from before a reboot.
    restored: bool,
}

#[async_trait]
impl Input for CpuInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let Self {
            options,
            stat,
            last,
            ..
        } = self;
        let text = stat.read()?;
        let now: BTreeMap<CpuId, Ticks> = parser::cpus(&text)
            .filter(|(id, _)| match id {
                CpuId::Total => options.totalcpu,
                CpuId::Number(_) => options.percpu,
            })
            .collect();
        if now.is_empty() && (options.totalcpu || options.percpu) {
            let why = "it has no processor's times";
            return Err(PluginError::new("read the processor times").because(why));
        }
        let before = std::mem::replace(last, now);
        drop(text);
        self.read_cores(cx);
        let mut out = Emitter::new(self, batch);
        for (id, now) in &self.last {
            if self.options.collect_cpu_time {
                out.times(*id, now);
            }
            let Some(before) = before.get(id) else {
                continue;
            };
            match usage(before, now) {
                Usage::Percent(percent) => out.usage(*id, &percent),
                Usage::NoTimePassed => {}
                Usage::Backwards if self.restored => {}
                Usage::Backwards => cx.report(
                    PluginError::new(format!("compute the usage of {id}"))
                        .because("its time counters went backwards"),
                ),
            }
        }
        self.restored = false;
        Ok(())
    }

    fn state(&self) -> Option<Value> {
        let times = self
            .last
            .iter()
            .map(|(id, ticks)| (id.to_string(), ticks.0));
        serde_json::to_value(times.collect::<BTreeMap<_, _>>()).ok()
    }

    fn restore(&mut self, state: Value) {
        let Ok(times) = serde_json::from_value::<BTreeMap<String, [u64; 10]>>(state) else {
            return;
        };
        let times = times
            .iter()
            .filter_map(|(id, ticks)| Some((CpuId::read(id)?, Ticks(*ticks))));
        self.last = times.collect();
        self.restored = true;
    }

    fn needs_two_gathers(&self) -> bool {
        true
    }
}

impl CpuInput {
    fn read_cores(&mut self, cx: &GatherContext) {
        let known = |id: &CpuId| match id {
            CpuId::Total => true,
            CpuId::Number(number) => self.cores.contains_key(number),
        };
        if !self.options.core_tags || self.last.keys().all(known) {
            return;
        }
        match self.cpuinfo.read() {
            Ok(text) => self.cores = parser::cores(&text),
            Err(error) => cx.report(error),
        }
        // What the file does not tell is not asked for again.
        for id in self.last.keys() {
            if let CpuId::Number(number) = id {
                self.cores.entry(*number).or_default();
            }
        }
    }
}

/// Writes the metrics.
struct Emitter<'a> {
    batch: &'a mut Batch,
    cores: Option<&'a BTreeMap<u32, CoreIds>>,
    active: bool,
    ticks_per_second: f64,
}

impl<'a> Emitter<'a> {
    fn new(input: &'a CpuInput, batch: &'a mut Batch) -> Self {
        Self {
            batch,
            cores: input.options.core_tags.then_some(&input.cores),
            active: input.options.report_active,
            ticks_per_second: input.ticks_per_second,
        }
    }

    fn times(&mut self, id: CpuId, ticks: &Ticks) {
        let seconds = |ticks: u64| ticks as f64 / self.ticks_per_second;
        let fields = STATES
            .iter()
            .map(|state| (state.time, seconds(ticks.0[state.at])));
        let active = self
            .active
            .then(|| ("time_active", seconds(ticks.active())));
        Self::metric(
            self.batch,
            self.cores,
            id,
            MetricType::Counter,
            fields.chain(active),
        );
    }

    fn usage(&mut self, id: CpuId, percent: &[f64; 10]) {
        let fields = STATES.iter().map(|state| (state.usage, percent[state.at]));
        let active = self
            .active
            .then(|| ("usage_active", 100.0 - percent[parser::IDLE]));
        Self::metric(
            self.batch,
            self.cores,
            id,
            MetricType::Gauge,
            fields.chain(active),
        );
    }

    fn metric(
        batch: &mut Batch,
        cores: Option<&BTreeMap<u32, CoreIds>>,
        id: CpuId,
        kind: MetricType,
        fields: impl Iterator<Item = (&'static str, f64)>,
    ) {
        let mut metric = batch.metric("cpu").kind(kind).tag("cpu", id.to_string());
        if let (Some(cores), CpuId::Number(number)) = (cores, id) {
            for (key, number) in cores.get(&number).iter().flat_map(|ids| ids.tags()) {
                metric.add_tag(key, number.to_string());
            }
        }
        for (key, value) in fields {
            metric.add_new_field(key, value);
        }
        metric.untimed();
    }
}
