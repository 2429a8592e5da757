//! The suite against a real Keystone, Placement and Nova with the fake driver. `scripts/test full` runs
//! it: it needs Debian's packages and a minute to set up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod cloud;
mod front;

use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Phase, Provider, Refusal,
};
use muster_scaler_providers::testing::{World, conformance};
use muster_tasks::Group;
use reqwest::Method;
use serde_json::{Value, json};

use cloud::Cloud;

#[muster_tasks::test]
async fn a_real_openstack_passes_the_suite(root: Group) {
    let cloud = Cloud::start(&root).await;
    conformance::conformance(&cloud).await;
    by_application_credential(&cloud).await;
    deleted_while_built(&cloud).await;
    in_a_dead_cell(&cloud).await;
    frozen(&cloud).await;
    quota_and_pages(&cloud).await;
    drop(cloud);
    assert!(root.stop().await.is_clean());
}

async fn becomes(provider: &dyn Provider, id: &str, phase: &Phase) {
    conformance::until(&format!("{id} is {phase:?}"), async || {
        match provider.describe(id).await {
            DescribeAnswer::Found(server) => (server.phase == *phase).then_some(()),
            other => panic!("it is there: {other:?}"),
        }
    })
    .await;
}

/// Logs in as the manual recommends it.
async fn by_application_credential(cloud: &Cloud) {
    let front = &cloud.front;
    let url = format!(
        "{}/users/{}/application_credentials",
        front.about("auth_url"),
        front.about("user")
    );
    let wanted =
        json!({ "application_credential": { "name": "muster", "roles": [{ "name": "admin" }] } });
    let made = front.ask(Method::POST, url, &wanted).await;
    let part = |key: &str| made["application_credential"][key].as_str().unwrap();
    let secret = part("secret");
    let login = [
        ("username", ""),
        ("password", ""),
        ("project", ""),
        ("application_credential_id", part("id")),
        ("application_credential_secret", secret),
    ];
    let provider = cloud.build(&login);
    assert!(provider.list_owned("o").await.unwrap().complete);
    assert!(!format!("{provider:?}").contains(secret));
    let wrong = [login.as_slice(), &[("application_credential_secret", "no")]].concat();
    let error = cloud.build(&wrong).limits().await.unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
}

/// A server that is deleted before anything has built it is gone, too.
async fn deleted_while_built(cloud: &Cloud) {
    let provider = cloud.provider();
    for round in 0..5 {
        let id = conformance::create(&*provider, &format!("m-brief-{round}")).await;
        conformance::delete(&*provider, &id).await;
    }
}

/// Nobody says of a server whose cell is dead that it is gone.
async fn in_a_dead_cell(cloud: &Cloud) {
    let provider = cloud.provider();
    let id = conformance::create(&*provider, "m-cell").await;
    becomes(&*provider, &id, &Phase::Active).await;
    cloud.front.take_down(true);
    assert!(
        !provider
            .list_owned(conformance::OWNER)
            .await
            .unwrap()
            .complete
    );
    let described = provider.describe(&id).await;
    assert!(
        matches!(described, DescribeAnswer::Unknown(_)),
        "{described:?}"
    );
    let deleted = provider.delete(&id, conformance::OWNER).await;
    assert!(matches!(deleted, DeleteAnswer::Unknown(_)), "{deleted:?}");
    let again = provider.create(&conformance::spec("m-cell")).await;
    assert!(
        matches!(again, CreateAnswer::Refused(Refusal::RateLimit, _)),
        "{again:?}"
    );
    cloud.front.take_down(false);
    // A server that somebody has shut down is there still.
    let stop = json!({ "os-stop": null });
    cloud
        .ask(Method::POST, &format!("/servers/{id}/action"), &stop)
        .await;
    becomes(&*provider, &id, &Phase::Stopped).await;
    conformance::delete(&*provider, &id).await;
}

/// A Nova that takes connections and answers nothing.
async fn frozen(cloud: &Cloud) {
    let provider = cloud.provider();
    let nova = cloud.front.about.get().unwrap()["nova"].to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args([name, &nova])
            .status();
        assert!(sent.unwrap().success());
    };
    let hasty = cloud.build(&[("timeout", "1s")]);
    signal("-STOP");
    let listed = hasty.list_owned(conformance::OWNER).await;
    let described = hasty.describe("00000000-0000-4000-8000-000000000000").await;
    let created = hasty.create(&conformance::spec("m-frozen")).await;
    signal("-CONT");
    assert!(listed.is_err(), "{listed:?}");
    assert!(
        matches!(described, DescribeAnswer::Unknown(_)),
        "{described:?}"
    );
    assert!(
        matches!(created, CreateAnswer::Refused(Refusal::RateLimit, _)),
        "{created:?}"
    );
    let listed = provider.list_owned(conformance::OWNER).await.unwrap();
    assert!(listed.complete && listed.servers.is_empty(), "{listed:?}");
}

/// The quota, and a listing that has more than one page.
async fn quota_and_pages(cloud: &Cloud) {
    let provider = cloud.provider();
    let limits = provider.limits().await.unwrap();
    assert_eq!(limits.servers, Some(10), "Nova's default quota");
    assert_eq!(limits.used, Some(4), "the foreign servers of the suite");
    assert_eq!(
        limits.notes,
        [
            "cores: 4 of 20 are used",
            "MiB of memory: 256 of 51200 are used"
        ]
    );
    for number in 0..6 {
        let id = conformance::create(&*provider, &format!("m-{number}")).await;
        // What Nova is yet to build has no part in its pages.
        becomes(&*provider, &id, &Phase::Active).await;
    }
    let refused = provider.create(&conformance::spec("m-more")).await;
    assert!(
        matches!(refused, CreateAnswer::Refused(Refusal::Quota, _)),
        "{refused:?}"
    );
    let page = cloud.ask(Method::GET, "/servers", &Value::Null).await;
    assert!(page["servers_links"].is_array(), "not all are on one page");
    let listing = provider.list_owned(conformance::OWNER).await.unwrap();
    assert!(listing.complete);
    let mut names: Vec<String> = listing.servers.into_iter().map(|one| one.name).collect();
    names.sort();
    let wanted: Vec<String> = (0..6).map(|number| format!("m-{number}")).collect();
    assert_eq!(names, wanted);
}
