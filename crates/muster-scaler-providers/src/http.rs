//! Requests to the APIs of clouds.

use std::time::Duration;

use muster_net::{Client, ClientBuilder, TlsClientOptions, describe_error, read_response};
use muster_options::OptionError;
use muster_scaler_core::provider::{CreateAnswer, Refusal};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// The most that an answer may have, in bytes: a page of a thousand servers with room to spare.
const MOST_ANSWER: usize = 16 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// There is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request was not sent, so nothing was done: how a creation is refused then, and why.
    NotSent(Refusal, String),
    /// Nobody knows what became of it.
    Lost(String),
}

impl Failure {
    /// What went wrong.
    pub(crate) fn why(self) -> String {
        match self {
            Self::NotSent(_, why) | Self::Lost(why) => why,
        }
    }

    /// The same of a look before a creation, which was then not asked for: a refusal in any case. No earlier
    /// request of that server can be on its way, as the scaler asks for a name only once; and it forgets a
    /// refused one only after a complete listing that does not have it.
    pub(crate) fn before_creation(self) -> Self {
        match self {
            Self::Lost(why) => Self::NotSent(Refusal::RateLimit, why),
            not_sent @ Self::NotSent(..) => not_sent,
        }
    }

    /// The same with the secrets taken out by `clean`.
    pub(crate) fn cleaned(self, clean: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::NotSent(refusal, why) => Self::NotSent(refusal, clean(&why)),
            Self::Lost(why) => Self::Lost(clean(&why)),
        }
    }
}

/// What a creation that failed so has to answer.
impl From<Failure> for CreateAnswer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(refusal, why) => Self::Refused(refusal, why),
            Failure::Lost(why) => Self::Unknown(why),
        }
    }
}

impl Reply {
    /// Whether the status says that all went well.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client whose requests take at most `timeout`.
pub(crate) fn client(
    builder: ClientBuilder,
    tls: &TlsClientOptions,
) -> Result<Client, Vec<OptionError>> {
    let failed = |error: muster_plugin::PluginError| vec![OptionError::new("", error.to_string())];
    builder.follow_redirects(false).build(tls).map_err(failed)
}

/// A builder with the bound that all calls of a provider have.
pub(crate) fn builder(timeout: Duration) -> ClientBuilder {
    ClientBuilder::new(timeout)
}

/// Sends a request and reads the answer whole.
pub(crate) async fn send(request: RequestBuilder) -> Result<Reply, Failure> {
    let response = request.send().await.map_err(|error| {
        let why = describe_error(&error);
        if error.is_connect() {
            Failure::NotSent(Refusal::RateLimit, format!("connect: {why}"))
        } else if error.is_builder() {
            Failure::NotSent(Refusal::Invalid, why)
        } else {
            Failure::Lost(why)
        }
    })?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = read_response(response, MOST_ANSWER).await;
    let body = body.map_err(|error| Failure::Lost(error.to_string()))?;
    Ok(Reply {
        status,
        headers,
        body,
    })
}

/// Texts of a JSON object at `value`.
pub(crate) fn texts(value: &Value) -> std::collections::BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The text at `value`; empty if there is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
