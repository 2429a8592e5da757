//! Where the host's files are.

use std::path::{Path, PathBuf};

/// The folders in which the inputs of this crate look.
///
/// In a container the host's folders are mounted somewhere else; environment variables then say
/// where: `HOST_PROC` (else `/proc`), `HOST_SYS`, `HOST_ETC`, `HOST_VAR`, `HOST_RUN`, `HOST_DEV`,
/// `HOST_PROC_MOUNTINFO` (a file) and `HOST_MOUNT_PREFIX` (the host's root, for `disk`). They are
/// read when a component is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    proc: PathBuf,
    sys: PathBuf,
    etc: PathBuf,
    var: PathBuf,
    run: PathBuf,
    dev: PathBuf,
    mountinfo: Option<PathBuf>,
    mount_prefix: Option<PathBuf>,
    /// Set for a copy of a host.
    base: Option<PathBuf>,
}

impl Roots {
    /// The folders that the environment names, else those of this system.
    pub fn from_env() -> Self {
        Self::from_vars(|name| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        })
    }

    /// As [`from_env`](Self::from_env), with the environment given as a function.
    pub(crate) fn from_vars(var: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let root = |name: &str, default: &str| var(name).unwrap_or_else(|| default.into());
        Self {
            proc: root("HOST_PROC", "/proc"),
            sys: root("HOST_SYS", "/sys"),
            etc: root("HOST_ETC", "/etc"),
            var: root("HOST_VAR", "/var"),
            run: root("HOST_RUN", "/run"),
            dev: root("HOST_DEV", "/dev"),
            mountinfo: var("HOST_PROC_MOUNTINFO"),
            mount_prefix: var("HOST_MOUNT_PREFIX"),
            base: None,
        }
    }

    /// The folders `proc`, `sys`, ... of one folder: a copy of a host, for tests.
    pub fn under(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
            etc: root.join("etc"),
            var: root.join("var"),
            run: root.join("run"),
            dev: root.join("dev"),
            mountinfo: None,
            mount_prefix: None,
            base: Some(root.to_owned()),
        }
    }

    /// The same with mount points looked up below `prefix`, as `HOST_MOUNT_PREFIX` does.
    #[must_use]
    pub fn with_mount_prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.mount_prefix = Some(prefix.into());
        self
    }

    /// A path below `/proc`.
    pub fn proc(&self, path: impl AsRef<Path>) -> PathBuf {
        self.proc.join(path)
    }

    /// A path below `/sys`.
    pub fn sys(&self, path: impl AsRef<Path>) -> PathBuf {
        self.sys.join(path)
    }

    /// A path below `/etc`.
    pub fn etc(&self, path: impl AsRef<Path>) -> PathBuf {
        self.etc.join(path)
    }

    /// A path below `/var`.
    pub fn var(&self, path: impl AsRef<Path>) -> PathBuf {
        self.var.join(path)
    }

    /// A path below `/run`.
    pub fn run(&self, path: impl AsRef<Path>) -> PathBuf {
        self.run.join(path)
    }

    /// A path below `/dev`.
    pub fn dev(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dev.join(path)
    }

    /// A file that the options name, as they name it; below the folder of a test's host.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        match &self.base {
            None => PathBuf::from(path),
            Some(base) => base.join(path.trim_start_matches('/')),
        }
    }

    /// The list of mounts, if the environment names one.
    pub fn mountinfo(&self) -> Option<&Path> {
        self.mountinfo.as_deref()
    }

    /// Where the host's root is mounted, if the environment says so.
    pub fn mount_prefix(&self) -> Option<&Path> {
        self.mount_prefix.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_folders_from_the_environment() {
        let roots = Roots::from_vars(|name| match name {
            "HOST_PROC" => Some("/host/proc".into()),
            "HOST_MOUNT_PREFIX" => Some("/host".into()),
            _ => None,
        });
        assert_eq!(roots.proc("stat"), Path::new("/host/proc/stat"));
        assert_eq!(roots.sys("block"), Path::new("/sys/block"));
        assert_eq!(roots.mount_prefix(), Some(Path::new("/host")));
        assert_eq!(roots.mountinfo(), None);
    }
}
