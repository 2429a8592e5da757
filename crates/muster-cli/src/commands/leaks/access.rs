//! How targets are asked.

use std::path::PathBuf;

use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use muster_leaks::collect::{FetchError, Fetcher, Target};
use muster_net::{ClientBuilder, TlsClientOptions};

use crate::Failure;

/// How targets are asked.
#[derive(Clone, Debug, Args)]
pub(super) struct AccessArgs {
    /// A header of each request; may be given several times.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The file with the bearer token that the targets want.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The file with the certificates to trust [default: those of the system].
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Take any certificate, also a forged one.
    #[arg(long)]
    insecure: bool,
    /// How long a request may take, with its answer.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: muster_options::Duration,
}

impl AccessArgs {
    /// What asks these targets.
    pub(super) fn fetchers(&self, targets: &[String]) -> Result<Vec<Fetcher>, Failure> {
        let targets = targets.iter().map(|text| Target::parse(text));
        let targets: Result<Vec<Target>, _> = targets.collect();
        let targets = targets.map_err(|error| Failure::Usage(error.to_string()))?;
        let ca = self
            .ca_file
            .as_deref()
            .map(|path| path.display().to_string());
        let tls = TlsClientOptions {
            tls_ca: ca.unwrap_or_default(),
            insecure_skip_verify: self.insecure,
            ..TlsClientOptions::default()
        };
        let client = ClientBuilder::new(self.timeout.get());
        let fetchers = Fetcher::for_targets(targets, client, &tls);
        let mut fetchers = fetchers.map_err(|error| Failure::Unusable(error.to_string()))?;
        let headers = self.headers()?;
        for fetcher in &mut fetchers {
            fetcher.set_headers(headers.clone());
        }
        Ok(fetchers)
    }

    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for text in &self.header {
            let header = text.split_once(':').and_then(|(name, value)| {
                let name: HeaderName = name.trim().parse().ok()?;
                let value: HeaderValue = value.trim().parse().ok()?;
                Some((name, value))
            });
            // The value may be a secret: it is not shown.
            let Some((name, value)) = header else {
                let why = "--header: expected NAME: VALUE, as in 'X-Key: abc'";
                return Err(Failure::Usage(why.to_owned()));
            };
            headers.append(name, value);
        }
        if let Some(path) = &self.token_file {
            let unusable = |why: String| Failure::Unusable(format!("{}: {why}", path.display()));
            let token = std::fs::read_to_string(path);
            let token = token.map_err(|error| unusable(error.to_string()))?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| unusable("this is no token".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// Why a target could not be asked, with what to do.
pub(super) fn failure(error: &FetchError) -> Failure {
    let hint = match error {
        FetchError::Denied { .. } => "give --token-file FILE or --header 'NAME: VALUE'",
        other => other.hint(),
    };
    Failure::Unreachable(format!("failed to {error}\n  hint: {hint}"))
}
