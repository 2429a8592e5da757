//! The rules one by one.

use muster_scaler_core::config::{Config, Mode, PoolConfig, ScheduleConfig};
use muster_scaler_core::explanation::{Plan, Problem};
use muster_scaler_core::provider::{ListedServer, Listing, Phase, Refusal, label};
use muster_scaler_core::{
    Action, Decision, Drain, Event, Gate, Happening, Host, Ledger, Observation, PoolExplanation,
    ProviderId, Reading, RunnerView, Server, ServerName, ServerState, Time, decide,
};

use super::scene::{POOL, START, config, host, jobs, observation, provider, seconds, step};

fn with(change: impl FnOnce(&mut PoolConfig)) -> Config {
    let mut config = config();
    change(&mut config.pool[0]);
    config
}

/// Two permanent hosts with four slots each.
fn two_hosts(pending: u32, running: u32, now: Time) -> Observation {
    let hosts = vec![
        host("a:9252", 4, running / 2, now),
        host("b:9252", 4, running / 2, now),
    ];
    observation(hosts, jobs(pending, running), now)
}

fn explained(decision: &Decision) -> &PoolExplanation {
    &decision.explanation.pools[0]
}

fn plan(config: &Config, seen: &Observation) -> Plan {
    explained(&decide(config, seen, &Ledger::default(), START)).plan
}

/// A server in the state, with all that goes with it.
fn server(number: u32, state: ServerState) -> Server {
    let id = format!("{POOL}/0").parse().unwrap();
    let mut server = Server::plan(ServerName(format!("s-{number}")), POOL, id, START);
    server.state = state;
    server.slots = 4;
    server.decision = 1;
    server.requested = Some(START);
    server.provider_id = Some(format!("i-{number}"));
    server.runner = Some(u64::from(number));
    server.expires = START + seconds(86_400);
    server.boot_deadline = START + seconds(180);
    server.joined = (!state.is_coming()).then_some(START);
    server
}

fn ledger(servers: impl IntoIterator<Item = Server>) -> Ledger {
    let mut ledger = Ledger::default();
    for server in servers {
        ledger.apply(&Event::Adopted(Box::new(server))).unwrap();
    }
    ledger
}

fn creates(decision: &Decision) -> usize {
    let create = |action: &&Action| matches!(action, Action::Create(..));
    decision.actions.iter().filter(create).count()
}

#[test]
fn servers_follow_from_demand_and_slots() {
    let check = |pending, running, change: fn(&mut PoolConfig), desired| {
        let plan = plan(&with(change), &two_hosts(pending, running, START));
        assert_eq!(
            (plan.desired, plan.create),
            (desired, desired),
            "{pending} {running}"
        );
    };
    check(0, 0, |_| {}, 0);
    check(8, 0, |_| {}, 0);
    check(9, 0, |_| {}, 1);
    check(5, 8, |_| {}, 2);
    check(0, 8, |pool| pool.warm = 1, 1);
    check(0, 8, |pool| pool.headroom = 0.6, 2);
}

#[test]
fn what_is_coming_is_not_bought_twice() {
    let seen = two_hosts(4, 8, START);
    for state in [
        ServerState::Planned,
        ServerState::Requested,
        ServerState::Booting,
    ] {
        let decision = decide(&config(), &seen, &ledger([server(1, state)]), START);
        assert_eq!(explained(&decision).plan.create, 0, "{state}");
    }
    let going = ledger([server(1, ServerState::Removing)]);
    assert_eq!(creates(&decide(&config(), &seen, &going, START)), 1);
}

#[test]
fn hosts_count_what_they_can_still_do() {
    let permanent = |spoil: fn(&mut Host, Time)| {
        let mut ledger = Ledger::default();
        let mut last = 0;
        for look in 0..30 {
            let now = START + seconds(look * 10);
            let mut seen = two_hosts(0, 2, now);
            if let Reading::Known { value, .. } = &mut seen.pools.get_mut(POOL).unwrap().hosts
                && look > 0
            {
                spoil(&mut value[0], now);
            }
            last = explained(&step(&config(), &seen, &mut ledger, now))
                .capacity
                .permanent;
        }
        last
    };
    assert_eq!(permanent(|_, _| {}), 8);
    assert_eq!(
        permanent(|host, now| host.up = Reading::known(false, now)),
        4,
        "dead"
    );
    assert_eq!(
        permanent(|host, now| host.paused = Reading::known(true, now)),
        5,
        "paused"
    );
    let pressed = |host: &mut Host, now| host.cpu_pressure = Reading::known(0.9, now);
    assert_eq!(permanent(pressed), 5, "overloaded: what it runs");
    let stalled = |host: &mut Host, now| host.memory_stall = Reading::known(0.06, now);
    assert_eq!(permanent(stalled), 5, "overloaded: what it runs");
    let unknown = |host: &mut Host, _| host.slots = Reading::unknown("no sample");
    assert_eq!(permanent(unknown), 8, "the last known slots stand in");
}

#[test]
fn overload_comes_after_two_minutes_and_goes_after_five() {
    let mut ledger = Ledger::default();
    let mut changes = Vec::new();
    let mut was = false;
    for look in 0..120u64 {
        let now = START + seconds(look * 10);
        let mut seen = two_hosts(0, 2, now);
        if let Reading::Known { value, .. } = &mut seen.pools.get_mut(POOL).unwrap().hosts {
            let hot = (10..40).contains(&look);
            value[0].cpu_pressure = Reading::known(if hot { 0.5 } else { 0.1 }, now);
        }
        let is = explained(&step(&config(), &seen, &mut ledger, now))
            .capacity
            .overloaded
            > 0;
        if is != was {
            changes.push(look);
            was = is;
        }
    }
    assert_eq!(changes, [10 + 12, 40 + 30]);
}

/// The gate that holds most back, when 20 jobs wait.
fn blocking(config: &Config, seen: &Observation, ledger: &Ledger) -> Option<Gate> {
    let decision = decide(config, seen, ledger, START);
    let gates = &explained(&decision).gates;
    gates
        .iter()
        .find(|gate| gate.blocked())
        .map(|gate| gate.gate)
}

#[test]
fn each_gate_holds_back() {
    let seen = two_hosts(20, 8, START);
    let empty = Ledger::default();
    let check = |config: &Config, gate| assert_eq!(blocking(config, &seen, &empty), gate);
    check(&config(), None);
    let mut observing = config();
    observing.mode = muster_scaler_core::config::Mode::Observe;
    check(&observing, Some(Gate::Mode));
    check(&with(|pool| pool.max_servers = 2), Some(Gate::MaxServers));
    check(
        &with(|pool| pool.rate.create_per_minute = 2),
        Some(Gate::CreateRate),
    );
    check(&with(|pool| pool.provider.clear()), Some(Gate::Provider));
    check(
        &with(|pool| pool.budget.server_hours_per_day = Some(0.1)),
        Some(Gate::Budget),
    );
    check(
        &with(|pool| pool.budget.money_per_month = Some(0.0)),
        Some(Gate::Budget),
    );
    let mut blind = seen.clone();
    blind.pools.get_mut(POOL).unwrap().hosts = Reading::unknown("down");
    assert_eq!(blocking(&config(), &blind, &empty), Some(Gate::Observation));
    let mut leaseless = seen.clone();
    leaseless.lease = Err("another has it".to_owned());
    assert_eq!(blocking(&config(), &leaseless, &empty), Some(Gate::Lease));
    let mut bound = two_hosts(20, 2, START);
    let pool = bound.pools.get_mut(POOL).unwrap();
    let mut waiting = jobs(20, 2);
    waiting.oldest_wait = seconds(90);
    pool.jobs = Reading::known(waiting, START);
    if let Reading::Known { value, .. } = &mut pool.hosts {
        for host in value {
            host.request_bound = Reading::known(true, START);
        }
    }
    assert_eq!(
        blocking(&config(), &bound, &empty),
        Some(Gate::RequestBound)
    );
}

#[test]
fn a_provider_that_refuses_gives_way_to_the_next_and_is_asked_again() {
    let config = with(|pool| pool.provider.push(provider()));
    let mut ledger = ledger([server(1, ServerState::Requested)]);
    let refused = Happening::Refused(Refusal::Capacity, "full".to_owned());
    let name = ServerName("s-1".to_owned());
    ledger.apply(&Event::server(&name, START, refused)).unwrap();
    let asked = |now: Time| {
        let decision = decide(&config, &two_hosts(4, 8, now), &ledger, now);
        decision.actions.iter().find_map(|action| match action {
            Action::Create(_, provider) => Some(provider.at),
            _ => None,
        })
    };
    assert_eq!(
        (asked(START), asked(START + seconds(61))),
        (Some(1), Some(0))
    );
}

#[test]
fn a_provider_whose_servers_do_not_come_up_is_tried_with_one() {
    let mut ledger = ledger((0..4).map(|n| server(n, ServerState::Booting)));
    for number in 0..4 {
        let name = ServerName(format!("s-{number}"));
        let failed = Happening::BootFailed("late".to_owned());
        ledger.apply(&Event::server(&name, START, failed)).unwrap();
        ledger
            .apply(&Event::server(&name, START, Happening::Removed))
            .unwrap();
    }
    let create = |now: Time| creates(&decide(&config(), &two_hosts(20, 8, now), &ledger, now));
    assert_eq!(
        (create(START + seconds(60)), create(START + seconds(1801))),
        (0, 1)
    );
}

#[test]
fn the_last_entry_of_the_schedule_that_applies_holds() {
    let entry = |cron: &str, warm| ScheduleConfig {
        cron: cron.parse().unwrap(),
        warm: Some(warm),
        ..ScheduleConfig::default()
    };
    let config = with(|pool| {
        pool.warm = 1;
        pool.schedule = vec![
            entry("* * * * *", 2),
            entry("* 12 * * fri", 3),
            entry("* 13 * * *", 4),
        ];
    });
    let at = |now: Time| {
        let decision = decide(&config, &two_hosts(0, 0, now), &Ledger::default(), now);
        let plan = explained(&decision).plan;
        (plan.schedule, plan.warm)
    };
    assert_eq!(at(START), (Some(1), 3));
    assert_eq!(at(START + seconds(3600)), (Some(2), 4));
    assert_eq!(at(START + seconds(7200)), (Some(0), 2));
}

#[test]
fn a_draining_server_is_taken_back_before_one_is_asked_for() {
    let mut draining = server(1, ServerState::Draining);
    let deadline = START + seconds(14_400);
    draining.drain = Some(Drain::new(deadline, "not needed", true, seconds(50)));
    let decision = decide(
        &config(),
        &two_hosts(4, 8, START),
        &ledger([draining.clone()]),
        START,
    );
    assert!(
        decision
            .actions
            .contains(&Action::Unpause(draining.name.clone()))
    );
    assert_eq!(creates(&decision), 0);
    // What its provider has no more does not come back.
    let mut absent = draining.clone();
    absent.absences = muster_scaler_core::ABSENCES;
    let decision = decide(
        &config(),
        &two_hosts(4, 8, START),
        &ledger([absent.clone()]),
        START,
    );
    assert!(!decision.actions.contains(&Action::Unpause(absent.name)));
    assert_eq!(creates(&decision), 1);
    draining.drain.as_mut().unwrap().may_return = false;
    let decision = decide(
        &config(),
        &two_hosts(4, 8, START),
        &ledger([draining]),
        START,
    );
    assert_eq!(creates(&decision), 1);
}

#[test]
fn a_provider_that_does_not_list_all_is_alarmed_about() {
    let listing = |complete| muster_scaler_core::provider::Listing {
        servers: Vec::new(),
        complete,
        began: START,
    };
    let check = |reading, alarms: usize| {
        let mut seen = two_hosts(0, 0, START);
        let id = format!("{POOL}/0").parse().unwrap();
        seen.listings.insert(id, reading);
        let decision = decide(&config(), &seen, &ledger([]), START);
        let unclear = decision
            .alarms
            .iter()
            .filter(|a| a.code == "provider_unclear");
        assert_eq!(unclear.count(), alarms);
    };
    check(Reading::known(listing(true), START), 0);
    check(Reading::known(listing(false), START), 1);
    check(Reading::unknown("the answer is no JSON"), 1);
}

#[test]
fn a_lost_answer_is_decided_by_two_complete_listings() {
    let mut unknown = server(1, ServerState::Unknown);
    unknown.provider_id = None;
    let mut ledger = ledger([unknown]);
    let mut states = Vec::new();
    for (second, complete) in [(10, true), (20, true), (45, false), (50, true), (100, true)] {
        let now = START + seconds(second);
        let mut seen = two_hosts(0, 0, now);
        let listing = muster_scaler_core::provider::Listing {
            servers: Vec::new(),
            complete,
            began: now,
        };
        let id = format!("{POOL}/0").parse().unwrap();
        seen.listings.insert(id, Reading::known(listing, now));
        step(&config(), &seen, &mut ledger, now);
        let server = &ledger.servers[&ServerName("s-1".to_owned())];
        states.push((server.absences, server.state));
    }
    let (unknown, removing) = (ServerState::Unknown, ServerState::Removing);
    assert_eq!(
        states,
        [
            (1, unknown),
            (1, unknown),
            (1, unknown),
            // GitLab may not show a runner yet that is younger than a minute.
            (2, unknown),
            (2, removing)
        ]
    );
}

#[test]
fn without_gitlab_what_runs_is_demand_and_fullness_asks_for_more() {
    let mut config = config();
    config.gitlab = None;
    let mut ledger = Ledger::default();
    let mut desired = Vec::new();
    for look in 0..10u64 {
        let now = START + seconds(look * 10);
        let mut seen = two_hosts(0, 8, now);
        seen.pools.get_mut(POOL).unwrap().jobs = Reading::unknown("no query");
        seen.runners = Reading::unknown("no token");
        let decision = step(&config, &seen, &mut ledger, now);
        assert_eq!(explained(&decision).health.problems, Vec::<Problem>::new());
        desired.push(explained(&decision).plan.desired);
    }
    assert_eq!((desired[0], desired[9]), (0, 1));
}

#[test]
fn an_explanation_fits_a_screen_and_says_what_was_reckoned() {
    let decision = decide(
        &config(),
        &two_hosts(9, 8, START),
        &Ledger::default(),
        START,
    );
    let text = decision.explained();
    for part in [
        "decision 1 at 2027-01-15 12:00:00 UTC, mode on",
        "9 pending + 8 running = 17 now",
        "3 servers of 4 slots wanted",
        "3 short: 0 taken back, 3 asked for",
        "max_servers    passes 3 of 3",
        "is asked for",
        "create docker-",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(text.lines().count() < 60, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() < 160),
        "{text}"
    );
}

/// When a server that drains since START is deleted, and whether it was deleted at all within five
/// minutes. Its runner is paused at once and is looked at every ten seconds; `running` says what it
/// runs so many seconds later.
fn deleted_after(running: impl Fn(u64) -> u32) -> Option<u64> {
    let mut draining = server(1, ServerState::Draining);
    let (deadline, hold) = (START + seconds(14_400), seconds(50));
    let mut drain = Drain::new(deadline, "not needed", true, hold);
    drain.paused = Some(START);
    draining.drain = Some(drain);
    let mut ledger = ledger([draining.clone()]);
    (0..=300).step_by(10).find(|second| {
        let now = START + seconds(*second);
        let mut seen = two_hosts(0, 0, now);
        let view = RunnerView {
            runner: 1,
            joined: Reading::known(true, now),
            paused: Reading::known(true, now),
            running: Reading::known(running(*second), now),
        };
        seen.runners = Reading::known([(draining.name.clone(), view)].into(), now);
        deletes(&step(&config(), &seen, &mut ledger, now))
    })
}

#[test]
fn a_drained_server_goes_when_no_request_can_bring_a_job_any_more() {
    assert_eq!(deleted_after(|_| 0), Some(80), "twice, a minute apart");
    // A job by a request that was held when the pause arrived.
    let raced = |second| u32::from((50..120).contains(&second));
    assert_eq!(deleted_after(raced), Some(190));
    // One that began and ended between two looks that count is seen by those between them.
    let brief = |second| u32::from(second == 40);
    assert_eq!(deleted_after(brief), Some(120));
    assert_eq!(deleted_after(|_| 1), None);
}

fn view(number: u32, joined: bool, running: u32, now: Time) -> (ServerName, RunnerView) {
    let view = RunnerView {
        runner: u64::from(number),
        joined: Reading::known(joined, now),
        paused: Reading::known(false, now),
        running: Reading::known(running, now),
    };
    (ServerName(format!("s-{number}")), view)
}

fn deletes(decision: &Decision) -> bool {
    let delete = |action: &Action| matches!(action, Action::Delete(_));
    decision.actions.iter().any(delete)
}

#[test]
fn a_server_that_is_late_is_paused_before_it_goes_and_keeps_the_job_that_it_took() {
    let mut ledger = ledger([server(1, ServerState::Booting)]);
    let mut actions = Vec::new();
    for second in (190..=600).step_by(10) {
        let now = START + seconds(second);
        let mut seen = two_hosts(0, 0, now);
        // It took a job before the pause arrived.
        let running = u32::from((200..400).contains(&second));
        let (name, mut view) = view(1, second >= 200, running, now);
        view.paused = Reading::known(second > 190, now);
        seen.runners = Reading::known([(name, view)].into(), now);
        let decision = step(&config(), &seen, &mut ledger, now);
        actions.extend(decision.actions.into_iter().map(|action| (second, action)));
    }
    let name = ServerName("s-1".to_owned());
    assert_eq!(actions[0], (190, Action::Pause(name.clone())));
    let (second, action) = &actions[1];
    assert_eq!(*action, Action::Delete(name));
    assert!(*second > 460, "{second}");
    assert_eq!(ledger.memory.providers.len(), 1);
}

#[test]
fn a_server_that_was_adopted_while_gitlab_was_silent_can_be_paused_later() {
    let mut adopted = server(1, ServerState::Joined);
    adopted.runner = None;
    let mut ledger = ledger([adopted]);
    let now = START + seconds(100);
    let mut seen = two_hosts(0, 0, now);
    seen.runners = Reading::known([view(1, true, 0, now)].into(), now);
    step(&config(), &seen, &mut ledger, now);
    assert_eq!(ledger.servers.values().next().unwrap().runner, Some(1));
}

/// The runner of an adopted server, after GitLab showed the object `seen` of its name, that has joined or not.
fn runner_of(adopted: Server, others: &[Server], seen: u32, joined: bool) -> Option<u64> {
    let name = adopted.name.clone();
    let mut ledger = ledger(std::iter::once(adopted).chain(others.iter().cloned()));
    let now = START + seconds(100);
    let mut observed = two_hosts(0, 0, now);
    let (_, view) = view(seen, joined, 0, now);
    let views = [(ServerName("s-1".to_owned()), view)];
    observed.runners = Reading::known(views.into(), now);
    step(&config(), &observed, &mut ledger, now);
    ledger.servers[&name].runner
}

#[test]
fn an_adopted_server_has_the_runner_that_joins_under_its_name() {
    let mut adopted = server(1, ServerState::Joined);
    adopted.decision = 0;
    assert_eq!(runner_of(adopted.clone(), &[], 2, false), Some(1));
    assert_eq!(runner_of(adopted.clone(), &[], 2, true), Some(2));
    // The token of one that was asked for is known to be the first's.
    adopted.decision = 1;
    assert_eq!(runner_of(adopted, &[], 2, true), Some(1));
}

#[test]
fn of_two_of_one_name_the_last_has_what_is_left_of_their_runners() {
    let first = server(1, ServerState::Draining);
    let mut twin = server(2, ServerState::Draining);
    twin.name = ServerName("s-1~i-2".to_owned());
    (twin.decision, twin.runner) = (0, None);
    twin.drain = Some(Drain::new(
        twin.expires,
        "two of one name",
        false,
        seconds(50),
    ));
    assert_eq!(runner_of(twin.clone(), &[first], 1, false), None);
    assert_eq!(runner_of(twin, &[], 3, false), Some(3));
}

#[test]
fn another_object_of_its_name_says_nothing_of_a_servers_jobs() {
    let mut ledger = ledger([server(1, ServerState::Joined)]);
    let now = START + seconds(30);
    let mut seen = two_hosts(0, 0, now);
    let (_, view) = view(2, false, 0, now);
    let views = [(ServerName("s-1".to_owned()), view)];
    seen.runners = Reading::known(views.into(), now);
    let decision = step(&config(), &seen, &mut ledger, now);
    assert_eq!(explained(&decision).servers[0].running, None);
}

#[test]
fn what_no_pool_calls_its_own_is_adopted_once() {
    let mut config = config();
    let mut second = config.pool[0].clone();
    second.name = "second".to_owned();
    config.pool.push(second);
    let mut seen = two_hosts(0, 0, START);
    let listed = |id: &str, name: &str| ListedServer {
        id: id.to_owned(),
        name: name.to_owned(),
        labels: [
            (label::OWNER.to_owned(), "tests".to_owned()),
            (label::NAME.to_owned(), name.to_owned()),
        ]
        .into(),
        phase: Phase::Active,
        address: None,
        created: None,
    };
    for pool in [POOL, "second"] {
        let listing = Listing {
            servers: vec![listed("i-1", "old-1"), listed("i-2", "old-2")],
            complete: true,
            began: START,
        };
        let id: ProviderId = format!("{pool}/0").parse().unwrap();
        seen.listings.insert(id, Reading::known(listing, START));
    }
    let mut ledger = Ledger::default();
    for look in 0..3 {
        let now = START + seconds(look * 10);
        let decision = step(&config, &seen, &mut ledger, now);
        let adopted = |event: &&Event| matches!(event, Event::Adopted(_));
        let count = decision.events.iter().filter(adopted).count();
        assert_eq!(count, if look == 0 { 2 } else { 0 });
    }
    assert_eq!(ledger.servers.len(), 2);
}

#[test]
fn a_creation_that_takes_long_is_waited_for_until_the_server_should_have_joined() {
    let mut ledger = ledger([server(1, ServerState::Requested)]);
    let mut state = |second| {
        let now = START + seconds(second);
        step(&config(), &two_hosts(40, 8, now), &mut ledger, now);
        ledger.servers[&ServerName("s-1".to_owned())].state
    };
    assert_eq!(state(170), ServerState::Requested);
    assert_eq!(state(190), ServerState::Unknown);
}

#[test]
fn what_a_dry_run_only_supposes_leaves_nothing_in_the_ledger() {
    let mut config = config();
    config.mode = Mode::DryRun;
    let mut ledger = ledger([server(1, ServerState::Booting)]);
    for second in [190, 200, 280] {
        let now = START + seconds(second);
        let mut seen = two_hosts(0, 0, now);
        let (name, mut view) = view(1, false, 0, now);
        view.paused = Reading::known(true, now);
        seen.runners = Reading::known([(name.clone(), view)].into(), now);
        let decision = step(&config, &seen, &mut ledger, now);
        let line = &explained(&decision).servers[0];
        assert_eq!(line.state, ServerState::Draining, "what would be");
        assert_eq!(ledger.servers[&name].state, ServerState::Booting);
    }
}

#[test]
fn a_server_whose_runner_never_shows_itself_goes() {
    let mut ledger = ledger([server(1, ServerState::Joined)]);
    let mut state = |second| {
        let now = START + seconds(second);
        let mut seen = two_hosts(40, 8, now);
        seen.runners = Reading::known([view(1, false, 0, now)].into(), now);
        step(&config(), &seen, &mut ledger, now);
        ledger.servers[&ServerName("s-1".to_owned())].state
    };
    assert_eq!(state(170), ServerState::Joined);
    assert_eq!(state(190), ServerState::Draining);
}

#[test]
fn a_server_that_works_and_is_not_listed_is_alarmed_about() {
    let alarmed = |absences, up| {
        let mut lost = server(1, ServerState::Joined);
        lost.absences = absences;
        let mut seen = two_hosts(0, 0, START);
        let mut ours = host("s-1", 4, 0, START);
        ours.server = Some(lost.name.clone());
        ours.up = Reading::known(up, START);
        let pool = seen.pools.get_mut(POOL).unwrap();
        let hosts = pool.hosts.value().unwrap().iter().cloned();
        pool.hosts = Reading::known(hosts.chain([ours]).collect(), START);
        let decision = step(&config(), &seen, &mut ledger([lost]), START);
        decision.alarms.iter().any(|a| a.code == "server_unlisted")
    };
    assert!(alarmed(2, true));
    assert!(!alarmed(2, false));
    assert!(!alarmed(0, true));
}

#[test]
fn a_server_that_listings_left_out_can_come_back() {
    let mut lost = server(1, ServerState::Joined);
    lost.absences = 2;
    let mut ledger = ledger([lost]);
    let name = ServerName("s-1".to_owned());
    let now = START + seconds(100);
    let mut seen = two_hosts(40, 8, now);
    seen.runners = Reading::known([view(1, true, 0, now)].into(), now);
    step(&config(), &seen, &mut ledger, now);
    assert_eq!(ledger.servers[&name].state, ServerState::Draining);
    // It is shown again, and it is needed.
    let exists = Happening::Exists("i-1".to_owned());
    ledger.apply(&Event::server(&name, now, exists)).unwrap();
    let now = now + seconds(10);
    let mut seen = two_hosts(40, 8, now);
    seen.runners = Reading::known([view(1, true, 0, now)].into(), now);
    let decision = step(&config(), &seen, &mut ledger, now);
    assert_eq!(ledger.servers[&name].state, ServerState::Joined);
    assert!(!deletes(&decision));
}
