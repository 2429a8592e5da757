//! Tokens and the catalog of services.

use std::sync::Arc;

use muster_net::Client;
use muster_options::Secret;
use muster_scaler_core::provider::Refusal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::OpenStackOptions;
use super::nova::{MICROVERSION, complaint};
use crate::http::{Failure, Reply, send, text};
use crate::scrub::scrub;

/// A service of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Compute,
    Image,
}

impl Service {
    const fn kind(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Image => "image",
        }
    }
}

/// A token, and where the services are that it opens.
#[derive(Debug)]
pub(super) struct Token {
    id: Secret,
    compute: String,
    image: String,
}

/// Asks with a token that is had once and anew when it has run out.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    options: Arc<OpenStackOptions>,
    token: Mutex<Option<Arc<Token>>>,
}

impl Session {
    pub(super) fn new(client: Client, options: Arc<OpenStackOptions>) -> Self {
        Self {
            client,
            options,
            token: Mutex::new(None),
        }
    }

    /// Asks a service. If the token is refused, once more with a new one: nothing was done then.
    pub(super) async fn call(
        &self,
        method: Method,
        service: Service,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let token = self.token(None).await?;
        let reply = self.send(&method, service, path, body, &token).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        let token = self.token(Some(&token)).await?;
        self.send(&method, service, path, body, &token).await
    }

    async fn send(
        &self,
        method: &Method,
        service: Service,
        path: &str,
        body: Option<&Value>,
        token: &Token,
    ) -> Result<Reply, Failure> {
        let base = match service {
            Service::Compute => &token.compute,
            Service::Image => &token.image,
        };
        let mut request = self.client.request(method.clone(), format!("{base}{path}"));
        request = request.header("X-Auth-Token", token.id.expose());
        if service == Service::Compute {
            request = request.header("OpenStack-API-Version", format!("compute {MICROVERSION}"));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let sent = send(request).await;
        let mut reply =
            sent.map_err(|failure| failure.cleaned(|why| self.clean(why, &[&token.id])))?;
        if !reply.is_success() {
            // Something on the way may repeat what it was sent.
            reply.body = reply.text().replace(token.id.expose(), "***").into_bytes();
        }
        Ok(reply)
    }

    /// The token, or a new one if there is none or it is `refused`.
    async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, Failure> {
        let mut kept = self.token.lock().await;
        match kept.as_ref() {
            Some(token) if refused.is_none_or(|refused| !Arc::ptr_eq(refused, token)) => {
                Ok(Arc::clone(token))
            }
            _ => {
                let token = Arc::new(self.authenticate().await?);
                *kept = Some(Arc::clone(&token));
                Ok(token)
            }
        }
    }

    async fn authenticate(&self) -> Result<Token, Failure> {
        let base = self.options.auth_url.trim_end_matches('/');
        let base = base.strip_suffix("/v3").unwrap_or(base);
        let request = self.client.post(format!("{base}/v3/auth/tokens"));
        let reply = send(request.json(&login(&self.options))).await;
        // Without a token nothing can have been done.
        let wrong = |refusal, why: &str| {
            Failure::NotSent(
                refusal,
                self.clean(&format!("log in at auth_url {base}: {why}"), &[]),
            )
        };
        let reply = reply.map_err(|failure| wrong(Refusal::RateLimit, &failure.why()))?;
        if !reply.is_success() {
            let refusal = match reply.status {
                429 | 500.. => Refusal::RateLimit,
                _ => Refusal::Invalid,
            };
            return Err(wrong(refusal, &complaint(&reply)));
        }
        let id = reply
            .headers
            .get("X-Subject-Token")
            .and_then(|value| value.to_str().ok());
        let id = id.ok_or_else(|| wrong(Refusal::Invalid, "the answer has no token"))?;
        let body = reply.json();
        let place = |service| {
            endpoint(&body, service, &self.options).map_err(|why| wrong(Refusal::Invalid, &why))
        };
        Ok(Token {
            id: Secret::new(id),
            compute: place(Service::Compute)?,
            image: place(Service::Image)?,
        })
    }

    /// A text without our secrets.
    pub(super) fn clean(&self, text: &str, more: &[&Secret]) -> String {
        let own = [
            &self.options.password,
            &self.options.application_credential_secret,
        ];
        scrub(text, own.into_iter().chain(more.iter().copied()))
    }
}

/// The body by which to log in.
fn login(options: &OpenStackOptions) -> Value {
    if !options.application_credential_id.is_empty() {
        return json!({ "auth": { "identity": {
            "methods": ["application_credential"],
            "application_credential": {
                "id": options.application_credential_id,
                "secret": options.application_credential_secret.expose(),
            },
        } } });
    }
    json!({ "auth": {
        "identity": {
            "methods": ["password"],
            "password": { "user": {
                "name": options.username,
                "password": options.password.expose(),
                "domain": { "name": options.user_domain },
            } },
        },
        "scope": { "project": {
            "name": options.project,
            "domain": { "name": options.project_domain },
        } },
    } })
}

/// Where a service is.
fn endpoint(token: &Value, service: Service, options: &OpenStackOptions) -> Result<String, String> {
    let catalog = token["token"]["catalog"].as_array().into_iter().flatten();
    let of_kind = catalog.filter(|one| one["type"] == service.kind());
    let endpoints = of_kind.flat_map(|one| one["endpoints"].as_array().into_iter().flatten());
    let fits = |one: &&Value| {
        let region = [&one["region_id"], &one["region"]];
        one["interface"] == options.interface.as_str()
            && (options.region.is_empty()
                || region
                    .into_iter()
                    .any(|name| *name == options.region.as_str()))
    };
    let url = endpoints
        .filter(fits)
        .map(|one| text(&one["url"]))
        .find(|url| !url.is_empty());
    let url = url.ok_or_else(|| {
        let region = if options.region.is_empty() {
            "any region"
        } else {
            options.region.as_str()
        };
        format!(
            "the catalog has no {} endpoint `{}` in {region}",
            options.interface,
            service.kind()
        )
    })?;
    let url = url.trim_end_matches('/');
    Ok(match service {
        Service::Compute => url,
        Service::Image => url.strip_suffix("/v2").unwrap_or(url),
    }
    .to_owned())
}
