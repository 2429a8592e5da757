//! Watches, and what they say when the session changes.

use muster_tasks::Group;
use muster_testkit::ZooKeeper;
use muster_zookeeper::{Event, Lost, Mode, Session, State};

use super::{later, session, soon, told};

async fn expire(session: &Session, root: &Group) {
    loop {
        let before = soon("a connection", session.connected()).await.unwrap();
        session.expire(root).await.unwrap();
        // If the session was taken back meanwhile, once more.
        if later(session, &before).await.sessions > before.sessions {
            return;
        }
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_of_all_below(root: Group) {
    let server = ZooKeeper::shared();
    let writer = session(&root, &server, "watching/below").await;
    let reader = session(&root, &server, "watching/below").await;
    let mut watch = reader.watch("/a").unwrap();
    let mut same = reader.watch("/a").unwrap();
    assert_eq!(soon("the first", watch.next()).await, Some(Event::Resync));
    assert_eq!(soon("the first", same.next()).await, Some(Event::Resync));
    let changed = |path: &str| Event::Changed(path.to_owned());
    writer
        .create_all("/a/b/c", Vec::new(), Mode::Persistent)
        .await
        .unwrap();
    told(&mut watch, changed("/a")).await;
    told(&mut watch, changed("/a/b")).await;
    told(&mut watch, changed("/a/b/c")).await;
    drop(same);
    writer.put("/a/b/c", b"x".to_vec(), None).await.unwrap();
    told(&mut watch, changed("/a/b/c")).await;
    writer
        .create("/outside", Vec::new(), Mode::Persistent)
        .await
        .unwrap();
    writer.delete("/a/b/c", None).await.unwrap();
    assert_eq!(soon("the end", watch.next()).await, Some(changed("/a/b/c")));
    reader.stop().await;
    assert_eq!(watch.next().await, None);
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_reconnection_nothing_is_missed(root: Group) {
    let server = ZooKeeper::shared();
    let writer = session(&root, &server, "watching/again").await;
    let reader = session(&root, &server, "watching/again").await;
    let mut watch = reader.watch("/").unwrap();
    told(&mut watch, Event::Resync).await;
    // A third in so short a time would cost the session.
    for n in 0..2 {
        let before = reader.connected().await.unwrap();
        reader
            .inject(muster_zookeeper::Fault::Poison)
            .await
            .unwrap();
        let path = format!("/n{n}");
        writer
            .create(&path, Vec::new(), Mode::Persistent)
            .await
            .unwrap();
        told(&mut watch, Event::Resync).await;
        let now = later(&reader, &before).await;
        assert_eq!((now.session, now.sessions), (before.session, 1));
        assert!(
            reader
                .children("/")
                .await
                .unwrap()
                .contains(&path[1..].to_owned())
        );
        // The watch lives on the new connection.
        writer.put(&path, b"x".to_vec(), None).await.unwrap();
        told(&mut watch, Event::Changed(path)).await;
    }
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_session_is_followed_by_a_new_one(root: Group) {
    let server = ZooKeeper::shared();
    let session = session(&root, &server, "watching/expired").await;
    let before = session.connected().await.unwrap();
    session
        .create("/mine", Vec::new(), Mode::Ephemeral)
        .await
        .unwrap();
    let mut watch = session.watch("/").unwrap();
    told(&mut watch, Event::Resync).await;
    let mut state = session.state();
    let lost = async {
        let is_lost = |state: &State| {
            matches!(
                state,
                State::Lost {
                    why: Lost::Expired,
                    ..
                }
            )
        };
        // The state may have gone on before it is seen.
        let is_new = |state: &State| state.connection().is_some_and(|c| c.sessions > 1);
        let seen = |state: &State| is_lost(state) || is_new(state);
        state.wait_for(seen).await.unwrap();
    };
    tokio::join!(expire(&session, &root), soon("it is lost", lost));
    let now = later(&session, &before).await;
    assert_eq!(now.sessions, before.sessions + 1);
    assert_ne!(now.session, before.session);
    told(&mut watch, Event::Resync).await;
    assert_eq!(session.exists("/mine").await.unwrap(), None);
    let mine = session
        .create("/mine", Vec::new(), Mode::Ephemeral)
        .await
        .unwrap();
    assert_eq!(mine.owner, Some(now.session));
    assert_eq!(session.stats().rebuilds, 0);
    assert!(root.stop().await.is_clean());
}
