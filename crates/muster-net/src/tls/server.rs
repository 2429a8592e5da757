//! TLS when others connect to Muster.

use std::sync::Arc;

use muster_options::{JsonSchema, OptionError, Secret};
use muster_plugin::PluginError;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use serde::{Deserialize, Serialize};

use super::client::{join, key_problems};
use super::{pem, provider, versions};

/// TLS options of plugins that listen.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServerOptions {
    /// File with the certificate by which to identify ourselves; with it the listener speaks TLS.
    pub tls_cert: String,
    /// File with the private key of `tls_cert`.
    pub tls_key: String,
    /// Password of the private key. Keys with a password are not supported yet.
    pub tls_key_pwd: Secret,
    /// Files with the certificates by which clients must identify themselves; if not given,
    /// clients need none.
    pub tls_allowed_cacerts: Vec<String>,
    /// Names of which a client's certificate must have one. Not supported yet.
    pub tls_allowed_dns_names: Vec<String>,
    /// Cipher suites to choose from. Not supported yet: the safe ones are used.
    pub tls_cipher_suites: Vec<String>,
    /// The least TLS version: `TLS12` (the default) or `TLS13`.
    pub tls_min_version: String,
    /// The greatest TLS version: `TLS12` or `TLS13` (the default).
    pub tls_max_version: String,
}

impl TlsServerOptions {
    /// Whether the listener is to speak TLS.
    pub fn is_wanted(&self) -> bool {
        !self.tls_cert.is_empty()
            || !self.tls_key.is_empty()
            || !self.tls_allowed_cacerts.is_empty()
    }

    /// What is wrong with the options as such; files are not looked at.
    pub fn problems(&self) -> Vec<OptionError> {
        let mut errors = versions(&self.tls_min_version, &self.tls_max_version)
            .err()
            .unwrap_or_default();
        errors.extend(key_problems(
            &self.tls_cert,
            &self.tls_key,
            &self.tls_key_pwd,
        ));
        let not_yet = [
            ("tls_allowed_dns_names", &self.tls_allowed_dns_names),
            ("tls_cipher_suites", &self.tls_cipher_suites),
        ];
        for (name, given) in not_yet {
            if !given.is_empty() {
                errors.push(OptionError::new(
                    name,
                    format!("`{name}` is not supported yet"),
                ));
            }
        }
        if self.tls_cert.is_empty() && !self.tls_allowed_cacerts.is_empty() {
            let message = "certificates of clients need TLS: give `tls_cert` and `tls_key`";
            errors.push(OptionError::new("tls_allowed_cacerts", message));
        }
        errors
    }

    /// The configuration; `None` if the listener is to speak plainly. Reads files.
    ///
    /// # Errors
    /// If a file cannot be read or does not hold what it must.
    pub fn config(&self) -> Result<Option<Arc<ServerConfig>>, PluginError> {
        let failed = || PluginError::new("set up TLS");
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(failed().because(join(problems)));
        }
        if !self.is_wanted() {
            return Ok(None);
        }
        let versions = versions(&self.tls_min_version, &self.tls_max_version)
            .map_err(|errors| failed().because(join(errors)))?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions)
            .map_err(|error| failed().because(error))?;
        let builder = if self.tls_allowed_cacerts.is_empty() {
            builder.with_no_client_auth()
        } else {
            let roots = pem::roots(self.tls_allowed_cacerts.iter().map(String::as_str))?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| failed().because(error))?)
        };
        let chain = pem::certificates(&self.tls_cert)?;
        let key = pem::private_key(&self.tls_key)?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            PluginError::new(format!("use {} with {}", self.tls_cert, self.tls_key)).because(error)
        })?;
        config.alpn_protocols = Vec::new();
        Ok(Some(Arc::new(config)))
    }
}
