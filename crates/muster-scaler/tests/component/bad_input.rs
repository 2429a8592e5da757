//! What is wrong is said, and nothing wrong is done for it.

use std::fs;
use std::path::Path;

use muster_gitlab::double::{Double, Fault as GitlabFault};
use muster_net::testing::{FakeHttp, answer};
use muster_scaler::Status;
use muster_scaler_core::ServerState;
use muster_scaler_providers::testing::{HetznerWorld, World};
use muster_tasks::Group;
use toml::Table;

use super::scene::{Scene, gitlab, has, options, prometheus};

/// Where one job waits for one server of a pool at Hetzner.
struct Sources {
    metrics: FakeHttp,
    gitlab: Double,
    world: HetznerWorld,
}

impl Sources {
    async fn start(group: &Group) -> Self {
        Self {
            metrics: prometheus(group).await,
            gitlab: gitlab(group, &[""]).await,
            world: HetznerWorld::new(group).await,
        }
    }

    fn options(&self, state: &Path, token: &str, provider: &Table) -> String {
        let (own, provider) = (options(state), toml::to_string(provider).unwrap());
        format!(
            r#"{own}
            [prometheus]
            url = "{}"
            [gitlab]
            url = "{}"
            token = "{token}"
            poll = "1s"
            projects = ["shop/web"]
            [[pool]]
            name = "p"
            run_untagged = true
            [[pool.provider]]
            {provider}
            "#,
            self.metrics.url(),
            self.gitlab.url(),
        )
    }

    /// A scaler with all that it needs.
    async fn well(&self, state: &Path) -> Scene {
        let token = self.gitlab.scaler_token();
        Scene::set(&self.options(state, &token, &self.world.table())).await
    }

    /// Nobody was asked for anything but to tell.
    async fn untouched(&self) {
        assert!(self.gitlab.runners().is_empty());
        assert!(self.world.servers().await.is_empty());
    }
}

/// Whether there is such an alarm that says that.
fn alarmed(status: &Status, code: &str, text: &str) -> bool {
    let mut alarms = status.alarms.iter();
    alarms.any(|alarm| alarm.code == code && alarm.text.contains(text))
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_wrong_or_lacks_a_scope_makes_nothing(group: Group) {
    let sources = Sources::start(&group).await;
    let table = sources.world.table();
    let state = tempfile::tempdir().unwrap();
    let scene = Scene::set(&sources.options(state.path(), "glpat-wrong", &table)).await;
    scene
        .until("it says so", |status| {
            alarmed(status, "observation_unhealthy", "401")
        })
        .await;
    scene.decisions(2).await;
    scene.end().await;
    sources.untouched().await;

    let state = tempfile::tempdir().unwrap();
    let reader = sources.gitlab.add_token(&["read_api"], true);
    let scene = Scene::set(&sources.options(state.path(), &reader, &table)).await;
    scene
        .until("it says so", |status| {
            alarmed(status, "gitlab_failed", "scope")
        })
        .await;
    scene.decisions(2).await;
    scene.end().await;
    sources.untouched().await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_gitlab_cannot_be_reached_nothing_is_deleted(group: Group) {
    let sources = Sources::start(&group).await;
    let state = tempfile::tempdir().unwrap();
    let scene = sources.well(state.path()).await;
    scene.until("it comes", has(ServerState::Booting)).await;
    sources
        .gitlab
        .inject("", "", GitlabFault::Status(502), u32::MAX);
    scene
        .until("it says so", |status| {
            alarmed(status, "observation_unhealthy", "502")
        })
        .await;
    scene.decisions(3).await;
    scene.end().await;
    assert_eq!(sources.world.servers().await.len(), 1);
    assert_eq!(sources.gitlab.runners().len(), 1);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_whose_answers_are_broken_is_asked_once_for_each_server(group: Group) {
    let sources = Sources::start(&group).await;
    let broken = FakeHttp::start(&group, |_| answer(200, "<html>welcome</html>")).await;
    let mut table = sources.world.table();
    table.insert("url".to_owned(), format!("{}/v1", broken.url()).into());
    let state = tempfile::tempdir().unwrap();
    let token = sources.gitlab.scaler_token();
    let scene = Scene::set(&sources.options(state.path(), &token, &table)).await;
    scene.until("nobody knows", has(ServerState::Unknown)).await;
    scene.decisions(3).await;
    let status = scene.status();
    scene.end().await;
    let asked = broken
        .seen()
        .iter()
        .filter(|seen| seen.method == "POST")
        .count();
    assert_eq!(asked, 1);
    let server = status.ledger.servers.values().next().unwrap();
    assert_eq!(server.last_error.as_deref(), Some("the answer has no ID"));
    assert_eq!(status.ledger.servers.len(), 1);
    let health = status.providers.values().next().unwrap();
    assert!(!health.complete, "{health:?}");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_lost_or_torn_costs_no_server(group: Group) {
    let sources = Sources::start(&group).await;
    let state = tempfile::tempdir().unwrap();
    let scene = sources.well(state.path()).await;
    scene.until("it comes", has(ServerState::Booting)).await;
    scene.end().await;
    let servers = sources.world.servers().await;
    let known = |status: &Status| {
        let mut all = status.ledger.servers.values();
        all.any(|server| server.provider_id.as_ref() == Some(&servers[0].id))
    };
    let ledger = state.path().join("ledger.redb");
    let half = fs::metadata(&ledger).unwrap().len() / 2;
    fs::File::options()
        .write(true)
        .open(&ledger)
        .unwrap()
        .set_len(half)
        .unwrap();
    let scene = sources.well(state.path()).await;
    let said = |status: &Status| alarmed(status, "ledger_lost", "set aside") && known(status);
    scene.until("it is adopted", said).await;
    scene.decisions(2).await;
    scene.end().await;

    fs::remove_file(&ledger).unwrap();
    let scene = sources.well(state.path()).await;
    scene.until("it is adopted again", known).await;
    scene.decisions(2).await;
    scene.end().await;
    let ids = |servers: &[muster_scaler_core::provider::ListedServer]| -> Vec<String> {
        servers.iter().map(|server| server.id.clone()).collect()
    };
    assert_eq!(ids(&sources.world.servers().await), ids(&servers));
    assert!(group.stop().await.is_clean());
}
