//! Prometheus, GitLab and providers that take a connection and never answer.

use std::sync::Arc;
use std::time::Duration;

use muster_gitlab::double::Fault as GitlabFault;
use muster_scaler_core::ServerState;
use muster_scaler_providers::testing::{Fault, HetznerWorld, World};
use muster_tasks::Group;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::scene::{PATIENCE, Scene, gitlab, has, options, prometheus};

/// It takes connections and never answers. The number of those that were opened and of those that
/// the other side has closed.
struct Mute {
    url: String,
    counts: watch::Receiver<(usize, usize)>,
}

impl Mute {
    async fn start(group: &Group) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, counts) = watch::channel((0, 0));
        let (sender, peers) = (Arc::new(sender), group.clone());
        let accept = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                sender.send_modify(|(opened, _)| *opened += 1);
                let sender = Arc::clone(&sender);
                let read = async move {
                    let mut buffer = vec![0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                    sender.send_modify(|(_, closed)| *closed += 1);
                };
                if peers.go("mute peer", read).is_err() {
                    return;
                }
            }
        };
        group.go("mute", accept).unwrap();
        Self { url, counts }
    }

    /// Waits until that is true of the numbers of connections opened and closed.
    async fn until(&mut self, what: &str, is: impl Fn(usize, usize) -> bool) {
        let waits = self
            .counts
            .wait_for(|(opened, closed)| is(*opened, *closed));
        let came = tokio::time::timeout(PATIENCE, waits).await.is_ok();
        assert!(came, "{what}: {:?}", *self.counts.borrow());
    }
}

/// A scaler all of whose sources are mute, each with this deadline.
/// A Prometheus, a GitLab and a provider.
async fn three(group: &Group) -> [Mute; 3] {
    [
        Mute::start(group).await,
        Mute::start(group).await,
        Mute::start(group).await,
    ]
}

async fn all_are_closed(mutes: &mut [Mute; 3]) {
    for mute in mutes {
        mute.until("all are closed", |opened, closed| opened == closed)
            .await;
    }
}

async fn mute_scene(mutes: &[Mute; 3], state: &std::path::Path, deadline: &str) -> Scene {
    let [prometheus, gitlab, provider] = mutes.each_ref().map(|mute| &mute.url);
    let own = options(state);
    Scene::set(&format!(
        r#"{own}
        [prometheus]
        url = "{prometheus}"
        timeout = "{deadline}"
        [gitlab]
        url = "{gitlab}"
        token = "glpat-1"
        timeout = "{deadline}"
        projects = ["shop/web"]
        [[pool]]
        name = "p"
        run_untagged = true
        permanent = 'job="runner"'
        [[pool.provider]]
        kind = "hetzner"
        url = "{provider}/v1"
        token = "t"
        server_type = "cx32"
        image = "runner"
        location = "fsn1"
        timeout = "{deadline}"
        "#
    ))
    .await
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_ends_at_its_deadline_and_the_scaler_goes_on(group: Group) {
    let state = tempfile::tempdir().unwrap();
    let mut mutes = three(&group).await;
    let scene = mute_scene(&mutes, state.path(), "1s").await;
    for mute in &mut mutes {
        // The other side closes them while it goes on.
        mute.until("calls end", |_, closed| closed >= 2).await;
    }
    scene.decisions(2).await;
    let status = scene.status();
    let alarm = |code| status.alarms.iter().any(|alarm| alarm.code == code);
    assert!(alarm("observation_unhealthy"), "{:?}", status.alarms);
    let health = status.providers.values().next().unwrap();
    assert!(health.error.is_some(), "{health:?}");
    assert!(status.ledger.servers.is_empty());
    scene.end().await;
    all_are_closed(&mut mutes).await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_no_answer(group: Group) {
    let state = tempfile::tempdir().unwrap();
    let mut mutes = three(&group).await;
    let scene = mute_scene(&mutes, state.path(), "60s").await;
    for mute in &mut mutes {
        mute.until("a call", |opened, closed| opened > closed).await;
    }
    scene.end().await;
    all_are_closed(&mut mutes).await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_change_something_end_at_their_deadline_too(group: Group) {
    let state = tempfile::tempdir().unwrap();
    let double = gitlab(&group, &[""]).await;
    let (world, metrics) = (HetznerWorld::new(&group).await, prometheus(&group).await);
    double.inject("POST", "user/runners", GitlabFault::Hang, 1);
    let (own, token) = (options(state.path()), double.scaler_token());
    let provider = toml::to_string(&world.table()).unwrap();
    let scene = Scene::set(&format!(
        r#"{own}
        [prometheus]
        url = "{}"
        [gitlab]
        url = "{}"
        token = "{token}"
        timeout = "1s"
        poll = "1s"
        projects = ["shop/web"]
        [[pool]]
        name = "p"
        run_untagged = true
        [[pool.provider]]
        timeout = "1s"
        {provider}
        "#,
        metrics.url(),
        double.url(),
    ))
    .await;
    scene
        .until("the runner object is late", |status| {
            status.counts.gitlab_failures > 0
        })
        .await;
    // The next calls of the provider hang: listings, and the creation when it comes.
    while world.calls() == 0 || scene.status().counts.creates == 0 {
        world.fault(Fault::Hang);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.calm();
    scene.until("it comes", has(ServerState::Booting)).await;
    let quiet = tokio::time::timeout(PATIENCE, async {
        while world.calls() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(quiet.await.is_ok(), "a call is left");
    scene.end().await;
    assert!(group.stop().await.is_clean());
}
