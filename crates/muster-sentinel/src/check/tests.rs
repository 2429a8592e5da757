use muster_plugin::Kind;
use muster_plugin::compliance::Stage;

use super::*;
use crate::status::{Outcome, Target};

fn roster(stage: &Stage) -> Roster {
    let timing = Timing {
        interval: StdDuration::from_secs(1),
        timeout: StdDuration::from_secs(1),
    };
    Roster::new(&stage.start_context(), Arc::default(), timing)
}

fn instance(kind: CheckKind, port: u16) -> Instance {
    Instance {
        kind,
        cluster: "shop".to_owned(),
        target: Target::Tcp {
            host: "10.0.0.1".to_owned(),
            port,
        },
    }
}

#[muster_tasks::test]
async fn what_no_look_finds_stays_for_a_while_if_it_does_not_answer() {
    let stage = Stage::new(Kind::Input);
    let mut roster = roster(&stage);
    roster.add(instance(CheckKind::Redis, 1)).unwrap();
    let board = Arc::clone(&roster.board);
    let slot = board.slots().remove(0);
    let observe = |reason| {
        let answer = Outcome::new(reason, "").into();
        slot.observe(board.clock().now(), answer, StdDuration::ZERO);
    };
    let (none, all) = (BTreeSet::new(), BTreeSet::from([Arc::clone(slot.id())]));
    let start = Instant::now();
    let minutes = |count: u64| StdDuration::from_secs(count * 60);
    let stays = |roster: &mut Roster, found: &BTreeSet<Arc<str>>, after| {
        roster.miss(found, start + after);
        !roster.missing.is_empty()
    };
    observe(Reason::Ok);
    assert!(!stays(&mut roster, &none, minutes(0)), "nothing is to stay");
    roster.keep = minutes(60);
    // It may have died since it was checked last.
    assert!(stays(&mut roster, &none, minutes(0)));
    observe(Reason::Refused);
    assert!(stays(&mut roster, &none, minutes(59)));
    assert!(!stays(&mut roster, &none, minutes(60)));
    assert!(stays(&mut roster, &none, minutes(61)));
    assert!(!stays(&mut roster, &all, minutes(62)), "it was found");
    assert!(stays(&mut roster, &none, minutes(63)));
    observe(Reason::Ok);
    assert!(
        stays(&mut roster, &none, minutes(64)),
        "it was asked before"
    );
    observe(Reason::Ok);
    assert!(!stays(&mut roster, &none, minutes(65)), "it answers");
    drop((roster, slot));
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn only_what_the_generation_before_has_found_is_taken_over() {
    let stage = Stage::new(Kind::Input);
    let mut first = roster(&stage);
    first.add(instance(CheckKind::Redis, 1)).unwrap();
    // The component was of another plugin once.
    first.add(instance(CheckKind::Tcp, 2)).unwrap();
    for member in first.slots.values() {
        member.slot().set_origin(&"processes".into());
    }
    let of_nobody = instance(CheckKind::Redis, 3);
    let _of_nobody = first.board.open(of_nobody, Arc::default()).unwrap();
    let check = |id: &str, leaves: bool, origin: &str, cluster: &str, want: &[&str]| {
        let mut next = roster(&stage);
        next.owner.id = id.into();
        if leaves {
            next.resources = next.resources.inheriting_from([first.owner.clone()]);
        }
        next.origin = origin.into();
        next.take_over(CheckKind::Redis, cluster);
        let name = |(id, member): (&Arc<str>, &Member)| format!("{id} {}", member.cluster);
        let taken: Vec<String> = next.slots.iter().map(name).collect();
        assert_eq!(taken, want, "{id} {leaves} {origin}");
    };
    let id = Arc::clone(&first.owner.id);
    check(&id, false, "sentinel", "", &["redis:10.0.0.1:1 shop"]);
    check(&id, false, "sentinel", "bar", &["redis:10.0.0.1:1 bar"]);
    check("other", false, "processes", "", &[]);
    check("other", true, "sentinel", "", &[]);
    check("other", true, "processes", "", &["redis:10.0.0.1:1 shop"]);
}
