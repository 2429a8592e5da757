//! libvirt's daemon with its test driver: domains that need no machine.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::{Process, eventually_within};

/// The packages that it needs.
const PACKAGES: &str = "libvirt-daemon libvirt-clients genisoimage";

/// Who the daemon runs as if we are root: as somebody else it keeps to its folder.
const NOBODY: u32 = 65_534;

/// A daemon of its own, whose test driver has one running domain `test` and a pool `default-pool`.
#[derive(Debug)]
pub struct Libvirtd {
    // In the order of their ends. The test driver forgets all when nobody is connected.
    shell: Mutex<Shell>,
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
        let mut shell = Shell::start(&uri);
        shell.ask("version");
        Self {
            shell: Mutex::new(shell),
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

    /// What these commands of virsh print, joined by `;`. One that fails prints nothing. It goes by a
    /// connection that is held, which takes a hundredth of the time of [`virsh`](Self::virsh).
    ///
    /// # Panics
    /// If the daemon is gone.
    pub fn ask(&self, commands: &str) -> String {
        self.shell.lock().ask(commands)
    }
}

/// A virsh that reads its commands.
#[derive(Debug)]
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    reader: Option<JoinHandle<()>>,
}

impl Shell {
    /// What is printed after the answer to each line.
    const END: &str = "==answered==";

    /// How long an answer may take.
    const PATIENCE: Duration = Duration::from_secs(120);

    fn start(uri: &str) -> Self {
        let mut child = Command::new("virsh")
            .args(["-q", "-c", uri])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("virsh is not installed; install the package libvirt-clients");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut output = output.expect("it is piped");
        let (sender, parts) = channel();
        // It ends with the process.
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's own thread: it is joined where it is dropped"
        )]
        let reader = std::thread::spawn(move || {
            let mut part = [0; 8192];
            while let Ok(count @ 1..) = output.read(&mut part) {
                if sender.send(part[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            input: input.expect("it is piped"),
            output: parts,
            reader: Some(reader),
        }
    }

    fn ask(&mut self, commands: &str) -> String {
        writeln!(self.input, "{commands}; echo {}", Self::END).expect("virsh lives");
        let (mut read, until) = (Vec::new(), Instant::now() + Self::PATIENCE);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(part) = self.output.recv_timeout(left) else {
                panic!(
                    "virsh has ended or says nothing for {:?}; it was asked: {commands}",
                    Self::PATIENCE
                );
            };
            read.extend(part);
            let text = String::from_utf8_lossy(&read);
            // The first line is the prompt with what was asked.
            let answer = text.split_once('\n').map_or("", |(_, answer)| answer);
            if let Some((answer, _)) = answer.split_once(Self::END) {
                return answer.to_owned();
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
