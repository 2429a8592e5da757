use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use muster_scaler_core::provider::{CreateAnswer, Phase, Refusal};
use muster_tasks::Group;

use super::domain;
use crate::testing::{Fault, LibvirtWorld, World, conformance};

#[muster_tasks::test]
async fn passes_the_suite_on_a_real_libvirtd(root: Group) {
    let world = LibvirtWorld::new(&root);
    conformance::conformance(&world).await;
    assert_eq!(world.volumes(), ["base.img"], "no disk is left");
    assert_eq!(
        fs::read_dir(world.seeds()).unwrap().count(),
        0,
        "no seed is left"
    );
}

#[muster_tasks::test]
async fn a_creation_that_was_cut_short_is_finished(root: Group) {
    let world = LibvirtWorld::new(&root);
    let provider = world.provider();
    let spec = conformance::spec("m-cut");
    world.plant("m-cut", &spec.labels).await;
    let answer = provider.create(&spec).await;
    assert!(
        matches!(answer, CreateAnswer::AlreadyThere(_)),
        "{answer:?}"
    );
    assert_eq!(
        world.daemon().virsh(&["domstate", "m-cut"]).trim(),
        "running"
    );
    assert!(world.volumes().contains(&"m-cut.disk".to_owned()));
    let seed = fs::read(world.seeds().join("m-cut.seed.iso")).unwrap();
    let volume = seed.get(32_808..32_814).unwrap();
    assert_eq!(
        volume, b"cidata",
        "the volume's name by which cloud-init finds it"
    );
    let text = String::from_utf8_lossy(&seed);
    assert!(text.contains("#cloud-config") && text.contains("instance-id: m-cut"));
}

#[muster_tasks::test]
async fn keeps_its_bound(root: Group) {
    let world = LibvirtWorld::new(&root);
    conformance::keeps_a_bound_of_one(&*world.with("max_servers", 1)).await;
    assert_eq!(world.servers().await.len(), 1);
}

#[muster_tasks::test]
async fn a_look_that_fails_before_a_creation_is_a_refusal(root: Group) {
    let world = LibvirtWorld::new(&root);
    let provider = world.with("timeout", "500ms");
    world.fault(Fault::Hang);
    let answer = provider.create(&conformance::spec("m-look")).await;
    let is_refusal = matches!(answer, CreateAnswer::Refused(Refusal::RateLimit, _));
    assert!(is_refusal, "{answer:?}");
    assert!(world.servers().await.is_empty());
}

#[muster_tasks::test]
async fn the_copy_has_a_time_of_its_own(root: Group) {
    let world = LibvirtWorld::new(&root);
    let provider = world.with("clone_timeout", "1ms");
    match provider.create(&conformance::spec("m-slow")).await {
        CreateAnswer::Unknown(why) => assert!(why.contains("clone_timeout"), "{why}"),
        other => panic!("no volume is copied in a millisecond: {other:?}"),
    }
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let patient = world.with("clone_timeout", "1h");
    assert!(patient.creation_time(minute) > hour + minute);
}

/// The clone `m-1` with these labels.
fn clone_with(labels: &BTreeMap<String, String>) -> domain::Clone<'_> {
    domain::Clone {
        name: "m-1",
        labels,
        pool: "default",
        seed_file: None,
        seed_bus: "sata",
        seed_device: "sde",
    }
}

#[test]
fn a_clone_shares_nothing_with_its_template() {
    let labels = [("muster-owner".to_owned(), "a<&'b".to_owned())].into();
    let clone = clone_with(&labels);
    let template = LibvirtWorld::TEMPLATE.replace(
        "<memory>",
        "<uuid>962b303e-af96-4b5f-9e8c-497035ad49c8</uuid><metadata><x/></metadata><memory>",
    );
    let xml = clone.of(&template).unwrap();
    for gone in ["template", "962b303e", "52:54", "/nowhere", "<x/>"] {
        assert!(!xml.contains(gone), "{gone} in {xml}");
    }
    for there in [
        "volume='m-1.disk'",
        "volume='m-1.seed.iso'",
        "<driver name='qemu' type='raw'/>",
        "dev='vda'",
    ] {
        assert!(xml.contains(there), "{there} in {xml}");
    }
    let id = "962b303e-af96-4b5f-9e8c-497035ad49c8";
    let shown = xml.replace("</name>", &format!("</name><uuid>{id}</uuid>"));
    let server = domain::server(&(shown, "running".to_owned())).unwrap();
    assert_eq!(
        (server.id.as_str(), server.name.as_str(), &server.labels),
        (id, "m-1", &labels)
    );
    let check = |xml: &str, want: &str| {
        let error = clone.of(xml).unwrap_err();
        assert!(error.contains(want), "{error}");
    };
    check("nothing", "no XML");
    check("<pool><name>x</name></pool>", "no domain");
    check("<domain><name>x</name><devices/></domain>", "no disk");
    check(
        "<domain><name>x</name><devices><disk/><disk/></devices></domain>",
        "more than one disk",
    );
}

#[test]
fn a_clone_has_a_file_of_its_own_for_the_variables_of_its_firmware() {
    let labels = Default::default();
    let clone = clone_with(&labels);
    let loader = "<loader readonly='yes' type='pflash'>/code.fd</loader>";
    let with = |nvram: &str| {
        let os = format!("<type>hvm</type>{loader}{nvram}</os>");
        clone.of(&LibvirtWorld::TEMPLATE.replace("<type>hvm</type></os>", &os))
    };
    let check = |nvram: &str, want: &str| {
        let xml = with(nvram).unwrap();
        assert!(xml.contains(&format!("{loader}{want}</os>")), "{xml}");
    };
    check("", "");
    check("<nvram>/nvram/runner_VARS.fd</nvram>", "");
    check("<nvram type='file'><source file='/nvram/x'/></nvram>", "");
    check(
        "<nvram template='/vars&amp;.fd'>/nvram/runner_VARS.fd</nvram>",
        "<nvram template='/vars&amp;.fd'/>",
    );
    check(
        "<nvram type='file' format='qcow2' template='/v' templateFormat='raw'><source file='/nvram/x'/></nvram>",
        "<nvram template='/v' templateFormat='raw' format='qcow2'/>",
    );
    let error = with("<nvram type='block'><source dev='/dev/x'/></nvram>").unwrap_err();
    assert!(
        error.contains("`block`") && error.contains("`file`"),
        "{error}"
    );
}

#[test]
fn names_and_ids_cannot_be_mistaken() {
    assert!(domain::is_uuid("962b303e-af96-4b5f-9e8c-497035ad49c8"));
    for text in [
        "",
        "1",
        "m-1",
        "962b303e-af96-4b5f-9e8c-497035ad49c8; destroy x",
    ] {
        assert!(!domain::is_uuid(text), "{text}");
    }
    assert!(domain::is_name("muster-a.1_b"));
    for text in ["", "17", "-x", "a b", "a;b", "a/b"] {
        assert!(!domain::is_name(text), "{text}");
    }
}

#[test]
fn a_domain_that_is_not_shown_is_no_server() {
    let answers = domain::answers(
        "==muster==\n<domain><name>a</name><uuid>u</uuid></domain>\n==state==\nshut off\n==muster==\n==state==\n",
    );
    assert_eq!(answers.len(), 2);
    assert_eq!(domain::server(&answers[0]).unwrap().phase, Phase::Stopped);
    assert_eq!(domain::server(&answers[1]), None);
}
