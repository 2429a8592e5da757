//! What an answer or a failure means.

use std::io;

use crate::resp::Reply;
use crate::status::{Outcome, Reason};

/// What a reply to PING or AUTH means. Redis answers PING with an error in many states; the error's
/// first word says in which.
pub(crate) fn reply(reply: &Reply<'_>) -> Outcome {
    match reply {
        Reply::Simple(_) | Reply::Bulk(Some(_)) => Outcome::OK,
        Reply::Error(text) => error_reply(&String::from_utf8_lossy(text)),
        Reply::Integer(_) | Reply::Bulk(None) | Reply::Array(_) => {
            Outcome::new(Reason::Protocol, "a reply of another kind")
        }
    }
}

fn error_reply(text: &str) -> Outcome {
    let reason = match text.split(' ').next().unwrap_or_default() {
        "BUSY" => Reason::Busy,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => Reason::Auth,
        "MISCONF" => Reason::Persist,
        "MASTERDOWN" => Reason::Masterdown,
        "LOADING" => Reason::Loading,
        "DENIED" => Reason::Protected,
        "ERR" if text.contains("max number of clients") => Reason::Maxclients,
        // A password for a server that has none, or the answer of old versions.
        "ERR" if text.contains("AUTH") || text.contains("invalid password") => Reason::Auth,
        _ => Reason::Error,
    };
    Outcome::new(reason, text)
}

/// What a failed system call means.
pub(crate) fn io_error(error: &io::Error) -> Outcome {
    use io::ErrorKind as Kind;
    use rustix::io::Errno;

    // Looked at first: some of them have no kind of their own.
    const OURS: [Errno; 10] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::ADDRINUSE,
        Errno::NETUNREACH,
        Errno::NETDOWN,
        Errno::ACCESS,
        Errno::PERM,
    ];
    let errno = Errno::from_io_error(error);
    let reason = match error.kind() {
        _ if errno.is_some_and(|errno| OURS.contains(&errno)) => Reason::Local,
        Kind::ConnectionRefused | Kind::NotFound => Reason::Refused,
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Reason::Reset,
        Kind::NotConnected => Reason::Reset,
        Kind::UnexpectedEof => Reason::Closed,
        // A unix socket whose queue is full does not make us wait, it says so.
        Kind::TimedOut | Kind::WouldBlock => Reason::Timeout,
        Kind::HostUnreachable => Reason::Unreachable,
        // What rustls says when the two sides do not agree.
        Kind::InvalidData => Reason::Tls,
        _ => Reason::Local,
    };
    Outcome::new(reason, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_redis_answers() {
        let check = |text: &str, want: Reason| {
            let got = reply(&Reply::Error(text.as_bytes()));
            assert_eq!((got.reason, got.detail.as_deref()), (want, Some(text)));
        };
        check("BUSY Redis is busy running a script.", Reason::Busy);
        check("NOAUTH Authentication required.", Reason::Auth);
        check("WRONGPASS invalid username-password pair", Reason::Auth);
        check("NOPERM this user has no permissions", Reason::Auth);
        check(
            "ERR AUTH <password> called without any password",
            Reason::Auth,
        );
        check("ERR Client sent AUTH, but no password is set", Reason::Auth);
        check("ERR invalid password", Reason::Auth);
        check("MISCONF Redis is configured to save", Reason::Persist);
        check("MASTERDOWN Link with MASTER is down", Reason::Masterdown);
        check(
            "LOADING Redis is loading the dataset in memory",
            Reason::Loading,
        );
        check(
            "DENIED Redis is running in protected mode",
            Reason::Protected,
        );
        check("ERR max number of clients reached", Reason::Maxclients);
        check("ERR something new", Reason::Error);
        assert_eq!(reply(&Reply::Simple(b"PONG")), Outcome::OK);
        assert_eq!(reply(&Reply::Integer(1)).reason, Reason::Protocol);
    }

    #[test]
    fn never_blames_the_instance_for_our_own_faults() {
        use rustix::io::Errno;
        let check = |errno: Errno, want: Reason| {
            let got = io_error(&io::Error::from_raw_os_error(errno.raw_os_error()));
            assert_eq!(got.reason, want, "{errno:?}");
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            check(errno, Reason::Local);
        }
        for errno in [
            Errno::ADDRNOTAVAIL,
            Errno::NETUNREACH,
            Errno::ACCESS,
            Errno::PERM,
        ] {
            check(errno, Reason::Local);
        }
        check(Errno::CONNREFUSED, Reason::Refused);
        check(Errno::NOENT, Reason::Refused);
        check(Errno::CONNRESET, Reason::Reset);
        check(Errno::PIPE, Reason::Reset);
        check(Errno::TIMEDOUT, Reason::Timeout);
        check(Errno::HOSTUNREACH, Reason::Unreachable);
        let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(io_error(&closed).reason, Reason::Closed);
    }
}
