//! What is seen: Prometheus and GitLab, put together for a decision.
//!
//! Nothing here fails as a whole: what could not be seen is unknown, with the reason. Every request
//! has a deadline, and dropping the future of a look closes all of them; what was
//! learnt until then stays.

mod check;
mod gitlab;
mod hosts;
mod poll;
mod prometheus;
mod promql;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use muster_gitlab::book::{Heard, PoolRule};
use muster_gitlab::hook::{self, HookError};
use muster_scaler_core::config::{Config, PoolConfig};
use muster_scaler_core::{Ledger, PoolObservation, Reading, Time};
use tokio::time::Instant;

pub use check::{CheckReport, Finding, check};
pub use gitlab::GitlabRunners;
pub use prometheus::{Prometheus, QueryError, Sample};
pub use promql::{check_expression, check_selector};
pub use queries::sd_label;

use gitlab::AT_ONCE;
use poll::JobPoll;
use queries::{Answers, Query};

use crate::{Moment, Observe, Seen};

/// Failed to set up the observation; the message completes "failed to ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObserveError(String);

/// Looks at Prometheus and GitLab.
#[derive(Debug)]
pub struct Observer {
    prometheus: Prometheus,
    pools: Vec<Pool>,
    runners: Option<Arc<GitlabRunners>>,
    poll: Option<JobPoll>,
}

#[derive(Debug)]
struct Pool {
    name: String,
    permanent: bool,
    /// Whether waiting jobs are asked of Prometheus.
    by_query: bool,
    queries: Vec<Query>,
}

#[async_trait]
impl Observe for Observer {
    async fn observe(&self, moment: Moment, ledger: &Ledger) -> Seen {
        let (now, began) = (moment.time, Instant::now());
        let clock = move || now + began.elapsed();
        let look = async {
            match &self.runners {
                Some(runners) => runners.views(ledger, &clock).await,
                None => Reading::unknown("there is no token of GitLab"),
            }
        };
        let poll = async {
            if let Some(poll) = &self.poll {
                poll.poll_if_due(&clock).await;
            }
        };
        let (answers, runners, ()) = tokio::join!(self.ask(moment), look, poll);
        let mut pools = BTreeMap::new();
        for (pool, answers) in self.pools.iter().zip(answers) {
            pools.insert(pool.name.clone(), self.pool(pool, &answers, now, clock()));
        }
        let ended = self.poll.as_ref().map(JobPoll::take_ended);
        Seen {
            pools,
            runners,
            ended: ended.unwrap_or_default(),
        }
    }
}

impl Observer {
    /// An observer of this configuration. Sends nothing.
    ///
    /// # Errors
    /// If a URL or a selector is wrong.
    pub fn new(config: &Config) -> Result<Self, ObserveError> {
        for pool in &config.pool {
            problems(pool)?;
        }
        let prometheus = Prometheus::new(&config.prometheus).map_err(ObserveError)?;
        let gitlab = config
            .gitlab
            .as_ref()
            .filter(|gitlab| GitlabRunners::has_token(gitlab));
        let (mut runners, mut poll) = (None, None);
        if let Some(gitlab) = gitlab {
            let failed = |error: muster_gitlab::Error| ObserveError(error.to_string());
            let eye = Arc::new(GitlabRunners::new(config, gitlab).map_err(failed)?);
            runners = Some(Arc::clone(&eye));
            if !gitlab.projects.is_empty() || !gitlab.groups.is_empty() {
                let rule = |pool: &PoolConfig| PoolRule {
                    name: pool.name.clone(),
                    tags: pool.match_tags.clone(),
                    run_untagged: pool.run_untagged,
                };
                let rules = config.pool.iter().map(rule).collect();
                poll = Some(JobPoll::new(eye, gitlab, rules));
            }
        }
        let pool = |pool: &PoolConfig| Pool {
            name: pool.name.clone(),
            permanent: !pool.permanent.is_empty(),
            by_query: poll.is_none(),
            queries: queries::of_pool(config, pool),
        };
        Ok(Self {
            prometheus,
            pools: config.pool.iter().map(pool).collect(),
            runners,
            poll,
        })
    }

    /// GitLab's runner objects; none in the reduced mode.
    pub const fn runners(&self) -> Option<&Arc<GitlabRunners>> {
        self.runners.as_ref()
    }

    /// Whether there is no token of GitLab, so that it works from Prometheus alone.
    pub const fn is_reduced(&self) -> bool {
        self.runners.is_none()
    }

    /// Takes a webhook that GitLab sent with that value of `X-Gitlab-Event`. True if something
    /// changed that a decision should hear of now.
    ///
    /// # Errors
    /// If the body is not what GitLab sends.
    pub fn hook(&self, event: &str, body: &[u8], now: Time) -> Result<bool, HookError> {
        let hook = hook::parse(event, body)?;
        let Some(poll) = &self.poll else {
            return Ok(false);
        };
        Ok(poll.hook(&hook, now) != Heard::Nothing)
    }

    /// All queries of all pools, some at a time.
    async fn ask(&self, at: Moment) -> Vec<Answers> {
        let mut all: Vec<(usize, Query)> = Vec::new();
        for (index, pool) in self.pools.iter().enumerate() {
            all.extend(pool.queries.iter().map(|query| (index, query.clone())));
        }
        let ask = |(index, query): (usize, Query)| async move {
            let answer = Answers::ask(&self.prometheus, &query, at).await;
            (index, query.asked, answer)
        };
        let mut answers: Vec<Answers> = self.pools.iter().map(|_| Answers::new(at)).collect();
        let mut asked = std::pin::pin!(stream::iter(all).map(ask).buffer_unordered(AT_ONCE));
        while let Some((index, asked, answer)) = asked.next().await {
            if let Some(answers) = answers.get_mut(index) {
                answers.put(asked, answer);
            }
        }
        answers
    }

    fn pool(&self, pool: &Pool, answers: &Answers, at: Time, now: Time) -> PoolObservation {
        let runner_of = |system_id: &str| self.runners.as_ref()?.runner_of(system_id);
        let hosts = hosts::hosts(answers, pool.permanent, &runner_of, at);
        let (jobs, pipelines) = match &self.poll {
            Some(poll) if !pool.by_query => {
                (poll.jobs(&pool.name, now), poll.pipelines(&pool.name))
            }
            _ => {
                let why = "no `projects` or `groups` of GitLab are configured, or no token";
                (hosts::jobs(answers, &hosts, at), Reading::unknown(why))
            }
        };
        PoolObservation {
            wait_p95: hosts::wait(answers, at),
            hosts,
            jobs,
            pipelines,
        }
    }
}

/// What is wrong with the PromQL of a pool.
fn problems(pool: &PoolConfig) -> Result<(), ObserveError> {
    let name = &pool.name;
    let failed = |option: &str, why: String| {
        ObserveError(format!("read `{option}` of the pool {name}: {why}"))
    };
    for (option, selector) in [("permanent", &pool.permanent), ("node", &pool.node)] {
        if !selector.is_empty() {
            check_selector(selector).map_err(|why| failed(option, why))?;
        }
    }
    if !pool.pending_query.is_empty() {
        let checked = check_expression(&pool.pending_query);
        checked.map_err(|why| failed("pending_query", why))?;
    }
    Ok(())
}
