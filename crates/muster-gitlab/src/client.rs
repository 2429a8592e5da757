//! One request to GitLab's API.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use muster_net::{Client, ClientBuilder, Pause, TlsClientOptions, read_response, retry_after};
use muster_options::Secret;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::limits::{LONGEST_ANSWER, PER_PAGE};
use crate::{Error, TokenSource};

/// How to reach GitLab.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its base URL, without `/api/v4`.
    pub url: String,
    /// The token.
    pub token: Secret,
    /// A file with the token; goes before `token`. Empty: none.
    pub token_file: PathBuf,
    /// How long a request may take, its answer's body included.
    pub timeout: Duration,
}

/// GitLab's API with one access token. Cheap to share by reference; dropping it closes its idle
/// connections, dropping the future of a call closes that call's connection.
///
/// After a 429 no request is sent until the time that GitLab asked for is over: calls fail at once
/// with [`Error::RateLimited`], which says how long that is. Nothing else is remembered between
/// calls, and no call is repeated.
#[derive(Debug)]
pub struct Gitlab {
    client: Client,
    url: String,
    token: Option<TokenSource>,
    timeout: Duration,
    pause: Mutex<Pause>,
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Call {
    what: &'static str,
    request: reqwest::RequestBuilder,
    timeout: Duration,
}

impl Call {
    pub(crate) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.request = self.request.query(pairs);
        self
    }

    pub(crate) fn body(mut self, body: &serde_json::Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// A body that is no JSON, with its headers.
    pub(crate) fn raw(mut self, headers: HeaderMap, body: Vec<u8>) -> Self {
        self.request = self.request.headers(headers).body(body);
        self
    }

    /// Gives this call another deadline.
    pub(crate) const fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Gitlab {
    /// A client with these options. Sends nothing.
    ///
    /// # Errors
    /// [`Error::NotGitlab`] if the URL is none; [`Error::Unreachable`] if the client cannot be set
    /// up.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let token = if options.token_file.as_os_str().is_empty() {
            TokenSource::given(options.token.clone())
        } else {
            TokenSource::file(&options.token_file)
        };
        Self::build(&options.url, options.timeout, Some(token))
    }

    /// A client without an access token, for calls that carry another one.
    pub(crate) fn anonymous(url: &str, timeout: Duration) -> Result<Self, Error> {
        Self::build(url, timeout, None)
    }

    fn build(url: &str, timeout: Duration, token: Option<TokenSource>) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix("/api/v4").unwrap_or(url).to_owned();
        let parsed: Result<http::Uri, _> = url.parse();
        let is_http = parsed.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if !is_http {
            let why = "the URL does not begin with http:// or https:// and a host".to_owned();
            return Err(Error::NotGitlab { url, why });
        }
        // The token goes to no other address than the one that was configured.
        let client = ClientBuilder::new(timeout)
            .follow_redirects(false)
            .build(&TlsClientOptions::default())
            .map_err(|error| Error::Unreachable {
                url: url.clone(),
                why: error.to_string(),
            })?;
        Ok(Self {
            client,
            url,
            token,
            timeout,
            pause: Mutex::default(),
        })
    }

    /// GitLab's base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How long GitLab is still to be left alone, if it asked for that.
    pub fn pause(&self) -> Option<Duration> {
        self.pause.lock().remaining()
    }

    /// Begins a request; `what` completes "failed to ...".
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        what: &'static str,
    ) -> Result<Call, Error> {
        let url = format!("{}/api/v4/{path}", self.url);
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.header("PRIVATE-TOKEN", token.token()?.expose());
        }
        let timeout = self.timeout;
        Ok(Call {
            what,
            request,
            timeout,
        })
    }

    /// Sends a request and reads its answer, whatever its status, within the call's time.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Error> {
        if let Some(retry_after) = self.pause() {
            return Err(Error::RateLimited { retry_after });
        }
        let what = call.what;
        let lost = |why: String| Error::Lost { what, why };
        let deadline = Instant::now() + call.timeout;
        let sent = call.request.timeout(call.timeout).send();
        let exchange = async {
            let response = sent.await.map_err(|error| {
                let why = muster_net::describe_error(&error);
                if error.is_connect() || error.is_builder() {
                    let url = self.url.clone();
                    Error::Unreachable { url, why }
                } else {
                    lost(why)
                }
            })?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = read_response(response, LONGEST_ANSWER).await;
            let body = body.map_err(|error| match error {
                muster_net::BodyError::TooLarge { limit } => Error::TooMuch {
                    what,
                    limit: format!("{limit} bytes"),
                },
                other => lost(other.to_string()),
            })?;
            Ok(Answer {
                status,
                headers,
                body,
            })
        };
        match tokio::time::timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(lost(format!("none within {:?}", call.timeout))),
        }
    }

    /// Sends a request; an answer other than 2xx is an error.
    pub(crate) async fn ok(&self, call: Call) -> Result<Answer, Error> {
        let what = call.what;
        let answer = self.send(call).await?;
        if answer.status.is_success() {
            // A request that was sent before a pause began says nothing of that.
            let mut pause = self.pause.lock();
            if pause.remaining().is_none() {
                pause.clear();
            }
            return Ok(answer);
        }
        Err(self.refusal(what, &answer))
    }

    /// Sends a request and reads the JSON that it is answered with.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let answer = self.ok(call).await?;
        self.read(&answer)
    }

    /// The JSON of an answer.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Error> {
        serde_json::from_slice(&answer.body).map_err(|error| self.not_gitlab(error.to_string()))
    }

    /// Reads all pages of a list, up to `most` items.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] if there are more than `most`.
    pub(crate) async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        most: usize,
        what: &'static str,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut page = "1".to_owned();
        let per_page = PER_PAGE.to_string();
        // A server that always names a next page does not hold us for ever.
        for _ in 0..=most.div_ceil(PER_PAGE) {
            let mut pairs = query.to_vec();
            pairs.extend([("per_page", per_page.as_str()), ("page", page.as_str())]);
            let call = self.call(Method::GET, path, what)?.query(&pairs);
            let answer = self.ok(call).await?;
            let items: Vec<T> = self.read(&answer)?;
            let full = items.len() >= PER_PAGE;
            all.extend(items);
            // Lists without a count still name the next page; a proxy may have dropped the header.
            let next = match answer.header("x-next-page") {
                Some(next) => next.trim().to_owned(),
                None if full => page.parse::<u64>().map_or(0, |at| at + 1).to_string(),
                None => String::new(),
            };
            if all.len() > most {
                break;
            }
            if next.is_empty() {
                return Ok(all);
            }
            page = next;
        }
        let limit = format!("{most} items");
        Err(Error::TooMuch { what, limit })
    }

    /// Reads the pages of a list that is paged by its items' IDs, newest first, up to `most` items, as
    /// long as the last item of a page is wanted. No item is missed or read twice if others come and go
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error`]; [`Error::TooMuch`] if there are more than `most`.
    pub(crate) async fn pages_by_id<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        most: usize,
        what: &'static str,
        wants: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, Error> {
        let per_page = PER_PAGE.to_string();
        let mut pairs = query.to_vec();
        pairs.extend([
            ("pagination", "keyset"),
            ("order_by", "id"),
            ("sort", "desc"),
            ("per_page", per_page.as_str()),
        ]);
        let mut call = self.call(Method::GET, path, what)?.query(&pairs);
        let mut all = Vec::new();
        for _ in 0..=most.div_ceil(PER_PAGE) {
            let answer = self.ok(call).await?;
            let items: Vec<T> = self.read(&answer)?;
            all.extend(items);
            if all.last().is_some_and(|last| !wants(last)) {
                return Ok(all);
            }
            if all.len() > most {
                break;
            }
            // Of the link only the query is taken: the token goes to no other address.
            match answer.header("link").and_then(query_of_next) {
                Some(next) => call = self.call(Method::GET, &format!("{path}?{next}"), what)?,
                None => return Ok(all),
            }
        }
        let limit = format!("{most} items");
        Err(Error::TooMuch { what, limit })
    }

    fn not_gitlab(&self, why: String) -> Error {
        let url = self.url.clone();
        Error::NotGitlab { url, why }
    }

    /// What an answer other than 2xx means.
    pub(crate) fn refusal(&self, what: &'static str, answer: &Answer) -> Error {
        let status = answer.status.as_u16();
        let value: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
        let retry = retry_after(&answer.headers);
        let said = value.as_ref().map(words).unwrap_or_default();
        match status {
            429 => Error::RateLimited {
                retry_after: self.pause.lock().extend(retry),
            },
            500.. => Error::Server {
                what,
                status,
                said,
                retry_after: retry,
            },
            300..=399 => self.not_gitlab(format!("it answers {status}, a redirect")),
            _ if value.is_none() && !answer.body.is_empty() => self.not_gitlab(format!(
                "it answers {status} with something other than JSON"
            )),
            401 => Error::WrongToken(said),
            403 => {
                let field = |name| value.as_ref().and_then(|value| value.get(name)?.as_str());
                if field("error") == Some("insufficient_scope") {
                    let wanted = field("scope").unwrap_or("api").to_owned();
                    return Error::MissingScope { what, wanted };
                }
                Error::Forbidden { what, said }
            }
            404 => Error::NotFound { what, said },
            _ => Error::Refused { what, status, said },
        }
    }
}

/// GitLab's words of what is wrong: `message` (text, list or by field), else `error`.
fn words(value: &serde_json::Value) -> String {
    let message = value.get("message").or_else(|| value.get("error"));
    let text = match message {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(300).collect()
}

/// The query of the next page in a `Link` header.
fn query_of_next(link: &str) -> Option<&str> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let (_, url) = next.split_once('<')?;
    let (url, _) = url.split_once('>')?;
    let (_, query) = url.split_once('?')?;
    Some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_the_next_page() {
        let link = "<https://a/b?x=1&cursor=7>; rel=\"next\", <https://a/b?x=1>; rel=\"first\"";
        assert_eq!(query_of_next(link), Some("x=1&cursor=7"));
        assert_eq!(query_of_next("<https://a/b?x=1>; rel=\"first\""), None);
        assert_eq!(query_of_next(""), None);
    }
}
