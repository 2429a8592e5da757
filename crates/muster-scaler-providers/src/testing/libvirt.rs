//! The world of `libvirt`: a real daemon with its test driver, and a virsh that misbehaves on request.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Provider};
use muster_tasks::Group;
use muster_testkit::Libvirtd;
use toml::Table;

use super::program::Program;
use super::{Fault, World};
use crate::build;
use crate::libvirt::domain;

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
# There is no bound on requests: before the first that changes something, the daemon goes away.
*dumpxml*--inactive*)
    if fault rate-limit; then echo "error: End of file while reading data: Input/output error" >&2; exit 1; fi
    ;;
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

/// The faults that it knows.
const FAULTS: &[Fault] = &[
    Fault::LoseAnswer,
    Fault::LoseRequest,
    Fault::Hang,
    Fault::NoCapacity,
    Fault::RateLimit,
];

/// Domains of a libvirtd of its own.
#[derive(Debug)]
pub struct LibvirtWorld {
    daemon: Libvirtd,
    program: Program,
    group: Group,
}

impl LibvirtWorld {
    /// The XML of the domain that is cloned.
    pub const TEMPLATE: &str = "<domain type='test'><name>template</name><memory>65536</memory>\
    <os><type>hvm</type></os><devices>\
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/nowhere'/><target dev='vda' bus='virtio'/></disk>\
    <interface type='network'><mac address='52:54:00:01:02:03'/><source network='default'/></interface>\
    </devices></domain>";

    /// One with the template and its volume; its providers' processes are kept by tasks of `group`.
    ///
    /// # Panics
    /// If libvirt is not installed or there is no room on disk.
    pub fn new(group: &Group) -> Self {
        let daemon = Libvirtd::start();
        let program = Program::new("virsh", WRAPPER, FAULTS);
        program.make_folder("seeds");
        let world = Self {
            daemon,
            program,
            group: group.clone(),
        };
        world
            .daemon
            .virsh(&["vol-create-as", "default-pool", "base.img", "1M"]);
        world.define(Self::TEMPLATE);
        world
    }

    fn define(&self, xml: &str) {
        let file = self.program.path("domain.xml");
        fs::write(&file, xml).expect("a domain");
        self.daemon.virsh(&["define", &file.display().to_string()]);
    }

    /// A provider with this value of one option.
    ///
    /// # Panics
    /// If it is no good.
    pub fn with(&self, option: &str, value: impl Into<toml::Value>) -> Arc<dyn Provider> {
        let path = |name: &str| self.program.path(name).display().to_string();
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
        let mut table: Table = own
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
        table.insert(option.to_owned(), value.into());
        build(&table, &self.group).expect("options").provider
    }

    /// The daemon, for a look behind the provider's back.
    pub fn daemon(&self) -> &Libvirtd {
        &self.daemon
    }

    /// Where the seed images are.
    pub fn seeds(&self) -> PathBuf {
        self.program.path("seeds")
    }

    /// The volumes by name, the template's among them.
    pub fn volumes(&self) -> Vec<String> {
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
        self.with("kind", "libvirt")
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        vec![
            (self.with("template", "nothing"), "nothing"),
            (self.with("volume", "nothing.img"), "nothing.img"),
            (
                self.with("uri", "test+unix:///default?socket=/nowhere"),
                "/nowhere",
            ),
            (self.with("virsh", "/nowhere/virsh"), "/nowhere/virsh"),
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
        let xml = Self::TEMPLATE.replace("<name>template</name>", &name_and_metadata);
        self.define(&xml.replace("<mac address='52:54:00:01:02:03'/>", ""));
        self.daemon.virsh(&["domuuid", name]).trim().to_owned()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let listed = self.daemon.ask("list --all --uuid");
        let questions: String = listed.split_whitespace().map(domain::question).collect();
        let shown = domain::answers(&self.daemon.ask(questions.trim_end_matches("; ")));
        let servers = shown.iter().filter_map(domain::server);
        servers
            .filter(|server| !["template", "test"].contains(&server.name.as_str()))
            .collect()
    }

    fn fault(&self, fault: Fault) -> bool {
        self.program.fault(fault)
    }

    fn calm(&self) {
        self.program.calm();
    }

    fn calls(&self) -> usize {
        self.program.calls()
    }
}
