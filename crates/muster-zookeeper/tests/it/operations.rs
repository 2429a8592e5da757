//! Operations and what they answer.

use muster_tasks::Group;
use muster_testkit::ZooKeeper;
use muster_zookeeper::{
    Access, ErrorKind, Login, MAX_BATCH, MAX_PACKET, Mode, Op, OpDone, Retry, Session, State,
};

use super::{options, session, soon};

fn put(path: &str, version: i32) -> Op {
    Op::Put {
        path: path.to_owned(),
        data: b"new".to_vec(),
        version: Some(version),
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_live_and_have_versions(root: Group) {
    let server = ZooKeeper::shared();
    let session = session(&root, &server, "operations/nodes").await;
    let kind = |error: muster_zookeeper::Error| error.kind;
    let none = session.read("/a/b").await.unwrap_err();
    assert_eq!(none.to_string(), "read /a/b: there is no such node");
    assert_eq!(session.exists("/a/b").await.unwrap(), None);
    let flat = session.create("/a/b", Vec::new(), Mode::Persistent).await;
    assert_eq!(flat.map_err(kind), Err(ErrorKind::NoNode));

    let made = session
        .create_all("/a/b", b"one".to_vec(), Mode::Persistent)
        .await;
    assert_eq!(made.unwrap().version, 0);
    let again = session
        .create_all("/a/b", Vec::new(), Mode::Persistent)
        .await;
    assert_eq!(again.map_err(kind), Err(ErrorKind::NodeExists));
    let written = session.put("/a/b", b"two".to_vec(), Some(0)).await.unwrap();
    assert_eq!((written.version, written.length), (1, 3));
    let stale = session
        .put("/a/b", b"three".to_vec(), Some(0))
        .await
        .unwrap_err();
    assert_eq!(
        (stale.retry(), stale.kind),
        (Retry::Reread, ErrorKind::BadVersion)
    );
    let node = session.read("/a/b").await.unwrap();
    assert_eq!((&*node.data, node.stat), (&b"two"[..], written));
    assert_eq!(node.stat.owner, None);

    let bound = session
        .create("/a/e", Vec::new(), Mode::Ephemeral)
        .await
        .unwrap();
    let connection = soon("a connection", session.connected()).await.unwrap();
    assert_eq!(bound.owner, Some(connection.session));
    let below = session.create("/a/e/x", Vec::new(), Mode::Persistent).await;
    assert_eq!(below.map_err(kind), Err(ErrorKind::EphemeralParent));

    let mut names = session.children("/a").await.unwrap();
    names.sort();
    assert_eq!(names, ["b", "e"]);
    assert_eq!(
        session.delete("/a", None).await.map_err(kind),
        Err(ErrorKind::NotEmpty)
    );
    assert_eq!(
        session.delete("/a/b", Some(0)).await.map_err(kind),
        Err(ErrorKind::BadVersion)
    );
    session.delete("/a/b", Some(1)).await.unwrap();
    session.sync().await.unwrap();

    let paths = vec!["/a/e".to_owned(), "/a/b".to_owned()];
    let many = session.read_many(paths).await.unwrap();
    assert_eq!(many[0].as_ref().unwrap().stat, bound);
    assert_eq!(many[1], Err(ErrorKind::NoNode));
    let stats = session.stats();
    assert_eq!((stats.sessions, stats.rebuilds, stats.pending), (1, 0, 0));
    assert_eq!(
        (stats.errors["bad_version"], stats.errors["no_node"]),
        (2, 2)
    );
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_done_whole_or_not_at_all(root: Group) {
    let server = ZooKeeper::shared();
    let session = session(&root, &server, "operations/batch").await;
    let create = |path: &str| Op::Create {
        path: path.to_owned(),
        data: b"old".to_vec(),
        mode: Mode::Persistent,
    };
    let delete = Op::Delete {
        path: "/b".to_owned(),
        version: None,
    };
    let check = Op::Check {
        path: "/a".to_owned(),
        version: 1,
    };
    let ops = vec![create("/a"), create("/b"), put("/a", 0), delete, check];
    let done = session.multi(ops).await.unwrap();
    assert!(matches!(done[0], OpDone::Created(_)));
    assert!(matches!(done[2], OpDone::Put(stat) if stat.version == 1));
    assert_eq!(done[3..], [OpDone::Deleted, OpDone::Checked]);

    let failed = session
        .multi(vec![create("/c"), put("/a", 7)])
        .await
        .unwrap_err();
    let kind = Box::new(ErrorKind::BadVersion);
    assert_eq!(failed.kind, ErrorKind::InBatch { index: 1, kind });
    assert_eq!(session.exists("/c").await.unwrap(), None);
    assert_eq!(session.multi(Vec::new()).await.unwrap(), []);
    let many = vec![put("/a", 1); MAX_BATCH + 1];
    let refused = session.multi(many).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooMany(MAX_BATCH + 1));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_not_sent(root: Group) {
    let server = ZooKeeper::shared();
    let session = session(&root, &server, "operations/size").await;
    session
        .create("/a", Vec::new(), Mode::Persistent)
        .await
        .unwrap();
    let refused = session
        .put("/a", vec![b'x'; 1_100_000], None)
        .await
        .unwrap_err();
    assert!(matches!(
        refused.kind,
        ErrorKind::TooLarge {
            limit: MAX_PACKET,
            ..
        }
    ));
    assert_eq!(refused.retry(), Retry::Never);
    let half = |path: &str| Op::Create {
        path: path.to_owned(),
        data: vec![b'x'; MAX_PACKET / 2],
        mode: Mode::Persistent,
    };
    let refused = session
        .multi(vec![half("/b"), half("/c")])
        .await
        .unwrap_err();
    assert!(matches!(refused.kind, ErrorKind::TooLarge { .. }));
    // What is just let through is also taken.
    let mut length = MAX_PACKET;
    let largest = loop {
        match session.put("/a", vec![b'x'; length], None).await {
            Err(error) if matches!(error.kind, ErrorKind::TooLarge { .. }) => length -= 10,
            other => break other.unwrap(),
        }
    };
    assert_eq!(largest.length, length);
    let made = session
        .create("/d", vec![b'x'; length], Mode::Persistent)
        .await;
    assert_eq!(made.unwrap().length, length);
    assert_eq!(session.stats().connections, 1);
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_login_are_read_by_all_and_written_by_it(root: Group) {
    let server = ZooKeeper::shared();
    let servers = format!("{}/operations/login", server.address());
    let mut with_login = options(&servers);
    with_login.login = Some(Login {
        user: "muster".to_owned(),
        password: muster_options::Secret::new("hunter2"),
    });
    assert!(!format!("{with_login:?}").contains("hunter2"));
    let owner = Session::start(&root, with_login.clone()).unwrap();
    soon("a connection", owner.connected()).await.unwrap();
    owner
        .create("/shown", b"x".to_vec(), Mode::Persistent)
        .await
        .unwrap();
    with_login.access = Access::Private;
    let private = Session::start(&root, with_login).unwrap();
    soon("a connection", private.connected()).await.unwrap();
    private
        .create("/hidden", b"x".to_vec(), Mode::Persistent)
        .await
        .unwrap();

    let other = Session::start(&root, options(&servers)).unwrap();
    soon("a connection", other.connected()).await.unwrap();
    assert_eq!(other.read("/shown").await.unwrap().data, b"x");
    let denied = other.put("/shown", Vec::new(), None).await.unwrap_err();
    assert_eq!(
        (denied.retry(), denied.kind),
        (Retry::Never, ErrorKind::NoAuth)
    );
    let denied = other.read("/hidden").await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::NoAuth);
    assert_eq!(
        owner
            .put("/shown", Vec::new(), Some(0))
            .await
            .unwrap()
            .version,
        1
    );
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_what_is_bound_to_the_session_at_once(root: Group) {
    let server = ZooKeeper::shared();
    let stopped = session(&root, &server, "operations/stop").await;
    let dropped = session(&root, &server, "operations/stop").await;
    let other = session(&root, &server, "operations/stop").await;
    for (session, path) in [(&stopped, "/stopped"), (&dropped, "/dropped")] {
        session
            .create(path, Vec::new(), Mode::Ephemeral)
            .await
            .unwrap();
    }
    stopped.stop().await;
    other.sync().await.unwrap();
    assert_eq!(other.exists("/stopped").await.unwrap(), None);
    assert_eq!(*stopped.state().borrow(), State::Stopped);
    assert_eq!(stopped.connected().await, Err(ErrorKind::Stopped));
    let refused = stopped.read("/stopped").await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Stopped);

    let mut state = dropped.state();
    drop(dropped);
    soon(
        "it ends with its last handle",
        state.wait_for(State::is_stopped),
    )
    .await
    .unwrap();
    other.sync().await.unwrap();
    assert_eq!(other.exists("/dropped").await.unwrap(), None);
    assert!(root.stop().await.is_clean());
}
