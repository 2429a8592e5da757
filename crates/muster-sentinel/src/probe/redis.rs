//! Checking a Redis server: PING, and at times INFO, over a connection that is kept.

use std::sync::Arc;

use async_trait::async_trait;
use muster_net::Stream;
use muster_options::{JsonSchema, Secret};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::{Dialer, Phase, Probe};
use crate::classify;
use crate::info::Info;
use crate::resp::{self, Limits, Reply};
use crate::status::{Answer, Facts, Outcome, Reason, Target};

/// With every so many checks the server is asked what it is.
const INFO_EVERY: u64 = 10;

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// PING only.
    #[default]
    Ping,
    /// PING, and with every tenth check and each new connection INFO: role, version, run ID.
    Info,
    /// As `info`, and INFO replication with every check: a replica whose link to its master is down
    /// is degraded.
    Replication,
}

/// What the checks of many servers have in common.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The user of an access list; may be empty.
    pub username: String,
    /// The password; none if empty.
    pub password: Secret,
    /// What is asked.
    pub depth: Depth,
    /// With every so many checks a new connection is opened, to see what a new client would; never,
    /// if 0.
    pub reconnect_every: u64,
    /// Opens the connections.
    pub dialer: Dialer,
}

/// Checks one Redis server.
///
/// It keeps its connection between checks. When a check fails on the kept connection, or brings no
/// answer in half of the time, the same check goes on with a new one: a connection that died unnoticed
/// is no verdict. A kept connection does not show whether the server takes new clients, so at times a
/// new one is opened beside it. It never changes anything on the server, and never ends a script.
#[derive(Debug)]
pub struct RedisProbe {
    target: Target,
    options: Arc<RedisOptions>,
    kept: Option<Stream>,
    /// Checks over the kept connection.
    since_connect: u64,
    phase: Phase,
    /// Checks since the server was asked what it is.
    since_info: u64,
    facts: Facts,
}

impl RedisProbe {
    /// A check of the server at `target`. Connects with the first check.
    pub fn new(target: Target, options: Arc<RedisOptions>) -> Self {
        Self {
            target,
            options,
            kept: None,
            since_connect: 0,
            phase: Phase::default(),
            since_info: 0,
            facts: Facts::default(),
        }
    }

    /// Checks over a new connection. A server that takes no more clients would take one when we
    /// close ours: so the kept one stays open until a new one works.
    async fn fresh(&mut self) -> Answer {
        let before = self.kept.take();
        // Another connection may mean another server.
        self.since_info = 0;
        let answer = match self
            .options
            .dialer
            .dial(&self.target, &mut self.phase)
            .await
        {
            Ok(stream) => self.ask(stream, true).await.unwrap_or_else(Answer::from),
            Err(outcome) => outcome.into(),
        };
        if answer.outcome.reason == Reason::Maxclients {
            self.kept = before;
        } else {
            self.since_connect = 0;
        }
        answer
    }

    fn wants_fresh(&self) -> bool {
        let every = self.options.reconnect_every;
        every > 0 && self.since_connect >= every
    }

    async fn ask(&mut self, stream: Stream, fresh: bool) -> Result<Answer, Outcome> {
        self.phase = Phase::Waiting;
        let options = Arc::clone(&self.options);
        let mut talk = Talk::new(stream);
        let began = Instant::now();
        let login = fresh && !options.password.is_empty();
        let sections = self.sections();
        let mut request = Vec::with_capacity(64);
        if login {
            write_login(&mut request, &options);
        }
        resp::write_request(&mut request, ["PING"]);
        for section in sections {
            resp::write_request(&mut request, ["INFO", *section]);
        }
        // A server that refuses us says why before it closes: so the answer is looked for even if
        // the request could not be sent.
        let sent = talk.send(&request).await;
        let first = talk.reply(classify::reply).await;
        let mut outcome = match (first, sent) {
            (Err(_), Err(error)) => return Err(error),
            (first, _) => first?,
        };
        if login && outcome == Outcome::OK {
            outcome = talk.reply(classify::reply).await?;
        } else if login {
            return Ok(outcome.into());
        }
        let mut answer = Answer::from(outcome);
        answer.rtt = Some(began.elapsed());
        if stays_open(answer.outcome.reason) {
            for section in sections {
                let text = talk.text().await?;
                self.read(section, text, &mut answer);
            }
            if answer.outcome.reason == Reason::Loading && !sections.contains(&PERSISTENCE) {
                let mut request = Vec::new();
                resp::write_request(&mut request, ["INFO", PERSISTENCE]);
                talk.send(&request).await?;
                let text = talk.text().await?;
                self.read(PERSISTENCE, text, &mut answer);
            }
            self.since_info += 1;
            self.kept = talk.into_idle();
        }
        Ok(answer)
    }

    fn sections(&self) -> &'static [&'static str] {
        let full = self.since_info.is_multiple_of(INFO_EVERY);
        match self.options.depth {
            Depth::Ping => &[],
            Depth::Info | Depth::Replication if full => &[SERVER, REPLICATION, PERSISTENCE],
            Depth::Info => &[],
            Depth::Replication => &[REPLICATION],
        }
    }

    /// Takes a section of INFO; `None` if the server gave an error in its place.
    fn read(&mut self, section: &str, text: Option<String>, answer: &mut Answer) {
        let Some(text) = text else { return };
        let info = Info::new(&text);
        let found = info.facts();
        match section {
            SERVER => {
                self.facts.run_id = found.run_id;
                self.facts.redis_version = found.redis_version;
            }
            REPLICATION => {
                self.facts.role = found.role;
                answer.facts = Some(self.facts.clone());
                answer.replication = info.replication();
                let lost = answer
                    .replication
                    .is_some_and(|replication| !replication.link);
                if lost && self.options.depth == Depth::Replication && answer.outcome == Outcome::OK
                {
                    let detail = "the link to the master is down";
                    answer.outcome = Outcome::new(Reason::Masterdown, detail);
                }
            }
            _ => answer.loading = info.loading(),
        }
    }
}

const SERVER: &str = "server";
const REPLICATION: &str = "replication";
const PERSISTENCE: &str = "persistence";

/// Whether the server goes on with a connection on which it has answered so.
fn stays_open(reason: Reason) -> bool {
    use Reason::{Busy, Loading, Masterdown, Ok, Persist};
    matches!(reason, Ok | Busy | Loading | Masterdown | Persist)
}

#[async_trait]
impl Probe for RedisProbe {
    async fn check(&mut self, deadline: Instant) -> Answer {
        self.since_connect += 1;
        if self.wants_fresh() {
            return self.fresh().await;
        }
        if let Some(stream) = self.kept.take() {
            let now = Instant::now();
            let half = now + deadline.saturating_duration_since(now) / 2;
            if let Ok(Ok(answer)) = timeout_at(half, self.ask(stream, false)).await {
                return answer;
            }
        }
        self.fresh().await
    }

    fn overdue(&self) -> Outcome {
        self.phase.overdue()
    }
}

/// Appends the request that says who we are.
fn write_login(request: &mut Vec<u8>, options: &RedisOptions) {
    let (user, password) = (options.username.as_str(), options.password.expose());
    let with_user = ["AUTH", user, password];
    let words = if user.is_empty() {
        vec!["AUTH", password]
    } else {
        with_user.to_vec()
    };
    resp::write_request(request, words);
}

/// Asks a server these commands over a connection of their own. Of each answer the text: a text as it
/// is; of a list each entry as a line, whose words, if it is a list itself, are separated by tabs.
///
/// # Cancel safety
/// Dropping it closes the connection. It has no time limit of its own.
pub(crate) async fn ask_once(
    server: &Target,
    questions: &[Vec<String>],
    options: &RedisOptions,
) -> Result<Vec<String>, Outcome> {
    let stream = options.dialer.dial(server, &mut Phase::default()).await?;
    let mut talk = Talk::new(stream);
    talk.limits = Limits::LIST;
    let mut request = Vec::new();
    let login = !options.password.is_empty();
    if login {
        write_login(&mut request, options);
    }
    for question in questions {
        resp::write_request(&mut request, question.iter().map(String::as_str));
    }
    talk.send(&request).await?;
    if login {
        let welcome = talk.reply(classify::reply).await?;
        if welcome != Outcome::OK {
            return Err(welcome);
        }
    }
    let mut answers = Vec::with_capacity(questions.len());
    for _ in questions {
        answers.push(talk.reply(flatten).await??);
    }
    Ok(answers)
}

fn flatten(reply: &Reply<'_>) -> Result<String, Outcome> {
    match reply {
        Reply::Error(_) => Err(classify::reply(reply)),
        Reply::Array(lines) => {
            let line = |line: &Reply<'_>| match line {
                Reply::Array(words) => {
                    let words = words.iter().filter_map(Reply::text);
                    words.collect::<Vec<_>>().join("\t")
                }
                other => other.text().unwrap_or_default().into_owned(),
            };
            Ok(lines.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        other => Ok(other.text().unwrap_or_default().into_owned()),
    }
}

/// Requests and replies over one connection.
struct Talk {
    stream: Stream,
    buffer: Vec<u8>,
    limits: Limits,
}

impl Talk {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: Vec::with_capacity(512),
            limits: Limits::CHECK,
        }
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), Outcome> {
        let sent = self.stream.write_all(request).await;
        let sent = match sent {
            Ok(()) => self.stream.flush().await,
            failed => failed,
        };
        sent.map_err(|error| classify::io_error(&error))
    }

    /// Waits for one reply.
    async fn reply<T>(&mut self, read: impl FnOnce(&Reply<'_>) -> T) -> Result<T, Outcome> {
        loop {
            let wrong = |error: resp::RespError| Outcome::new(Reason::Protocol, error.to_string());
            if let Some((reply, used)) = resp::parse(&self.buffer, self.limits).map_err(wrong)? {
                let value = read(&reply);
                drop(reply);
                self.buffer.drain(..used);
                return Ok(value);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(Outcome::new(Reason::Closed, "closed before the answer")),
                Ok(_) => {}
                Err(error) => return Err(classify::io_error(&error)),
            }
        }
    }

    /// Waits for a reply that is text; `None` for an error in its place.
    async fn text(&mut self) -> Result<Option<String>, Outcome> {
        self.reply(|reply| reply.text().map(std::borrow::Cow::into_owned))
            .await
    }

    /// The connection for the next check, unless there is more on it than was asked for.
    fn into_idle(self) -> Option<Stream> {
        self.buffer.is_empty().then_some(self.stream)
    }
}
