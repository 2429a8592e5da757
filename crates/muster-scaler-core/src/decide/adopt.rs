//! Owned servers that the ledger lacks.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::round::{Look, Member, PoolRound, Round};
use crate::explanation::Verdict;
use crate::provider::{ListedServer, Phase, label};
use crate::{Event, Reading, Server, ServerName, ServerState, Time};

impl<'a> PoolRound<'a> {
    /// Takes over servers that are ours by their labels and that the ledger lacks: it was lost, or the
    /// provider made two of one.
    pub(super) fn adopt(&mut self, round: &mut Round<'a>) {
        let all = round.ledger.servers.values();
        let ids = all.filter_map(|s| s.provider_id.as_deref());
        let mut known: HashSet<&str, FixedState> = ids.collect();
        // A pool before this one may have taken over what is nobody's by its labels.
        known.extend(round.adopted.iter().map(|(_, id)| *id));
        let removed = self.memory.map(|memory| memory.last_removed);
        let mut found = Vec::new();
        for (at, listing) in self.listings(round) {
            if removed.is_some_and(|removed| listing.began <= removed) {
                continue;
            }
            for listed in listing.owned(&round.config.owner) {
                if self.is_mine(round, listed) && known.insert(&listed.id) {
                    found.push((at, listed));
                }
            }
        }
        for (at, listed) in found {
            self.adopt_one(round, at, listed);
        }
    }

    /// Whether it is for this pool to adopt, as far as its labels say.
    fn is_mine(&self, round: &Round<'_>, listed: &ListedServer) -> bool {
        let pool = listed.label(label::POOL).unwrap_or_default();
        let others = |other: &crate::config::PoolConfig| other.name == pool;
        let mine = pool == self.config.name || !round.config.pool.iter().any(others);
        let server = listed
            .label(label::NAME)
            .and_then(|name| round.ledger.servers.get(&ServerName(name.to_owned())));
        let expected = server.is_some_and(|server| server.provider_id.is_none());
        mine && !expected && listed.phase != Phase::Deleting
    }

    fn adopt_one(&mut self, round: &mut Round<'a>, provider: usize, listed: &'a ListedServer) {
        let label = listed.label(label::NAME).unwrap_or("adopted");
        let mut name = ServerName(label.to_owned());
        let twin = self.members.iter().position(|m| m.server.name == name);
        let is_taken = round.ledger.servers.contains_key(&name)
            || round.adopted.iter().any(|(taken, _)| *taken == name);
        if is_taken || listed.label(label::NAME).is_none() {
            name = ServerName(format!("{label}{}{}", Server::TWIN, listed.id));
        }
        let id = self.provider_id(provider);
        let mut server = Server::plan(name, &self.config.name, id, round.now);
        server.state = ServerState::Booting;
        server.requested = Some(listed.created.unwrap_or(round.now).min(round.now));
        server.slots = self.config.slots_per_server;
        server.provider_id = Some(listed.id.clone());
        server.address.clone_from(&listed.address);
        server.expires = expires(listed).unwrap_or(round.now + self.config.hard_ttl.get());
        if let Some(provider) = self.config.provider.get(provider) {
            server.price_per_hour = provider.common.price_per_hour;
            server.boot_deadline = round.now + provider.common.boot_timeout.get();
        }
        let views = round.gitlab(&round.observation.runners);
        if twin.is_none() {
            server.runner = views
                .and_then(|v| v.get(&server.name))
                .map(|view| view.runner);
        }
        round.adopted.push((server.name.clone(), &listed.id));
        round.fact(Event::Adopted(Box::new(server.clone())));
        self.adopted(round, server, listed);
        if let Some(twin) = twin {
            self.drain_twins(round, twin);
        }
    }

    fn adopted(&mut self, round: &Round<'a>, server: Server, listed: &'a ListedServer) {
        let hosts = self.hosts_of_ours();
        let mut member = Member {
            view: super::round::look(round, &server),
            host: hosts.get(&server.name).copied(),
            server: Cow::Owned(server),
            listed: Some(listed),
            verdict: Verdict::Coming,
            running: None,
            is_supposed: false,
        };
        if let (Look::Silent, Reading::Known { .. }) = (member.view, &round.observation.runners) {
            // It is new to us, not to GitLab.
            member.view = Look::Missing;
        }
        member.running = member.running(round);
        self.members.push(member);
    }

    /// Two servers of one name share one runner object: one cannot be paused without the other, and
    /// which of both runs a job cannot be told. Both are drained.
    fn drain_twins(&mut self, round: &mut Round<'a>, twin: usize) {
        let other = self.members.len() - 1;
        for at in [twin, other] {
            let state = self.members[at].server.state;
            if matches!(
                state,
                ServerState::Booting | ServerState::Joined | ServerState::Quarantined
            ) {
                self.begin_drain(round, at, "its provider has two of its name", false);
            }
        }
        let text = format!(
            "the provider has two servers of the name {}: both are drained",
            self.members[twin].server.name
        );
        round.alarm("duplicate_server", Some(&self.config.name), text);
    }
}

fn expires(listed: &ListedServer) -> Option<Time> {
    let seconds: u64 = listed.label(label::EXPIRES)?.parse().ok()?;
    Some(Time::default() + Duration::from_secs(seconds))
}
