//! Reading `INFO`.

use std::time::Duration;

use crate::status::{Facts, Loading, Replication};

/// The answer to `INFO`, of one section or several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Info<'a>(&'a str);

impl<'a> Info<'a> {
    /// Takes the text of the answer.
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The value of a key; the first, if there are several.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix(':');
        self.0.lines().find_map(value).map(str::trim)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    fn seconds(&self, key: &str) -> Option<Duration> {
        self.number(key).map(Duration::from_secs)
    }

    /// What the server says of itself, from the sections `server` and `replication`.
    pub(crate) fn facts(&self) -> Facts {
        let text = |key| self.get(key).unwrap_or_default().to_owned();
        Facts {
            role: text("role"),
            run_id: text("run_id"),
            redis_version: text("redis_version"),
        }
    }

    /// How a replica stands to its master, from the section `replication`; `None` for a master.
    pub(crate) fn replication(&self) -> Option<Replication> {
        let link = self.get("master_link_status")? == "up";
        let lag = if link {
            self.seconds("master_last_io_seconds_ago")
        } else {
            self.seconds("master_link_down_since_seconds")
        };
        let offset = self.number("slave_repl_offset");
        Some(Replication { link, lag, offset })
    }

    /// How far loading has got, from the section `persistence`; `None` if the server does not load.
    pub(crate) fn loading(&self) -> Option<Loading> {
        if self.get("loading")? != "1" {
            return None;
        }
        let percent = self.get("loading_loaded_perc");
        Some(Loading {
            eta: self.seconds("loading_eta_seconds"),
            percent: percent
                .and_then(|text| text.parse().ok())
                .filter(|p: &f64| p.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_replica() {
        let info = Info::new(
            "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n\r\n# Replication\r\nrole:slave\r\n\
             master_host:10.0.0.1\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:4\r\n\
             slave_read_repl_offset:7\r\nslave_repl_offset:1234\r\n",
        );
        let facts = info.facts();
        assert_eq!(
            (facts.role.as_str(), facts.run_id.as_str()),
            ("slave", "abc")
        );
        assert_eq!(facts.redis_version, "7.0.15");
        let want = Replication {
            link: true,
            lag: Some(Duration::from_secs(4)),
            offset: Some(1234),
        };
        assert_eq!(info.replication(), Some(want));
        assert_eq!(info.loading(), None);
    }

    #[test]
    fn reads_a_replica_without_master() {
        let info = Info::new(
            "role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n\
             master_link_down_since_seconds:17\r\n",
        );
        let replication = info.replication().unwrap();
        assert_eq!(
            (replication.link, replication.lag),
            (false, Some(Duration::from_secs(17)))
        );
        assert_eq!(replication.offset, None);
    }

    #[test]
    fn reads_loading() {
        let loading = |text| Info::new(text).loading();
        let full = "loading:1\r\nloading_loaded_perc:3.50\r\nloading_eta_seconds:9\r\n";
        let eta = Some(Duration::from_secs(9));
        assert_eq!(
            loading(full),
            Some(Loading {
                eta,
                percent: Some(3.5)
            })
        );
        let odd = "loading:1\nloading_loaded_perc:nan\nloading_eta_seconds:-1";
        assert_eq!(
            loading(odd),
            Some(Loading {
                eta: None,
                percent: None
            })
        );
        assert_eq!(loading("loading:0\r\n"), None);
        assert_eq!(loading(""), None);
        assert_eq!(Info::new("role:master\r\n").replication(), None);
    }
}
