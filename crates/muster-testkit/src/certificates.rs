//! Certificates of an authority that exists for one test.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and two that it knows: a server and a client. PEM files in a folder that goes with
/// the value.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them; the server is known by these names and addresses.
    ///
    /// # Panics
    /// If they cannot be made or written.
    pub fn of_server(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = || KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let write = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).expect("a certificate's file");
        };
        write("ca.pem", &authority.pem());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        for (who, names) in [("server", names), ("client", vec!["client".to_owned()])] {
            let key = key();
            let mut params = CertificateParams::new(names).expect("names");
            // One with its authority's name is taken for its own authority by OpenSSL.
            params.distinguished_name.push(DnType::CommonName, who);
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            write(&format!("{who}.pem"), &certificate.pem());
            write(&format!("{who}.key"), &key.serialize_pem());
        }
        Self { directory }
    }

    /// Where a file lies: `ca.pem`, `server.pem`, `server.key`, `client.pem` or `client.key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The text of a file.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file of the authority")
    }
}
