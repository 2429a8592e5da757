//! TLS: options, and the configurations made from them.

mod client;
mod pem;
mod server;
mod verify;

use std::sync::Arc;

use muster_options::OptionError;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

pub use client::TlsClientOptions;
pub use server::TlsServerOptions;

/// The one provider of cryptography that Muster uses.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes [`provider`] that of the process, for code that asks for the default one. Programs call
/// this once at their start; calling it again changes nothing.
pub fn install_provider() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The versions from `min` on, in Telegraf's names; an empty name is the default.
fn versions(
    min: &str,
    max: &str,
) -> Result<Vec<&'static SupportedProtocolVersion>, Vec<OptionError>> {
    let mut errors = Vec::new();
    let mut number = |option: &str, name: &str, default: u8| match name {
        "" => default,
        "TLS12" => 2,
        "TLS13" => 3,
        "TLS10" | "TLS11" => {
            let error = OptionError::new(option, format!("{name} is too old to be secure"));
            errors.push(error.with_hint("use TLS12 or TLS13"));
            default
        }
        other => {
            let error = OptionError::new(option, format!("unknown TLS version \"{other}\""));
            errors.push(error.with_hint("possible are TLS12 and TLS13"));
            default
        }
    };
    let (least, most) = (
        number("tls_min_version", min, 2),
        number("tls_max_version", max, 3),
    );
    if errors.is_empty() && least > most {
        let message = "the least TLS version is above the greatest";
        errors.push(OptionError::new("tls_min_version", message));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let all = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
    Ok(all
        .into_iter()
        .filter(|(n, _)| (least..=most).contains(n))
        .map(|(_, v)| v)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_versions_by_telegrafs_names() {
        let check = |min, max, want: Option<usize>| {
            assert_eq!(
                versions(min, max).ok().map(|v| v.len()),
                want,
                "{min} {max}"
            );
        };
        check("", "", Some(2));
        check("TLS13", "", Some(1));
        check("TLS12", "TLS12", Some(1));
        check("TLS10", "", None);
        check("1.2", "", None);
        check("TLS13", "TLS12", None);
    }
}
