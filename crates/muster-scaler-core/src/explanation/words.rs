//! What problems and gates say, in words.

use std::fmt;

use super::{Problem, Saw, Shut};
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
