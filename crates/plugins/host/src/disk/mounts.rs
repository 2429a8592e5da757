//! `/proc/<pid>/mountinfo`.

use std::borrow::Cow;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount<'t> {
    /// Major and minor number: `8:1`.
    pub(super) number: &'t str,
    /// What of the file system is shown: `/` for all of it.
    root: Cow<'t, str>,
    pub(super) path: Cow<'t, str>,
    options: &'t str,
    pub(super) fstype: &'t str,
    pub(super) source: Cow<'t, str>,
    super_options: &'t str,
}

/// The mounts. Lines that are not understood are left out.
pub(super) fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        // Before the dash there is a varying number of optional fields.
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(2);
        let mut tail = tail.split(' ');
        Some(Mount {
            number: head.next()?,
            root: unescape(head.next()?),
            path: unescape(head.next()?),
            options: head.next()?,
            fstype: tail.next()?,
            source: unescape(tail.next()?),
            super_options: tail.next().unwrap_or_default(),
        })
    })
}

impl Mount<'_> {
    /// Whether it is mounted with the option; `bind` is true of what shows a part of a file system
    /// and is not a subvolume mounted as such.
    pub(super) fn has_option(&self, option: &str) -> bool {
        self.options.split(',').any(|found| found == option)
            || (option == "bind" && self.root != "/" && !self.is_subvolume())
    }

    fn is_subvolume(&self) -> bool {
        let mut options = self.super_options.split(',');
        options.any(|option| {
            option
                .strip_prefix("subvol=")
                .is_some_and(|path| *path == *self.root)
        })
    }

    /// Whether it can be written to.
    pub(super) fn mode(&self) -> &'static str {
        match (self.has_option("rw"), self.has_option("ro")) {
            (true, _) => "rw",
            (false, true) => "ro",
            (false, false) => "unknown",
        }
    }
}

/// Spaces and the like are written as octal numbers: `\040`.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| first == b'\\').and_then(octal);
        out.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_lines() {
        let text = "36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,x\n\
                    37 35 0:30 /@home /home ro - btrfs /dev/sdb1 rw,subvolid=5,subvol=/@home\n\
                    bad line\n38 35 0:31 / /c - x\n";
        let mounts: Vec<Mount<'_>> = mounts(text).collect();
        let [bind, subvolume] = mounts.as_slice() else {
            panic!("{mounts:?}")
        };
        assert_eq!(
            (&*bind.path, bind.number, &*bind.source),
            ("/a b", "98:0", "/dev/root")
        );
        assert!(bind.has_option("bind") && bind.has_option("noatime") && !bind.has_option("x"));
        assert!(!subvolume.has_option("bind"));
        assert_eq!((bind.mode(), subvolume.mode()), ("rw", "ro"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "([0-9]{1,3} ?[0-9:/\\\\a-z ]{0,30}( - )?[a-z0-9\\\\/ ]{0,20}\n?){0,6}|\\PC{0,50}") {
            mounts(&text).for_each(|mount| { mount.mode(); });
        }
    }
}
