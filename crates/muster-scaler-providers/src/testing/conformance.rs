//! The suite that all providers pass.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_options::Secret;
use muster_scaler_core::ServerName;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Listing, Phase, Provider, Refusal, ServerSpec,
    label,
};
use tokio::time::{Instant, sleep, timeout};

use super::{Fault, World};

/// The longest that an effect is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// The owner of the servers that are made here.
pub const OWNER: &str = "conform-1";

/// A word in the user data that must not come back.
const TOKEN: &str = "glrt-Conformance0123456789";

/// Runs the whole suite in a world, which must have no server of our owner.
///
/// # Panics
/// If the provider does not do what it must.
pub async fn conformance(world: &dyn World) {
    life(world).await;
    twice(world).await;
    ownership(world).await;
    lost_answers(world).await;
    refusals(world).await;
    hanging_calls(world).await;
    partial_listings(world).await;
    failing_builds(world).await;
    late_listings(world).await;
    credentials(world).await;
    secrets(world).await;
    broken(world).await;
}

/// A server to create.
pub fn spec(name: &str) -> ServerSpec {
    let labels = [
        (label::OWNER, OWNER),
        (label::POOL, "docker-small"),
        (label::NAME, name),
        (label::DECISION, "17"),
        (label::EXPIRES, "1795331294"),
    ];
    ServerSpec {
        name: ServerName(name.to_owned()),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        user_data: Secret::new(format!("#cloud-config\nruncmd: [\"echo {TOKEN}\"]\n")),
    }
}

/// create -> list -> describe -> delete -> gone.
async fn life(world: &dyn World) {
    let provider = world.provider();
    provider.limits().await.expect("limits can be asked");
    assert!(
        listing(&*provider).await.servers.is_empty(),
        "there are none at first"
    );
    let wanted = spec("m-life");
    let id = create(&*provider, "m-life").await;
    let listed = listing(&*provider).await;
    let [server] = listed.servers.as_slice() else {
        panic!("one server is listed: {listed:?}");
    };
    assert_eq!(
        (server.id.as_str(), server.name.as_str()),
        (id.as_str(), "m-life")
    );
    assert_eq!(
        server.labels, wanted.labels,
        "all labels, from the birth on"
    );
    until("it runs", async || match provider.describe(&id).await {
        DescribeAnswer::Found(server) => (server.phase == Phase::Active).then_some(()),
        other => panic!("it is there: {other:?}"),
    })
    .await;
    let DescribeAnswer::Found(server) = provider.describe(&id).await else {
        panic!("it is there");
    };
    assert_eq!(server.labels, wanted.labels);
    delete(&*provider, &id).await;
    assert_eq!(
        provider.delete(&id, OWNER).await,
        DeleteAnswer::Gone,
        "deleting again is no error"
    );
    until("it is gone in truth", async || {
        names(world).await.is_empty().then_some(())
    })
    .await;
}

/// A second creation with the same name makes no second server.
async fn twice(world: &dyn World) {
    let provider = world.provider();
    let id = create(&*provider, "m-twice").await;
    let again = world.provider().create(&spec("m-twice")).await;
    assert_eq!(again, CreateAnswer::AlreadyThere(id.clone()));
    assert_eq!(names(world).await, ["m-twice"]);
    delete(&*provider, &id).await;
}

/// What is not ours is not listed, not deleted and not taken for ours.
async fn ownership(world: &dyn World) {
    let provider = world.provider();
    let mut foreign = Vec::new();
    for (name, owner) in [
        ("m-theirs", Some("conform-10")),
        ("m-case", Some("Conform-1")),
        ("m-part", Some("conform")),
        ("m-nobody", None),
    ] {
        let mut labels: BTreeMap<String, String> = spec(name).labels;
        labels.remove(label::OWNER);
        labels.extend(owner.map(|owner| (label::OWNER.to_owned(), owner.to_owned())));
        foreign.push((world.plant(name, &labels).await, name));
    }
    let ours = create(&*provider, "m-ours").await;
    let listed = listing(&*provider).await;
    let ids: Vec<&str> = listed
        .servers
        .iter()
        .map(|server| server.id.as_str())
        .collect();
    assert_eq!(ids, [ours.as_str()], "only ours is listed");
    for (id, name) in &foreign {
        let refused = provider.delete(id, OWNER).await;
        assert!(
            matches!(refused, DeleteAnswer::Refused(_)),
            "{name}: {refused:?}"
        );
        let taken = provider.create(&spec(name)).await;
        match taken {
            // Where names need not be unique, there are two now.
            CreateAnswer::Created(new) if new != *id => delete(&*provider, &new).await,
            CreateAnswer::Refused(Refusal::Invalid, _) => {}
            other => panic!("{name} is not ours: {other:?}"),
        }
    }
    delete(&*provider, &ours).await;
    let mut left = names(world).await;
    left.sort();
    assert_eq!(
        left,
        ["m-case", "m-nobody", "m-part", "m-theirs"],
        "nobody else's server was touched"
    );
}

/// Nobody knows what became of a request whose answer is lost; a listing does.
async fn lost_answers(world: &dyn World) {
    let provider = world.provider();
    if world.fault(Fault::LoseAnswer) {
        let answer = provider.create(&spec("m-lost")).await;
        assert!(matches!(answer, CreateAnswer::Unknown(_)), "{answer:?}");
        let listed = listing(&*provider).await;
        let [server] = listed.servers.as_slice() else {
            panic!("it was made: {listed:?}");
        };
        let again = provider.create(&spec("m-lost")).await;
        assert_eq!(again, CreateAnswer::AlreadyThere(server.id.clone()));
        assert!(world.fault(Fault::LoseAnswer));
        let answer = provider.delete(&server.id, OWNER).await;
        assert!(matches!(answer, DeleteAnswer::Unknown(_)), "{answer:?}");
        gone(&*provider, &server.id).await;
    }
    if world.fault(Fault::LoseRequest) {
        let answer = provider.create(&spec("m-never")).await;
        assert!(matches!(answer, CreateAnswer::Unknown(_)), "{answer:?}");
        assert!(
            listing(&*provider).await.servers.is_empty(),
            "it was not made"
        );
    }
}

/// Refusals are told apart, and leave nothing behind.
async fn refusals(world: &dyn World) {
    let provider = world.provider();
    for (fault, want) in [
        (Fault::Quota, Refusal::Quota),
        (Fault::NoCapacity, Refusal::Capacity),
        (Fault::RateLimit, Refusal::RateLimit),
    ] {
        if !world.fault(fault) {
            continue;
        }
        match provider.create(&spec("m-refused")).await {
            CreateAnswer::Refused(refusal, why) => {
                assert_eq!(refusal, want, "{why}");
                assert!(!why.is_empty());
                assert!(listing(&*provider).await.servers.is_empty());
            }
            // Some take everything, and build a server that fails.
            CreateAnswer::Created(id) if fault == Fault::NoCapacity => fails(&*provider, &id).await,
            other => panic!("{fault:?}: {other:?}"),
        }
    }
}

/// A call that is dropped closes its connection or kills its process.
async fn hanging_calls(world: &dyn World) {
    let provider = world.provider();
    for verb in ["list", "create", "describe", "delete", "limits"] {
        if !world.fault(Fault::Hang) {
            return;
        }
        let call = async {
            match verb {
                "list" => drop(provider.list_owned(OWNER).await),
                "create" => drop(provider.create(&spec("m-hangs")).await),
                "describe" => drop(provider.describe("m-hangs").await),
                "delete" => drop(provider.delete("m-hangs", OWNER).await),
                _ => drop(provider.limits().await),
            }
            panic!("{verb} ended although nobody answered");
        };
        let at_hand = until("the call is at hand", async || {
            (world.calls() > 0).then_some(())
        });
        tokio::select! {
            () = call => {}
            () = at_hand => {}
        }
        until(verb, async || (world.calls() == 0).then_some(())).await;
    }
    assert!(
        listing(&*provider).await.servers.is_empty(),
        "nothing was made"
    );
}

/// A listing that lacks a part says so.
async fn partial_listings(world: &dyn World) {
    let provider = world.provider();
    let id = create(&*provider, "m-part-1").await;
    if world.fault(Fault::Partial) {
        match provider.list_owned(OWNER).await {
            Ok(listing) => assert!(!listing.complete, "{listing:?}"),
            // Where an answer comes whole or not at all.
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        assert_eq!(listing(&*provider).await.servers.len(), 1);
    }
    delete(&*provider, &id).await;
}

/// A server that fails while it is built is listed until it is deleted.
async fn failing_builds(world: &dyn World) {
    if !world.fault(Fault::BuildFails) {
        return;
    }
    let provider = world.provider();
    let id = create(&*provider, "m-fails").await;
    fails(&*provider, &id).await;
}

async fn fails(provider: &dyn Provider, id: &str) {
    until("it has failed", async || {
        match provider.describe(id).await {
            DescribeAnswer::Found(server) => match server.phase {
                Phase::Error(why) => {
                    assert!(!why.is_empty(), "it says why");
                    Some(())
                }
                _ => None,
            },
            other => panic!("it is there: {other:?}"),
        }
    })
    .await;
    assert_eq!(
        listing(provider).await.servers.len(),
        1,
        "it counts until it is gone"
    );
    delete(provider, id).await;
}

/// A server that is shown late is made once only.
async fn late_listings(world: &dyn World) {
    if !world.fault(Fault::ShownLate) {
        return;
    }
    let provider = world.provider();
    let id = create(&*provider, "m-late").await;
    let found = async || {
        let listed = listing(&*provider).await;
        listed
            .servers
            .iter()
            .any(|server| server.id == id)
            .then_some(())
    };
    until("it is listed", found).await;
    delete(&*provider, &id).await;
}

/// Credentials that have run out are renewed once, and the call goes on.
async fn credentials(world: &dyn World) {
    let provider = world.provider();
    listing(&*provider).await;
    if world.fault(Fault::Expire) {
        assert!(listing(&*provider).await.complete);
        let id = create(&*provider, "m-expire").await;
        assert!(world.fault(Fault::Expire));
        delete(&*provider, &id).await;
    }
}

/// No secret is in an error or in a debug output.
async fn secrets(world: &dyn World) {
    let provider = world.provider();
    let mut texts = vec![format!("{provider:?}"), format!("{:?}", spec("m-secret"))];
    for fault in [Fault::Echo, Fault::LoseRequest] {
        if world.fault(fault) {
            let answer = provider.create(&spec("m-secret")).await;
            let failed = matches!(answer, CreateAnswer::Refused(..) | CreateAnswer::Unknown(_));
            assert!(failed, "{answer:?}");
            texts.push(format!("{answer:?}"));
        }
    }
    for (broken, _) in world.broken() {
        texts.push(format!(
            "{broken:?} {:?} {:?}",
            broken.limits().await,
            broken.list_owned(OWNER).await
        ));
    }
    for secret in world.secrets().iter().map(String::as_str).chain([TOKEN]) {
        for text in &texts {
            assert!(!text.contains(secret), "a secret is shown: {text}");
        }
    }
}

/// What is configured wrongly is named.
async fn broken(world: &dyn World) {
    for (provider, word) in world.broken() {
        let error = provider
            .limits()
            .await
            .expect_err("it cannot work")
            .to_string();
        assert!(error.contains(word), "{word} is to be named: {error}");
        match provider.create(&spec("m-broken")).await {
            CreateAnswer::Refused(_, why) | CreateAnswer::Unknown(why) => assert!(!why.is_empty()),
            other => panic!("{word}: {other:?}"),
        }
    }
}

/// Of creations that come at once, one goes through if there may be one server; the provider must have that
/// bound.
///
/// # Panics
/// If there are more or fewer, or the others are not refused for the bound.
pub async fn keeps_a_bound_of_one(provider: &dyn Provider) {
    let specs = ["m-bound-1", "m-bound-2", "m-bound-3"].map(spec);
    let [one, two, three] = &specs;
    let answers: [CreateAnswer; 3] = tokio::join!(
        provider.create(one),
        provider.create(two),
        provider.create(three)
    )
    .into();
    let count = |fits: fn(&CreateAnswer) -> bool| answers.iter().filter(|one| fits(one)).count();
    let created = count(|answer| matches!(answer, CreateAnswer::Created(_)));
    let refused = count(|answer| matches!(answer, CreateAnswer::Refused(Refusal::Quota, _)));
    assert_eq!((created, refused), (1, 2), "{answers:?}");
}

/// Creates a server and gives its ID.
///
/// # Panics
/// If it is not created.
pub async fn create(provider: &dyn Provider, name: &str) -> String {
    match provider.create(&spec(name)).await {
        CreateAnswer::Created(id) => id,
        other => panic!("{name} is created: {other:?}"),
    }
}

/// Deletes a server and waits until it is gone.
///
/// # Panics
/// If it stays.
pub async fn delete(provider: &dyn Provider, id: &str) {
    let answer = provider.delete(id, OWNER).await;
    assert!(
        matches!(answer, DeleteAnswer::Gone | DeleteAnswer::Accepted),
        "{id}: {answer:?}"
    );
    gone(provider, id).await;
}

async fn gone(provider: &dyn Provider, id: &str) {
    until("it is gone", async || {
        (provider.describe(id).await == DescribeAnswer::Gone).then_some(())
    })
    .await;
    let absent = async || {
        let listed = listing(provider).await;
        listed
            .servers
            .iter()
            .all(|server| server.id != id)
            .then_some(())
    };
    until("it is listed no more", absent).await;
}

/// A listing that is complete.
async fn listing(provider: &dyn Provider) -> Listing {
    let listing = provider.list_owned(OWNER).await.expect("a listing");
    assert!(listing.complete, "{listing:?}");
    assert!(
        listing
            .servers
            .iter()
            .all(|server| server.belongs_to(OWNER)),
        "{listing:?}"
    );
    listing
}

/// The names of all servers that really are there.
async fn names(world: &dyn World) -> Vec<String> {
    world
        .servers()
        .await
        .into_iter()
        .map(|server| server.name)
        .collect()
}

/// Tries until there is a value.
///
/// # Panics
/// If there is none after five minutes.
pub async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    // A cloud that is always asked has no time for its work.
    let mut pause = Duration::from_millis(5);
    loop {
        let tried = timeout(PATIENCE, attempt()).await;
        if let Some(value) = tried.unwrap_or_else(|_| panic!("{what}: no answer")) {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(320));
    }
}
