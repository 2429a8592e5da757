use std::collections::BTreeMap;

use async_trait::async_trait;
use muster_net::http_server::{Limits, serve};
use muster_net::{Address, ClientBuilder, SocketOptions, TlsClientOptions, listen};
use muster_plugin::{ComponentId, Kind, Resources, StartContext};
use muster_scaler_core::config::{Config, GitlabConfig, Mode};
use muster_scaler_core::{Event, Happening, ProviderId, Server, ServerName, ServerState, decide};
use muster_tasks::Group;

use super::*;
use crate::clock::Moment;
use crate::controller::Setup;
use crate::desk::Change;
use crate::observer::{Observe, Seen};
use crate::store::Join;

#[derive(Debug)]
struct Blind;

#[async_trait]
impl Observe for Blind {
    async fn observe(&self, _: Moment, _: &Ledger) -> Seen {
        Seen::nothing("nobody looks")
    }
}

struct Scene {
    controller: Arc<Controller>,
    web: Arc<Web>,
    url: String,
    _state: tempfile::TempDir,
}

/// A scaler with one server that is asked for and may join with the word "w0rd".
async fn scene(group: &Group) -> Scene {
    let state = tempfile::tempdir().unwrap();
    let config = Config {
        mode: Mode::Observe,
        owner: "o".to_owned(),
        gitlab: Some(GitlabConfig {
            webhook_token: Secret::new("hook-word"),
            ..GitlabConfig::default()
        }),
        ..Config::default()
    };
    let hooks = Arc::new(Observer::new(&config).unwrap());
    let setup = Setup {
        config: Arc::new(config),
        state: state.path().to_owned(),
        providers: BTreeMap::new(),
        runners: None,
        observer: Arc::new(Blind),
        decide,
    };
    let controller = Arc::new(Controller::start(group, setup).await.unwrap());
    let id = ProviderId {
        pool: "p".to_owned(),
        at: 0,
    };
    let name = ServerName("p-1".to_owned());
    let now = controller.clock().now();
    let join = Join {
        word: word::hash("w0rd"),
        config: "concurrent = 1\ntoken = \"t\"\n".to_owned(),
        asked_by: None,
    };
    let change = Change {
        events: vec![
            Event::Planned(Box::new(Server::plan(name.clone(), "p", id, now))),
            Event::server(&name, now, Happening::Requesting),
            Event::server(&name, now, Happening::Exists("id-1".to_owned())),
        ],
        join: Some((name, join)),
    };
    controller.desk().change(change).await.unwrap();
    let word = Secret::new("hook-word");
    let web = Arc::new(Web::new(hooks, word, "o".to_owned()));
    web.serve(Some(Arc::clone(&controller)));
    let component = ComponentId::new(Kind::Input, "test");
    let cx = StartContext::new(component, group.clone(), Resources::new(), BODY_TIME);
    let address = Address::parse("tcp://127.0.0.1:0").unwrap();
    let listening = listen(&cx, &address, None, SocketOptions::default())
        .await
        .unwrap();
    let url = format!("http://{}", listening.local_address());
    let served = Arc::clone(&web);
    group
        .go_cx("http", move |cx| async move {
            let answer = move |request| {
                let web = Arc::clone(&served);
                async move { web.answer(request).await }
            };
            serve(&cx, &listening, Limits::default(), answer).await;
        })
        .unwrap();
    Scene {
        controller,
        web,
        url,
        _state: state,
    }
}

fn client() -> muster_net::Client {
    let builder = ClientBuilder::new(BODY_TIME);
    builder.build(&TlsClientOptions::default()).unwrap()
}

impl Scene {
    async fn end(self, group: &Group) {
        self.web.serve(None);
        drop(self.controller);
        assert!(group.stop().await.is_clean());
    }
}

#[muster_tasks::test]
async fn a_word_joins_once_and_no_other_does(group: Group) {
    let scene = scene(&group).await;
    let client = client();
    let join = |word: &'static str| client.post(format!("{}/join", scene.url)).body(word).send();
    assert_eq!(join("word").await.unwrap().status(), 403);
    assert_eq!(
        join(&"w0rd".repeat(100).leak()[..]).await.unwrap().status(),
        413
    );
    let joined = join("w0rd\n").await.unwrap();
    assert_eq!(joined.status(), 200);
    assert!(joined.text().await.unwrap().starts_with("concurrent = 1"));
    let ledger = scene.controller.desk().ledger();
    let state = ledger.servers.values().next().unwrap().state;
    assert_eq!(state, ServerState::Joined);
    assert_eq!(join("w0rd").await.unwrap().status(), 403);
    assert_eq!(join("w0rd 1").await.unwrap().status(), 403);
    drop(client);
    scene.end(&group).await;
}

#[muster_tasks::test]
async fn a_server_whose_answer_was_lost_asks_again_and_nobody_else_can(group: Group) {
    let scene = scene(&group).await;
    let client = client();
    let join = |word: &'static str| client.post(format!("{}/join", scene.url)).body(word).send();
    let first = join("w0rd 0123").await.unwrap().text().await.unwrap();
    assert!(first.starts_with("concurrent = 1"));
    for other in ["w0rd", "w0rd 4567", "word 0123"] {
        assert_eq!(join(other).await.unwrap().status(), 403, "{other}");
    }
    assert_eq!(
        join("w0rd 0123").await.unwrap().text().await.unwrap(),
        first
    );
    drop(client);
    scene.end(&group).await;
}

#[muster_tasks::test]
async fn servers_are_discovered_with_their_address(group: Group) {
    let scene = scene(&group).await;
    let client = client();
    let get = || client.get(format!("{}/sd/prometheus", scene.url)).send();
    assert_eq!(get().await.unwrap().text().await.unwrap(), "[]");
    let now = scene.controller.clock().now();
    let name = ServerName("p-1".to_owned());
    let address = Happening::Address("10.0.0.9".to_owned());
    let event = Event::server(&name, now, address);
    scene.controller.desk().events(vec![event]).await.unwrap();
    let found: Value = serde_json::from_str(&get().await.unwrap().text().await.unwrap()).unwrap();
    let wanted = json!([{
        "targets": ["10.0.0.9:9252"],
        "labels": {"muster_owner": "o", "muster_pool": "p", "muster_server": "p-1"},
    }]);
    assert_eq!(found, wanted);
    scene.web.serve(None);
    assert_eq!(get().await.unwrap().status(), 503);
    drop(client);
    scene.end(&group).await;
}

#[muster_tasks::test]
async fn webhooks_need_the_word(group: Group) {
    let scene = scene(&group).await;
    let client = client();
    let hook = |word: &'static str, body: &'static str| {
        let request = client.post(format!("{}/hooks/gitlab", scene.url));
        let request = request.header("x-gitlab-token", word);
        request
            .header("x-gitlab-event", "Job Hook")
            .body(body)
            .send()
    };
    assert_eq!(hook("hook-wort", "{}").await.unwrap().status(), 401);
    assert_eq!(hook("", "{}").await.unwrap().status(), 401);
    assert_eq!(hook("hook-word", "no json").await.unwrap().status(), 400);
    let get = client.get(format!("{}/hooks/gitlab", scene.url)).send();
    assert_eq!(get.await.unwrap().status(), 405);
    drop(client);
    scene.end(&group).await;
}

#[test]
fn metrics_are_at_the_runners_port_unless_said_otherwise() {
    let check = |address: &str, want: &str| assert_eq!(with_port(address), want);
    check("10.0.0.9", "10.0.0.9:9252");
    check("10.0.0.9:9300", "10.0.0.9:9300");
    check("fd00::9", "[fd00::9]:9252");
    check("[fd00::9]:9300", "[fd00::9]:9300");
    check("ci-1.example", "ci-1.example:9252");
}
