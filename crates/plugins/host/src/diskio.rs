//! `diskio`: reads and writes of block devices and the time they take.
//!
//! Read from `/proc/diskstats`. Measurement `diskio`, one metric for each device and partition, with
//! the tag `name`, on request `serial` and tags from udev. Counters since boot (unsigned):
//!
//! - `reads`, `writes`: completed; `merged_reads`, `merged_writes`: joined with a neighbour before,
//! - `read_bytes`, `write_bytes`: sectors of 512 bytes times 512,
//! - `read_time`, `write_time` (milliseconds): the time that all requests took, added up,
//! - `io_time` (milliseconds): how long at least one request was under way;
//!   `weighted_io_time`: the same times the number of requests,
//! - `iops_in_progress`: requests under way at this moment.
//!
//! From the second gather on a second metric of the same name and tags, with gauges (float):
//!
//! - `io_util` (percent): `100 * change of io_time / time between the gathers`,
//! - `io_await` (milliseconds): `change of (read_time + write_time) / change of (reads + writes)`,
//! - `io_svctm` (milliseconds): `change of io_time / change of (reads + writes)`.
//!
//! The latter two are left out when no request was completed, and all three when a counter went
//! backwards (a device that was removed and came back).

mod names;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use async_trait::async_trait;
use muster_metric::{Batch, MetricType, Timestamp};
use muster_options::{Globs, Options};
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use self::names::{Device, Template};
use self::parser::{Line, Stats};
use crate::Roots;
use crate::files::TextFile;
use crate::globs::globs;

/// Which devices to report, and under which names.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Diskio {
    /// Report only these devices; all if empty. Patterns such as `sd*`, or links such as
    /// `/dev/disk/by-id/nvme-x`.
    devices: Vec<String>,
    /// Do not tag the devices with their serial numbers (`serial`; `unknown` if there is none).
    skip_serial_number: bool,
    /// Properties that udev knows of the device, to be tags: `ID_FS_TYPE`, `ID_FS_USAGE`, ...
    device_tags: Vec<String>,
    /// Templates for the `name` tag, made of udev's properties: `$ID_FS_LABEL`,
    /// `${DM_VG_NAME}/${DM_LV_NAME}`. The first of which the device has all properties is used.
    name_templates: Vec<String>,
}

impl Default for Diskio {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            skip_serial_number: true,
            device_tags: Vec::new(),
            name_templates: Vec::new(),
        }
    }
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    let options = Diskio::parse(options)?;
    let (links, names): (Vec<String>, Vec<String>) = options
        .devices
        .iter()
        .cloned()
        .partition(|device| device.starts_with("/dev/"));
    Ok(Box::new(DiskioInput {
        diskstats: TextFile::new(roots.proc("diskstats")),
        devices: Devices {
            globs: globs("devices", &names)?,
            links,
            templates: options
                .name_templates
                .iter()
                .map(|text| Template::parse(text))
                .collect(),
            options,
            roots,
        },
        last: Readings::default(),
    }))
}

struct DiskioInput {
    diskstats: TextFile,
    devices: Devices,
    last: Readings,
}

/// Which devices to report, and how they are called.
struct Devices {
    options: Diskio,
    globs: Globs,
    links: Vec<String>,
    templates: Vec<Template>,
    roots: Roots,
}

/// The counters at a time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Readings {
    at: i64,
    devices: BTreeMap<String, Stats>,
}

#[async_trait]
impl Input for DiskioInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let Self {
            diskstats,
            devices,
            last,
        } = self;
        let linked = devices.linked();
        let text = diskstats.read()?;
        let mut now = Readings {
            at: cx.started().nanos(),
            devices: BTreeMap::new(),
        };
        let millis = millis_between(last.at, cx.started());
        for line in parser::devices(&text) {
            if !devices.are_to_have(line.name, &linked) {
                continue;
            }
            let device = devices.properties(&line);
            let tags = devices.tags(line.name, &device);
            emit_counters(batch, &tags, &line.stats);
            let before = last.devices.get(line.name);
            if let Some(rates) = before.and_then(|before| line.stats.rates(before, millis)) {
                emit_rates(batch, &tags, &rates);
            }
            now.devices.insert(line.name.to_owned(), line.stats);
        }
        *last = now;
        Ok(())
    }

    fn state(&self) -> Option<Value> {
        serde_json::to_value(&self.last).ok()
    }

    fn restore(&mut self, state: Value) {
        if let Ok(last) = serde_json::from_value(state) {
            self.last = last;
        }
    }
}

/// Milliseconds since `before`; 0 if there was nothing before, or the clock was set back.
fn millis_between(before: i64, now: Timestamp) -> f64 {
    if before == 0 {
        0.0
    } else {
        (now.nanos().saturating_sub(before) as f64 / 1e6).max(0.0)
    }
}

impl Devices {
    /// Where the links among the chosen devices lead at present.
    fn linked(&self) -> Vec<String> {
        self.links
            .iter()
            .filter_map(|link| names::target(&self.roots, link))
            .collect()
    }

    fn are_to_have(&self, name: &str, linked: &[String]) -> bool {
        self.options.devices.is_empty()
            || self.globs.matches(name)
            || linked.iter().any(|linked| linked == name)
    }

    /// What is known of the device, if the options ask for any of it.
    fn properties(&self, line: &Line<'_>) -> Device {
        let options = &self.options;
        let skip = options.skip_serial_number && options.device_tags.is_empty();
        if skip && self.templates.is_empty() {
            Device::default()
        } else {
            Device::read(&self.roots, line)
        }
    }

    fn tags<'a>(&'a self, name: &'a str, device: &'a Device) -> Tags<'a> {
        let named = self
            .templates
            .iter()
            .find_map(|template| template.fill(device));
        let mut more: Vec<(&str, &str)> = Vec::new();
        if !self.options.skip_serial_number {
            more.push(("serial", device.serial().unwrap_or("unknown")));
        }
        for key in &self.options.device_tags {
            more.extend(device.property(key).map(|value| (key.as_str(), value)));
        }
        Tags {
            name: named.unwrap_or_else(|| name.to_owned()),
            more,
        }
    }
}

struct Tags<'a> {
    name: String,
    more: Vec<(&'a str, &'a str)>,
}

fn emit_counters(batch: &mut Batch, tags: &Tags<'_>, stats: &Stats) {
    let mut metric = batch
        .metric("diskio")
        .kind(MetricType::Counter)
        .tag("name", &tags.name);
    for (key, value) in &tags.more {
        metric.add_tag(*key, *value);
    }
    for (field, value) in stats.fields() {
        metric.add_new_field(field, value);
    }
    metric.untimed();
}

fn emit_rates(batch: &mut Batch, tags: &Tags<'_>, rates: &parser::Rates) {
    let mut metric = batch
        .metric("diskio")
        .kind(MetricType::Gauge)
        .tag("name", &tags.name);
    for (key, value) in &tags.more {
        metric.add_tag(*key, *value);
    }
    metric.add_new_field("io_util", rates.util);
    if let Some((wait, service)) = rates.per_request {
        metric
            .add_new_field("io_await", wait)
            .add_new_field("io_svctm", service);
    }
    metric.untimed();
}
