use muster_scaler_core::provider::Refusal;
use muster_tasks::Group;
use serde_json::{Value, json};

use super::answer;
use crate::http::Reply;
use crate::testing::{Fault, HetznerWorld, World, conformance};

#[muster_tasks::test]
async fn passes_the_suite(root: Group) {
    conformance::conformance(&HetznerWorld::new(&root).await).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_page_that_fails_makes_a_listing_incomplete(root: Group) {
    let world = HetznerWorld::new(&root).await;
    let provider = world.provider();
    for number in 0..5 {
        let labels = [("muster-owner".to_owned(), "o".to_owned())].into();
        world.plant(&format!("m-{number}"), &labels).await;
    }
    let check = async |complete, count| {
        let listing = provider.list_owned("o").await.unwrap();
        assert_eq!((listing.complete, listing.servers.len()), (complete, count));
    };
    check(true, 5).await;
    world.fault(Fault::Partial);
    check(false, 4).await;
    check(true, 5).await;
    assert!(root.stop().await.is_clean());
}

#[test]
fn finds_the_address_of_a_server() {
    let check = |ipv4: Value, private: Value, ipv6: Value, want: Option<&str>| {
        let server = json!({ "id": 1, "name": "m", "status": "running",
            "public_net": { "ipv4": ipv4, "ipv6": ipv6 }, "private_net": private });
        assert_eq!(answer::server(&server).unwrap().address.as_deref(), want);
    };
    let (ipv4, none) = (json!({ "ip": "192.0.2.7" }), json!([]));
    let ipv6 = |ip: &str| json!({ "ip": ip });
    let network = ipv6("2001:db8:1:2::/64");
    check(ipv4, none.clone(), network.clone(), Some("192.0.2.7"));
    let private = json!([{ "ip": "10.0.0.2" }]);
    check(Value::Null, private, network.clone(), Some("10.0.0.2"));
    check(Value::Null, none.clone(), network, Some("2001:db8:1:2::1"));
    let address = ipv6("2001:db8:1:2::6");
    check(Value::Null, none.clone(), address, Some("2001:db8:1:2::6"));
    check(Value::Null, none.clone(), ipv6("none/64"), None);
    check(Value::Null, none, Value::Null, None);
}

#[test]
fn tells_refusals_apart() {
    let check = |status, code: &str, want| {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        let reply = Reply {
            status,
            headers: Default::default(),
            body: body.into_bytes(),
        };
        assert_eq!(answer::refusal(&reply), want, "{status} {code}");
        assert_eq!(
            answer::complaint(&reply),
            format!("status {status}: {code}: m")
        );
    };
    check(403, "resource_limit_exceeded", Some(Refusal::Quota));
    check(412, "resource_unavailable", Some(Refusal::Capacity));
    check(412, "placement_error", Some(Refusal::Capacity));
    check(429, "rate_limit_exceeded", Some(Refusal::RateLimit));
    check(423, "locked", Some(Refusal::RateLimit));
    check(401, "unauthorized", Some(Refusal::Invalid));
    check(422, "invalid_input", Some(Refusal::Invalid));
    check(500, "server_error", None);
    check(504, "timeout", None);
}
