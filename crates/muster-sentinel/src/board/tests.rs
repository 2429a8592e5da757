use std::sync::atomic::AtomicBool;

use muster_tasks::Group;

use super::*;
use crate::status::{CheckKind, Outcome, Reason, State, Target};

fn redis(port: u16) -> Instance {
    Instance {
        kind: CheckKind::Redis,
        cluster: "shop".to_owned(),
        target: Target::Tcp {
            host: "10.0.0.1".to_owned(),
            port,
        },
    }
}

fn open(board: &Board, port: u16) -> Result<Arc<Slot>, Taken> {
    board.open(redis(port), Arc::default())
}

fn observe(slot: &Slot, board: &Board, reason: Reason) {
    let answer = Outcome::new(reason, "").into();
    slot.observe(board.clock().now(), answer, Duration::ZERO);
}

#[muster_tasks::test]
async fn an_instance_has_one_slot_while_somebody_holds_it(_group: Group) {
    let board = Board::default();
    let slot = open(&board, 1).unwrap();
    assert_eq!(&**slot.id(), "redis:10.0.0.1:1");
    let refused = open(&board, 1).unwrap_err().to_string();
    assert_eq!(refused, "redis:10.0.0.1:1 is checked already");
    assert_eq!(board.slots().len(), 1);
    drop(slot);
    assert!(board.is_empty() && board.get("redis:10.0.0.1:1").is_none());
    assert!(open(&board, 1).is_ok());
}

#[muster_tasks::test]
async fn keeps_the_last_hundred_transitions(_group: Group) {
    let board = Board::default();
    let slot = open(&board, 1).unwrap();
    for _ in 0..80 {
        observe(&slot, &board, Reason::Ok);
        observe(&slot, &board, Reason::Hung);
    }
    let transitions = slot.transitions();
    assert_eq!(transitions.len(), 100);
    assert_eq!(transitions[99].to, State::Suspect);
    assert!(
        transitions
            .windows(2)
            .all(|pair| pair[0].to == pair[1].from)
    );
}

#[muster_tasks::test]
async fn says_whether_most_are_failing(_group: Group) {
    let board = Board::default();
    let slots: Vec<_> = (1..=4).map(|port| open(&board, port).unwrap()).collect();
    for slot in &slots[..2] {
        observe(slot, &board, Reason::Hung);
        observe(slot, &board, Reason::Hung);
    }
    assert!(!board.is_mostly_failing());
    observe(&slots[2], &board, Reason::Hung);
    assert!(board.is_mostly_failing());
    observe(&slots[0], &board, Reason::Ok);
    assert!(!board.is_mostly_failing());
    drop(slots);
    assert!(!board.is_mostly_failing() && board.is_empty());
}

#[muster_tasks::test]
async fn a_subscriber_hears_of_each_once_and_only_of_news(_group: Group) {
    let board = Board::default();
    let first = open(&board, 1).unwrap();
    let changes = board.subscribe(Interest::Changes);
    let every = board.subscribe(Interest::EveryCheck);
    assert_eq!(changes.changed().await, [Arc::clone(first.id())]);
    every.take();
    observe(&first, &board, Reason::Ok);
    observe(&first, &board, Reason::Hung);
    assert_eq!(changes.take(), [Arc::clone(first.id())]);
    observe(&first, &board, Reason::Hung);
    observe(&first, &board, Reason::Hung);
    assert!(changes.take().is_empty(), "only numbers have changed");
    assert_eq!(every.take(), [Arc::clone(first.id())]);
    changes.mark([Arc::clone(first.id())]);
    assert_eq!(changes.changed().await.len(), 1);
    let id = Arc::clone(first.id());
    drop(first);
    assert_eq!(changes.changed().await, [id]);
}

#[muster_tasks::test]
async fn a_waiting_subscriber_is_woken(group: Group) {
    let board = Board::default();
    let changes = board.subscribe(Interest::Changes);
    let waiting = group
        .spawn("wait", async move { changes.changed().await })
        .unwrap();
    tokio::task::yield_now().await;
    let slot = open(&board, 7).unwrap();
    assert_eq!(
        waiting.join().await.done().unwrap(),
        [Arc::clone(slot.id())]
    );
}

#[muster_tasks::test]
async fn who_looks_may_be_the_last_holder(group: Group) {
    let board = Board::default();
    let (opened, is_over) = (board.clone(), Arc::new(AtomicBool::new(false)));
    let over = Arc::clone(&is_over);
    let come_and_go = move |_| {
        for number in 0..50_000 {
            let _slot = open(&opened, 1);
            // Let go of at any moment of a look.
            (0..number % 1000).for_each(|_| std::hint::spin_loop());
        }
        over.store(true, Relaxed);
    };
    let look = move |_| {
        while !is_over.load(Relaxed) {
            board.standing_still();
        }
    };
    for ends in [
        group.spawn_blocking("come and go", come_and_go).unwrap(),
        group.spawn_blocking("look", look).unwrap(),
    ] {
        let ended = muster_tasks::timeout(Duration::from_secs(60), ends.join()).await;
        ended.expect("both wait for one lock").done().unwrap();
    }
}
