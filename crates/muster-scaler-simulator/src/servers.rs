//! The life of temporary servers in the simulated world.

use crate::state::{Answer, Happens, Server, State};
use crate::world::FaultKind;

const FLAP_MILLIS: i64 = 300_000;

impl State<'_> {
    /// How long a call takes.
    fn call(&self) -> i64 {
        (self.world.call_seconds * 1000.0) as i64
    }

    /// Asks the provider for a server, which counts as temporary hours from now on, unless the
    /// provider refuses.
    pub(crate) fn create(&mut self, pool: u16) -> u32 {
        let number = self.servers.len() as u32;
        let options = self.pool(pool);
        let refuses = self
            .faults()
            .any(|fault| fault == FaultKind::ProviderRefuses);
        let host = self.add_host(pool, options.server_slots, Some(number));
        let boots = self
            .chance
            .lognormal(options.boot_seconds, options.boot_sigma);
        let fails = self.chance.share() < options.failing;
        let now = self.now;
        self.servers.push(Server {
            pool,
            host,
            asked: now,
            exists: !refuses,
            answered: false,
            up: None,
            retiring: false,
            deleting: false,
            gone: refuses.then_some(now),
        });
        self.queue.add(now + self.call(), Happens::Answered(number));
        if refuses {
            self.counts.refused += 1;
            return number;
        }
        if !fails {
            self.queue
                .add(now + (boots * 1000.0) as i64, Happens::Up(number));
        }
        let at = &mut self.pools[pool as usize];
        at.servers.push(number);
        let soon = at.last_delete.is_some_and(|last| now - last <= FLAP_MILLIS);
        self.counts.creates += 1;
        self.counts.flaps += u64::from(soon);
        let there: usize = self.pools.iter().map(|pool| pool.servers.len()).sum();
        self.counts.peak = self.counts.peak.max(there as u32);
        number
    }

    pub(crate) fn answered(&mut self, number: u32) {
        let lost = self.pool(self.servers[number as usize].pool).lost_answers;
        let server = &mut self.servers[number as usize];
        let answer = if !server.exists {
            Answer::Refused(number)
        } else if lost > 0.0 && self.chance.share() < lost {
            Answer::Lost(number)
        } else {
            server.answered = true;
            Answer::Created(number)
        };
        self.answers.push(answer);
    }

    pub(crate) fn up(&mut self, number: u32) {
        let server = &mut self.servers[number as usize];
        if server.deleting || server.gone.is_some() {
            return;
        }
        server.up = Some(self.now);
        let host = server.host;
        let at = &mut self.hosts[host as usize];
        at.idle_since = self.now;
        if !at.paused && !server.retiring {
            self.asks(host, true);
        }
        self.retire_if_empty(host);
    }

    /// Asks GitLab to pause a server's runner. A request in flight may still bring a job.
    pub(crate) fn pause(&mut self, number: u32) {
        let (host, turns) = self.turn(number);
        self.queue
            .add(self.now + self.call(), Happens::Paused(host, turns));
    }

    pub(crate) fn paused(&mut self, host: u32, turns: u32) {
        let at = &mut self.hosts[host as usize];
        let Some(number) = at.server.filter(|_| at.turns == turns) else {
            return;
        };
        at.paused = true;
        let held = (self.chance.share() * self.world.hold_seconds * 1000.0) as i64;
        self.queue
            .add(self.now + held, Happens::Silent(host, turns));
        self.answers.push(Answer::Paused(number));
    }

    pub(crate) fn silent(&mut self, host: u32, turns: u32) {
        if self.hosts[host as usize].turns == turns {
            self.asks(host, false);
        }
    }

    /// Asks GitLab to let a server's runner take jobs again.
    pub(crate) fn unpause(&mut self, number: u32) {
        self.counts.taken_back += 1;
        let (host, turns) = self.turn(number);
        self.queue
            .add(self.now + self.call(), Happens::Unpaused(host, turns));
    }

    pub(crate) fn unpaused(&mut self, host: u32, turns: u32) {
        let at = &mut self.hosts[host as usize];
        let Some(number) = at.server.filter(|_| at.turns == turns) else {
            return;
        };
        at.paused = false;
        self.answers.push(Answer::Unpaused(number));
        let server = &self.servers[number as usize];
        if server.up.is_some() && !server.deleting {
            self.asks(host, true);
        }
    }

    fn turn(&mut self, number: u32) -> (u32, u32) {
        let host = self.servers[number as usize].host;
        let at = &mut self.hosts[host as usize];
        at.turns += 1;
        (host, at.turns)
    }

    /// Lets a server take no new jobs, without any race, and deletes it when it is empty. For the
    /// baselines, to which the simulator is kind.
    pub(crate) fn retire(&mut self, number: u32) {
        let server = &mut self.servers[number as usize];
        server.retiring = true;
        let host = server.host;
        self.scaled_in();
        self.asks(host, false);
        self.retire_if_empty(host);
    }

    pub(crate) fn retire_if_empty(&mut self, host: u32) {
        let at = &self.hosts[host as usize];
        let Some(number) = at.server.filter(|_| at.running == 0) else {
            return;
        };
        if self.servers[number as usize].retiring {
            self.delete(number);
        }
    }

    /// Notes that a policy lets a server go.
    pub(crate) fn scaled_in(&mut self) {
        self.counts.scale_ins += 1;
        let blind = self
            .faults()
            .any(|fault| fault != FaultKind::ProviderRefuses);
        self.counts.scale_ins_in_fault += u64::from(blind);
    }

    /// Asks the provider to delete a server; jobs on it are killed.
    pub(crate) fn delete(&mut self, number: u32) {
        let server = &mut self.servers[number as usize];
        if server.deleting || server.gone.is_some() {
            return;
        }
        server.deleting = true;
        let (host, pool) = (server.host, server.pool);
        self.pools[pool as usize].last_delete = Some(self.now);
        self.queue
            .add(self.now + self.call(), Happens::Gone(number));
        self.asks(host, false);
        self.kill_jobs(host);
    }

    pub(crate) fn gone(&mut self, number: u32) {
        let server = &mut self.servers[number as usize];
        server.gone = Some(self.now);
        let pool = &mut self.pools[server.pool as usize];
        pool.servers.retain(|other| *other != number);
        self.answers.push(Answer::Gone(number));
    }
}
