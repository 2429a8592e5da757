//! Metrics that are missing, partial, old or wrong: no server is taken away, and it is told by the
//! second look.

use std::collections::BTreeSet;

use muster_scaler_core::provider::Listing;
use muster_scaler_core::{
    Action, Event, Happening, Host, Ledger, Observation, Reading, RunnerView, Server, ServerName,
    ServerState, Time,
};

use super::scene::{POOL, START, config, host, jobs, observation, seconds, step};

/// Four permanent hosts and three joined servers that have been idle for long.
fn begin() -> (Ledger, Vec<ServerName>) {
    let mut ledger = Ledger::default();
    let mut names = Vec::new();
    for number in 0..3 {
        let name = ServerName(format!("docker-{number}"));
        let id = format!("{POOL}/0").parse().unwrap();
        let mut server = Server::plan(name.clone(), POOL, id, START);
        server.state = ServerState::Joined;
        server.slots = 4;
        server.joined = Some(START);
        server.requested = Some(START);
        server.provider_id = Some(format!("i-{number}"));
        server.runner = Some(number);
        server.expires = START + seconds(86_400);
        ledger.apply(&Event::Adopted(Box::new(server))).unwrap();
        names.push(name);
    }
    let now = START + seconds(10);
    step(&config(), &well(&names, now, 16, 12), &mut ledger, now);
    (ledger, names)
}

/// All is well: permanent hosts run so many, our servers so many.
fn well(names: &[ServerName], at: Time, permanent: u32, ours: u32) -> Observation {
    let mut hosts: Vec<Host> = (0..4)
        .map(|n| host(&format!("ci{n}:9252"), 4, permanent / 4, at))
        .collect();
    for name in names {
        let mut host = host(&name.0, 4, ours / 3, at);
        host.server = Some(name.clone());
        hosts.push(host);
    }
    let mut seen = observation(hosts, jobs(0, permanent + ours), at);
    let views = names.iter().enumerate().map(|(number, name)| {
        let view = RunnerView {
            runner: number as u64,
            joined: Reading::known(true, at),
            paused: Reading::known(false, at),
            running: Reading::known(ours / 3, at),
        };
        (name.clone(), view)
    });
    seen.runners = Reading::known(views.collect(), at);
    seen
}

/// How many drains begin while the world looks like that for so long, and after how many looks it was
/// alarmed about.
fn watch(minutes: u64, spoil: impl Fn(&mut Observation, Time)) -> (usize, usize) {
    let (mut ledger, names) = begin();
    let mut now = START + seconds(3600);
    let (mut drains, mut alarmed) = (0, usize::MAX);
    for look in 1..=(minutes * 6) as usize {
        now = now + seconds(10);
        // All is idle in truth, so that whoever believed the zeros would shrink.
        let mut seen = well(&names, now, 0, 0);
        spoil(&mut seen, now);
        let decision = step(&config(), &seen, &mut ledger, now);
        let drain = |event: &&Event| {
            matches!(
                event,
                Event::Server {
                    what: Happening::Draining(_) | Happening::Removing(_),
                    ..
                }
            )
        };
        drains += decision.events.iter().filter(drain).count();
        if decision
            .alarms
            .iter()
            .any(|alarm| alarm.code == "observation_unhealthy")
        {
            alarmed = alarmed.min(look);
        }
    }
    (drains, alarmed)
}

fn hosts(seen: &mut Observation) -> &mut Reading<Vec<Host>> {
    &mut seen.pools.get_mut(POOL).unwrap().hosts
}

fn each_host(seen: &mut Observation, mut change: impl FnMut(usize, &mut Host)) {
    if let Reading::Known { value, .. } = hosts(seen) {
        for (number, host) in value.iter_mut().enumerate() {
            change(number, host);
        }
    }
}

/// A provider that leaves servers out of a listing and calls it complete: whoever runs jobs is not
/// deleted, as GitLab knows better; who runs none is drained first.
#[test]
fn servers_that_a_listing_leaves_out_lose_no_job() {
    let (mut ledger, names) = begin();
    let mut now = START + seconds(3600);
    let mut deleted = BTreeSet::new();
    for look in 0..60 {
        now = now + seconds(10);
        // One of the three has no job from some time on; it is paused when that was asked for.
        let mut seen = well(&names, now, 12, 9);
        if let Reading::Known { value, .. } = &mut seen.runners {
            let view = value.get_mut(&names[0]).unwrap();
            let drain = &ledger.servers[&names[0]].drain;
            view.paused = Reading::known(drain.is_some(), now);
            view.running = Reading::known(if look < 20 { 3 } else { 0 }, now);
        }
        if look >= 20 {
            each_host(&mut seen, |_, host| {
                if host.server.as_ref() == Some(&names[0]) {
                    host.running = Reading::known(0, now);
                }
            });
        }
        let listing = Listing {
            servers: Vec::new(),
            complete: true,
            began: now,
        };
        let id = format!("{POOL}/0").parse().unwrap();
        seen.listings.insert(id, Reading::known(listing, now));
        let decision = step(&config(), &seen, &mut ledger, now);
        for action in &decision.actions {
            if let Action::Delete(name) = action {
                assert!(look > 20, "it runs jobs");
                deleted.insert(name.clone());
            }
        }
        if deleted.contains(&names[0]) {
            break;
        }
    }
    assert_eq!(deleted, BTreeSet::from([names[0].clone()]));
}

#[test]
fn without_a_fault_idle_servers_go() {
    let (drains, alarmed) = watch(10, |_, _| {});
    assert_eq!((drains > 0, alarmed), (true, usize::MAX));
}

/// A fault: no scale-in, and an alarm by the second look.
fn check(minutes: u64, spoil: impl Fn(&mut Observation, Time)) {
    let (drains, alarmed) = watch(minutes, spoil);
    assert_eq!(drains, 0);
    assert!(alarmed <= 2, "alarmed at look {alarmed}");
}

#[test]
fn an_outage_of_half_an_hour() {
    check(30, |seen, _| {
        *hosts(seen) = Reading::unknown("connection refused");
    });
}

#[test]
fn an_empty_answer() {
    check(10, |seen, now| {
        *hosts(seen) = Reading::known(Vec::new(), now);
    });
}

#[test]
fn half_of_the_targets_dead() {
    check(10, |seen, now| {
        each_host(seen, |number, host| {
            if number % 2 == 0 {
                host.up = Reading::known(false, now);
                host.slots = Reading::unknown("no sample");
                host.running = Reading::unknown("no sample");
            }
        });
    });
}

#[test]
fn half_of_the_targets_gone() {
    check(10, |seen, _| {
        if let Reading::Known { value, .. } = hosts(seen) {
            value.truncate(2);
        }
    });
}

#[test]
fn values_that_are_not_numbers() {
    check(10, |seen, _| {
        each_host(seen, |_, host| {
            host.up = Reading::unknown("not a number");
            host.running = Reading::unknown("not a number");
        });
    });
}

#[test]
fn stale_values() {
    check(10, |seen, now| {
        each_host(seen, |_, host| {
            host.up = Reading::known(true, now - seconds(61));
        });
    });
    check(10, |seen, now| {
        if let Reading::Known { at, .. } = hosts(seen) {
            *at = now - seconds(61);
        }
    });
}

#[test]
fn a_pool_that_was_not_observed() {
    check(10, |seen, _| seen.pools.clear());
}

#[test]
fn gitlab_that_does_not_answer() {
    check(10, |seen, _| {
        seen.runners = Reading::unknown("429");
        seen.pools.get_mut(POOL).unwrap().jobs = Reading::unknown("429");
    });
    check(10, |seen, _| {
        seen.pools.get_mut(POOL).unwrap().jobs = Reading::unknown("429");
    });
    check(10, |seen, _| seen.runners = Reading::unknown("429"));
}

#[test]
fn sources_that_tell_different_things() {
    check(10, |seen, now| {
        seen.pools.get_mut(POOL).unwrap().jobs = Reading::known(jobs(0, 20), now);
    });
}
