use std::sync::Arc;

use muster_scaler_core::provider::{CreateAnswer, Limits, Phase, Provider, Refusal};
use muster_tasks::Group;
use serde_json::json;

use super::nova;
use crate::http::Reply;
use crate::testing::{Fault, NovaWorld, World, conformance};

#[muster_tasks::test]
async fn passes_the_suite(root: Group) {
    conformance::conformance(&NovaWorld::new(&root).await).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn logs_in_once_for_many_calls(root: Group) {
    let world = NovaWorld::new(&root).await;
    let provider = world.provider();
    for _ in 0..3 {
        assert!(provider.list_owned("o").await.unwrap().complete);
    }
    assert_eq!(world.logins(), 1);
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn logs_in_by_an_application_credential(root: Group) {
    let world = NovaWorld::new(&root).await;
    let provider = world.with_application_credential(None);
    assert!(provider.list_owned("o").await.unwrap().complete);
    let error = world
        .with_application_credential(Some("no-secret-81c4"))
        .list_owned("o")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("401"), "{error}");
    assert!(!error.contains("81c4"), "{error}");
    assert!(root.stop().await.is_clean());
}

/// A server that was lost in a dead cell may be the one that is to be made.
#[muster_tasks::test]
async fn makes_nothing_while_a_cell_is_dead(root: Group) {
    let world = NovaWorld::new(&root).await;
    let provider = world.provider();
    let spec = conformance::spec("m-cell");
    let made = provider.create(&spec).await;
    assert!(matches!(made, CreateAnswer::Created(_)), "{made:?}");
    assert!(world.fault(Fault::Partial));
    let again = provider.create(&spec).await;
    let is_refusal = matches!(again, CreateAnswer::Refused(Refusal::RateLimit, _));
    assert!(is_refusal, "{again:?}");
    assert_eq!(world.servers().await.len(), 1);
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_look_that_fails_before_a_creation_is_a_refusal(root: Group) {
    let world = NovaWorld::new(&root).await;
    let check = async |provider: &dyn Provider, what: &str| {
        let answer = provider.create(&conformance::spec("m-look")).await;
        let is_refusal = matches!(answer, CreateAnswer::Refused(Refusal::RateLimit, _));
        assert!(is_refusal, "{what}: {answer:?}");
        assert!(world.servers().await.is_empty(), "{what}");
    };
    let hasty = world.with("timeout", "500ms");
    let logged_in = async || hasty.list_owned("o").await.ok();
    conformance::until("it is logged in", logged_in).await;
    assert!(world.fault(Fault::Hang));
    check(&*hasty, "a listing that hangs").await;
    for option in ["flavor", "image"] {
        check(&*world.with(option, NovaWorld::BUSY), option).await;
    }
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn reads_all_pages(root: Group) {
    let world = NovaWorld::new(&root).await;
    let provider: Arc<_> = world.provider();
    for number in 0..7 {
        let labels = [("muster-owner".to_owned(), "o".to_owned())].into();
        world.plant(&format!("m-{number}"), &labels).await;
    }
    let listing = provider.list_owned("o").await.unwrap();
    assert!(listing.complete);
    assert_eq!(listing.servers.len(), 7);
    assert!(root.stop().await.is_clean());
}

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        headers: Default::default(),
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn tells_refusals_apart() {
    let check = |status, body: &str, want| {
        assert_eq!(nova::refusal(&reply(status, body)), want, "{status} {body}");
    };
    let quota = r#"{"forbidden":{"message":"Quota exceeded for cores: Requested 4, but already used 20 of 20 cores"}}"#;
    check(403, quota, Some(Refusal::Quota));
    check(
        403,
        r#"{"forbidden":{"message":"Policy doesn't allow it"}}"#,
        Some(Refusal::Invalid),
    );
    check(
        400,
        r#"{"badRequest":{"message":"Can not find requested image"}}"#,
        Some(Refusal::Invalid),
    );
    check(429, "", Some(Refusal::RateLimit));
    check(
        413,
        r#"{"overLimit":{"message":"slow down"}}"#,
        Some(Refusal::RateLimit),
    );
    check(500, "", None);
    check(503, "", None);
    assert_eq!(
        nova::complaint(&reply(403, quota)),
        "status 403: Quota exceeded for cores: Requested 4, but already used 20 of 20 cores"
    );
}

#[test]
fn a_stub_is_no_server() {
    let stub = json!({ "id": "1", "status": "UNKNOWN", "links": [] });
    let whole = json!({ "id": "2", "name": "m", "status": "ERROR", "metadata": { "k": "v" },
        "fault": { "message": "No valid host was found." },
        "addresses": { "net": [{ "addr": "10.0.0.5", "OS-EXT-IPS:type": "fixed" }, { "addr": "192.0.2.1", "OS-EXT-IPS:type": "floating" }] },
        "created": "2026-11-22T07:00:00Z" });
    let page = nova::page(&json!({ "servers": [stub, whole], "servers_links": [
        { "rel": "next", "href": "http://internal/v2.1/servers/detail?limit=2&marker=2" }] }));
    assert!(!page.complete);
    assert_eq!(page.next.as_deref(), Some("limit=2&marker=2"));
    let [server] = page.servers.as_slice() else {
        panic!("{page:?}")
    };
    assert_eq!(
        server.phase,
        Phase::Error("No valid host was found.".to_owned())
    );
    assert_eq!(server.address.as_deref(), Some("192.0.2.1"));
    assert_eq!(
        server.created.map(muster_scaler_core::Time::millis),
        Some(1_795_330_800_000)
    );
    assert!(!nova::page(&json!({})).complete);
}

#[test]
fn reads_limits_and_versions() {
    let limits = nova::limits(&json!({ "limits": { "absolute": {
        "maxTotalInstances": 10, "totalInstancesUsed": 3, "maxTotalCores": -1, "totalCoresUsed": 4,
        "maxTotalRAMSize": 512, "totalRAMUsed": 64 } } }));
    let notes = vec!["MiB of memory: 64 of 512 are used".to_owned()];
    assert_eq!(
        limits,
        Limits {
            servers: Some(10),
            used: Some(3),
            notes
        }
    );
    let version = |text: &str| nova::check_version(&json!({ "version": { "version": text } }));
    assert!(version("2.53").unwrap_err().contains("2.69"));
    assert!(version("2.100").is_ok());
}
