//! The XML of domains, and what virsh says of them, pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;

use muster_scaler_core::provider::{ListedServer, Phase};
use roxmltree::{Document, Node};

/// The namespace of our labels in a domain's metadata.
const NAMESPACE: &str = "urn:muster:libvirt:1";

/// What is put before, between and after the two answers about a domain. No XML has such a line.
const BEGIN: &str = "==muster==";
const THEN: &str = "==state==";

/// The name of a server's disk.
pub(super) fn volume(name: &str) -> String {
    format!("{name}.disk")
}

/// The name of a server's seed.
pub(super) fn seed_volume(name: &str) -> String {
    format!("{name}.seed.iso")
}

/// Whether a text is a UUID and nothing else.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Whether a server's name can be that of a domain, of volumes and of a file. One of digits only would be
/// taken for a number.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The commands that show a domain.
pub(crate) fn question(id: &str) -> String {
    format!("echo {BEGIN}; dumpxml {id}; echo {THEN}; domstate {id}; ")
}

/// The answers to [`question`]s in order: XML and state of each.
pub(crate) fn answers(text: &str) -> Vec<(String, String)> {
    let pair = |answer: &str| {
        let (xml, state) = answer.split_once(THEN).unwrap_or((answer, ""));
        (xml.trim().to_owned(), state.trim().to_owned())
    };
    text.split(BEGIN).skip(1).map(pair).collect()
}

/// The server of an answer, if it is one.
pub(crate) fn server((xml, state): &(String, String)) -> Option<ListedServer> {
    let document = Document::parse(xml).ok()?;
    let domain = document.root_element();
    let child = |name: &str| child(domain, name).and_then(|node| node.text());
    let is_label = |node: &Node<'_, '_>| node.has_tag_name((NAMESPACE, "label"));
    let labels = domain.descendants().filter(is_label);
    let labels = labels.filter_map(|node| {
        Some((
            node.attribute("name")?.to_owned(),
            node.text().unwrap_or("").to_owned(),
        ))
    });
    let phase = match state.as_str() {
        "running" | "idle" => Phase::Active,
        "shut off" | "paused" | "pmsuspended" | "in shutdown" => Phase::Stopped,
        "crashed" => Phase::Error("it crashed".to_owned()),
        "" => return None,
        other => Phase::Other(other.to_owned()),
    };
    Some(ListedServer {
        id: child("uuid")?.trim().to_owned(),
        name: child("name")?.to_owned(),
        labels: labels.collect(),
        phase,
        address: None,
        created: None,
    })
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// What makes a server's domain of the template's.
#[derive(Debug)]
pub(super) struct Clone<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) pool: &'a str,
    /// Where the seed is, if not in the pool.
    pub(super) seed_file: Option<PathBuf>,
    pub(super) seed_bus: &'a str,
    pub(super) seed_device: &'a str,
}

impl Clone<'_> {
    /// The XML of the server: the template's with another name, disk and labels, with the seed, and
    /// without what must not be there twice (UUID, network addresses, the file with the firmware's
    /// variables).
    pub(super) fn of(&self, template: &str) -> Result<String, String> {
        let document = Document::parse(template).map_err(|error| format!("no XML: {error}"))?;
        let domain = document.root_element();
        if !domain.has_tag_name("domain") {
            return Err("no domain".to_owned());
        }
        let need = |name: &str| child(domain, name).ok_or_else(|| format!("it has no <{name}>"));
        let (name, devices) = (need("name")?, need("devices")?);
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        edits.push((
            name.range(),
            format!("<name>{}</name>\n  {}", escape(self.name), self.metadata()),
        ));
        for gone in ["uuid", "metadata", "title", "description"] {
            edits.extend(child(domain, gone).map(|node| (node.range(), String::new())));
        }
        if let Some(nvram) = child(domain, "os").and_then(|os| child(os, "nvram")) {
            edits.push((nvram.range(), own_nvram(nvram)?));
        }
        let macs = devices
            .children()
            .filter(|node| node.has_tag_name("interface"));
        let macs = macs.filter_map(|interface| child(interface, "mac"));
        edits.extend(macs.map(|mac| (mac.range(), String::new())));
        let is_disk = |node: &Node<'_, '_>| {
            node.has_tag_name("disk") && node.attribute("device").unwrap_or("disk") == "disk"
        };
        let mut disks = devices.children().filter(is_disk);
        let disk = disks.next().ok_or("it has no disk")?;
        if disks.next().is_some() {
            return Err("it has more than one disk".to_owned());
        }
        let part = |name: &str| child(disk, name).map_or("", |node| &template[node.range()]);
        let source = format!(
            "<source pool='{}' volume='{}'/>",
            escape(self.pool),
            escape(&volume(self.name))
        );
        let new = format!(
            "<disk type='volume' device='disk'>{}{source}{}</disk>\n    {}",
            part("driver"),
            part("target"),
            self.seed()
        );
        edits.push((disk.range(), new));
        edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut xml = template.to_owned();
        for (range, text) in edits {
            xml.replace_range(range, &text);
        }
        Ok(xml)
    }

    fn metadata(&self) -> String {
        let mut out = format!("<metadata><muster:server xmlns:muster='{NAMESPACE}'>");
        for (name, value) in self.labels {
            let _ = write!(
                out,
                "<muster:label name='{}'>{}</muster:label>",
                escape(name),
                escape(value)
            );
        }
        out.push_str("</muster:server></metadata>");
        out
    }

    fn seed(&self) -> String {
        let (kind, source) = match &self.seed_file {
            Some(path) => (
                "file",
                format!("file='{}'", escape(&path.display().to_string())),
            ),
            None => (
                "volume",
                format!(
                    "pool='{}' volume='{}'",
                    escape(self.pool),
                    escape(&seed_volume(self.name))
                ),
            ),
        };
        let target = format!(
            "<target dev='{}' bus='{}'/>",
            escape(self.seed_device),
            escape(self.seed_bus)
        );
        format!(
            "<disk type='{kind}' device='cdrom'><driver name='qemu' type='raw'/><source {source}/>{target}<readonly/></disk>"
        )
    }
}

/// The firmware's variables of a clone. Where no file is named, libvirt makes one for each domain, of the
/// named master or else of the loader's. The template's own would be shared by all clones, and be deleted
/// with the first of them.
fn own_nvram(nvram: Node<'_, '_>) -> Result<String, String> {
    let kind = nvram.attribute("type").unwrap_or("file");
    if kind != "file" {
        return Err(format!(
            "its <nvram> has the type `{kind}`, which clones would share: give it the type `file`, or none"
        ));
    }
    if nvram.attribute("template").is_none() {
        return Ok(String::new());
    }
    let kept = ["template", "templateFormat", "format"].into_iter();
    let kept = kept.filter_map(|name| Some((name, nvram.attribute(name)?)));
    let kept: String = kept
        .map(|(name, value)| format!(" {name}='{}'", escape(value)))
        .collect();
    Ok(format!("<nvram{kept}/>"))
}

/// A text for an element or an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
