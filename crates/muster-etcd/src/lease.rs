//! Leases: keys that are bound to one are gone when it is.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::client::{Again, Call};
use crate::wire::{Done, LeaseAnswer, Streamed};
use crate::{Client, Error, ErrorKind};

/// The shortest life of a lease that is asked for. Servers grant at least one and a half of their
/// election timeouts: 2 s by default.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// The longest life of a lease that is asked for.
pub const MAX_TTL: Duration = Duration::from_secs(3600);

/// A lease, as the servers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A lease that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its ID.
    pub id: LeaseId,
    /// How long it lives without a [`keep_alive`](Client::keep_alive). The servers count from when they
    /// get the request, so count from before it was sent. They end it up to half a second later.
    pub ttl: Duration,
}

impl Client {
    /// Asks for a lease; the servers may grant a longer life. Taken into [`MIN_TTL`] to [`MAX_TTL`], and up to
    /// whole seconds. If its answer is lost, a lease with no keys is left, which ends by itself.
    ///
    /// # Errors
    /// As for every call.
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        let seconds = ttl.clamp(MIN_TTL, MAX_TTL).as_secs_f64().ceil();
        let body = json!({ "TTL": format!("{seconds}") });
        let call = Call {
            path: "/v3/lease/grant",
            body: &body,
            again: Again::Yes,
        };
        let granted = self.call::<LeaseAnswer>(call).await;
        let lease = granted.and_then(|answer| lease(&answer));
        lease.map_err(|kind| Error {
            what: "get a lease".to_owned(),
            kind,
        })
    }

    /// Gives a lease its whole life again; returns how long that is.
    ///
    /// No fence by itself: after a pause of this process the answer may be old, and servers before 3.4.38, 3.5.23 and 3.6.5
    /// may confirm a lease that was revoked. Whoever needs a fence compares times of its own.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseNotFound`] if it is over; others as for every call.
    pub async fn keep_alive(&self, id: LeaseId) -> Result<Duration, Error> {
        let body = json!({ "ID": id.0.to_string() });
        let call = Call {
            path: "/v3/lease/keepalive",
            body: &body,
            again: Again::Yes,
        };
        let kept = self.call::<Streamed<LeaseAnswer>>(call).await;
        let lease = kept.and_then(|answer| match (answer.result, answer.error) {
            (Some(answer), _) => lease(&answer),
            (None, Some(why)) => Err(ErrorKind::of_status(why.code(), why.text())),
            (None, None) => Err(ErrorKind::BadAnswer("it is empty".to_owned())),
        });
        lease.map(|lease| lease.ttl).map_err(|kind| Error {
            what: format!("keep the lease {id} alive"),
            kind,
        })
    }

    /// Ends a lease, and deletes all keys that are bound to it. One that is not there is ended.
    ///
    /// # Errors
    /// As for every call.
    pub async fn revoke(&self, id: LeaseId) -> Result<(), Error> {
        let body = json!({ "ID": id.0.to_string() });
        let call = Call {
            path: "/v3/lease/revoke",
            body: &body,
            again: Again::Yes,
        };
        match self.call::<Done>(call).await {
            Ok(_) | Err(ErrorKind::LeaseNotFound) => Ok(()),
            Err(kind) => Err(Error {
                what: format!("revoke the lease {id}"),
                kind,
            }),
        }
    }
}

/// A lease is alive only if there is time left.
fn lease(answer: &LeaseAnswer) -> Result<Lease, ErrorKind> {
    let ttl = u64::try_from(answer.ttl).unwrap_or(0);
    if ttl == 0 {
        return Err(ErrorKind::LeaseNotFound);
    }
    Ok(Lease {
        id: LeaseId(answer.id),
        ttl: Duration::from_secs(ttl),
    })
}
