//! ZooKeeper, alone and as an ensemble of three.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, const_mutex};
use tempfile::TempDir;

use crate::{Certificates, Process, eventually_within, free_ports};

/// How long a server may take to serve: three at once start slowly on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Debian's jar does not name all that it needs.
const CLASS_PATH: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar:\
    /usr/share/java/servlet-api.jar:/usr/share/java/netty-codec.jar:\
    /usr/share/java/netty-resolver.jar:/usr/share/java/netty-transport-native-unix-common.jar";

/// One server of ZooKeeper, alone or of an ensemble. Its tick is 200 ms; it grants sessions from 400 ms.
#[derive(Debug)]
pub struct ZooKeeper {
    process: Option<Process>,
    directory: TempDir,
    /// The port for clients.
    pub port: u16,
}

impl ZooKeeper {
    /// Starts an empty one and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start() -> Self {
        let [port] = free_ports();
        let mut server = Self::prepare(port, "");
        server.start_again();
        server.wait_until_it_serves();
        server
    }

    /// As [`start`](Self::start), and it also serves over TLS at the second port, which is returned: with the
    /// server's certificate, to clients that have one of the same authority.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start_secure(certificates: &Certificates) -> (Self, u16) {
        let [port, secure] = free_ports();
        let netty = "org.apache.zookeeper.server.NettyServerCnxnFactory";
        let x509 = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";
        let mut server = Self::prepare(port, "");
        let at = server.directory.path();
        let identity = certificates.read("server.key") + &certificates.read("server.pem");
        fs::write(at.join("server.pem"), identity).expect("its key");
        fs::write(at.join("ca.pem"), certificates.read("ca.pem")).expect("its authority");
        let more = format!(
            "secureClientPort={secure}\nsecureClientPortAddress=127.0.0.1\nserverCnxnFactory={netty}\n\
             ssl.keyStore.location={at}/server.pem\nssl.trustStore.location={at}/ca.pem\n\
             ssl.clientAuth=need\nssl.hostnameVerification=false\nauthProvider.x509={x509}\n",
            at = at.display()
        );
        let config = fs::read_to_string(at.join("zoo.cfg")).expect("the configuration");
        fs::write(at.join("zoo.cfg"), config + &more).expect("the configuration");
        server.start_again();
        server.wait_until_it_serves();
        (server, secure)
    }

    /// One that all tests of a process share as long as one of them holds it. Each keeps to a root of its
    /// own.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<ZooKeeper>> = const_mutex(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn prepare(port: u16, ensemble: &str) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let at = directory.path().display();
        let config = format!(
            "tickTime=200\ninitLimit=50\nsyncLimit=10\ndataDir={at}/data\n\
             clientPortAddress=127.0.0.1\nclientPort={port}\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\nforceSync=no\n\
             minSessionTimeout=400\nmaxSessionTimeout=60000\n{ensemble}"
        );
        fs::create_dir(directory.path().join("data")).expect("a folder");
        fs::write(directory.path().join("zoo.cfg"), config).expect("the configuration");
        Self {
            process: None,
            directory,
            port,
        }
    }

    /// Starts it again on the same port and data after [`kill`](Self::kill). Does not wait.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn start_again(&mut self) {
        let path = self.directory.path();
        let mut command = Command::new("java");
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Xshare:auto", "-Djava.net.preferIPv4Stack=true"])
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=info"])
            .args(["-Dzookeeper.forceSync=no", "-cp", CLASS_PATH])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(path.join("zoo.cfg"));
        let packages = "zookeeper libservlet-api-java default-jre-headless";
        self.process = Some(Process::start(command, path, packages));
    }

    /// Waits until it serves clients. (`ruok` says yes long before.)
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_until_it_serves(&self) {
        eventually_within(START, "ZooKeeper serves", || self.mode());
    }

    /// Kills it; its data stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Holds it (SIGSTOP): it keeps its connections, and the kernel takes new ones for it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn hold(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// What clients connect to.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `leader`, `follower` or `standalone`; `None` if it does not serve.
    pub fn mode(&self) -> Option<String> {
        self.process.as_ref()?;
        let answer = self.ask("srvr")?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(ToOwned::to_owned)
    }

    /// The answer to one of the four-letter words; `None` if there is none within a second.
    pub fn ask(&self, word: &str) -> Option<String> {
        let second = Duration::from_secs(1);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect_timeout(&address, second).ok()?;
        stream.set_read_timeout(Some(second)).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

/// Three servers of ZooKeeper.
#[derive(Debug)]
pub struct ZooKeeperEnsemble {
    /// The servers.
    pub servers: [ZooKeeper; 3],
}

impl ZooKeeperEnsemble {
    /// Starts three empty ones and waits until they serve.
    ///
    /// # Panics
    /// If it is not installed or they do not start.
    pub fn start() -> Self {
        let ports = free_ports::<9>();
        let members: String = (0..3)
            .map(|i| {
                let (quorum, election) = (ports[3 + i], ports[6 + i]);
                format!("server.{}=127.0.0.1:{quorum}:{election}\n", i + 1)
            })
            .collect();
        let servers = std::array::from_fn(|i| {
            let mut server = ZooKeeper::prepare(ports[i], &members);
            let number = server.directory.path().join("data/myid");
            fs::write(number, (i + 1).to_string()).expect("its number");
            server.start_again();
            server
        });
        let ensemble = Self { servers };
        ensemble.wait_until_all_serve();
        ensemble
    }

    /// Waits until all serve.
    ///
    /// # Panics
    /// If they do not.
    pub fn wait_until_all_serve(&self) {
        self.servers
            .iter()
            .for_each(ZooKeeper::wait_until_it_serves);
    }

    /// What clients connect to.
    pub fn address(&self) -> String {
        self.servers.each_ref().map(ZooKeeper::address).join(",")
    }

    /// The number of the leader in [`servers`](Self::servers); waits for one.
    ///
    /// # Panics
    /// If there is none.
    pub fn leader(&self) -> usize {
        eventually_within(START, "there is a leader", || {
            let is_leader = |server: &ZooKeeper| server.mode().as_deref() == Some("leader");
            self.servers.iter().position(is_leader)
        })
    }
}
