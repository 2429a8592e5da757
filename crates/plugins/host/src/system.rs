//! `system`: load, uptime, users, and what system this is.
//!
//! Measurement `system`, no tags. By default (`include = ["legacy"]`) three metrics:
//!
//! - gauges: `load1`, `load5`, `load15` (float: tasks that run or wait, averaged over minutes),
//!   `n_users` and `n_unique_users` (integer: logins, and different names among them), `n_cpus` and
//!   `n_physical_cpus` (integer: processors as the scheduler sees them, and cores),
//! - a counter: `uptime` (unsigned, seconds since boot),
//! - `uptime_format` (string: `14 days, 11:07`).
//!
//! With the other names in `include` there is one metric with the chosen fields together; with
//! `legacy` among them, the three metrics as well.
//!
//! Logins are counted in `utmp`. Where there is none, as on systems that keep logins elsewhere, the
//! two fields are left out. Cores are counted by the sets of siblings that `/sys` tells, else by
//! `/proc/cpuinfo`, else every processor counts as one.

mod about;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;

use async_trait::async_trait;
use muster_metric::{Batch, MetricBuilder, MetricType};
use muster_options::{Duration, OptionError, Options};
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use self::about::Cached;
use crate::Roots;
use crate::files::{TextFile, cannot_read, read_bytes, read_text};

/// What to report of the system.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct System {
    /// What to report: `legacy` (load, users, processors and uptime in three metrics), or in one
    /// metric `cpus` (numbers of processors), `dmi` (maker, model and firmware of the machine),
    /// `load`, `os` (name and version of the operating system and its kernel), `uptime`, `users`.
    include: Vec<Group>,
    /// How long what `os` tells is kept before it is read again; 0 reads it at each gather.
    os_cache_ttl: Duration,
    /// How long what `dmi` tells is kept before it is read again; 0 reads it at each gather.
    dmi_cache_ttl: Duration,
}

impl Default for System {
    fn default() -> Self {
        let cached = Duration::from_secs(8 * 3600);
        Self {
            include: vec![Group::Legacy],
            os_cache_ttl: cached,
            dmi_cache_ttl: cached,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Group {
    Legacy,
    Cpus,
    Dmi,
    Load,
    Os,
    Uptime,
    Users,
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    let options = System::parse(options)?;
    if options.include.is_empty() {
        return Err(vec![OptionError::new(
            "include",
            "nothing is chosen: there would be no metric",
        )]);
    }
    Ok(Box::new(SystemInput {
        stat: TextFile::new(roots.proc("stat")),
        loadavg: TextFile::new(roots.proc("loadavg")),
        uptime: TextFile::new(roots.proc("uptime")),
        buffer: Vec::new(),
        cores: None,
        os: Cached::new(*options.os_cache_ttl),
        dmi: Cached::new(*options.dmi_cache_ttl),
        options,
        roots,
    }))
}

struct SystemInput {
    options: System,
    roots: Roots,
    stat: TextFile,
    loadavg: TextFile,
    uptime: TextFile,
    buffer: Vec<u8>,
    /// For so many processors, so many cores: counted again when the former changes.
    cores: Option<(i64, i64)>,
    os: Cached,
    dmi: Cached,
}

#[async_trait]
impl Input for SystemInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let wants = |group| self.options.include.contains(&group);
        let legacy = wants(Group::Legacy);
        let chosen = [Group::Load, Group::Users, Group::Cpus, Group::Uptime].map(|group| {
            let chosen = wants(group);
            (chosen || legacy, chosen)
        });
        let [load, users, cpus, uptime] = chosen;
        let os = wants(Group::Os).then(|| self.os.get(|| about::os(&self.roots)).to_vec());
        let dmi = wants(Group::Dmi).then(|| self.dmi.get(|| about::dmi(&self.roots)).to_vec());

        let load = (reported(load.0.then(|| self.load()), cx), load.1);
        let users = (
            reported(users.0.then(|| self.users()), cx).flatten(),
            users.1,
        );
        let cpus = (reported(cpus.0.then(|| self.cpus()), cx), cpus.1);
        let uptime = (reported(uptime.0.then(|| self.uptime()), cx), uptime.1);

        if legacy {
            let mut metric = batch.metric("system").kind(MetricType::Gauge);
            add_load(&mut metric, load.0);
            add_users(&mut metric, users.0);
            add_cpus(&mut metric, cpus.0);
            finish(metric);
            if let Some(seconds) = uptime.0 {
                let counter = batch.metric("system").kind(MetricType::Counter);
                counter.field("uptime", seconds).untimed();
                let text = parser::format_uptime(seconds);
                batch
                    .metric("system")
                    .field("uptime_format", &text)
                    .untimed();
            }
        }
        let mut metric = batch.metric("system");
        add_load(&mut metric, load.0.filter(|_| load.1));
        add_users(&mut metric, users.0.filter(|_| users.1));
        add_cpus(&mut metric, cpus.0.filter(|_| cpus.1));
        if let (Some(seconds), true) = uptime {
            metric.add_new_field("uptime", seconds);
        }
        for (field, text) in os.iter().chain(&dmi).flatten() {
            metric.add_new_field(*field, text);
        }
        finish(metric);
        Ok(())
    }
}

fn reported<T>(result: Option<Result<T, PluginError>>, cx: &GatherContext) -> Option<T> {
    result?.map_err(|error| cx.report(error)).ok()
}

/// What could not be read is reported; what is left is a metric only if something is left.
fn finish(metric: MetricBuilder<'_>) {
    if metric.field_count() > 0 {
        metric.untimed();
    }
}

fn add_load(metric: &mut MetricBuilder<'_>, load: Option<[f64; 3]>) {
    if let Some([one, five, fifteen]) = load {
        metric
            .add_new_field("load1", one)
            .add_new_field("load5", five)
            .add_new_field("load15", fifteen);
    }
}

fn add_users(metric: &mut MetricBuilder<'_>, users: Option<parser::Users>) {
    if let Some(users) = users {
        metric
            .add_new_field("n_users", users.logins)
            .add_new_field("n_unique_users", users.names);
    }
}

fn add_cpus(metric: &mut MetricBuilder<'_>, cpus: Option<(i64, i64)>) {
    if let Some((cpus, cores)) = cpus {
        metric
            .add_new_field("n_cpus", cpus)
            .add_new_field("n_physical_cpus", cores);
    }
}

impl SystemInput {
    fn load(&mut self) -> Result<[f64; 3], PluginError> {
        let load = parser::loadavg(&self.loadavg.read()?);
        load.ok_or_else(|| PluginError::new("read the load").because("its form is not known"))
    }

    fn uptime(&mut self) -> Result<u64, PluginError> {
        let uptime = parser::uptime(&self.uptime.read()?);
        uptime.ok_or_else(|| PluginError::new("read the uptime").because("its form is not known"))
    }

    fn users(&mut self) -> Result<Option<parser::Users>, PluginError> {
        let mut path = self.roots.run("utmp");
        if !path.exists() {
            path = self.roots.var("run/utmp");
        }
        match read_bytes(&path, &mut self.buffer) {
            Ok(utmp) => Ok(Some(parser::users(utmp))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_read(&path, error)),
        }
    }

    /// How many processors and cores there are.
    fn cpus(&mut self) -> Result<(i64, i64), PluginError> {
        let cpus = parser::count_cpus(&self.stat.read()?);
        match self.cores {
            Some(known) if known.0 == cpus => Ok(known),
            _ => {
                let counted = (cpus, self.count_cores().unwrap_or(cpus));
                self.cores = Some(counted);
                Ok(counted)
            }
        }
    }

    fn count_cores(&mut self) -> Option<i64> {
        let dir = self.roots.sys("devices/system/cpu");
        let mut cores: BTreeSet<String> = BTreeSet::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("cpu"));
            if number.is_none_or(|number| number.parse::<u32>().is_err()) {
                continue;
            }
            let topology = entry.path().join("topology");
            for file in ["core_cpus_list", "thread_siblings_list"] {
                if let Ok(text) = read_text(&topology.join(file), &mut self.buffer) {
                    cores.insert(text.trim().to_owned());
                    break;
                }
            }
        }
        if cores.is_empty() {
            let text = read_text(&self.roots.proc("cpuinfo"), &mut self.buffer).ok()?;
            return parser::count_cores(&text);
        }
        i64::try_from(cores.len()).ok()
    }
}
