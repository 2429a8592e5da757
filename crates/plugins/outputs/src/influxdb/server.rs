//! One server: what is sent, and how.

use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use muster_net::{
    Address, Client, ClientBuilder, Connector, Encoding, TlsClientOptions, describe_error,
    read_response,
};
use muster_options::OptionError;
use muster_plugin::PluginError;
use reqwest::{RequestBuilder, Url};

use super::answer::{self, Verdict};
use super::options::InfluxdbOptions;

/// The most bytes of an answer that are looked at.
const MAX_ANSWER: usize = 64 << 10;

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) enum ServerUrl {
    Http(Url),
    Unix(Address),
    Udp(Address),
}

impl ServerUrl {
    pub(super) fn parse(text: &str) -> Result<Self, OptionError> {
        let wrong = |why: String| OptionError::new("urls", why);
        match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("http" | "https") => match Url::parse(text) {
                Ok(url) if url.has_host() => Ok(Self::Http(url)),
                Ok(_) => Err(wrong(format!("\"{text}\" names no host"))),
                Err(error) => Err(wrong(format!("\"{text}\" is no URL: {error}"))),
            },
            Some("unix") => Address::parse(text)
                .map(Self::Unix)
                .map_err(|error| wrong(error.to_string())),
            Some("udp" | "udp4" | "udp6") => Address::parse(text)
                .map(Self::Udp)
                .map_err(|error| wrong(error.to_string())),
            _ => {
                let error = wrong(format!("\"{text}\" is no URL of an InfluxDB server"));
                Err(error.with_hint("write for example \"http://127.0.0.1:8086\""))
            }
        }
    }
}

/// A server.
pub(super) struct Server {
    shown: String,
    way: Way,
}

enum Way {
    Http { client: Client, base: Url },
    Udp(Connector),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Server {
    pub(super) fn new(
        url: &ServerUrl,
        options: &InfluxdbOptions,
        tls: &TlsClientOptions,
    ) -> Result<Self, PluginError> {
        let builder = ClientBuilder::new(options.timeout.get())
            .proxy(&options.http_proxy, true)
            .user_agent(&options.user_agent);
        match url {
            ServerUrl::Http(url) => {
                let mut shown = url.clone();
                // What cannot be taken out of the URL was not in it.
                let _ = shown.set_password(None);
                let way = Way::Http {
                    client: builder.build(tls)?,
                    base: url.clone(),
                };
                Ok(Self {
                    shown: shown.to_string(),
                    way,
                })
            }
            ServerUrl::Unix(address) => {
                let path = address.path().unwrap_or_else(|| std::path::Path::new(""));
                let client = builder.unix_socket(path).build(tls)?;
                let base = Url::parse("http://localhost/")
                    .map_err(|error| PluginError::new("set up the URL").because(error))?;
                Ok(Self {
                    shown: address.to_string(),
                    way: Way::Http { client, base },
                })
            }
            ServerUrl::Udp(address) => {
                let connector =
                    Connector::new(address.clone(), &TlsClientOptions::default(), None)?;
                Ok(Self {
                    shown: address.to_string(),
                    way: Way::Udp(connector),
                })
            }
        }
    }

    /// Sends lines and says what became of them.
    pub(super) async fn write(
        &self,
        options: &InfluxdbOptions,
        encoding: Encoding,
        database: &str,
        policy: &str,
        lines: &[u8],
    ) -> Result<Verdict, PluginError> {
        let (client, base) = match &self.way {
            Way::Http { client, base } => (client, base),
            Way::Udp(connector) => {
                return self
                    .send(connector, lines, options.udp_payload.as_usize())
                    .await;
            }
        };
        let mut query = vec![("db", database)];
        if !policy.is_empty() {
            query.push(("rp", policy));
        }
        if !options.write_consistency.is_empty() {
            query.push(("consistency", &options.write_consistency));
        }
        let failed = || PluginError::new(format!("write to {self}"));
        let body = encoding
            .encode(lines.to_vec())
            .map_err(|error| failed().because(error))?;
        let mut request = client
            .post(endpoint(base, "write"))
            .query(&query)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(body);
        if let Some(name) = encoding.header() {
            request = request.header(CONTENT_ENCODING, name);
        }
        let response = self.prepare(request, options).send().await;
        let response = response.map_err(|error| failed().because(describe_error(&error)))?;
        let status = response.status();
        let body = read_response(response, MAX_ANSWER).await;
        // An answer that cannot be read to its end is judged by its status.
        Ok(answer::judge(status, &body.unwrap_or_default()))
    }

    pub(super) async fn create_database(
        &self,
        options: &InfluxdbOptions,
        database: &str,
    ) -> Result<(), PluginError> {
        let Way::Http { client, base } = &self.way else {
            return Ok(());
        };
        let failed = || PluginError::new(format!("create database \"{database}\" at {self}"));
        let quoted = database.replace('\\', "\\\\").replace('"', "\\\"");
        let query = format!("CREATE DATABASE \"{quoted}\"");
        let request = client.post(endpoint(base, "query")).form(&[("q", query)]);
        let response = self.prepare(request, options).send().await;
        let response = response.map_err(|error| failed().because(describe_error(&error)))?;
        let status = response.status();
        let body = read_response(response, MAX_ANSWER)
            .await
            .unwrap_or_default();
        match answer::query_error(status, &body) {
            None => Ok(()),
            Some(why) => {
                let hint = "create it by hand, or set skip_database_creation = true";
                Err(failed().because(why).with_hint(hint))
            }
        }
    }

    fn prepare(&self, request: RequestBuilder, options: &InfluxdbOptions) -> RequestBuilder {
        let request = if options.username.is_empty() && options.password.is_empty() {
            request
        } else {
            request.basic_auth(options.username.expose(), Some(options.password.expose()))
        };
        crate::http_headers::apply(request, &options.http_headers)
    }

    /// Sends as many whole lines in a packet as fit. A line that is too long for one is sent
    /// alone, for what it is worth.
    async fn send(
        &self,
        connector: &Connector,
        lines: &[u8],
        most: usize,
    ) -> Result<Verdict, PluginError> {
        let failed = |error| PluginError::new(format!("send to {self}")).because(error);
        let sender = connector.sender().await.map_err(failed)?;
        let mut packet: Vec<u8> = Vec::with_capacity(most);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if !packet.is_empty() && packet.len() + line.len() > most {
                sender.send(&packet).await.map_err(failed)?;
                packet.clear();
            }
            packet.extend_from_slice(line);
        }
        if !packet.is_empty() {
            sender.send(&packet).await.map_err(failed)?;
        }
        Ok(Verdict::Written)
    }
}

/// The server's URL with a path below its own.
fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let own = base.path().trim_end_matches('/');
    url.set_path(&format!("{own}/{path}"));
    url
}
