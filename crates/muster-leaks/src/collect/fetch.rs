//! Asking a target for a profile.

use std::error::Error;
use std::io;

use http::{HeaderMap, StatusCode};
use muster_net::{
    BodyError, Client, ClientBuilder, TlsClientOptions, describe_error, read_response,
    read_text_excerpt,
};
use reqwest::Response;

use super::Target;
use crate::dump::DumpReader;
use crate::profile::{Format, Profile};
use crate::read::ReadError;
use crate::watch::Want;

/// A binary profile with more bytes, as sent, is not taken.
pub const MAX_PROFILE_BYTES: usize = 64 << 20;

/// A dump with more bytes is not taken. Go stops at 64 MiB.
pub const MAX_DUMP_BYTES: u64 = 256 << 20;

/// A profile that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A certificate or the proxy is wrong.
    #[error("{0}")]
    Setup(String),
    /// Nobody answers there.
    #[error("reach {target}: {why}")]
    Unreachable {
        /// The target.
        target: String,
        /// Why.
        why: String,
        /// Whether the connection was refused: no process listens there.
        refused: bool,
    },
    /// The target wants to know who asks, or does not let us in.
    #[error("read the goroutines of {target}: it denies access ({status})")]
    Denied {
        /// The target.
        target: String,
        /// 401 or 403.
        status: StatusCode,
    },
    /// There are no profiles at this place.
    #[error("read the goroutines of {target}: there is no /debug/pprof/goroutine ({status})")]
    NoPprof {
        /// The target.
        target: String,
        /// 404 or a redirect.
        status: StatusCode,
    },
    /// The target could not make the profile.
    #[error("read the goroutines of {target}: the status is {status}: {says}")]
    Status {
        /// The target.
        target: String,
        /// The status.
        status: StatusCode,
        /// How the answer begins.
        says: String,
    },
    /// The answer broke off, took too long or was too long.
    #[error("read the goroutines of {target}: {why}")]
    Answer {
        /// The target.
        target: String,
        /// Why.
        why: String,
    },
    /// The answer is no profile.
    #[error("read the goroutines of {target}: {}", error.reason())]
    NoProfile {
        /// The target.
        target: String,
        /// What is wrong with it.
        error: ReadError,
    },
}

impl FetchError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Setup(_) => "look at the options of TLS and of the proxy",
            Self::Unreachable { .. } => "is the service running, and is this its address?",
            Self::Denied { .. } => "give a token or a header that it accepts",
            Self::NoPprof { .. } | Self::NoProfile { .. } => {
                "name the port on which the service shows Go's net/http/pprof, with the path \
                 before /debug/pprof if there is one"
            }
            Self::Status { .. } | Self::Answer { .. } => {
                "ask for less: a longer interval, a longer timeout"
            }
        }
    }

    /// Whether no process listened there.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Unreachable { refused: true, .. })
    }
}

/// Asks one target for profiles.
#[derive(Clone, Debug)]
pub struct Fetcher {
    target: Target,
    client: Client,
    headers: HeaderMap,
}

impl Fetcher {
    /// Prepares to ask targets, with one client for all that are no unix sockets. The client's
    /// timeout is that of each request with its answer; redirects are not followed. Reads
    /// certificates.
    ///
    /// # Errors
    /// If a certificate or the proxy is wrong.
    pub fn for_targets(
        targets: Vec<Target>,
        client: ClientBuilder,
        tls: &TlsClientOptions,
    ) -> Result<Vec<Self>, FetchError> {
        let failed = |error: &dyn std::fmt::Display| FetchError::Setup(error.to_string());
        let builder = client.follow_redirects(false);
        let shared = builder.clone().build(tls).map_err(|error| failed(&error))?;
        let fetcher = |target: Target| {
            let client = match target.socket() {
                None => shared.clone(),
                Some(path) => builder
                    .clone()
                    .unix_socket(path)
                    .build(tls)
                    .map_err(|error| failed(&error))?,
            };
            Ok(Self {
                target,
                client,
                headers: HeaderMap::new(),
            })
        };
        targets.into_iter().map(fetcher).collect()
    }

    /// Sends these headers with each request from now on.
    pub fn set_headers(&mut self, headers: HeaderMap) {
        self.headers = headers;
    }

    /// The HTTP client that it asks with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The grouped profile: cheap, the service stands still for a few milliseconds.
    ///
    /// # Errors
    /// If there is none, or the answer is no profile.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn goroutines(&self) -> Result<Profile, FetchError> {
        let answer = self.get("goroutine").await?;
        match answer.status() {
            StatusCode::OK => self.read(answer).await,
            status if status == StatusCode::NOT_FOUND || status.is_redirection() => {
                Err(FetchError::NoPprof {
                    target: self.target.to_string(),
                    status,
                })
            }
            _ => Err(self.refused(answer).await),
        }
    }

    /// What a watch wants; nothing if the target has no such profile. A dump is read as it comes, in
    /// memory bounded by its groups.
    ///
    /// # Errors
    /// If the answer is no profile.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn wanted(&self, want: Want) -> Result<Option<Profile>, FetchError> {
        let answer = self.get(want.path()).await?;
        match (answer.status(), want) {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (StatusCode::OK, Want::Dump) => self.read_dump(answer).await.map(Some),
            (StatusCode::OK, Want::LeakProfile) => {
                let profile = self.read(answer).await?;
                // Only Go's own proves anything.
                Ok(Some(profile).filter(|profile| &*profile.kind == "goroutineleak"))
            }
            _ => Err(self.refused(answer).await),
        }
    }

    async fn get(&self, path: &str) -> Result<Response, FetchError> {
        let request = self.client.get(self.target.url(path));
        let answer = request.headers(self.headers.clone()).send().await;
        answer.map_err(|error| FetchError::Unreachable {
            target: self.target.to_string(),
            why: describe_error(&error),
            refused: is_refused(&error),
        })
    }

    async fn refused(&self, answer: Response) -> FetchError {
        let (target, status) = (self.target.to_string(), answer.status());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                FetchError::Denied { target, status }
            }
            _ => FetchError::Status {
                target,
                status,
                says: read_text_excerpt(answer).await,
            },
        }
    }

    async fn read(&self, answer: Response) -> Result<Profile, FetchError> {
        let body = read_response(answer, MAX_PROFILE_BYTES).await;
        let body = body.map_err(|error| self.broken(&error))?;
        Profile::read(&body).map_err(|error| self.no_profile(error))
    }

    async fn read_dump(&self, mut answer: Response) -> Result<Profile, FetchError> {
        let mut reader = DumpReader::new();
        let mut read = 0;
        loop {
            let chunk = answer.chunk().await.map_err(|error| FetchError::Answer {
                target: self.target.to_string(),
                why: describe_error(&error),
            })?;
            let Some(chunk) = chunk else { break };
            read += chunk.len() as u64;
            if read > MAX_DUMP_BYTES {
                let limit = MAX_DUMP_BYTES as usize;
                return Err(self.broken(&BodyError::TooLarge { limit }));
            }
            reader.feed(&chunk);
        }
        let profile = reader.finish();
        debug_assert_eq!(profile.format, Format::Dump);
        if profile.total == 0 {
            let found = "no goroutine".to_owned();
            return Err(self.no_profile(ReadError::NoProfile { found }));
        }
        Ok(profile)
    }

    fn broken(&self, error: &BodyError) -> FetchError {
        FetchError::Answer {
            target: self.target.to_string(),
            why: error.to_string(),
        }
    }

    fn no_profile(&self, error: ReadError) -> FetchError {
        FetchError::NoProfile {
            target: self.target.to_string(),
            error,
        }
    }
}

/// Whether a connection was refused.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(reason) = source {
        if let Some(error) = reason.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::ConnectionRefused;
        }
        source = reason.source();
    }
    false
}
