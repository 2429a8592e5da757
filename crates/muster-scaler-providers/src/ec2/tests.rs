use muster_options::Secret;
use muster_scaler_core::Time;
use muster_scaler_core::provider::{CreateAnswer, Phase, Refusal};
use muster_tasks::Group;

use super::{answer, sign};
use crate::http::Reply;
use crate::testing::{Ec2World, Fault, World, conformance};

#[muster_tasks::test]
async fn passes_the_suite(root: Group) {
    conformance::conformance(&Ec2World::new(&root).await).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_page_that_fails_makes_a_listing_incomplete(root: Group) {
    let world = Ec2World::new(&root).await;
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
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_look_that_fails_before_a_creation_is_a_refusal(root: Group) {
    let world = Ec2World::new(&root).await;
    let provider = world.with("timeout", "500ms");
    world.fault(Fault::Hang);
    let answer = provider.create(&conformance::spec("m-look")).await;
    let is_refusal = matches!(answer, CreateAnswer::Refused(Refusal::RateLimit, _));
    assert!(is_refusal, "{answer:?}");
    assert!(world.servers().await.is_empty());
    assert!(root.stop().await.is_clean());
}

/// The example that Amazon publishes for a form.
#[test]
fn signs_as_amazon_does() {
    let signer = sign::Signer {
        region: "us-east-1",
        service: "service",
        key: "AKIDEXAMPLE",
        secret: &Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session: &Secret::default(),
    };
    let now = Time::from_secs(1_440_938_160);
    let headers = signer.headers("example.amazonaws.com", "Param1=value1", now);
    let authorization = headers.iter().find(|(name, _)| *name == "authorization");
    assert_eq!(
        authorization.map(|(_, value)| value.as_str()),
        Some(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        )
    );
}

#[test]
fn tells_refusals_apart() {
    let check = |status, code: &str, want| {
        let body = format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>m</Message></Error></Errors></Response>"
        );
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
    check(400, "InstanceLimitExceeded", Some(Refusal::Quota));
    check(400, "VcpuLimitExceeded", Some(Refusal::Quota));
    check(500, "InsufficientInstanceCapacity", Some(Refusal::Capacity));
    check(503, "RequestLimitExceeded", Some(Refusal::RateLimit));
    check(400, "InvalidAMIID.NotFound", Some(Refusal::Invalid));
    check(401, "AuthFailure", Some(Refusal::Invalid));
    check(500, "InternalError", None);
    check(503, "Unavailable", None);
}

#[test]
fn reads_instances() {
    let text = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
        <reservationSet><item><instancesSet>
        <item><instanceId>i-1</instanceId><instanceState><code>16</code><name>running</name></instanceState>
          <privateIpAddress>10.0.0.5</privateIpAddress><launchTime>2026-11-22T07:00:00.000Z</launchTime>
          <tagSet><item><key>Name</key><value>m-1</value></item><item><key>muster-owner</key><value>o</value></item></tagSet></item>
        <item><instanceId>i-2</instanceId><instanceState><name>terminated</name></instanceState></item>
        </instancesSet></item></reservationSet><nextToken>t</nextToken></DescribeInstancesResponse>"#;
    let page = answer::page(text).unwrap();
    assert_eq!(page.next.as_deref(), Some("t"));
    let [server] = page.servers.as_slice() else {
        panic!("{page:?}")
    };
    assert_eq!(
        (server.name.as_str(), &server.phase),
        ("m-1", &Phase::Active)
    );
    assert!(server.belongs_to("o"));
    assert_eq!(server.address.as_deref(), Some("10.0.0.5"));
    assert_eq!(server.created.map(Time::millis), Some(1_795_330_800_000));
    assert!(answer::page("<html/>").is_none());
    assert!(answer::page(&text.replace("<instanceId>i-1</instanceId>", "")).is_none());
}
