//! Where a service shows its profiles.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

const PPROF: &str = "/debug/pprof";

/// A service that shows Go's profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Ends with `/debug/pprof/`.
    base: Url,
    socket: Option<PathBuf>,
}

/// A text that names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no target: {why}; expected host:port, http://host:port, https://host:port or unix:///path"
)]
pub struct TargetError {
    text: String,
    why: String,
}

impl Target {
    /// Reads `host:port`, `http://host:port`, `https://host:port/prefix` or `unix:///path` (HTTP on
    /// a unix socket). The path may end with `/debug/pprof` and what comes below; if it does not, it
    /// is what stands before that. A query is left out.
    ///
    /// ```
    /// # use muster_leaks::collect::Target;
    /// let target = Target::parse("http://shop:6060/debug/pprof/goroutine?debug=2")?;
    /// assert_eq!(target, Target::parse("shop:6060")?);
    /// assert_eq!(target.to_string(), "http://shop:6060");
    /// # Ok::<(), muster_leaks::collect::TargetError>(())
    /// ```
    ///
    /// # Errors
    /// If it is none of these.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let wrong = |why: &str| TargetError {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(wrong("the path of the socket must begin with a slash"));
            }
            let base = Url::parse("http://localhost/debug/pprof/");
            return Ok(Self {
                base: base.map_err(|error| wrong(&error.to_string()))?,
                socket: Some(PathBuf::from(path)),
            });
        }
        let whole = match text.split_once("://") {
            Some(_) => text.to_owned(),
            None => format!("http://{text}"),
        };
        let mut base = Url::parse(&whole).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("it is not of HTTP"));
        }
        // A bare name would rather be a file that is not there.
        if whole != text && base.port().is_none() {
            return Err(wrong("it has no port"));
        }
        let path = base.path();
        let prefix = path.find(PPROF).map_or(path, |at| &path[..at]);
        let path = format!("{}{PPROF}/", prefix.trim_end_matches('/'));
        base.set_path(&path);
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base, socket: None })
    }

    /// The unix socket to connect to, if it is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// The URL of what is below `/debug/pprof/`.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }
}

/// Short, and without a password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.socket {
            return write!(f, "unix://{}", path.display());
        }
        let mut url = self.base.clone();
        // A URL that cannot have a password has none.
        let _ = url.set_password(None);
        let url = url.as_str();
        let end = url.rfind(PPROF).unwrap_or(url.len());
        f.write_str(&url[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_all_forms() {
        let check = |text: &str, base: &str, shown: &str| {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.base.as_str(), base, "{text}");
            assert_eq!(target.to_string(), shown, "{text}");
        };
        let (base, shown) = ("http://h:6060/debug/pprof/", "http://h:6060");
        check("h:6060", base, shown);
        check("http://h:6060", base, shown);
        check("http://h:6060/", base, shown);
        check("http://h:6060/debug/pprof", base, shown);
        check("http://h:6060/debug/pprof/", base, shown);
        check("h:6060/debug/pprof/goroutine?debug=2#x", base, shown);
        check(
            "http://[::1]:1",
            "http://[::1]:1/debug/pprof/",
            "http://[::1]:1",
        );
        check(
            "https://ann:pw@h/app/",
            "https://ann:pw@h/app/debug/pprof/",
            "https://ann@h/app",
        );
        let unix = Target::parse("unix:///run/m.sock").unwrap();
        assert_eq!(unix.socket(), Some(Path::new("/run/m.sock")));
        assert_eq!(unix.to_string(), "unix:///run/m.sock");
    }

    #[test]
    fn what_is_below_is_asked_for() {
        let target = Target::parse("h:1/a").unwrap();
        let url = target.url("goroutine?debug=2");
        assert_eq!(url.as_str(), "http://h:1/a/debug/pprof/goroutine?debug=2");
        let url = target.url("goroutineleak");
        assert_eq!(url.as_str(), "http://h:1/a/debug/pprof/goroutineleak");
    }

    #[test]
    fn wrong_texts_are_refused() {
        let check = |text: &str, part: &str| {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("expected"),
                "{text}: {error}"
            );
        };
        check("", "is no target");
        check("dump.txt", "no port");
        check("ftp://h:1", "not of HTTP");
        check("unix://run/m.sock", "slash");
        check("http://h:99999", "port");
        check("http://", "host");
    }
}
