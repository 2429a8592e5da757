//! What udev and the kernel know of a device, and names made of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::parser::Line;
use crate::Roots;
use crate::files::read_trimmed;

/// What is known of a device.
#[derive(Debug, Default)]
pub(super) struct Device {
    properties: BTreeMap<String, String>,
    /// The serial number that the driver tells.
    serial: Option<String>,
}

impl Device {
    pub(super) fn read(roots: &Roots, line: &Line<'_>) -> Self {
        let sys = roots.sys("class/block").join(line.name);
        let uevent = read_trimmed(&sys.join("uevent")).unwrap_or_default();
        let udev = roots
            .run("udev/data")
            .join(format!("b{}:{}", line.major, line.minor));
        let udev = read_trimmed(&udev).unwrap_or_default();
        let serial = read_trimmed(&sys.join("device/serial"));
        Self {
            properties: properties(&uevent, &udev),
            serial: serial.filter(|serial| !serial.is_empty()),
        }
    }

    pub(super) fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    pub(super) fn serial(&self) -> Option<&str> {
        self.property("ID_SERIAL").or(self.serial.as_deref())
    }
}

/// The properties of a device: those that the kernel tells (`KEY=value`), those that udev adds
/// (`E:KEY=value`), and udev's links (`S:disk/by-id/x`) as `DEVLINKS`.
pub(super) fn properties(uevent: &str, udev: &str) -> BTreeMap<String, String> {
    let mut links = String::new();
    for link in udev.lines().filter_map(|line| line.strip_prefix("S:")) {
        let space = if links.is_empty() { "" } else { " " };
        links.push_str(&format!("{space}/dev/{link}"));
    }
    let added = udev.lines().filter_map(|line| line.strip_prefix("E:"));
    let pairs = uevent
        .lines()
        .chain(added)
        .filter_map(|line| line.split_once('='));
    let mut found: BTreeMap<String, String> = pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect();
    if !links.is_empty() {
        found.insert("DEVLINKS".to_owned(), links);
    }
    found
}

/// The name of the device that a link below `/dev` leads to.
pub(super) fn target(roots: &Roots, link: &str) -> Option<String> {
    let path = roots.dev(Path::new(link).strip_prefix("/dev").ok()?);
    let device = std::fs::canonicalize(path).ok()?;
    Some(device.file_name()?.to_str()?.to_owned())
}

/// A name with variables in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Reads `$NAME` and `${NAME}` as variables; a dollar that begins none is itself.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, variable) = (&rest[..at], &rest[at + 1..]);
            let braced = variable
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'));
            let (name, after) = match braced {
                Some((name, after)) if !name.is_empty() && word(name) == name.len() => {
                    (name, after)
                }
                _ => variable.split_at(word(variable)),
            };
            if name.is_empty() {
                parts.push(Part::Text(rest[..=at].to_owned()));
                rest = variable;
                continue;
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Self { parts }
    }

    /// The name; nothing if the device lacks a property.
    pub(super) fn fill(&self, device: &Device) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Variable(name) => device.property(name).map(str::to_owned),
        };
        self.parts.iter().map(part).collect()
    }
}

/// How many bytes at the beginning of the text can be a variable's name.
fn word(text: &str) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count()
}

#[cfg(test)]
impl Device {
    pub(super) fn with<const N: usize>(mut self, pairs: [(&str, &str); N]) -> Self {
        self.properties
            .extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        self
    }
}
