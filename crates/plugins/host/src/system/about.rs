//! What system this is: texts that hardly ever change.

use std::time::Duration;

use tokio::time::Instant;

use crate::Roots;
use crate::files::read_trimmed;

/// Fields with their texts.
pub(super) type Texts = Vec<(&'static str, String)>;

/// Texts that are read again only after a while.
#[derive(Debug)]
pub(super) struct Cached {
    keep: Duration,
    read: Option<(Instant, Texts)>,
}

impl Cached {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, read: None }
    }

    /// The texts, read now if they were not read lately.
    pub(super) fn get(&mut self, read: impl FnOnce() -> Texts) -> &[(&'static str, String)] {
        let now = Instant::now();
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < self.keep;
        if !self.read.as_ref().is_some_and(|(at, _)| fresh(at)) {
            self.read = Some((now, read()));
        }
        self.read.as_ref().map_or(&[], |(_, texts)| texts)
    }
}

/// Name and version of the operating system and its kernel.
pub(super) fn os(roots: &Roots) -> Texts {
    let release = read_trimmed(&roots.etc("os-release")).unwrap_or_default();
    let uname = rustix::system::uname();
    let kernel = read_trimmed(&roots.proc("sys/kernel/osrelease"));
    let kernel = kernel.unwrap_or_else(|| uname.release().to_string_lossy().into_owned());
    let value = |key| os_release(&release, key).unwrap_or_default();
    vec![
        ("os", std::env::consts::OS.to_owned()),
        ("arch", uname.machine().to_string_lossy().into_owned()),
        ("platform", value("ID")),
        ("platform_family", family(&value("ID"), &value("ID_LIKE"))),
        ("platform_version", value("VERSION_ID")),
        ("kernel_version", kernel),
    ]
}

/// The value of a key of an `os-release` file.
pub(super) fn os_release(text: &str, key: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(found, _)| *found == key)?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// The family of a distribution: its own name, unless it says or is known to descend from another.
pub(super) fn family(id: &str, like: &str) -> String {
    const FAMILIES: [&str; 7] = [
        "debian", "rhel", "fedora", "suse", "arch", "alpine", "gentoo",
    ];
    let mut names = std::iter::once(id).chain(like.split_whitespace());
    let known = names.find_map(|name| match name {
        "ubuntu" | "raspbian" | "linuxmint" => Some("debian"),
        "centos" | "rocky" | "almalinux" | "ol" | "amzn" => Some("rhel"),
        "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" | "sles" => Some("suse"),
        name => FAMILIES.into_iter().find(|family| *family == name),
    });
    known.unwrap_or(id).to_owned()
}

/// Fields of `dmi`, with the files of `/sys/class/dmi/id`.
const DMI: [(&str, &str); 21] = [
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("bios_date", "bios_date"),
    ("board_vendor", "board_vendor"),
    ("board_product", "board_name"),
    ("board_version", "board_version"),
    ("board_serial", "board_serial"),
    ("board_asset_tag", "board_asset_tag"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_type_code", "chassis_type"),
    ("chassis_type", "chassis_type"),
    ("chassis_version", "chassis_version"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("product_vendor", "sys_vendor"),
    ("product_name", "product_name"),
    ("product_family", "product_family"),
    ("product_version", "product_version"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
];

/// Maker, model and firmware of the machine. What the kernel keeps for root is `unknown`, what it
/// does not have is empty.
pub(super) fn dmi(roots: &Roots) -> Texts {
    let dir = roots.sys("class/dmi/id");
    let read = |(field, file): (&'static str, &str)| {
        let path = dir.join(file);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => "unknown".into(),
            Err(_) => String::new(),
        };
        (
            field,
            if field == "chassis_type" {
                chassis(&text).to_owned()
            } else {
                text
            },
        )
    };
    DMI.into_iter().map(read).collect()
}

/// The kind of case by its number in the SMBIOS specification (DSP0134, table of chassis types).
pub(super) fn chassis(code: &str) -> &'static str {
    const KINDS: [&str; 36] = [
        "Other",
        "Unknown",
        "Desktop",
        "Low Profile Desktop",
        "Pizza Box",
        "Mini Tower",
        "Tower",
        "Portable",
        "Laptop",
        "Notebook",
        "Hand Held",
        "Docking Station",
        "All in One",
        "Sub Notebook",
        "Space-saving",
        "Lunch Box",
        "Main Server Chassis",
        "Expansion Chassis",
        "SubChassis",
        "Bus Expansion Chassis",
        "Peripheral Chassis",
        "RAID Chassis",
        "Rack Mount Chassis",
        "Sealed-case PC",
        "Multi-system chassis",
        "Compact PCI",
        "Advanced TCA",
        "Blade",
        "Blade Enclosure",
        "Tablet",
        "Convertible",
        "Detachable",
        "IoT Gateway",
        "Embedded PC",
        "Mini PC",
        "Stick PC",
    ];
    // The highest bit says that the case can be locked.
    let number = code.parse::<u8>().unwrap_or_default() & 0x7f;
    let at = usize::from(number).checked_sub(1);
    at.and_then(|at| KINDS.get(at)).copied().unwrap_or_default()
}
