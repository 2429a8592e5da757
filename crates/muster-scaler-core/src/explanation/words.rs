//! What problems and gates say, in words.

use std::fmt;

use super::{Gate, InputKind, Problem, Saw, Shut, Verdict};
use crate::Time;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotObserved => f.write_str("the pool was not observed"),
            Self::Hosts(why) => write!(f, "hosts unknown: {why}"),
            Self::Coverage {
                answering,
                expected,
                least,
            } => write!(
                f,
                "{answering} of {expected} permanent hosts answer, fewer than {} %",
                (least * 100.0).round()
            ),
            Self::Jobs(why) => write!(f, "jobs unknown: {why}"),
            Self::Disagreement { runners, gitlab } => write!(
                f,
                "{runners} jobs run by the runners' metrics, {gitlab} by GitLab"
            ),
            Self::Runners(why) => write!(f, "runner objects unknown: {why}"),
        }
    }
}

impl fmt::Display for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "the mode is {}", mode.word()),
            Self::Health(true) => f.write_str("the observation can be relied on"),
            Self::Health(false) => f.write_str("the observation cannot be relied on"),
            Self::Lease(None) => f.write_str("the lease is ours"),
            Self::Lease(Some(why)) => write!(f, "the lease is not ours: {why}"),
            Self::Count { have, most } => write!(f, "{have} of {most}"),
            Self::Providers(shut) if shut.is_empty() => f.write_str("there is no provider"),
            Self::Providers(shut) => providers(f, shut),
            Self::Requests { bound, of, free } => write!(
                f,
                "{bound} of {of} runners ask for jobs as often as they may, {free} slots are free"
            ),
            Self::Budget {
                spent,
                hours,
                money,
            } => {
                write!(f, "{:.2} server-hours today", spent.day_hours)?;
                of(f, *hours)?;
                write!(f, ", {:.2} money this month", spent.month_money)?;
                of(f, *money)
            }
        }
    }
}

fn of(f: &mut fmt::Formatter<'_>, most: Option<f64>) -> fmt::Result {
    most.map_or(Ok(()), |most| write!(f, " of {most}"))
}

fn providers(f: &mut fmt::Formatter<'_>, shut: &[Option<Shut>]) -> fmt::Result {
    for (at, why) in shut.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        match why {
            None => write!(f, "provider {at} is asked")?,
            Some(Shut::Trying) => write!(f, "provider {at} is tried with one server")?,
            Some(Shut::Broken(until)) => {
                write!(f, "provider {at}'s servers do not come up, again at ")?;
                write!(f, "{}", clock(*until))?;
            }
            Some(Shut::Refused(refusal, until)) => {
                write!(f, "provider {at} refused ({}), again at ", refusal.word())?;
                write!(f, "{}", clock(*until))?;
            }
        }
    }
    Ok(())
}

/// The time of day (UTC).
pub(super) fn clock(at: Time) -> impl fmt::Display {
    let seconds = at.millis().div_euclid(1000).rem_euclid(24 * 3600);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    std::fmt::from_fn(move |f| write!(f, "{hour:02}:{minute:02}:{second:02}"))
}

/// A span as people say it.
pub(super) fn span(millis: u64) -> String {
    let millis = if millis >= 10_000 {
        millis / 1000 * 1000
    } else {
        millis
    };
    muster_options::format_duration(std::time::Duration::from_millis(millis))
}

impl Gate {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Observation => "observation",
            Self::Lease => "lease",
            Self::MaxServers => "max_servers",
            Self::CreateRate => "create_rate",
            Self::Provider => "provider",
            Self::RequestBound => "request_bound",
            Self::Budget => "budget",
            Self::DeleteRate => "delete_rate",
        }
    }
}

impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hosts => "hosts",
            Self::Pending => "pending jobs",
            Self::Running => "running jobs",
            Self::Pipelines => "pipelines",
            Self::WaitP95 => "wait p95 (s)",
            Self::Runners => "runner objects",
            Self::Listed(at) => return write!(f, "listed by provider {at}"),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle(seconds) => return write!(f, "stays: idle for {}", span(seconds * 1000)),
            Self::Paid(seconds) => {
                return write!(f, "stays: paid for {} more", span(seconds * 1000));
            }
            Self::Coming => "is waited for",
            Self::Busy => "stays: has a job",
            Self::NotKnown => "stays: whether it has a job is not known",
            Self::Needed => "stays: idle, but needed",
            Self::Young => "stays: younger than its least life",
            Self::Unsure => "stays: the observation cannot be relied on",
            Self::New => "is asked for",
            Self::Drained => "is drained from now on",
            Self::Draining => "is being drained",
            Self::TakenBack => "is taken back",
            Self::WaitsForRate => "waits for the rate of deletions",
            Self::Quarantined => "does not answer",
            Self::Deleted => "is being deleted",
        })
    }
}
