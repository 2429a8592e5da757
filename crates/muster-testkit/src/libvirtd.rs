//! libvirt's daemon with its test driver: domains that need no machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Process, eventually_within};

/// The packages that it needs.
const PACKAGES: &str = "libvirt-daemon libvirt-clients genisoimage";

/// Who the daemon runs as if we are root: as somebody else it keeps to its folder.
const NOBODY: u32 = 65_534;

/// A daemon of its own, whose test driver has one running domain `test` and a pool `default-pool`.
#[derive(Debug)]
pub struct Libvirtd {
    // In the order of their ends.
    _held: Process,
    _daemon: Process,
    directory: TempDir,
}

impl Libvirtd {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        // The path of the socket must be short.
        let directory = tempfile::Builder::new()
            .prefix("lv")
            .tempdir_in("/tmp")
            .expect("a folder");
        let at = directory.path();
        let config = format!(
            "listen_tls = 0\nlisten_tcp = 0\nunix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\n",
            at.display()
        );
        fs::write(at.join("libvirtd.conf"), config).expect("the configuration");
        let is_root = fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let mut command = Command::new(if is_root {
            "setpriv"
        } else {
            "/usr/sbin/libvirtd"
        });
        if is_root {
            chown(at, Some(NOBODY), Some(NOBODY)).expect("the folder is ours");
            let id = NOBODY.to_string();
            command.args([
                &format!("--reuid={id}"),
                &format!("--regid={id}"),
                "--clear-groups",
            ]);
            command.arg("/usr/sbin/libvirtd");
            assert!(
                fs::metadata("/usr/sbin/libvirtd").is_ok(),
                "libvirtd is not installed; install it with: apt-get install -y --no-install-recommends {PACKAGES}"
            );
        }
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        command
            .arg("-f")
            .arg(at.join("libvirtd.conf"))
            .arg("-p")
            .arg(at.join("pid"));
        for name in [
            "HOME",
            "XDG_RUNTIME_DIR",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
        ] {
            command.env(name, at);
        }
        let daemon = Process::start(command, at, PACKAGES);
        let uri = format!("test+unix:///default?socket={}/libvirt-sock", at.display());
        let serves = || {
            let asked = Command::new("virsh")
                .args(["-c", &uri, "version"])
                .stdin(Stdio::null())
                .output();
            let asked = asked.expect("virsh is not installed; install the package libvirt-clients");
            asked.status.success().then_some(())
        };
        eventually_within(Duration::from_secs(60), "libvirtd serves", serves);
        // The test driver forgets all when nobody is connected.
        let mut hold = Command::new("virsh");
        hold.args(["-c", &uri, "event", "--event", "lifecycle", "--loop"]);
        let held = Process::start(hold, at, PACKAGES);
        let is_held = || {
            let sockets = fs::read_dir(format!("/proc/{}/fd", held.id())).ok()?;
            let links = sockets.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
            links
                .into_iter()
                .any(|link| link.to_string_lossy().starts_with("socket:"))
                .then_some(())
        };
        eventually_within(
            Duration::from_secs(60),
            "a connection is held open",
            is_held,
        );
        Self {
            _held: held,
            _daemon: daemon,
            directory,
        }
    }

    /// The URI of its test driver.
    pub fn uri(&self) -> String {
        format!(
            "test+unix:///default?socket={}/libvirt-sock",
            self.directory.path().display()
        )
    }

    /// Runs a command of virsh that must succeed.
    ///
    /// # Panics
    /// If it does not.
    pub fn virsh(&self, words: &[&str]) -> String {
        let output = Command::new("virsh")
            .args(["-q", "-c", &self.uri()])
            .args(words)
            .output();
        let output = output.expect("virsh");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {words:?}: {complaint}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
