//! Webhooks on their way out.

use std::time::Duration;

use muster_net::{ClientBuilder, TlsClientOptions};
use muster_options::Secret;
use muster_tasks::Ctx;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Shared;

/// Where webhooks go.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The URL.
    pub url: String,
    /// The word in `X-Gitlab-Token`.
    pub token: Secret,
    /// Whether jobs are told of that wait for jobs before them; GitLab once lost these events.
    pub created: bool,
}

/// One webhook.
#[derive(Debug)]
pub(super) struct Letter {
    event: &'static str,
    body: Value,
}

impl Shared {
    /// Queues webhooks. Those that find the queue full are lost, as GitLab loses them when a
    /// receiver is too slow.
    pub(super) fn post(&self, events: &[(&'static str, Value)]) {
        let hooks = self.hooks.lock();
        let Some(hook) = &*hooks else {
            return;
        };
        for (event, body) in events.iter().filter(|(event, _)| !event.is_empty()) {
            if !hook.created && body["build_status"] == "created" {
                continue;
            }
            let letter = Letter {
                event,
                body: body.clone(),
            };
            if self.outbox.try_send(letter).is_err() {
                tracing::debug!(event, "a webhook was lost: too many wait");
            }
        }
    }
}

pub(super) async fn send_all(cx: &Ctx, shared: &Shared, mut letters: mpsc::Receiver<Letter>) {
    let timeout = Duration::from_secs(10);
    let client = ClientBuilder::new(timeout).build(&TlsClientOptions::default());
    let Ok(client) = client else {
        return;
    };
    while let Ok(Some(letter)) = cx.run(letters.recv()).await {
        let Some(hook) = shared.hooks.lock().clone() else {
            continue;
        };
        let request = client
            .post(&hook.url)
            .header("X-Gitlab-Event", letter.event)
            .header("X-Gitlab-Token", hook.token.expose())
            .json(&letter.body);
        match cx.run(request.send()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a webhook was not taken"),
            Err(_) => return,
        }
    }
}
