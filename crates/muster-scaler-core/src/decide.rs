//! The decision: from what was seen and what is known to what is to be done.
//!
//! By pool, one step after the other, each in its own file: what hosts there are and whether the
//! observation can be relied on (`health`), what has become of our servers (`advance`, `adopt`), the
//! slots there are (`capacity`), the slots needed (`demand`, `lookahead`), how many servers follow and
//! what holds that back (`plan`, `gates`), which are taken away (`choose`), and which overloaded
//! hosts are relieved (`relief`).

mod adopt;
mod advance;
mod capacity;
mod choose;
mod demand;
mod drain;
mod gates;
mod health;
mod lookahead;
mod plan;
mod relief;
mod round;

use std::time::Duration;

use crate::config::{Config, Mode, PoolConfig};
use crate::decision::Decision;
use crate::explanation::PoolExplanation;
use crate::{Ledger, Observation, Time};

use round::{PoolRound, Round};

/// A host that has not been up for so long counts no slots.
const DEAD_AFTER: Duration = Duration::from_secs(60);
/// A permanent host that has not been seen for so long is not expected any more.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A quarantined server is drained after so long.
const QUARANTINE: Duration = Duration::from_secs(600);
/// An intent that could not be acted on for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(600);
/// How long a server takes to join, while nothing was learnt of that.
const BOOT: Duration = Duration::from_secs(60);

/// Decides: a function of its arguments and of nothing else, so that the same arguments give the same
/// decision, to the bit.
///
/// Costs about a microsecond a host and half of one a job of a known pipeline.
pub fn decide(config: &Config, observation: &Observation, ledger: &Ledger, now: Time) -> Decision {
    let mut round = Round::new(config, observation, ledger, now);
    let mut pools = Vec::new();
    if config.mode != Mode::Off {
        round.learn();
        for pool in &config.pool {
            pools.push(one_pool(&mut round, pool));
        }
        round.unpause_hosts();
        round.unconfigured_pools();
    }
    round.finish(pools)
}

fn one_pool<'a>(round: &mut Round<'a>, config: &'a PoolConfig) -> PoolExplanation {
    let mut pool = PoolRound::new(round, config);
    pool.look_at_hosts(round);
    pool.judge(round);
    pool.adopt(round);
    pool.advance(round);
    pool.count_capacity(round);
    pool.count_demand(round);
    pool.count_servers(round);
    pool.grow(round);
    pool.shrink(round);
    pool.relieve(round);
    pool.alarm(round);
    pool.explain(round)
}
