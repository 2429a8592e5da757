use proptest::prelude::*;

use super::{Muster, MusterSettings, Record, Sight};
use crate::replay::Replay;
use crate::{Fault, FaultKind, Load, Measured, Pool, Synthetic, World, simulate};

fn load(seed: u64) -> Load {
    let options = Synthetic {
        days: 1,
        jobs_per_day: 1000.0,
        nightly: 20,
        ..Synthetic::default()
    };
    options.draw(seed)
}

fn world(failing: f64, lost_answers: f64) -> World {
    World {
        pools: vec![Pool {
            permanent_hosts: 2,
            permanent_slots: 2,
            failing,
            lost_answers,
            ..Pool::default()
        }],
        ..World::default()
    }
}

fn settings(sight: Sight) -> MusterSettings {
    MusterSettings {
        sight,
        idle_time: 30,
        ..MusterSettings::default()
    }
}

fn run(load: &Load, world: &World, settings: &MusterSettings, seed: u64) -> Measured {
    let mut muster = Muster::new(world, settings);
    let measured = simulate(load, world, &mut muster, seed);
    assert_eq!(muster.misfits(), &[] as &[String]);
    assert_eq!(measured.finished, measured.jobs);
    assert_eq!(measured.killed, 0, "{settings:?}");
    measured
}

#[test]
fn all_jobs_run_none_is_killed_and_no_server_is_left() {
    for sight in [Sight::Ahead, Sight::Gitlab, Sight::Metrics] {
        let world = world(0.05, 0.05);
        let load = load(5);
        let mut muster = Muster::new(&world, &settings(sight));
        let measured = simulate(&load, &world, &mut muster, 5);
        assert_eq!(
            (measured.finished, measured.killed),
            (measured.jobs, 0),
            "{sight:?}"
        );
        assert!(
            measured.creates > 0 && measured.scale_ins > 0,
            "{measured:?}"
        );
        assert_eq!(muster.misfits(), &[] as &[String]);
        assert_eq!(measured, run(&load, &world, &settings(sight), 5));
    }
}

#[test]
fn jobs_that_come_after_a_pause_are_not_killed() {
    let raced: u64 = (0..4)
        .map(|seed| {
            let settings = MusterSettings {
                idle_time: 0,
                ..settings(Sight::Ahead)
            };
            run(&load(seed), &world(0.0, 0.0), &settings, seed).raced
        })
        .sum();
    assert!(raced > 0, "no request was in flight when a pause arrived");
}

#[test]
fn servers_that_never_come_up_are_removed() {
    let measured = run(&load(2), &world(0.3, 0.2), &settings(Sight::Ahead), 2);
    let servers = measured.creates as f64;
    // Each is let go after its boot timeout of six minutes and a bit.
    assert!(
        measured.orphan_hours > 0.0 && measured.orphan_hours < servers * 0.3,
        "{measured:?}"
    );
}

#[test]
fn nothing_shrinks_while_metrics_are_missing() {
    let faults = [
        FaultKind::MetricsGap,
        FaultKind::EmptyMetrics,
        FaultKind::NotANumber,
        FaultKind::DeadTargets(0.5),
    ];
    for what in faults {
        for sight in [Sight::Ahead, Sight::Metrics] {
            let mut world = world(0.0, 0.0);
            let whole = run(&load(3), &world, &settings(sight), 3);
            assert!(whole.scale_ins > 0);
            world.faults = vec![Fault {
                what,
                from_hour: 10.0,
                hours: 0.5,
            }];
            let mut alarms = Vec::new();
            let mut record = |record: Record| {
                let hours = (record.decision.at.millis() % 86_400_000) as f64 / 3_600_000.0;
                let told = record
                    .decision
                    .alarms
                    .iter()
                    .any(|a| a.code == "observation_unhealthy");
                alarms.push((hours, told));
            };
            let mut muster = Muster::new(&world, &settings(sight)).recording(&mut record);
            let measured = simulate(&load(3), &world, &mut muster, 3);
            drop(muster);
            assert_eq!(
                (measured.scale_ins_in_fault, measured.killed),
                (0, 0),
                "{what:?} {sight:?}"
            );
            assert!(
                alarms
                    .iter()
                    .any(|(hours, told)| *told && (10.0..10.5).contains(hours)),
                "{what:?} {sight:?}"
            );
        }
    }
}

#[test]
fn records_come_out_the_same_again_and_hold_the_load() {
    let load = load(9);
    let world = world(0.0, 0.0);
    let mut replay = Replay::default();
    let mut take = |record: Record| {
        replay.take(
            &record.config,
            &record.ledger,
            &record.observation,
            &record.decision,
        );
    };
    let mut muster = Muster::new(&world, &settings(Sight::Ahead)).recording(&mut take);
    let measured = simulate(&load, &world, &mut muster, 9);
    drop(muster);
    let recorded = replay.finish();
    assert!(recorded.decisions > 1000 && recorded.decisions <= measured.decisions);
    assert_eq!(recorded.differ, 0, "{:?}", recorded.differing);
    assert_eq!(recorded.load.jobs(), load.jobs());
    assert!((recorded.load.job_hours() / load.job_hours() - 1.0).abs() < 0.02);
    assert!(!recorded.by_number);
    let pool = &recorded.world.pools[0];
    assert_eq!((pool.permanent_hosts, pool.permanent_slots), (2, 2));
    assert!((pool.boot_seconds / 60.0 - 1.0).abs() < 0.5, "{pool:?}");
}

#[test]
fn records_without_pipelines_hold_about_the_load() {
    let load = load(9);
    let world = world(0.0, 0.0);
    let mut replay = Replay::default();
    let mut take = |record: Record| {
        replay.take(
            &record.config,
            &record.ledger,
            &record.observation,
            &record.decision,
        );
    };
    let mut muster = Muster::new(&world, &settings(Sight::Metrics)).recording(&mut take);
    simulate(&load, &world, &mut muster, 9);
    drop(muster);
    let recorded = replay.finish();
    assert!(recorded.by_number && recorded.differ == 0);
    let share = recorded.load.job_hours() / load.job_hours();
    // Waiting counts as running there, and jobs that come and go between two looks are not seen.
    assert!((0.8..1.6).contains(&share), "{share}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn whatever_happens_no_job_is_killed(
        seed in 0u64..1000,
        idle_time in 0u32..200,
        failing in 0.0f64..0.3,
        lost in 0.0f64..0.3,
        sight in prop_oneof![Just(Sight::Ahead), Just(Sight::Gitlab), Just(Sight::Metrics)],
    ) {
        let settings = MusterSettings { sight, idle_time, ..MusterSettings::default() };
        run(&load(seed), &world(failing, lost), &settings, seed);
    }
}
