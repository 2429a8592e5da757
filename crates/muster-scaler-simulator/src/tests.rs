use proptest::prelude::*;

use crate::policy::{
    ClusterAutoscaler, DockerMachine, Fixed, Horizontal, Preemptive, Taskscaler, WhenBlind,
};
use crate::{
    Fault, FaultKind, Job, Load, Measured, Pipeline, Policy, Pool, START, Synthetic, World,
    simulate,
};

fn small() -> Synthetic {
    Synthetic {
        days: 1,
        jobs_per_day: 600.0,
        nightly: 20,
        ..Synthetic::default()
    }
}

/// Pipelines, each by its second of arrival and the seconds of its jobs by stage.
fn load(pipelines: &[(i64, &[&[u32]])]) -> Load {
    let mut load = Load::default();
    let (name, tags) = (load.names.position("job"), load.tags.position(""));
    for (second, stages) in pipelines {
        let mut jobs = Vec::new();
        for (stage, seconds) in (0..).zip(*stages) {
            jobs.extend(seconds.iter().map(|seconds| Job {
                name,
                tags,
                stage,
                millis: seconds * 1000,
                needs: None,
            }));
        }
        load.pipelines.push(Pipeline {
            arrival: START + std::time::Duration::from_secs(*second as u64),
            project: 0,
            name: String::new(),
            jobs,
        });
    }
    load
}

/// One permanent host with one slot; servers with two slots that boot in exactly a minute.
fn tiny() -> World {
    World {
        pools: vec![Pool {
            permanent_hosts: 1,
            permanent_slots: 1,
            server_slots: 2,
            boot_sigma: 0.0,
            failing: 0.0,
            ..Pool::default()
        }],
        ..World::default()
    }
}

fn baselines() -> Vec<Box<dyn Policy>> {
    vec![
        Box::new(Fixed { servers: 2 }),
        Box::new(DockerMachine {
            idle_count: 0,
            idle_time: 300,
            growth: 0,
        }),
        Box::new(DockerMachine {
            idle_count: 2,
            idle_time: 300,
            growth: 5,
        }),
        Box::new(Taskscaler::idle(300)),
        Box::new(Taskscaler {
            idle_count: 4,
            scale_factor: 0.2,
            preemptive: Preemptive::Yes,
            ..Taskscaler::idle(300)
        }),
        Box::new(Horizontal::new(0.75, 300, WhenBlind::Hold)),
        Box::new(Horizontal::new(0.75, 300, WhenBlind::Zero)),
        Box::new(ClusterAutoscaler { unneeded: 600 }),
    ]
}

#[test]
fn each_job_runs_once_and_the_same_seed_gives_the_same_figures() {
    let load = small().draw(7);
    let world = World::default();
    let runs = |policies: Vec<Box<dyn Policy>>| -> Vec<Measured> {
        let policies = policies.into_iter();
        let run = |mut policy: Box<dyn Policy>| simulate(&load, &world, policy.as_mut(), 7);
        policies.map(run).collect()
    };
    let first = runs(baselines());
    for measured in &first {
        assert_eq!(measured.jobs, load.jobs() as u64);
        assert_eq!(measured.finished, measured.jobs);
        assert_eq!(measured.killed, 0);
        assert!((measured.job_hours - load.job_hours()).abs() < 1e-6);
    }
    assert_eq!(first, runs(baselines()));
    assert_ne!(load, small().draw(8));
}

#[test]
fn jobs_wait_for_the_stages_before() {
    let load = load(&[(0, &[&[10, 20], &[5], &[1, 1]])]);
    let mut world = tiny();
    world.pools[0].permanent_slots = 10;
    let measured = simulate(&load, &world, &mut Fixed { servers: 0 }, 1);
    assert_eq!((measured.finished, measured.wait.p99), (5, 0.0));
    // With a single slot they run one after another: 0, 10, and then nothing waits but the last.
    world.pools[0].permanent_slots = 1;
    let measured = simulate(&load, &world, &mut Fixed { servers: 0 }, 1);
    assert_eq!(measured.finished, 5);
    assert!(measured.wait.p99 >= 10.0);
}

#[test]
fn jobs_that_need_single_jobs_do_not_wait_for_the_stage() {
    let mut load = load(&[(0, &[&[10, 100], &[7], &[3]])]);
    let jobs = &mut load.pipelines[0].jobs;
    jobs[2].needs = Some(vec![0]);
    jobs[3].needs = Some(vec![2]);
    let mut world = tiny();
    world.pools[0].permanent_slots = 2;
    // Job 2 runs at 10 s and job 3 at 17 s, while the other job of the first stage runs: no wait.
    let measured = simulate(&load, &world, &mut Fixed { servers: 0 }, 1);
    assert_eq!((measured.finished, measured.wait.p99), (4, 0.0));
    // Bound to the stage, they would have to wait for 100 s, and do not wait for a runner either.
    load.pipelines[0].jobs[3].needs = Some(Vec::new());
    let measured = simulate(&load, &world, &mut Fixed { servers: 0 }, 1);
    assert!((measured.wait.p99 - 10.0).abs() < 1e-9, "{measured:?}");
}

#[test]
fn the_taskscaler_brings_a_server_for_what_waits_and_lets_it_go() {
    // Four jobs of ten minutes at 100 s; one slot is there. Three wait: two servers of two slots.
    let load = load(&[(100, &[&[600, 600, 600, 600]])]);
    let measured = simulate(&load, &tiny(), &mut Taskscaler::idle(60), 1);
    assert_eq!((measured.creates, measured.peak), (2, 2));
    // Asked for at the tick at 100 s, up at 160 s: three jobs waited for 60 s.
    assert!((measured.wait.p95 - 60.0).abs() < 1e-9, "{measured:?}");
    // Both run until 760 s, are idle for more than 60 s at 825 s, and gone a second later.
    let hours = 2.0 * (826.0 - 100.0) / 3600.0;
    assert!((measured.server_hours - hours).abs() < 1e-6, "{measured:?}");
    assert_eq!(measured.scale_ins, 2);
    assert!((measured.billed_hours[2] - 2.0).abs() < 1e-9);
}

#[test]
fn a_preemptive_taskscaler_does_not_see_what_waits() {
    let load = load(&[(100, &[&[60, 60, 60, 60]])]);
    let mut policy = Taskscaler {
        preemptive: Preemptive::Yes,
        ..Taskscaler::idle(60)
    };
    assert_eq!(simulate(&load, &tiny(), &mut policy, 1).creates, 0);
}

#[test]
fn docker_machine_keeps_its_idle_machines() {
    let load = load(&[(0, &[&[60]])]);
    let mut policy = DockerMachine {
        idle_count: 3,
        idle_time: 60,
        growth: 1,
    };
    let measured = simulate(&load, &tiny(), &mut policy, 1);
    assert_eq!(measured.peak, 3);
    // One after another, a minute each; they stay all day.
    assert!((measured.server_hours - 72.0).abs() < 0.2, "{measured:?}");
}

#[test]
fn the_horizontal_autoscaler_follows_the_share_in_use() {
    // The permanent slot is busy all day: all of the slots are in use, the target is half.
    let load = load(&[(0, &[&[80_000]])]);
    let mut policy = Horizontal::new(0.5, 300, WhenBlind::Hold);
    let measured = simulate(&load, &tiny(), &mut policy, 1);
    // Half a host of servers' size is there: ceil(0.5 * 2) = 1. Then 1 of 3 slots is in use, and
    // ceil(1.5 * 2/3) = 1.
    assert_eq!(measured.peak, 1);
}

#[test]
fn without_metrics_keda_lets_servers_go_and_the_horizontal_autoscaler_does_not() {
    let busy = Synthetic {
        jobs_per_day: 3300.0,
        ..small()
    };
    let load = busy.draw(3);
    let mut world = World::default();
    world.pools[0].permanent_hosts = 1;
    world.faults = vec![Fault {
        what: FaultKind::MetricsGap,
        from_hour: 10.0,
        hours: 0.5,
    }];
    let run = |when| {
        let mut policy = Horizontal::new(0.75, 300, when);
        simulate(&load, &world, &mut policy, 3).scale_ins_in_fault
    };
    assert_eq!(run(WhenBlind::Hold), 0);
    assert!(run(WhenBlind::Zero) > 0);
}

#[test]
fn the_cluster_autoscaler_waits_ten_seconds() {
    let load = load(&[(101, &[&[600, 600]])]);
    let measured = simulate(&load, &tiny(), &mut ClusterAutoscaler { unneeded: 120 }, 1);
    // Seen as old enough at 120 s, up at 180 s.
    assert!((measured.wait.p99 - 79.0).abs() < 1e-9, "{measured:?}");
}

#[test]
fn servers_that_never_come_up_are_reaped() {
    let load = load(&[(0, &[&[60, 60, 60]]), (43_000, &[&[60]])]);
    let mut world = tiny();
    world.pools[0].failing = 1.0;
    let measured = simulate(&load, &world, &mut Taskscaler::idle(60), 1);
    assert_eq!(measured.finished, 4);
    assert!(
        measured.orphan_hours > 0.2 && measured.orphan_hours < 0.6,
        "{measured:?}"
    );
}

#[test]
fn a_provider_that_refuses_has_no_servers() {
    let load = load(&[(0, &[&[60, 60, 60]])]);
    let mut world = tiny();
    world.faults = vec![Fault {
        what: FaultKind::ProviderRefuses,
        from_hour: 0.0,
        hours: 24.0,
    }];
    let measured = simulate(&load, &world, &mut Taskscaler::idle(60), 1);
    assert_eq!((measured.creates, measured.finished), (0, 3));
    assert!(measured.refused > 0 && measured.server_hours == 0.0);
}

#[test]
fn jobs_go_to_the_first_pool_that_has_all_their_tags() {
    let mut load = load(&[(0, &[&[60], &[60], &[60]])]);
    load.pipelines[0].jobs[1].tags = load.tags.position("docker,linux");
    load.pipelines[0].jobs[2].tags = load.tags.position("windows");
    let mut world = tiny();
    world.pools.push(Pool {
        name: "docker".to_owned(),
        match_tags: vec!["docker".to_owned(), "linux".to_owned(), "x86".to_owned()],
        run_untagged: false,
        ..world.pools[0].clone()
    });
    let measured = simulate(&load, &world, &mut Fixed { servers: 0 }, 1);
    assert_eq!((measured.jobs, measured.finished), (2, 2));
}

#[test]
fn the_synthetic_load_is_as_its_sources_say() {
    let options = Synthetic {
        days: 28,
        nightly: 0,
        weekend: 1.0,
        ..Synthetic::default()
    };
    let loads: Vec<Load> = (0..6).map(|seed| options.draw(seed)).collect();
    let jobs = loads.iter().map(Load::jobs).sum::<usize>() as f64;
    let per_day = jobs / 28.0 / 6.0;
    assert!(
        (per_day / 3300.0 - 1.0).abs() < 0.03,
        "{per_day} jobs a day"
    );
    let hours: f64 = loads.iter().map(Load::job_hours).sum();
    let minutes = hours * 60.0 / jobs;
    assert!(
        (minutes / 3.73 - 1.0).abs() < 0.1,
        "{minutes} minutes a job"
    );
}

#[test]
fn as_many_jobs_are_there_as_arrive_by_how_long_they_stay() {
    // Little's law: jobs in the system on average = arrivals a second by seconds in the system.
    let load = small().draw(11);
    let measured = simulate(&load, &World::default(), &mut Fixed { servers: 3 }, 11);
    let rate = measured.jobs as f64 / (measured.days * 86_400.0);
    let stay = measured.wait.mean + measured.job_hours * 3600.0 / measured.jobs as f64;
    let capacity = 4.0 * 4.0 + 3.0 * 4.0;
    assert!(rate * stay > 0.0 && rate * (stay - measured.wait.mean) <= capacity);
    let busy = measured.job_hours / (measured.days * 24.0);
    assert!((rate * (stay - measured.wait.mean) - busy).abs() < 1e-9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_load_each_job_runs_once(
        seed in 0u64..1000,
        stages in 1u32..5,
        needs in 0.0f64..1.0,
        hosts in 1u32..4,
        failing in 0.0f64..0.5,
    ) {
        let options = Synthetic { stages, needs, jobs_per_day: 200.0, ..small() };
        let load = options.draw(seed);
        let mut world = World::default();
        world.pools[0].permanent_hosts = hosts;
        world.pools[0].failing = failing;
        for mut policy in baselines() {
            let measured = simulate(&load, &world, policy.as_mut(), seed);
            prop_assert_eq!(measured.finished, load.jobs() as u64);
            prop_assert_eq!(measured.killed, 0);
            prop_assert!((measured.job_hours - load.job_hours()).abs() < 1e-6);
            prop_assert!(measured.server_hours <= measured.billed_hours[0] + 1e-9);
            prop_assert!(measured.billed_hours[1] <= measured.billed_hours[2] + 1e-9);
        }
    }
}
