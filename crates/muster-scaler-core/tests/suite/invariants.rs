//! What holds whatever happens, over random worlds. The names are those of the design; I2, which is
//! the reconciler's, and I9 and I10, which are others' too, are touched where the decision has a part.

use std::collections::BTreeMap;

use muster_scaler_core::config::{Mode, Relief, Threshold};
use muster_scaler_core::spend::Spent;
use muster_scaler_core::{
    Action, Event, Happening, JobState, Ledger, Pipeline, Reading, ServerState, Time, decide,
};
use muster_scaler_core::{Job, JobRun};

use super::scene::{POOL, config, host, jobs, observation, seconds, step as one_step};
use super::world::{Step, Temper, World};

const STEPS: usize = 500;
const SEEDS: u64 = 8;

/// Lets wild worlds run, and shows every step to `check`.
fn every_step(first_seed: u64, mut check: impl FnMut(&mut World, &Step)) {
    for seed in first_seed..first_seed + SEEDS {
        let mut world = World::new(config(), Temper::WILD, seed);
        for _ in 0..STEPS {
            let step = world.step();
            check(&mut world, &step);
        }
    }
}

fn plans(event: &Event) -> bool {
    matches!(event, Event::Planned(_))
}

/// Whether the event takes a server away that can run jobs.
fn shrinks(event: &Event, before: &Ledger) -> bool {
    let Event::Server { name, what, .. } = event else {
        return false;
    };
    let server = before.servers.get(name);
    let has_joined = server.is_some_and(|server| server.joined.is_some());
    match what {
        Happening::Draining(_) => has_joined,
        Happening::Removing(_) => has_joined && server.is_some_and(|s| s.absences == 0),
        _ => false,
    }
}

#[test]
fn the_world_is_worth_testing_in() {
    let mut counts = BTreeMap::new();
    every_step(0, |_, step| {
        for event in &step.decision.events {
            let word = match event {
                Event::Planned(_) => "planned",
                Event::Adopted(_) => "adopted",
                Event::Server { what, .. } => what.word(),
                _ => "other",
            };
            *counts.entry(word).or_insert(0) += 1;
        }
        if !step.decision.explanation.pools[0].health.may_shrink {
            *counts.entry("unhealthy").or_insert(0) += 1;
        }
    });
    for word in [
        "boot failed",
        "exists",
        "drain looked",
        "undrained",
        "removing",
    ] {
        assert!(
            counts.get(word).is_some_and(|n| *n >= 5),
            "{word}: {counts:?}"
        );
    }
    let least = [
        ("planned", 100),
        ("joined", 100),
        ("draining", 100),
        ("unhealthy", 100),
    ];
    for (word, least) in least {
        assert!(
            counts.get(word).is_some_and(|n| *n >= least),
            "{word}: {counts:?}"
        );
    }
    assert!(
        counts["unhealthy"] < STEPS * SEEDS as usize / 2,
        "{counts:?}"
    );
}

#[test]
fn i1_servers_with_intents_are_never_more_than_the_most() {
    every_step(0, |world, step| {
        let most = world.config.pool[0].max_servers as usize;
        if step.decision.events.iter().any(plans) {
            assert!(world.ledger.servers.len() <= most);
        }
        assert!(world.owned().count() <= most);
    });
}

#[test]
fn i2_only_servers_of_the_ledger_are_acted_on_and_foreign_ones_are_never_adopted() {
    every_step(10, |world, step| {
        for action in &step.decision.actions {
            let name = match action {
                Action::Create(name, _) | Action::Pause(name) => name,
                Action::Unpause(name) | Action::Delete(name) => name,
                _ => continue,
            };
            let planned = |event: &Event| matches!(event, Event::Planned(s) if s.name == *name);
            let known = step.before.servers.contains_key(name);
            let adopted = |event: &Event| matches!(event, Event::Adopted(s) if s.name == *name);
            let new = step
                .decision
                .events
                .iter()
                .any(|e| planned(e) || adopted(e));
            assert!(known || new, "{action:?}");
        }
        assert!(world.machines.contains_key("foreign"));
        let foreign = |s: &muster_scaler_core::Server| s.provider_id.as_deref() == Some("foreign");
        assert!(!world.ledger.servers.values().any(foreign));
    });
}

#[test]
fn i3_no_server_with_a_job_is_deleted() {
    every_step(20, |world, _| assert_eq!(world.killed, 0));
}

#[test]
fn i4_every_owned_server_is_known_or_adopted_and_none_stays() {
    for seed in 30..30 + SEEDS {
        let mut world = World::new(config(), Temper::WILD, seed);
        for _ in 0..STEPS / 2 {
            world.step();
        }
        world.ledger = Ledger::default();
        world.set_quiet();
        if seed % 2 == 0 {
            world.mute(seconds(60));
        }
        world.queue.clear();
        let complete = |step: &Step| {
            step.seen
                .listings
                .values()
                .any(|listing| match listing.value() {
                    Some(listing) => listing.complete && listing.began == step.seen.at,
                    None => false,
                })
        };
        while !complete(&world.step()) {}
        world.step();
        for (id, machine) in world.owned().filter(|(_, machine)| !machine.going) {
            let known = |s: &muster_scaler_core::Server| s.provider_id.as_ref() == Some(id);
            assert!(world.ledger.servers.values().any(known), "{machine:?}");
        }
        world.stop_jobs();
        for _ in 0..STEPS {
            world.step();
        }
        assert_eq!(world.owned().count(), 0, "seed {seed}");
        assert!(
            world.ledger.servers.is_empty(),
            "seed {seed}: {:?}",
            world.ledger.servers
        );
    }
}

#[test]
fn i4_what_outlives_its_time_is_alarmed_about() {
    let mut config = config();
    config.pool[0].hard_ttl = seconds(900).into();
    config.pool[0].drain_deadline = seconds(300).into();
    for seed in 40..44 {
        let mut world = World::new(config.clone(), Temper::WILD, seed);
        for _ in 0..STEPS {
            let step = world.step();
            let limit = step.seen.at - seconds(300);
            let overdue = |s: &muster_scaler_core::Server| s.expires <= limit;
            for server in world.ledger.servers.values().filter(|s| overdue(s)) {
                let told = step.decision.alarms.iter().any(|alarm| {
                    alarm.code == "server_expired" && alarm.text.contains(&server.name.0)
                });
                assert!(told, "{server:?}");
            }
        }
    }
}

#[test]
fn i5_an_unhealthy_observation_never_shrinks() {
    let mut unhealthy = 0;
    every_step(50, |_, step| {
        let health = &step.decision.explanation.pools[0].health;
        if !health.may_shrink {
            unhealthy += 1;
            let shrinking = step
                .decision
                .events
                .iter()
                .find(|e| shrinks(e, &step.before));
            assert_eq!(shrinking, None, "{:?}", health.problems);
            let told = |alarm: &muster_scaler_core::Alarm| alarm.code == "observation_unhealthy";
            assert!(step.decision.alarms.iter().any(told));
        }
        if !health.may_grow {
            assert!(!step.decision.events.iter().any(plans));
        }
    });
    assert!(unhealthy > 100);
}

#[test]
fn i6_creations_and_deletions_keep_to_their_rates() {
    let mut config = config();
    config.pool[0].rate.create_per_minute = 3;
    config.pool[0].rate.delete_per_minute = 2;
    for seed in 60..60 + SEEDS {
        let mut world = World::new(config.clone(), Temper::WILD, seed);
        let (mut creates, mut deletes): (Vec<Time>, Vec<Time>) = (Vec::new(), Vec::new());
        for _ in 0..STEPS {
            let step = world.step();
            let now = step.decision.at;
            for event in &step.decision.events {
                match event {
                    Event::Planned(_) => creates.push(now),
                    Event::Server { name, what, .. } => {
                        let drains = |event: &Event| matches!(event, Event::Server { name: of, what: Happening::Draining(_), .. } if of == name);
                        let removing = match what {
                            Happening::Removing(_) => true,
                            Happening::BootFailed(_) => !step.decision.events.iter().any(drains),
                            _ => false,
                        };
                        let exists = |l: &Ledger| {
                            l.servers.get(name).is_some_and(|s| s.provider_id.is_some())
                        };
                        if removing && exists(&step.before) {
                            deletes.push(now);
                        }
                    }
                    _ => {}
                }
            }
            let recent = |times: &[Time]| {
                times
                    .iter()
                    .filter(|t| now.since(**t) < seconds(60))
                    .count()
            };
            assert!(recent(&creates) <= 3 && recent(&deletes) <= 2);
        }
        assert!(creates.len() > 10 && deletes.len() > 5);
    }
}

#[test]
fn i7_what_is_spent_stays_within_the_budget_and_what_it_takes_to_end() {
    let mut config = config();
    config.pool[0].budget.server_hours_per_day = Some(1.0);
    config.pool[0].budget.money_per_month = Some(1.2);
    for seed in 70..70 + SEEDS {
        let mut world = World::new(config.clone(), Temper::CALM, seed);
        let mut most_servers = 0;
        let mut reached = false;
        for _ in 0..STEPS {
            let step = world.step();
            most_servers = most_servers.max(world.ledger.servers.len());
            let memory = step.before.memory.pools.get(POOL);
            let tally = memory.map(|memory| memory.tally).unwrap_or_default();
            let spent = Spent::reckon(&tally, step.before.servers.values(), step.seen.at);
            // The longest job, the pause and two looks, and the ticks between.
            let quantum = (500.0 + 50.0 + 60.0 + 60.0) / 3600.0 * most_servers as f64;
            assert!(spent.day_hours <= 1.0 + quantum, "{spent:?}");
            assert!(spent.month_money <= 1.2 + quantum * 0.5, "{spent:?}");
            let over = spent.day_hours >= 1.0;
            assert!(!(over && step.decision.events.iter().any(plans)));
            reached |= step
                .decision
                .alarms
                .iter()
                .any(|alarm| alarm.code == "budget_reached");
        }
        assert!(reached);
    }
}

#[test]
fn i7_a_budget_of_nothing_buys_nothing() {
    for budget in [(Some(0.0), None), (None, Some(0.0))] {
        let mut config = config();
        config.pool[0].budget.server_hours_per_day = budget.0;
        config.pool[0].budget.money_per_month = budget.1;
        let mut world = World::new(config, Temper::CALM, 1);
        for _ in 0..100 {
            let step = world.step();
            assert!(!step.decision.events.iter().any(plans));
        }
    }
}

#[test]
fn i8_the_same_inputs_give_the_same_decision() {
    every_step(80, |world, step| {
        let text = |value: &dyn erased::Json| value.json();
        let now = step.decision.at;
        let again = decide(&world.config, &step.seen, &step.before, now);
        assert_eq!(text(&again), text(&step.decision));
        let seen = serde_json::from_str(&text(&step.seen)).unwrap();
        let before = serde_json::from_str(&text(&step.before)).unwrap();
        let config = serde_json::from_str(&text(&world.config)).unwrap();
        let replayed = decide(&config, &seen, &before, now);
        assert_eq!(text(&replayed), text(&step.decision));
    });
}

/// Values as JSON.
mod erased {
    pub(super) trait Json {
        fn json(&self) -> String;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}

#[test]
fn i9_a_dry_run_acts_on_nothing_and_intends_nothing() {
    let mut wanted = 0;
    for mode in [Mode::DryRun, Mode::Observe, Mode::Off] {
        let mut config = config();
        config.mode = mode;
        let mut world = World::new(config, Temper::WILD, 90);
        for _ in 0..STEPS {
            let step = world.step();
            assert_eq!(step.decision.actions, []);
            let intent = |event: &Event| plans(event) || shrinks(event, &step.before);
            assert!(!step.decision.events.iter().any(intent));
            assert!(mode == Mode::DryRun || step.decision.wanted.is_empty());
            wanted += step.decision.wanted.len();
        }
    }
    assert!(wanted > 100);
}

#[test]
fn i11_no_permanent_runner_stays_paused_longer_than_its_timer() {
    let mut config = config();
    let overload = &mut config.pool[0].overload;
    overload.relief = Relief::PauseHost;
    overload.relief_hosts = 2;
    overload.cpu_pressure = Threshold {
        above: 0.4,
        lasting: seconds(60).into(),
    };
    for seed in 100..100 + SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut ledger = Ledger::default();
        let mut now = super::scene::START;
        // When each runner was really paused by us.
        let mut paused: BTreeMap<u64, Time> = BTreeMap::new();
        let mut pauses = 0;
        for _ in 0..STEPS {
            now = now + seconds(rng.u64(5..15));
            let hosts = (0..4u64).map(|n| {
                let mut host = host(&format!("ci{n}:9252"), 4, 4, now);
                let hot = (now.millis() / 600_000) as u64 % 4 == n;
                host.cpu_pressure = Reading::known(if hot { 0.9 } else { 0.1 }, now);
                host.runner = Some(n);
                host.paused = Reading::known(paused.contains_key(&n), now);
                host
            });
            let mut seen = observation(hosts.collect(), jobs(0, 16), now);
            if rng.u32(0..20) == 0 {
                seen.pools.get_mut(POOL).unwrap().hosts = Reading::unknown("down");
            }
            let decision = one_step(&config, &seen, &mut ledger, now);
            // Killed before it could act, now and then.
            let acts = rng.u32(0..4) > 0;
            for action in decision.actions.iter().filter(|_| acts) {
                match action {
                    Action::PauseHost(runner) => {
                        pauses += u32::from(paused.insert(*runner, now).is_none());
                    }
                    Action::UnpauseHost(runner) => {
                        paused.remove(runner);
                        let _ = ledger.apply(&Event::HostUnpaused(*runner));
                    }
                    _ => {}
                }
            }
            ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
            assert!(paused.len() <= 2);
            for runner in paused.keys() {
                let known = ledger.paused_hosts.get(runner);
                assert!(known.is_some(), "paused and forgotten");
                // While its time is over it is taken back at every look, until that is seen.
                let over = known.is_some_and(|host| now >= host.until);
                assert!(!over || !acts || decision.actions.contains(&Action::UnpauseHost(*runner)));
            }
        }
        assert!(pauses >= 3);
    }
}

#[test]
fn i12_without_the_lease_nothing_is_done() {
    every_step(110, |world, step| {
        let mut seen = step.seen.clone();
        seen.lease = Err("another scaler has it".to_owned());
        let decision = decide(&world.config, &seen, &step.before, step.decision.at);
        assert!(decision.events.is_empty());
        assert!(decision.actions.is_empty() && decision.wanted.is_empty());
    });
}

#[test]
fn look_ahead_buys_before_the_next_stage_begins() {
    let config = config();
    let mut ledger = Ledger::default();
    let now = super::scene::START;
    let run = |name: &str, seconds| JobRun {
        project: 7,
        name: name.to_owned(),
        seconds,
    };
    let runs = (0..5).map(|_| run("build", 100)).collect();
    ledger.apply(&Event::JobsRan { at: now, runs }).unwrap();
    let job = |id, name: &str, stage, state| Job {
        id,
        name: name.to_owned(),
        stage,
        pool: Some(POOL.to_owned()),
        state,
        needs: None,
    };
    let wanted = |ran: u64| {
        let mut seen = observation(vec![host("ci:9252", 4, 1, now)], jobs(0, 1), now);
        let mut all = vec![job(1, "build", 0, JobState::Running(now - seconds(ran)))];
        all.extend((2..10).map(|id| job(id, "test", 1, JobState::Created)));
        let pipeline = Pipeline {
            id: 1,
            project: 7,
            jobs: all,
        };
        seen.pools.get_mut(POOL).unwrap().pipelines = Reading::known(vec![pipeline], now);
        let decision = decide(&config, &seen, &ledger, now);
        decision.explanation.pools[0].plan.create
    };
    // A boot takes 60 s while nothing is known of it: 8 jobs want slots, 4 are there.
    assert_eq!((wanted(10), wanted(50)), (0, 1));
}

#[test]
fn servers_join_serve_and_go() {
    let mut world = World::new(config(), Temper::CALM, 5);
    let mut most = 0;
    for _ in 0..STEPS {
        world.step();
        let joined = |s: &&muster_scaler_core::Server| s.state == ServerState::Joined;
        most = most.max(world.ledger.servers.values().filter(joined).count());
    }
    assert!(most >= 2 && world.done > 100);
    world.stop_jobs();
    for _ in 0..STEPS / 4 {
        world.step();
    }
    assert_eq!((world.owned().count(), world.killed), (0, 0));
    assert!(world.ledger.servers.is_empty());
}
