use muster_sentinel::testing::{Behaviour, FakeRedis};
use muster_sentinel::{Reason, State, Status, Target};
use muster_tasks::Group;

use crate::watched::{How, Watched};

async fn watch(root: &Group, fake: &FakeRedis) -> Watched {
    let how = How {
        password: "any",
        ..How::at(Target::Tcp {
            host: "localhost".to_owned(),
            port: fake.port(),
        })
    };
    let watched = Watched::start(root, how);
    watched.until_up().await;
    watched
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_unnoticed_are_no_verdict(root: Group) {
    let fake = FakeRedis::start(&root).await;
    let watched = watch(&root, &fake).await;
    for _ in 0..5 {
        let (seq, accepted) = (watched.slot.status().seq, fake.accepted());
        fake.set(Behaviour::OldConnectionsDead);
        let later = move |status: &Status| status.seq > seq + 2;
        watched.until("two more checks", later).await;
        assert!(fake.accepted() > accepted);
    }
    assert_eq!(watched.until_up().await.reason, Reason::Ok);
    assert!(!watched.has_been(State::Down, Reason::Hung));
    watched.end().await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_gets_its_reason_and_is_got_over(root: Group) {
    let fake = FakeRedis::start(&root).await;
    let watched = watch(&root, &fake).await;
    for (behaviour, state, reason) in [
        (Behaviour::Silent, State::Down, Reason::Hung),
        (Behaviour::Closes, State::Down, Reason::Closed),
        (
            Behaviour::Says(b"HTTP/1.1 400 Bad Request\r\n"),
            State::Down,
            Reason::Protocol,
        ),
        (Behaviour::Endless, State::Down, Reason::Protocol),
        (
            Behaviour::Says(b"-DENIED protected mode\r\n"),
            State::Degraded,
            Reason::Protected,
        ),
        (
            Behaviour::Says(b"-WHAT is this\r\n"),
            State::Degraded,
            Reason::Error,
        ),
    ] {
        fake.set(behaviour);
        let seen = |status: &Status| status.reason == reason && reached(status, state);
        watched.until(reason.as_str(), seen).await;
        fake.set(Behaviour::Healthy);
        let healed = |status: &Status| status.reason == Reason::Ok && reached(status, State::Up);
        watched.until("up", healed).await;
    }
    watched.end().await;
    assert!(root.stop().await.is_clean());
}

/// Whether the state is this one, be it hidden by flapping.
fn reached(status: &Status, state: State) -> bool {
    status.state == state || status.verdict.as_str() == state.as_str()
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_may_come_in_pieces(root: Group) {
    let fake = FakeRedis::start(&root).await;
    let watched = watch(&root, &fake).await;
    fake.set(Behaviour::ByteByByte);
    let seq = watched.slot.status().seq;
    let later = move |status: &Status| status.seq > seq + 3 && status.reason == Reason::Ok;
    watched.until("three more checks", later).await;
    watched.end().await;
    assert!(root.stop().await.is_clean());
}
