//! One endpoint to scrape.

use std::path::PathBuf;

use muster_net::Client;
use muster_options::OptionError;
use reqwest::Url;

use crate::http_client::parse_url;

/// An endpoint.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// As configured: the value of the tag.
    pub(super) text: String,
    pub(super) url: Url,
    /// The unix socket to connect to, whatever the URL says.
    pub(super) socket: Option<PathBuf>,
    /// Made at the start.
    pub(super) client: Option<Client>,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, OptionError> {
        let target = |url, socket| Self {
            text: text.to_owned(),
            url,
            socket,
            client: None,
        };
        let Some(rest) = text.strip_prefix("unix://") else {
            let mut url = parse_url("urls", text)?;
            if matches!(url.path(), "" | "/") {
                url.set_path("/metrics");
            }
            return Ok(target(url, None));
        };
        let (socket, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = muster_net::http_server::query_value(query, "path");
        let path = path
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| "/metrics".to_owned());
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = parse_url("urls", &format!("http://localhost{slash}{path}"))?;
        Ok(target(url, Some(PathBuf::from(socket))))
    }

    /// For messages: without a password.
    pub(super) fn shown(&self) -> String {
        match &self.socket {
            Some(_) => self.text.clone(),
            None => crate::http_client::shown(&self.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls_and_sockets() {
        let check = |text: &str, url: &str, socket: Option<&str>| {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.url.as_str(), url, "{text}");
            assert_eq!(
                target.socket.as_deref(),
                socket.map(std::path::Path::new),
                "{text}"
            );
        };
        check("http://h:9100", "http://h:9100/metrics", None);
        check("http://h:9100/", "http://h:9100/metrics", None);
        check("https://h/x?y=1", "https://h/x?y=1", None);
        check(
            "unix:///run/x.sock",
            "http://localhost/metrics",
            Some("/run/x.sock"),
        );
        check(
            "unix:///run/x.sock?path=/m",
            "http://localhost/m",
            Some("/run/x.sock"),
        );
        assert!(Target::parse("ftp://h").is_err());
    }
}
