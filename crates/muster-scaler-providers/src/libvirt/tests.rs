use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_tasks::Group;
use muster_testkit::Libvirtd;
use tempfile::TempDir;
use toml::Table;

use super::domain;
use crate::build;
use crate::testing::{Fault, World, conformance};

/// A virsh that misbehaves as told.
const WRAPPER: &str = r#"#!/bin/sh
here=$(dirname "$0")
fault() { rm "$here/faults/$1" 2>/dev/null; }
hang=
if fault hang; then hang=1; fi
: >"$here/calls/$$"
trap 'rm -f "$here/calls/$$"' EXIT
if [ -n "$hang" ]; then sleep 1000 & wait; fi
case "$*" in
# The test driver refuses this option: it has no effect of which the answer could be lost.
*--nvram*) ;;
*define*)
    if fault lose-request; then exit 1; fi
    if fault lose-answer; then virsh "$@" >/dev/null 2>&1; exit 1; fi
    ;;
*start*)
    if fault no-capacity; then echo "error: cannot set up guest memory: Cannot allocate memory" >&2; exit 1; fi
    ;;
esac
virsh "$@"
"#;

const TEMPLATE: &str = "<domain type='test'><name>template</name><memory>65536</memory>\
    <os><type>hvm</type></os><devices>\
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/nowhere'/><target dev='vda' bus='virtio'/></disk>\
    <interface type='network'><mac address='52:54:00:01:02:03'/><source network='default'/></interface>\
    </devices></domain>";

struct LibvirtWorld {
    daemon: Libvirtd,
    directory: TempDir,
    group: Group,
}

impl LibvirtWorld {
    fn new(group: &Group) -> Self {
        let daemon = Libvirtd::start();
        let directory = tempfile::tempdir().unwrap();
        for folder in ["faults", "calls", "seeds"] {
            fs::create_dir(directory.path().join(folder)).unwrap();
        }
        let world = Self {
            daemon,
            directory,
            group: group.clone(),
        };
        let wrapper = world.path("virsh");
        fs::write(&wrapper, WRAPPER).unwrap();
        fs::set_permissions(
            &wrapper,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        world
            .daemon
            .virsh(&["vol-create-as", "default-pool", "base.img", "1M"]);
        world.define(TEMPLATE);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn define(&self, xml: &str) {
        let file = self.path("domain.xml");
        fs::write(&file, xml).unwrap();
        self.daemon.virsh(&["define", &file.display().to_string()]);
    }

    fn build(&self, changed: &[(&str, &str)]) -> Arc<dyn Provider> {
        let path = |name: &str| self.path(name).display().to_string();
        let (uri, virsh, seeds) = (self.daemon.uri(), path("virsh"), path("seeds"));
        let own = [
            ("kind", "libvirt"),
            ("uri", &uri),
            ("virsh", &virsh),
            ("template", "template"),
            ("pool", "default-pool"),
            ("volume", "base.img"),
            ("seed_directory", &seeds),
        ];
        let pairs = own.into_iter().chain(changed.iter().copied());
        let table: Table = pairs
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        build(&table, &self.group).unwrap().provider
    }

    fn volumes(&self) -> Vec<String> {
        let listed = self.daemon.virsh(&["vol-list", "default-pool"]);
        listed
            .lines()
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect()
    }
}

#[async_trait]
impl World for LibvirtWorld {
    fn provider(&self) -> Arc<dyn Provider> {
        self.build(&[])
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (self.build(&[("template", "nothing")]), "nothing"),
            (self.build(&[("volume", "nothing.img")]), "nothing.img"),
            (
                self.build(&[("uri", "test+unix:///default?socket=/nowhere")]),
                "/nowhere",
            ),
            (self.build(&[("virsh", "/nowhere/virsh")]), "/nowhere/virsh"),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        let labels: String = labels
            .iter()
            .map(|(key, value)| format!("<m:label name='{key}'>{value}</m:label>"))
            .collect();
        let metadata = format!(
            "<metadata><m:server xmlns:m='urn:muster:libvirt:1'>{labels}</m:server></metadata>"
        );
        let name_and_metadata = format!("<name>{name}</name>{metadata}");
        let xml = TEMPLATE.replace("<name>template</name>", &name_and_metadata);
        self.define(&xml.replace("<mac address='52:54:00:01:02:03'/>", ""));
        self.daemon.virsh(&["domuuid", name]).trim().to_owned()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let names = self.daemon.virsh(&["list", "--all", "--name"]);
        let ours = names
            .split_whitespace()
            .filter(|name| name.starts_with("m-"));
        ours.map(|name| ListedServer {
            id: String::new(),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            phase: Phase::Active,
            address: None,
            created: None,
        })
        .collect()
    }

    fn fault(&self, fault: Fault) -> bool {
        let name = match fault {
            Fault::LoseAnswer => "lose-answer",
            Fault::LoseRequest => "lose-request",
            Fault::Hang => "hang",
            Fault::NoCapacity => "no-capacity",
            _ => return false,
        };
        fs::write(self.path("faults").join(name), "").unwrap();
        true
    }

    fn calm(&self) {
        for file in fs::read_dir(self.path("faults")).unwrap() {
            let _ = fs::remove_file(file.unwrap().path());
        }
    }

    fn calls(&self) -> usize {
        let names = fs::read_dir(self.path("calls")).unwrap();
        let names = names.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names
            .filter(|name| Path::new("/proc").join(name).exists())
            .count()
    }
}

#[muster_tasks::test]
async fn passes_the_suite_on_a_real_libvirtd(root: Group) {
    let world = LibvirtWorld::new(&root);
    conformance::conformance(&world).await;
    assert_eq!(world.volumes(), ["base.img"], "no disk is left");
    assert_eq!(
        fs::read_dir(world.path("seeds")).unwrap().count(),
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
        matches!(
            answer,
            muster_scaler_core::provider::CreateAnswer::AlreadyThere(_)
        ),
        "{answer:?}"
    );
    assert_eq!(world.daemon.virsh(&["domstate", "m-cut"]).trim(), "running");
    assert!(world.volumes().contains(&"m-cut.disk".to_owned()));
    let seed = fs::read(world.path("seeds").join("m-cut.seed.iso")).unwrap();
    let volume = seed.get(32_808..32_814).unwrap();
    assert_eq!(
        volume, b"cidata",
        "the volume's name by which cloud-init finds it"
    );
    let text = String::from_utf8_lossy(&seed);
    assert!(text.contains("#cloud-config") && text.contains("instance-id: m-cut"));
}

#[test]
fn a_clone_shares_nothing_with_its_template() {
    let labels = [("muster-owner".to_owned(), "a<&'b".to_owned())].into();
    let clone = domain::Clone {
        name: "m-1",
        labels: &labels,
        pool: "default",
        seed_file: None,
        seed_bus: "sata",
        seed_device: "sde",
    };
    let template = TEMPLATE.replace(
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
