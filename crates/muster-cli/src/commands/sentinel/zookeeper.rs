//! TLS to ZooKeeper, as the command line asks for it.

use clap::Args;
use muster_net::TlsClientOptions;
use toml::Table;

use super::verbatim;

/// How ZooKeeper is reached with TLS.
#[derive(Debug, Args)]
pub(super) struct ZooKeeperTlsArgs {
    /// Reach ZooKeeper by TLS, at its secureClientPort.
    #[arg(long, requires = "zookeeper")]
    zookeeper_tls: bool,
    /// The same, and trust the certificates in this file [default: those of the system].
    #[arg(long, value_name = "FILE", requires = "zookeeper")]
    zookeeper_ca: Option<String>,
    /// The file with the certificate by which ZooKeeper is to know us.
    #[arg(long, value_name = "FILE", requires_all = ["zookeeper", "zookeeper_key"])]
    zookeeper_cert: Option<String>,
    /// The file with its private key.
    #[arg(long, value_name = "FILE", requires = "zookeeper_cert")]
    zookeeper_key: Option<String>,
}

impl ZooKeeperTlsArgs {
    /// As the options that plugins have.
    pub(super) fn options(&self) -> TlsClientOptions {
        let file = |name: &Option<String>| name.clone().unwrap_or_default();
        TlsClientOptions {
            tls_enable: self.zookeeper_tls.then_some(true),
            tls_ca: file(&self.zookeeper_ca),
            tls_cert: file(&self.zookeeper_cert),
            tls_key: file(&self.zookeeper_key),
            ..TlsClientOptions::default()
        }
    }

    /// Adds them to a publisher's options.
    pub(super) fn add_to(&self, publisher: &mut Table) {
        if self.zookeeper_tls {
            publisher.insert("tls_enable".to_owned(), true.into());
        }
        for (name, file) in [
            ("tls_ca", &self.zookeeper_ca),
            ("tls_cert", &self.zookeeper_cert),
            ("tls_key", &self.zookeeper_key),
        ] {
            if let Some(file) = file {
                publisher.insert(name.to_owned(), verbatim(file).into());
            }
        }
    }
}
