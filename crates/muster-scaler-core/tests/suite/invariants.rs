//! What holds whatever happens, over random worlds. The names are those of the design.

use std::collections::BTreeMap;

use muster_scaler_core::config::Mode;
use muster_scaler_core::{Action, Event, Happening, ServerState, Time, decide};

use super::scene::{config, seconds};
use super::world::{Step, Temper, World};

const STEPS: usize = 600;
const SEEDS: u64 = 24;

/// Lets wild worlds run, and shows every step to `check`.
fn every_step(mut check: impl FnMut(&World, &Step)) {
    for seed in 0..SEEDS {
        let mut world = World::new(config(), Temper::WILD, seed);
        for _ in 0..STEPS {
            let step = world.step();
            check(&world, &step);
        }
    }
}

#[test]
fn the_world_is_worth_testing_in() {
    let (mut done, mut created, mut removed, mut adopted) = (0, 0, 0, 0);
    every_step(|world, step| {
        done = done.max(world.done);
        for event in &step.decision.events {
            match event {
                Event::Planned(_) => created += 1,
                Event::Adopted(_) => adopted += 1,
                Event::Server {
                    what: Happening::Removing(_),
                    ..
                } => removed += 1,
                _ => {}
            }
        }
    });
    assert!(
        done > 500 && created > 200 && removed > 100,
        "{done} {created} {removed} {adopted}"
    );
}

#[test]
fn i1_servers_with_intents_are_never_more_than_the_most() {
    every_step(|world, step| {
        let most = world.config.pool[0].max_servers as usize;
        let planned = |event: &&Event| matches!(event, Event::Planned(_));
        if step.decision.events.iter().any(|event| planned(&event)) {
            assert!(world.ledger.servers.len() <= most);
        }
        assert!(world.owned().count() <= most);
    });
}

#[test]
fn i3_no_job_is_killed() {
    every_step(|world, _| assert_eq!(world.killed, 0));
}
