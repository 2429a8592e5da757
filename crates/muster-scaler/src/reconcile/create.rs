//! A server comes to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_options::Secret;
use muster_scaler_core::provider::{CreateAnswer, ServerSpec, label};
use muster_scaler_core::{Happening, ProviderId, Server, ServerName, ServerState};

use super::Tools;
use crate::cloud_init::{self, Boot};
use crate::desk::Change;
use crate::listings::Lister;
use crate::runners::{MakeAnswer, RunnerSpec, Runners};
use crate::store::Join;
use crate::word;

impl Tools {
    /// The runner object, then, with the request on disk, the server. Only a server that is planned
    /// is asked for, and it is not any more once it was: under one name nothing is created twice.
    pub(super) async fn create(&self, name: &ServerName, provider: &ProviderId) {
        let planned = |server: &Server| server.state == ServerState::Planned;
        let Some(server) = self.server(name).filter(planned) else {
            return;
        };
        if self.clock.now() < server.next_try {
            return;
        }
        let Some(lister) = self.providers.get(provider) else {
            let why = format!("provider {provider} is not configured");
            self.note(name, Happening::NotYet(why)).await;
            return;
        };
        let made = match &self.runners {
            None => Ok(None),
            Some(runners) => self.make_runner(runners, &server).await.map(Some),
        };
        let (runner, token) = match made {
            Ok(Some((id, token))) => (Some(id), token),
            Ok(None) => (None, Secret::default()),
            Err(why) => {
                self.counters.gitlab_failed(why.clone());
                self.note(name, Happening::NotYet(why)).await;
                return;
            }
        };
        let mut events = Vec::new();
        if let Some(id) = runner {
            events.push(self.event(name, Happening::RunnerMade(id)));
        }
        let (spec, join) = match self.spec(&server, token) {
            Ok(spec) => spec,
            Err(why) => {
                events.push(self.event(name, Happening::NotYet(why)));
                self.note_all(events).await;
                return;
            }
        };
        events.push(self.event(name, Happening::Requesting));
        let join = join.map(|join| (name.clone(), join));
        if !self.intend(Change { events, join }).await {
            // A runner object that was made is found by the next sweep.
            return;
        }
        self.request(lister, &spec).await;
    }

    /// A runner object for the server. One that was made before is deleted first: its token is lost.
    async fn make_runner(
        &self,
        runners: &Arc<dyn Runners>,
        server: &Server,
    ) -> Result<(u64, Secret), String> {
        self.on_runner(runners, server, |id| runners.delete(id))
            .await?;
        let pool = self.pool(&server.pool);
        let spec = RunnerSpec {
            name: server.name.clone(),
            owner: self.config.owner.clone(),
            pool: server.pool.clone(),
            tags: pool.map(|pool| pool.match_tags.clone()).unwrap_or_default(),
            run_untagged: pool.is_some_and(|pool| pool.run_untagged),
        };
        let made = muster_tasks::timeout(self.gitlab_timeout(), runners.make_runner(&spec)).await;
        match made {
            Ok(MakeAnswer::Made { id, token }) => Ok((id, token)),
            Ok(MakeAnswer::Refused(why) | MakeAnswer::Unknown(why)) => {
                Err(format!("make a runner: {why}"))
            }
            Err(late) => Err(format!("make a runner: {late}")),
        }
    }

    /// What the provider is asked for, and what the server is given when it joins.
    fn spec(&self, server: &Server, token: Secret) -> Result<(ServerSpec, Option<Join>), String> {
        let pool = self.pool(&server.pool);
        let pool = pool.ok_or_else(|| format!("pool {} is not configured", server.pool))?;
        let url = self.config.gitlab.as_ref().map(|gitlab| &gitlab.url);
        let config = cloud_init::runner_config(pool, server, url.map_or("", |url| url), &token);
        let word = (!self.config.join_url.is_empty()).then(word::fresh);
        let word = word.transpose().map_err(|error| error.to_string())?;
        let boot = match &word {
            Some(word) => Boot::Join {
                url: &self.config.join_url,
                word,
            },
            None => Boot::Config(&config),
        };
        let drain = pool.drain_deadline.get();
        let user_data = cloud_init::user_data(&boot, server.expires, drain);
        let user_data = user_data.map_err(|error| error.to_string())?;
        let labels = [
            (label::OWNER, self.config.owner.clone()),
            (label::POOL, server.pool.clone()),
            (label::NAME, server.name.0.clone()),
            (label::DECISION, server.decision.to_string()),
            (label::EXPIRES, (server.expires.millis() / 1000).to_string()),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value));
        let spec = ServerSpec {
            name: server.name.clone(),
            labels: BTreeMap::from(labels),
            user_data,
        };
        let join = word.map(|word| Join {
            word: word::hash(word.expose()),
            config: config.expose().to_owned(),
            asked_by: None,
        });
        Ok((spec, join))
    }

    async fn request(&self, lister: &Lister, spec: &ServerSpec) {
        self.counters.creates();
        let provider = &lister.setup.provider;
        let time = provider.creation_time(lister.setup.timeout);
        let what = match muster_tasks::timeout(time, provider.create(spec)).await {
            Ok(CreateAnswer::Created(id) | CreateAnswer::AlreadyThere(id)) => Happening::Exists(id),
            Ok(CreateAnswer::Refused(refusal, why)) => Happening::Refused(refusal, why),
            Ok(CreateAnswer::Unknown(why)) => Happening::AnswerLost(why),
            Err(late) => Happening::AnswerLost(late.to_string()),
        };
        self.note(&spec.name, what).await;
    }
}
