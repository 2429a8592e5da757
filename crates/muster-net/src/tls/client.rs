//! TLS when Muster connects to others.

use std::sync::Arc;

use muster_options::{JsonSchema, OptionError, Secret};
use muster_plugin::PluginError;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

use super::verify::{AnyCertificate, NoCertificate, OtherName};
use super::{pem, provider, versions};

/// TLS options of plugins that connect to others.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsClientOptions {
    /// Whether to use TLS. If not given, it is used when the address or another TLS option asks
    /// for it.
    pub tls_enable: Option<bool>,
    /// File with the certificates to trust; those that the system trusts if not given.
    pub tls_ca: String,
    /// File with the certificate by which to identify ourselves.
    pub tls_cert: String,
    /// File with the private key of `tls_cert`.
    pub tls_key: String,
    /// Password of the private key. Keys with a password are not supported yet.
    pub tls_key_pwd: Secret,
    /// The name that the server's certificate must have, in place of the host's name.
    pub tls_server_name: String,
    /// The least TLS version: `TLS12` (the default) or `TLS13`.
    pub tls_min_version: String,
    /// Take any certificate, also a forged one.
    pub insecure_skip_verify: bool,
}

impl TlsClientOptions {
    /// Whether TLS is wanted where the address does not say: `tls_enable`, or any other option.
    pub fn is_wanted(&self) -> bool {
        self.tls_enable.unwrap_or_else(|| {
            let texts = [
                &self.tls_ca,
                &self.tls_cert,
                &self.tls_key,
                &self.tls_server_name,
            ];
            texts.iter().any(|text| !text.is_empty())
                || !self.tls_min_version.is_empty()
                || self.insecure_skip_verify
        })
    }

    /// What is wrong with the options as such; files are not looked at.
    pub fn problems(&self) -> Vec<OptionError> {
        let mut errors = versions(&self.tls_min_version, "")
            .err()
            .unwrap_or_default();
        errors.extend(key_problems(
            &self.tls_cert,
            &self.tls_key,
            &self.tls_key_pwd,
        ));
        if let Err(error) = self.server_name() {
            errors.push(error);
        }
        errors
    }

    /// The configuration. Reads files.
    ///
    /// # Errors
    /// If a file cannot be read or does not hold what it must.
    pub fn config(&self) -> Result<ClientConfig, PluginError> {
        let wrong = |errors: Vec<OptionError>| PluginError::new("set up TLS").because(join(errors));
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(wrong(problems));
        }
        let versions = versions(&self.tls_min_version, "").map_err(wrong)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions)
            .map_err(|error| PluginError::new("set up TLS").because(error))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        if self.tls_cert.is_empty() {
            return Ok(builder.with_no_client_auth());
        }
        let chain = pem::certificates(&self.tls_cert)?;
        let key = pem::private_key(&self.tls_key)?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            PluginError::new(format!("use {} with {}", self.tls_cert, self.tls_key)).because(error)
        })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, PluginError> {
        if self.insecure_skip_verify {
            return Ok(Arc::new(AnyCertificate(provider())));
        }
        let roots = if self.tls_ca.is_empty() {
            pem::system_roots()
        } else {
            Arc::new(pem::roots([self.tls_ca.as_str()])?)
        };
        if roots.is_empty() {
            // A system without certificates: nothing can be trusted, which is said at connecting.
            return Ok(Arc::new(NoCertificate(provider())));
        }
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| PluginError::new("set up TLS").because(error))?;
        let name = self.server_name();
        let name = name.map_err(|e| PluginError::new("set up TLS").because(e.to_string()))?;
        Ok(match name {
            Some(name) => Arc::new(OtherName { name, inner }),
            None => inner,
        })
    }

    /// The name to check for, if one is given.
    ///
    /// # Errors
    /// If it is no host name and no IP address.
    pub fn server_name(&self) -> Result<Option<ServerName<'static>>, OptionError> {
        if self.tls_server_name.is_empty() {
            return Ok(None);
        }
        ServerName::try_from(self.tls_server_name.clone())
            .map(Some)
            .map_err(|_| {
                let message = format!("\"{}\" is no host name", self.tls_server_name);
                OptionError::new("tls_server_name", message)
            })
    }
}

/// What is wrong with a pair of certificate and key, without looking at the files.
pub(super) fn key_problems(cert: &str, key: &str, password: &Secret) -> Vec<OptionError> {
    let mut errors = Vec::new();
    if !password.is_empty() {
        let message = "private keys with a password are not supported yet";
        let hint = "decrypt the key (openssl pkey -in key.pem -out plain.pem) and protect the file";
        errors.push(OptionError::new("tls_key_pwd", message).with_hint(hint));
    }
    match (cert.is_empty(), key.is_empty()) {
        (false, true) => {
            errors.push(OptionError::new(
                "tls_cert",
                "a certificate needs its key: give `tls_key`",
            ));
        }
        (true, false) => {
            errors.push(OptionError::new(
                "tls_key",
                "a key needs its certificate: give `tls_cert`",
            ));
        }
        _ => {}
    }
    errors
}

pub(super) fn join(errors: Vec<OptionError>) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
