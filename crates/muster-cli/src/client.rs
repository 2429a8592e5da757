//! A small HTTP client for the agent's API: one connection a request, every answer bounded.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use muster_control::api::ErrorBody;
use muster_net::path_segment;
use muster_options::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::Failure;

/// A connection is there after this time, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The agent itself gives up a request after a minute; this is a little more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(65);

/// The largest answer that is taken.
const MOST_ANSWER_BYTES: usize = 256 << 20;

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// A host and port.
    Tcp(String, u16),
}

/// Speaks with one agent.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    target: Target,
    token: Option<Secret>,
}

/// A body with its type, and the name of the file that it came from.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) text: String,
    pub(crate) media_type: &'static str,
    pub(crate) file_name: Option<String>,
}

/// A success.
#[derive(Clone, Debug)]
pub(crate) struct Answer(Bytes);

impl Target {
    /// Reads `http://host:port` or `unix:///path`.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("unix://") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let wrong = || {
            format!("{url:?} is no address of an API: expected http://host:port or unix:///path")
        };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let authority: http::uri::Authority = rest
            .strip_suffix('/')
            .unwrap_or(rest)
            .parse()
            .map_err(|_| wrong())?;
        let port = authority.port_u16().ok_or_else(wrong)?;
        Ok(Self::Tcp(authority.host().to_owned(), port))
    }

    /// Whether this is on the same machine.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(host, _) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let address = bare.parse::<std::net::IpAddr>();
                host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(host, port) => write!(f, "http://{host}:{port}"),
        }
    }
}

impl Answer {
    /// The answer as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The answer as JSON; `null` if it is empty.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.0.is_empty() {
            Ok(Value::Null)
        } else {
            self.to()
        }
    }

    /// The answer as what the API promises.
    pub(crate) fn to<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.0).map_err(|error| {
            Failure::failed(format!("failed to understand the agent's answer: {error}"))
        })
    }
}

impl Client {
    /// A client for this agent.
    pub(crate) fn new(target: Target, token: Option<Secret>) -> Self {
        Self { target, token }
    }

    /// Sends a request and takes the whole answer. `what` is what the request is for, as in
    /// "failed to ...".
    ///
    /// # Errors
    /// If no agent answers in time, or it answers with an error.
    pub(crate) async fn call(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Answer, Failure> {
        let exchange = self.exchange(what, method, path, body, async |mut answer| {
            let mut limited = Limited::new(answer.body_mut(), MOST_ANSWER_BYTES);
            let collected = BodyExt::collect(&mut limited).await;
            collected
                .map(http_body_util::Collected::to_bytes)
                .map_err(|error| cut(&*error))
        });
        match muster_tasks::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(bytes) => Ok(Answer(bytes?)),
            Err(_) => Err(Failure::Unreachable(format!(
                "the agent at {} did not answer within {ANSWER_TIMEOUT:?}",
                self.target
            ))),
        }
    }

    /// Sends a GET and hands over the answer piece by piece until it ends or `take` says so.
    ///
    /// # Errors
    /// As [`call`](Self::call), and what `take` returns.
    pub(crate) async fn stream(
        &self,
        what: &str,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.exchange(what, Method::GET, path, None, async |mut answer| {
            while let Some(frame) = answer.body_mut().frame().await {
                let frame = frame.map_err(|error| cut(&error))?;
                if let Ok(data) = frame.into_data()
                    && !take(&data)?
                {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    async fn exchange<T>(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<Body>,
        read: impl AsyncFnOnce(http::Response<Incoming>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let request = self.request(method, path, body)?;
        match &self.target {
            Target::Unix(path) => {
                let stream = self.connect(UnixStream::connect(path)).await?;
                exchange_on(stream, what, request, read).await
            }
            Target::Tcp(host, port) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let stream = self.connect(TcpStream::connect((bare, *port))).await?;
                exchange_on(stream, what, request, read).await
            }
        }
    }

    async fn connect<S>(&self, attempt: impl Future<Output = io::Result<S>>) -> Result<S, Failure> {
        match muster_tasks::timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unreachable_agent(&self.target, &error)),
            Err(_) => Err(unreachable_agent(
                &self.target,
                &io::ErrorKind::TimedOut.into(),
            )),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let host = match &self.target {
            Target::Unix(_) => "localhost".to_owned(),
            Target::Tcp(host, port) => format!("{host}:{port}"),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let mut text = String::new();
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, body.media_type);
            if let Some(name) = body.file_name {
                request = request.header("x-file-name", encode_path(&name));
            }
            text = body.text;
        }
        let wrong = |error| Failure::failed(format!("failed to make the request {path}: {error}"));
        request.body(Full::from(text)).map_err(wrong)
    }
}

/// Speaks HTTP/1 on the stream: the connection's own work goes on beside the exchange, in the same
/// task, and ends with it.
async fn exchange_on<S, T>(
    stream: S,
    what: &str,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(http::Response<Incoming>) -> Result<T, Failure>,
) -> Result<T, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| cut(&error))?;
    let exchange = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| cut(&error))?;
        if answer.status().is_success() {
            return read(answer).await;
        }
        Err(refused(what, answer).await)
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        result = &mut exchange => return result,
        // All has been read; what was read is still to be taken.
        _ = &mut connection => {}
    }
    exchange.await
}

async fn refused(what: &str, mut answer: http::Response<Incoming>) -> Failure {
    let status = answer.status();
    let limited = Limited::new(answer.body_mut(), MOST_ANSWER_BYTES);
    let bytes = match limited.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return cut(&*error),
    };
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| plain_error(status, &bytes));
    Failure::Refused {
        what: what.to_owned(),
        status: status.as_u16(),
        body: Box::new(body),
    }
}

/// An error that is not the API's own: the text and the status.
fn plain_error(status: StatusCode, bytes: &[u8]) -> ErrorBody {
    let text = String::from_utf8_lossy(bytes);
    let message = match crate::text::printable(text.trim()) {
        text if text.is_empty() => status.to_string(),
        text => format!("{text} ({status})"),
    };
    ErrorBody {
        code: "http".to_owned(),
        message,
        problems: Vec::new(),
        generation: None,
    }
}

fn cut(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    Failure::Unreachable(format!("the agent's answer was cut off: {text}"))
}

fn unreachable_agent(target: &Target, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::TimedOut => format!("no connection within {CONNECT_TIMEOUT:?}"),
        io::ErrorKind::PermissionDenied => {
            "permission denied: it belongs to the agent's user".to_owned()
        }
        _ => error.to_string(),
    };
    let start = match target {
        Target::Unix(_) => {
            "\n  hint: start an agent with `muster`, or say where one is with --state-dir DIR or --api URL"
        }
        Target::Tcp(..) => "\n  hint: is the agent's `address` in [control] the same?",
    };
    Failure::Unreachable(format!("no agent answers at {target}: {why}{start}"))
}

/// The token: from the file given, else the variable, else the state directory of an agent here.
pub(crate) fn token(
    given: Option<&Path>,
    variable: Option<String>,
    target: &Target,
    state_dir: Option<&Path>,
) -> Result<Option<Secret>, Failure> {
    let read = |path: &Path| std::fs::read_to_string(path).map(|text| Secret::new(text.trim()));
    if let Some(path) = given {
        let wrong = |error| {
            Failure::failed(format!(
                "failed to read the token {}: {error}",
                path.display()
            ))
        };
        return read(path).map(Some).map_err(wrong);
    }
    if let Some(token) = variable.filter(|token| !token.trim().is_empty()) {
        return Ok(Some(Secret::new(token.trim())));
    }
    // A token of this machine is nobody else's business; the unix socket needs none.
    match (target, state_dir) {
        (Target::Tcp(..), Some(directory)) if target.is_local() => {
            Ok(read(&muster_control::access::token_path(directory)).ok())
        }
        _ => Ok(None),
    }
}

/// A path, each part encoded, whose slashes stay.
pub(crate) fn encode_path(text: &str) -> String {
    let parts: Vec<String> = text.split('/').map(path_segment).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Ok(Target::Tcp(host.to_owned(), port));
        let check = |url: &str, want: Result<Target, String>| assert_eq!(Target::parse(url), want);
        check("http://127.0.0.1:8679", tcp("127.0.0.1", 8679));
        check("http://[::1]:8679/", tcp("[::1]", 8679));
        check("unix:///run/m.sock", Ok(Target::Unix("/run/m.sock".into())));
        for wrong in [
            "",
            "127.0.0.1:8679",
            "https://a:1",
            "http://a",
            "http://a:1/x",
        ] {
            let why = format!(
                "{wrong:?} is no address of an API: expected http://host:port or unix:///path"
            );
            check(wrong, Err(why));
        }
    }

    #[test]
    fn the_token_of_this_machine_stays_here() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "s3cret\n").unwrap();
        let check = |target: Target, variable: Option<&str>, want: Option<&str>| {
            let variable = variable.map(str::to_owned);
            let got = token(None, variable, &target, Some(directory.path())).unwrap();
            assert_eq!(
                got.map(|t| t.expose().to_owned()).as_deref(),
                want,
                "{target:?}"
            );
        };
        let tcp = |host: &str| Target::Tcp(host.to_owned(), 1);
        check(tcp("127.0.0.1"), None, Some("s3cret"));
        check(tcp("[::1]"), None, Some("s3cret"));
        check(tcp("localhost"), Some("other"), Some("other"));
        check(tcp("example.org"), None, None);
        check(Target::Unix("x".into()), None, None);
    }

    #[test]
    fn paths_keep_their_slashes() {
        assert_eq!(encode_path("/etc/ä.conf"), "/etc/%C3%A4.conf");
    }
}
