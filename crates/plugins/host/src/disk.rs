//! `disk`: space and inodes of the mounted file systems.
//!
//! Measurement `disk` (gauges), one metric for each mount, with the tags `path`, `device` (without
//! `/dev/`), `fstype`, `mode` (`rw` or `ro`), and `label` for devices that the device mapper named.
//!
//! - `total`, `free`, `used` (bytes, unsigned). `free` is what unprivileged users can still write;
//!   `used` is what is occupied, so `used + free` is less than `total` where blocks are reserved.
//! - `used_percent` (float): `100 * used / (used + free)`.
//! - `inodes_total`, `inodes_free`, `inodes_used` (unsigned), and `inodes_used_percent` (float):
//!   `100 * inodes_used / inodes_total`. 0 on file systems that do not count them.
//!
//! The mounts are those of `/proc/1/mountinfo`, or of `/proc/self/mountinfo` where the former may
//! not be read. File systems without size (`proc`, `sysfs`, ...) are left out, and so are mounts
//! that may not be looked at, unless `mount_points` names them.
//!
//! A file system may fail to answer (a network mount whose server is gone, a broken disk). It then
//! is given up for this gather after an eighth of the gather's timeout without progress, and
//! reported until it answers; the others are reported as ever. No second thread waits for it.

mod mounts;
mod prober;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use muster_metric::{Batch, MetricType};
use muster_options::Options;
use muster_plugin::{Built, GatherContext, Input, PluginError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use self::mounts::Mount;
use self::prober::{Prober, Space};
use crate::Roots;
use crate::files::{cannot_read, read_bytes, read_trimmed};

/// Which mounts to report.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Disk {
    /// Report only these mount points; all if empty.
    mount_points: Vec<String>,
    /// Leave out mounts of these types of file system. Worth leaving out on most hosts: `tmpfs`,
    /// `devtmpfs`, `devfs`, `iso9660`, `overlay`, `aufs`, `squashfs`.
    ignore_fs: Vec<String>,
    /// Leave out mounts with one of these options. `bind` stands for what shows only a part of a
    /// file system, as bind mounts do.
    ignore_mount_opts: Vec<String>,
}

/// Builds the input.
pub(crate) fn build(options: &Table, roots: Roots) -> Built<Box<dyn Input>> {
    Ok(Box::new(DiskInput {
        options: Disk::parse(options)?,
        prober: Prober::default(),
        buffer: Vec::new(),
        roots,
    }))
}

struct DiskInput {
    options: Disk,
    roots: Roots,
    prober: Prober,
    buffer: Vec<u8>,
}

/// A mount that is to be reported.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Chosen {
    /// The `path` tag.
    path: String,
    /// Where to ask for the size: the path, below the prefix if there is one.
    at: PathBuf,
    device: String,
    label: Option<String>,
    fstype: String,
    mode: &'static str,
    /// Whether the options name it.
    named: bool,
}

#[async_trait]
impl Input for DiskInput {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let chosen = self.choose()?;
        let paths = chosen.iter().map(|mount| mount.at.clone()).collect();
        let sizes = self.prober.probe(cx, paths).await;
        for (mount, size) in chosen.iter().zip(sizes) {
            match size {
                Ok(space) if space.total == 0 => {}
                Ok(space) => emit(mount, &space, batch),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !mount.named => {}
                Err(error) => {
                    let what = format!("read the size of {}", mount.at.display());
                    cx.report(PluginError::new(what).because(error));
                }
            }
        }
        Ok(())
    }
}

impl DiskInput {
    /// The mounts to report, each once.
    fn choose(&mut self) -> Result<Vec<Chosen>, PluginError> {
        let Self {
            options,
            roots,
            buffer,
            ..
        } = self;
        let named = roots.mountinfo().map(Path::to_owned);
        let path = named.unwrap_or_else(|| roots.proc("1/mountinfo"));
        if read_bytes(&path, buffer).is_err() {
            let path = roots.proc("self/mountinfo");
            read_bytes(&path, buffer).map_err(|error| cannot_read(&path, error))?;
        }
        let text = String::from_utf8_lossy(buffer);
        let mut seen = BTreeSet::new();
        let mut chosen = Vec::new();
        for mount in mounts::mounts(&text) {
            let Some(mount) = choose(options, roots, &mount) else {
                continue;
            };
            let key = (
                mount.path.clone(),
                mount.device.clone(),
                mount.fstype.clone(),
            );
            if seen.insert(key) {
                chosen.push(mount);
            }
        }
        Ok(chosen)
    }
}

fn choose(options: &Disk, roots: &Roots, mount: &Mount<'_>) -> Option<Chosen> {
    let path = match roots.mount_prefix() {
        None => mount.path.to_string(),
        Some(prefix) => match Path::new(&*mount.path).strip_prefix(prefix) {
            Ok(rest) => Path::new("/").join(rest).to_string_lossy().into_owned(),
            Err(_) => mount.path.to_string(),
        },
    };
    let named = options
        .mount_points
        .iter()
        .any(|p| *p == path || *p == *mount.path);
    let excluded = options.ignore_fs.iter().any(|fs| fs == mount.fstype)
        || options
            .ignore_mount_opts
            .iter()
            .any(|option| mount.has_option(option));
    if excluded || !(named || options.mount_points.is_empty()) {
        return None;
    }
    let at = match roots.mount_prefix() {
        None => PathBuf::from(&path),
        Some(prefix) => prefix.join(path.trim_start_matches('/')),
    };
    let device = device(roots, mount);
    // Only names that the device mapper gave are labels; others have no such file.
    let label = device
        .starts_with("dm-")
        .then(|| read_trimmed(&roots.sys("block").join(&device).join("dm/name")))
        .flatten();
    Some(Chosen {
        path,
        at,
        device,
        label,
        fstype: mount.fstype.to_owned(),
        mode: mount.mode(),
        named,
    })
}

/// The device's name without `/dev/`; of links the device they lead to.
fn device(roots: &Roots, mount: &Mount<'_>) -> String {
    let source = &*mount.source;
    let target = if source == "/dev/root" {
        std::fs::read_link(roots.sys("dev/block").join(mount.number)).ok()
    } else if let Some(name) = source.strip_prefix("/dev/mapper/") {
        std::fs::read_link(roots.dev("mapper").join(name)).ok()
    } else {
        None
    };
    let target = target
        .as_ref()
        .and_then(|target| target.file_name()?.to_str());
    target
        .unwrap_or(source.strip_prefix("/dev/").unwrap_or(source))
        .to_owned()
}

fn emit(mount: &Chosen, space: &Space, batch: &mut Batch) {
    let mut metric = batch
        .metric("disk")
        .kind(MetricType::Gauge)
        .tag("path", &mount.path)
        .tag("device", &mount.device)
        .tag("fstype", &mount.fstype)
        .tag("mode", mount.mode);
    if let Some(label) = &mount.label {
        metric.add_tag("label", label);
    }
    metric
        .add_new_field("total", space.total)
        .add_new_field("free", space.free)
        .add_new_field("used", space.used)
        .add_new_field("used_percent", space.used_percent())
        .add_new_field("inodes_total", space.inodes_total)
        .add_new_field("inodes_free", space.inodes_free)
        .add_new_field("inodes_used", space.inodes_used())
        .add_new_field("inodes_used_percent", space.inodes_used_percent());
    metric.untimed();
}
