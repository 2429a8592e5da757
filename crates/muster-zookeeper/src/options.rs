//! How a session behaves.

use std::time::Duration;

use muster_options::Secret;

use crate::{Servers, Tls};

/// The shortest session that is asked for. Servers grant 2 to 20 of their ticks.
pub const MIN_SESSION: Duration = Duration::from_millis(400);

/// The longest session that is asked for.
pub const MAX_SESSION: Duration = Duration::from_secs(3600);

/// How a session behaves. Made by [`new`](Self::new); all fields have defaults but the servers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The servers and the root.
    pub servers: Servers,
    /// How long the session lives without contact; the servers may grant another time. Default
    /// 10 s; taken into [`MIN_SESSION`] to [`MAX_SESSION`].
    pub session_timeout: Duration,
    /// How long one operation may take, the wait for its turn included. Default 5 s.
    pub operation_timeout: Duration,
    /// Who we are. Default: nobody.
    pub login: Option<Login>,
    /// TLS with all servers, if wanted. Default: none.
    pub tls: Option<Tls>,
    /// Who may do what with the nodes that we create.
    pub access: Access,
    /// How long the session goes on when its group is cancelled, for last writes; unless it is
    /// [stopped](crate::Session::stop) before. Default: not at all.
    pub linger: Duration,
    /// The pauses between attempts to connect when no server answers.
    pub pauses: Pauses,
}

/// A user with a password (scheme `digest`). Without TLS it goes over the wire as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name; no colon in it.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Who may do what with nodes that we create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody everything, if there is no login; with one, the same login everything and
    /// everybody else read.
    #[default]
    ByLogin,
    /// Everybody everything.
    Open,
    /// The same login everything, everybody else nothing. Needs a login.
    Private,
}

/// Pauses that double from the first to the longest, each up to a quarter shorter at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The first. Default 50 ms.
    pub first: Duration,
    /// The longest; how late a connection may be when the servers come back. Default 1 s.
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(1),
        }
    }
}

impl Pauses {
    /// The pause after `failures` (from 1) attempts in a row; none before the first failure.
    pub(crate) fn after(&self, failures: u32) -> Duration {
        let Some(doubled) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let whole = self.first * 2_u32.pow(doubled.min(16));
        whole
            .min(self.longest)
            .mul_f64(1.0 - 0.25 * fastrand::f64())
    }
}

impl Options {
    /// The defaults, for these servers.
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            session_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(5),
            login: None,
            tls: None,
            access: Access::default(),
            linger: Duration::ZERO,
            pauses: Pauses::default(),
        }
    }

    /// The session's time within its bounds.
    pub(crate) fn session(&self) -> Duration {
        self.session_timeout.clamp(MIN_SESSION, MAX_SESSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_longest() {
        let pauses = Pauses::default();
        assert_eq!(pauses.after(0), Duration::ZERO);
        for (failures, most) in [(1, 50), (2, 100), (3, 200), (6, 1000), (9999, 1000)] {
            let pause = pauses.after(failures).as_millis();
            assert!(
                pause <= most && pause >= most * 3 / 4 - 1,
                "{failures}: {pause}"
            );
        }
    }
}
