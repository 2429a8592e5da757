use super::*;
use crate::state::Connection;
use crate::{Options, SessionId};

/// A session that is suspended for another minute.
fn suspended() -> (Arc<Shared>, Connection, Instant) {
    let shared = Shared::new(Options::new("127.0.0.1".parse().unwrap()));
    let since = Instant::now();
    let connection = Connection {
        session: SessionId(1),
        sessions: 1,
        connections: 1,
        server: "127.0.0.1:2181".parse().unwrap(),
        timeout: Duration::from_secs(100),
        since,
    };
    shared.state.send_replace(State::Connected(connection));
    shared.suspend();
    let State::Suspended { until, .. } = *shared.state.borrow() else {
        panic!("it is not suspended");
    };
    (shared, connection, until)
}

#[test]
fn the_time_of_a_session_that_is_connected_again_is_not_up() {
    let (shared, connection, until) = suspended();
    shared.state.send_replace(State::Connected(connection));
    shared.time_up(until);
    assert_eq!(*shared.state.borrow(), State::Connected(connection));

    // Nor does the time of an earlier connection count for a later one.
    shared.suspend();
    shared.time_up(until);
    assert!(matches!(*shared.state.borrow(), State::Suspended { .. }));
}

#[muster_tasks::test(start_paused = true)]
async fn a_session_is_lost_when_its_own_time_is_up(root: Group) {
    let (shared, connection, first) = suspended();
    let (_stop, mut stopping) = watch::channel(false);
    let of_keeper = Arc::clone(&shared);
    root.go_cx("keeper", async move |cx| {
        let never = std::future::pending();
        let over = lingered(cx, Duration::ZERO);
        unless_stopped(&over, &mut stopping, &of_keeper, never).await;
    })
    .unwrap();
    // A cage connects, and loses the connection after the time of the first: nobody waits for the first.
    let lost = State::Suspended {
        connection,
        since: first,
        until: first + Duration::from_secs(60),
    };
    sleep(Duration::from_secs(1)).await;
    shared.state.send_replace(State::Connected(connection));
    sleep_until((first + Duration::from_secs(1)).into()).await;
    assert_eq!(*shared.state.borrow(), State::Connected(connection));
    shared.state.send_replace(lost.clone());
    sleep(Duration::from_secs(58)).await;
    assert_eq!(*shared.state.borrow(), lost);
    sleep(Duration::from_secs(2)).await;
    let is_lost = |state: &State| {
        matches!(
            state,
            State::Lost {
                why: Lost::TimeUp,
                ..
            }
        )
    };
    assert!(is_lost(&shared.state.borrow()));
}
