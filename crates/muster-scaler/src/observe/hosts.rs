//! The hosts of a pool, put together from what Prometheus said.
//!
//! Every target that Prometheus knows is a host, whether it answers or not: `up` is there for
//! both, and what a dead one told before it died is gone from all other series. No sum or ratio
//! over the fleet is asked for, because such a value loses a dead host without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_scaler_core::{Host, Jobs, Reading, ServerName, Time};

use super::prometheus::{Sample, single, usable};
use super::queries::{Answers, Asked, sd_label};

/// The runner object of a process with that `system_id`, and whether it is paused; none if it is
/// not that process's alone.
pub(super) type RunnerOf<'a> = &'a dyn Fn(&str) -> Option<(u64, Reading<bool>)>;

/// The hosts of a pool. `permanent` tells whether there must be some that are not ours.
pub(super) fn hosts(
    answers: &Answers,
    permanent: bool,
    runner_of: RunnerOf<'_>,
    now: Time,
) -> Reading<Vec<Host>> {
    let up = match answers.get(Asked::Up) {
        Ok(up) => up,
        Err(why) => return Reading::unknown(why),
    };
    let by_instance = group(up);
    let mut hosts = Vec::with_capacity(by_instance.len());
    for (instance, rows) in by_instance {
        let at = stamp(answers, Asked::UpAt, instance);
        let value = all_usable(&rows).map(|values| values.iter().all(|value| *value == 1.0));
        let is_up = reading(value, at.clone());
        let down = is_up.value() == Some(&false);
        let server = rows.first().map_or("", |row| row.label(sd_label::SERVER));
        let own = if down {
            Own::down()
        } else {
            own(answers, instance)
        };
        let (runner, paused) = match own.system_id.as_deref().and_then(runner_of) {
            Some((id, paused)) => (Some(id), paused),
            None => (
                None,
                Reading::unknown("the host has no runner object of its own"),
            ),
        };
        hosts.push(Host {
            instance: instance.to_owned(),
            server: (!server.is_empty()).then(|| ServerName(server.to_owned())),
            up: is_up,
            slots: own.slots,
            running: own.running,
            request_bound: own.request_bound,
            cpu_pressure: pressure(answers, Asked::Cpu, Asked::CpuAt, instance),
            memory_stall: pressure(answers, Asked::Memory, Asked::MemoryAt, instance),
            runner,
            paused,
        });
    }
    if permanent && hosts.iter().all(|host| host.server.is_some()) {
        return Reading::unknown("Prometheus has no target that `permanent` selects");
    }
    Reading::known(hosts, now)
}

/// The jobs of a pool without GitLab: those that wait by `pending_query`, those that run by the
/// hosts that are up.
pub(super) fn jobs(answers: &Answers, hosts: &Reading<Vec<Host>>, now: Time) -> Reading<Jobs> {
    if !answers.was_asked(Asked::Pending) {
        return Reading::unknown("there is neither a token of GitLab nor a `pending_query`");
    }
    let pending = answers
        .get(Asked::Pending)
        .and_then(single)
        .map_err(|why| format!("`pending_query`: {why}"));
    let pending = match pending {
        Ok(pending) => count(pending),
        Err(why) => return Reading::unknown(why),
    };
    let hosts = match hosts {
        Reading::Known { value, .. } => value,
        Reading::Unknown { why } => return Reading::unknown(why),
    };
    let mut running = 0_u32;
    for host in hosts.iter().filter(|host| host.up.value() != Some(&false)) {
        match &host.running {
            Reading::Known { value, .. } => running = running.saturating_add(*value),
            Reading::Unknown { why } => {
                let instance = &host.instance;
                return Reading::unknown(format!("jobs of {instance}: {why}"));
            }
        }
    }
    let jobs = Jobs {
        pending,
        running,
        oldest_wait: Duration::ZERO,
    };
    Reading::known(jobs, now)
}

/// How long jobs waited of late.
pub(super) fn wait(answers: &Answers, now: Time) -> Reading<Duration> {
    let seconds = answers.get(Asked::Wait).and_then(single);
    match seconds {
        Ok(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(wait) => Reading::known(wait, now),
            Err(_) => Reading::unknown("longer than can be"),
        },
        Err(why) => Reading::unknown(format!("{why}; no job began of late, or none is told of")),
    }
}

/// What a runner says of itself.
struct Own {
    slots: Reading<u32>,
    running: Reading<u32>,
    request_bound: Reading<bool>,
    system_id: Option<String>,
}

impl Own {
    fn down() -> Self {
        let why = "the host is down";
        Self {
            slots: Reading::unknown(why),
            running: Reading::unknown(why),
            request_bound: Reading::unknown(why),
            system_id: None,
        }
    }
}

fn own(answers: &Answers, instance: &str) -> Own {
    let at = stamp(answers, Asked::ConcurrentAt, instance);
    let rows = |asked| rows_of(answers, asked, instance);
    let jobs = rows(Asked::Jobs);
    let ids: BTreeSet<&str> = jobs
        .iter()
        .flatten()
        .map(|row| row.label("system_id"))
        .collect();
    let runners: BTreeSet<&str> = jobs
        .iter()
        .flatten()
        .map(|row| row.label("runner"))
        .collect();
    // Only a host with one runner has an object that is its own.
    let system_id = match (ids.first(), ids.len(), runners.len()) {
        (Some(id), 1, 1) if !id.is_empty() => Some((*id).to_owned()),
        _ => None,
    };
    // A runner always has a series with the value 0 for `idle`: none at all is no data.
    let running = jobs.clone().and_then(|rows| {
        let busy = rows
            .into_iter()
            .filter(|row| !matches!(row.label("state"), "idle" | "finished"));
        let values = all_usable(&busy.collect::<Vec<_>>())?;
        Ok(count(values.iter().sum()))
    });
    Own {
        slots: reading(slots(answers, instance), at.clone()),
        running: reading(running, at.clone()),
        request_bound: reading(request_bound(answers, instance), at),
        system_id,
    }
}

/// The least of `concurrent` and the sum of the limits; a limit of 0 is none.
fn slots(answers: &Answers, instance: &str) -> Result<u32, String> {
    let concurrent = rows_of(answers, Asked::Concurrent, instance)?;
    let concurrent = all_usable(&concurrent)?.iter().sum::<f64>();
    // Old runners do not tell their limits.
    let limits = match rows_of(answers, Asked::Limit, instance) {
        Ok(rows) => all_usable(&rows)?,
        Err(why) if why == NO_SERIES => Vec::new(),
        Err(why) => return Err(why),
    };
    let limited = !limits.is_empty() && limits.iter().all(|limit| *limit > 0.0);
    let most = if limited {
        limits.iter().sum()
    } else {
        f64::INFINITY
    };
    Ok(count(concurrent.min(most)))
}

/// Whether all of the host's runners are at the highest number of requests that they may have.
fn request_bound(answers: &Answers, instance: &str) -> Result<bool, String> {
    let hard = rows_of(answers, Asked::HardLimit, instance)?;
    let used = rows_of(answers, Asked::UsedLimit, instance)?;
    let (hard, used) = (all_usable(&hard)?, all_usable(&used)?);
    let hard = hard.iter().sum::<f64>();
    Ok(hard > 0.0 && used.iter().sum::<f64>() >= hard)
}

/// A pressure of the host of that instance; both sides are compared up to the port.
fn pressure(answers: &Answers, asked: Asked, asked_at: Asked, instance: &str) -> Reading<f64> {
    if !answers.was_asked(asked) {
        return Reading::unknown("`node` is not set");
    }
    let name = host_part(instance);
    let of_host = |asked| {
        let rows = answers.get(asked)?.iter();
        let rows: Vec<&Sample> = rows
            .filter(|row| host_part(row.label("instance")) == name)
            .collect();
        if rows.is_empty() {
            return Err("node_exporter tells no pressure of this host".to_owned());
        }
        all_usable(&rows)
    };
    let worst = |values: Vec<f64>| values.into_iter().fold(0.0, f64::max).min(1.0);
    let oldest = |values: Vec<f64>| values.into_iter().fold(f64::INFINITY, f64::min);
    reading(
        of_host(asked).map(worst),
        of_host(asked_at).map(|values| time(oldest(values))),
    )
}

const NO_SERIES: &str = "the runner does not tell it";

fn rows_of<'a>(
    answers: &'a Answers,
    asked: Asked,
    instance: &str,
) -> Result<Vec<&'a Sample>, String> {
    let rows: Vec<&Sample> = answers
        .get(asked)?
        .iter()
        .filter(|row| row.label("instance") == instance)
        .collect();
    if rows.is_empty() {
        return Err(NO_SERIES.to_owned());
    }
    Ok(rows)
}

/// When the oldest of the host's samples was taken.
fn stamp(answers: &Answers, asked: Asked, instance: &str) -> Result<Time, String> {
    let values = all_usable(&rows_of(answers, asked, instance)?)?;
    let oldest = values.into_iter().fold(f64::INFINITY, f64::min);
    Ok(answers.at.ours(time(oldest)))
}

fn time(seconds: f64) -> Time {
    Time::from_millis((seconds * 1000.0) as i64)
}

fn all_usable(rows: &[&Sample]) -> Result<Vec<f64>, String> {
    rows.iter().map(|row| usable(row.value)).collect()
}

fn count(value: f64) -> u32 {
    value.round() as u32
}

fn reading<T>(value: Result<T, String>, at: Result<Time, String>) -> Reading<T> {
    match (value, at) {
        (Ok(value), Ok(at)) => Reading::known(value, at),
        (Err(why), _) | (_, Err(why)) => Reading::unknown(why),
    }
}

fn group(samples: &[Sample]) -> BTreeMap<&str, Vec<&Sample>> {
    let mut by_instance: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let rows = by_instance.entry(sample.label("instance")).or_default();
        rows.push(sample);
    }
    by_instance
}

/// `host` of `host:9252` or `[::1]:9252`.
fn host_part(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => instance,
    }
}
