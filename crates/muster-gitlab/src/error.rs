//! What can go wrong with a request.

use std::time::Duration;

/// A request to GitLab that failed. The text says what to do about it where somebody can do
/// something; it never holds a token or a URL with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token could not be read.
    #[error("no token: {0}")]
    NoToken(String),
    /// No connection: the request was not sent.
    #[error("GitLab at {url} is not reachable: {why}; check `url` and the network")]
    Unreachable {
        /// The configured URL.
        url: String,
        /// Why.
        why: String,
    },
    /// The request was sent, and no whole answer came: it may have been carried out.
    #[error("the answer to {what} was lost: {why}")]
    Lost {
        /// What was asked.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// 401.
    #[error(
        "GitLab refuses the token (401{}): it is wrong, expired or revoked; give another in `token` or `token_file`",
        in_words(.0)
    )]
    WrongToken(String),
    /// 403 for want of a scope.
    #[error("the token may not {what}: GitLab wants the scope {wanted}; make a token with it")]
    MissingScope {
        /// What was asked.
        what: &'static str,
        /// Scopes that would do, in GitLab's words.
        wanted: String,
    },
    /// 403 otherwise.
    #[error(
        "the token's user may not {what} (403{}); give it the role or the scope for that", in_words(.said)
    )]
    Forbidden {
        /// What was asked.
        what: &'static str,
        /// GitLab's words.
        said: String,
    },
    /// 404.
    #[error("GitLab has nothing to {what} (404{}), or the token's user may not see it", in_words(.said))]
    NotFound {
        /// What was asked.
        what: &'static str,
        /// GitLab's words.
        said: String,
    },
    /// Another 4xx.
    #[error("GitLab refuses to {what} ({status}{})", in_words(.said))]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The status.
        status: u16,
        /// GitLab's words.
        said: String,
    },
    /// 429, or GitLab asked to be left alone a moment ago: then nothing was sent.
    #[error("GitLab asks to be left alone for {} s (429)", .retry_after.as_secs_f32().ceil())]
    RateLimited {
        /// For how long.
        retry_after: Duration,
    },
    /// 5xx. The request may have been carried out.
    #[error("GitLab failed to {what} ({status}{})", in_words(.said))]
    Server {
        /// What was asked.
        what: &'static str,
        /// The status.
        status: u16,
        /// GitLab's words.
        said: String,
        /// When to ask again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The answer is not of GitLab's API.
    #[error(
        "what answers at {url} is not GitLab's API ({why}); check `url`: it is the address of GitLab without /api/v4"
    )]
    NotGitlab {
        /// The configured URL.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// More was sent than is taken.
    #[error("the answer to {what} is longer than {limit}")]
    TooMuch {
        /// What was asked.
        what: &'static str,
        /// How much is taken.
        limit: String,
    },
}

impl Error {
    /// Whether the request may have been carried out although this came of it. False only if it
    /// was certainly not.
    pub const fn may_have_happened(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::Server { .. } | Self::TooMuch { .. } | Self::NotGitlab { .. }
        )
    }

    /// Whether the same request may work later without anybody's doing.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Lost { .. }
                | Self::RateLimited { .. }
                | Self::Server { .. }
        )
    }

    /// For how long GitLab asked to be left alone, if it did.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether what was asked for does not exist (or may not be seen).
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

fn in_words(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}
