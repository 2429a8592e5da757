//! What servers, Prometheus and GitLab ask the scaler for.
//!
//! - `GET /sd/prometheus`: the temporary servers for Prometheus' HTTP service discovery, from the
//!   moment they have an address until they are gone.
//! - `POST /join` with a word that works once: the text of the server's runner configuration. Behind the word
//!   may stand a number that the server has made itself; with both it may ask again for ten minutes.
//! - `POST /hooks/gitlab`: GitLab's job and pipeline webhooks, with the configured word in
//!   `X-Gitlab-Token`.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use muster_net::http_server::{Answer, Request, empty, json, read_body, text};
use muster_net::same_secret;
use muster_options::Secret;
use muster_scaler_core::Ledger;
use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::controller::Controller;
use crate::desk::{DeskError, JoinAsk};
use crate::observe::{Observer, sd_label};
use crate::word;

/// A webhook's body may be so long: those of pipelines name all their jobs.
const HOOK_BYTES: usize = 4 << 20;
/// A word to join with is shorter.
const WORD_BYTES: usize = 256;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(5);
/// Where runners show their metrics, where the address does not say otherwise.
const METRICS_PORT: u16 = 9252;

/// Answers requests for the scaler that runs now.
#[derive(Debug)]
pub(crate) struct Web {
    controller: RwLock<Option<Arc<Controller>>>,
    hooks: Arc<Observer>,
    hook_word: Secret,
    owner: String,
}

impl Web {
    pub(crate) fn new(hooks: Arc<Observer>, hook_word: Secret, owner: String) -> Self {
        Self {
            controller: RwLock::default(),
            hooks,
            hook_word,
            owner,
        }
    }

    /// From now on this one is asked; none: nobody can answer.
    pub(crate) fn serve(&self, controller: Option<Arc<Controller>>) {
        *self.controller.write() = controller;
    }

    /// The scaler, unless it has lost the lease: then another one may answer.
    fn controller(&self) -> Option<Arc<Controller>> {
        let controller = self.controller.read().clone();
        controller.filter(|controller| controller.holds_lease().is_ok())
    }

    pub(crate) async fn answer(&self, request: Request) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/sd/prometheus") => self.discovery(),
            (&Method::POST, "/join") => self.join(request).await,
            (&Method::POST, "/hooks/gitlab") => self.hook(request).await,
            (_, "/sd/prometheus" | "/join" | "/hooks/gitlab") => {
                empty(StatusCode::METHOD_NOT_ALLOWED)
            }
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn discovery(&self) -> Answer {
        // An empty list would make Prometheus forget all of them.
        match self.controller() {
            Some(controller) => {
                let targets = targets(&controller.desk().ledger(), &self.owner);
                json(StatusCode::OK, targets.to_string())
            }
            None => empty(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    async fn join(&self, request: Request) -> Answer {
        let body = match read_body(request, WORD_BYTES, BODY_TIME).await {
            Ok(body) => body,
            Err(error) => return empty(error.status()),
        };
        let Some(controller) = self.controller() else {
            return empty(StatusCode::SERVICE_UNAVAILABLE);
        };
        let words = String::from_utf8_lossy(&body);
        let mut words = words.split_whitespace().map(word::hash);
        let ask = JoinAsk {
            word: words.next().unwrap_or_default(),
            asked_by: words.next(),
        };
        match controller.desk().join(ask).await {
            Ok((name, config)) => {
                tracing::info!(server = %name, "a server has joined");
                controller.waker().notify_one();
                text(StatusCode::OK, config)
            }
            Err(DeskError::NoJoin | DeskError::Misfit(_)) => empty(StatusCode::FORBIDDEN),
            Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    async fn hook(&self, request: Request) -> Answer {
        if self.hook_word.is_empty() {
            return empty(StatusCode::NOT_FOUND);
        }
        let headers = request.headers();
        let given = headers.get("x-gitlab-token");
        let given = given.map_or(&b""[..], |value| value.as_bytes());
        if !same_secret(given, self.hook_word.expose().as_bytes()) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        let event = headers.get("x-gitlab-event");
        let event = event.and_then(|value| value.to_str().ok());
        let event = event.unwrap_or_default().to_owned();
        let body = match read_body(request, HOOK_BYTES, BODY_TIME).await {
            Ok(body) => body,
            Err(error) => return empty(error.status()),
        };
        let Some(controller) = self.controller() else {
            return empty(StatusCode::SERVICE_UNAVAILABLE);
        };
        match self.hooks.hook(&event, &body, controller.clock().now()) {
            Ok(news) => {
                if news {
                    controller.waker().notify_one();
                }
                empty(StatusCode::NO_CONTENT)
            }
            Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
}

/// The servers in the form of Prometheus' HTTP service discovery.
fn targets(ledger: &Ledger, owner: &str) -> Value {
    let target = |server: &muster_scaler_core::Server| {
        let address = server.address.as_ref()?;
        Some(json!({
            "targets": [with_port(address)],
            "labels": {
                (sd_label::OWNER): owner,
                (sd_label::POOL): server.pool,
                (sd_label::SERVER): server.name.0,
            },
        }))
    };
    ledger.servers.values().filter_map(target).collect()
}

/// Where metrics are: the address with its port, or with the runner's usual one.
fn with_port(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{METRICS_PORT}"),
        Ok(ip) => format!("{ip}:{METRICS_PORT}"),
        Err(_) => match address.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
            _ => format!("{address}:{METRICS_PORT}"),
        },
    }
}
