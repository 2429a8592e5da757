//! How a call gets to a server and back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_net::{BodyError, ClientBuilder, TlsClientOptions, describe_error, read_response};
use muster_options::Secret;
use parking_lot::RwLock;
use reqwest::{Response, header};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::kv::MAX_ANSWER;
use crate::wire::{self, Refusal, Token};
use crate::{Endpoints, Error, ErrorKind};

/// A call is tried with at most so many servers, each of which gets an equal share of its time.
const TRIES: usize = 3;

/// How a client behaves. Made by [`new`](Self::new); all fields have defaults but the servers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The servers.
    pub endpoints: Endpoints,
    /// How long a call may take, its answer and all servers that are tried included. Default 5 s.
    pub timeout: Duration,
    /// Who we are. Default: nobody.
    pub login: Option<Login>,
    /// TLS. It is used with servers that are named with `https://`, and with those named without `http://`
    /// if these options want it.
    pub tls: TlsClientOptions,
}

/// A user with a password. Without TLS both go over the wire as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl Options {
    /// The defaults for these servers.
    #[must_use]
    pub fn new(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            timeout: Duration::from_secs(5),
            login: None,
            tls: TlsClientOptions::default(),
        }
    }
}

/// A client of one cluster. Cheap to clone; all clones share connections, the choice of the server, and the token.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    http: muster_net::Client,
    urls: Vec<String>,
    login: Option<Login>,
    /// The server that is asked first.
    first: AtomicUsize,
    token: RwLock<Option<Arc<str>>>,
}

/// Whether a call that may have been done already can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It has the same effect again.
    Yes,
    /// It may have another.
    No,
}

/// One call.
pub(crate) struct Call<'a> {
    /// The path of the gateway.
    pub(crate) path: &'static str,
    /// The request.
    pub(crate) body: &'a Value,
    pub(crate) again: Again,
}

impl Client {
    /// A client. Reads certificates from files; asks nobody yet.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] if a certificate is wrong.
    pub fn new(options: Options) -> Result<Self, Error> {
        let what = "set up a client of etcd";
        let list = options.endpoints.list();
        let share = share_of(options.timeout, list.len());
        let http = ClientBuilder::new(Duration::ZERO)
            .connect_timeout(share * 3 / 4)
            .follow_redirects(false)
            .decompress(false)
            .build(&options.tls);
        let http = http.map_err(|error| Error {
            what: what.to_owned(),
            kind: ErrorKind::Setup(error.to_string()),
        })?;
        let url = |endpoint: &crate::Endpoint| {
            let secure = endpoint.secure.unwrap_or_else(|| options.tls.is_wanted());
            let plain = crate::Endpoint {
                secure: Some(secure),
                ..endpoint.clone()
            };
            plain.to_string()
        };
        let shared = Shared {
            http,
            urls: list.iter().map(url).collect(),
            login: options.login,
            first: AtomicUsize::new(0),
            token: RwLock::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            timeout: options.timeout,
        })
    }

    /// The same client with another time allowed for each call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// How long a call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The URL of the server that is asked first at present.
    pub fn server(&self) -> &str {
        &self.shared.urls[self.at()]
    }

    pub(crate) fn at(&self) -> usize {
        self.shared.first.load(Ordering::Relaxed) % self.shared.urls.len()
    }

    /// Another server goes first from now on, unless that has happened already.
    pub(crate) fn move_on(&self, from: usize) {
        let next = (from + 1) % self.shared.urls.len();
        let first = &self.shared.first;
        let _ = first.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes a call, within the time allowed, and reads its answer.
    pub(crate) async fn call<A: serde::de::DeserializeOwned>(
        &self,
        call: Call<'_>,
    ) -> Result<A, ErrorKind> {
        let bytes = self.in_time(self.with_token(&call)).await?;
        wire::read(&bytes)
    }

    /// As [`call`](Self::call), with this server only.
    pub(crate) async fn call_at(&self, at: usize, call: Call<'_>) -> Result<(), ErrorKind> {
        self.in_time(async {
            let token = self.token().await?;
            self.body(self.send(at, &call, token.as_deref()).await?)
                .await
        })
        .await
        .map(drop)
    }

    /// Opens a stream with the server that goes first; says which that was.
    pub(crate) async fn open(
        &self,
        path: &'static str,
        body: &Value,
    ) -> (usize, Result<Response, ErrorKind>) {
        let at = self.at();
        let call = Call {
            path,
            body,
            again: Again::Yes,
        };
        let opened = self.in_time(async {
            let token = self.token().await?;
            let opened = self.send(at, &call, token.as_deref()).await;
            self.note(token, opened)
        });
        (at, opened.await)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ErrorKind>>,
    ) -> Result<T, ErrorKind> {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(ErrorKind::Timeout(self.timeout)),
        }
    }

    async fn with_token(&self, call: &Call<'_>) -> Result<Vec<u8>, ErrorKind> {
        let token = self.token().await?;
        let first = self.try_servers(call, token.as_deref()).await;
        match self.note(token, first) {
            // It was not done, so it can be sent again, with a new token.
            Err(ErrorKind::Token(_)) => {
                let token = self.token().await?;
                let second = self.try_servers(call, token.as_deref()).await;
                self.note(token, second)
            }
            other => other,
        }
    }

    /// A token that was refused is not used again.
    fn note<T>(
        &self,
        used: Option<Arc<str>>,
        result: Result<T, ErrorKind>,
    ) -> Result<T, ErrorKind> {
        result.map_err(|kind| {
            let is_another = *self.shared.token.read() != used;
            if is_another { kind } else { self.refused(kind) }
        })
    }

    /// If the token was refused, it is not used again; without a login another one will not do.
    pub(crate) fn refused(&self, kind: ErrorKind) -> ErrorKind {
        match kind {
            ErrorKind::Token(why) if self.shared.login.is_none() => ErrorKind::Login(why),
            ErrorKind::Token(why) => {
                *self.shared.token.write() = None;
                ErrorKind::Token(why)
            }
            kind => kind,
        }
    }

    /// The token, if there is a login: the one that is there, or a new one.
    async fn token(&self) -> Result<Option<Arc<str>>, ErrorKind> {
        let Some(login) = &self.shared.login else {
            return Ok(None);
        };
        if let Some(token) = self.shared.token.read().clone() {
            return Ok(Some(token));
        }
        let body = json!({ "name": login.user, "password": login.password.expose() });
        let call = Call {
            path: "/v3/auth/authenticate",
            body: &body,
            again: Again::Yes,
        };
        let token: Token = match self.try_servers(&call, None).await {
            Ok(bytes) => wire::read(&bytes)?,
            // The servers ask nobody who he is.
            Err(ErrorKind::Refused(why)) if why.contains("authentication is not enabled") => {
                return Ok(None);
            }
            Err(kind) => return Err(kind),
        };
        let token: Arc<str> = token.token.into();
        *self.shared.token.write() = Some(Arc::clone(&token));
        Ok(Some(token))
    }

    /// Asks one server after the other, as long as nothing can have been done twice.
    async fn try_servers(
        &self,
        call: &Call<'_>,
        token: Option<&str>,
    ) -> Result<Vec<u8>, ErrorKind> {
        let share = share_of(self.timeout, self.shared.urls.len());
        let mut tries = self.shared.urls.len();
        loop {
            let at = self.at();
            let once = async { self.body(self.send(at, call, token).await?).await };
            let done = timeout_at(Instant::now() + share, once).await;
            let kind = match done.unwrap_or(Err(ErrorKind::Timeout(share))) {
                Ok(bytes) => return Ok(bytes),
                Err(kind) => kind,
            };
            if kind.is_of_the_server() {
                self.move_on(at);
            }
            tries -= 1;
            let was_not_sent = matches!(kind, ErrorKind::Unreachable(_));
            let may_again = was_not_sent || (kind.is_of_the_server() && call.again == Again::Yes);
            if !may_again || tries == 0 {
                return Err(kind);
            }
        }
    }

    /// Sends a request; the answer has begun and is a good one when it returns.
    async fn send(
        &self,
        at: usize,
        call: &Call<'_>,
        token: Option<&str>,
    ) -> Result<Response, ErrorKind> {
        let url = format!("{}{}", self.shared.urls[at], call.path);
        let body = call.body.to_string();
        let mut request = self.shared.http.post(url).body(body);
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let response = request.send().await.map_err(|error| {
            let why = describe_error(&error);
            if error.is_connect() {
                ErrorKind::Unreachable(why)
            } else {
                ErrorKind::Lost(why)
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.body(response).await?;
        let refusal: Refusal = wire::read(&bytes).map_err(|_| {
            let hint = "is its gateway enabled?";
            ErrorKind::BadAnswer(format!("HTTP status {status}; {hint}"))
        })?;
        Err(ErrorKind::of_status(refusal.code(), refusal.text()))
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, ErrorKind> {
        let read = read_response(response, MAX_ANSWER).await;
        read.map_err(|error| match error {
            BodyError::TooLarge { limit } => ErrorKind::AnswerTooLarge(limit),
            other => ErrorKind::Lost(other.to_string()),
        })
    }
}

/// The share of a call's time that one of so many servers gets.
fn share_of(timeout: Duration, servers: usize) -> Duration {
    let tries = u32::try_from(servers.min(TRIES)).unwrap_or(1);
    timeout / tries.max(1)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("servers", &self.shared.urls)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
