//! Certificates and keys from files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_plugin::PluginError;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The system's certificates are read anew after so long.
const FRESH: Duration = Duration::from_secs(60);

/// All certificates of a file, at least one.
pub(super) fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, PluginError> {
    let failed = || PluginError::new(format!("read certificates from {path}"));
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(Path::new(path))
        .map_err(|error| failed().because(error.to_string()))?
        .collect();
    let found = found.map_err(|error| failed().because(error.to_string()))?;
    if found.is_empty() {
        let hint = "the file must hold certificates in PEM form (-----BEGIN CERTIFICATE-----)";
        return Err(failed()
            .because("there is no certificate in it")
            .with_hint(hint));
    }
    Ok(found)
}

/// The first private key of a file.
pub(super) fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, PluginError> {
    PrivateKeyDer::from_pem_file(Path::new(path)).map_err(|error| {
        let hint = "the file must hold a private key in PEM form without a password";
        PluginError::new(format!("read the private key from {path}"))
            .because(error.to_string())
            .with_hint(hint)
    })
}

/// The certificates of these files, to be trusted.
pub(super) fn roots<'a>(
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<RootCertStore, PluginError> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| {
                PluginError::new(format!("trust a certificate from {path}")).because(error)
            })?;
        }
    }
    Ok(roots)
}

/// The certificates that the system trusts, as they were within the last minute. A system without any
/// is no error here: what needs them fails when it connects.
pub(super) fn system_roots() -> Arc<RootCertStore> {
    // There are hundreds, and each component with a client asks for them.
    static READ: Mutex<Option<(Instant, Arc<RootCertStore>)>> = Mutex::new(None);
    let mut read = READ.lock();
    if let Some((at, roots)) = &*read
        && at.elapsed() < FRESH
    {
        return Arc::clone(roots);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let roots = Arc::new(roots);
    *read = Some((Instant::now(), Arc::clone(&roots)));
    roots
}
