//! What the inputs that listen over HTTP have in common.

use muster_net::http_server::Limits;
use muster_net::{Address, Listening, SocketOptions, TlsServerOptions, listen};
use muster_options::{Duration, OptionError, Size};
use muster_plugin::{PluginError, StartContext};

/// Where and how an input listens.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    address: Address,
    tls: TlsServerOptions,
    mode: Option<u32>,
    pub(crate) limits: Limits,
    pub(crate) max_body: usize,
}

impl Endpoint {
    /// Checks the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn new(
        address: &str,
        tls: TlsServerOptions,
        mode: &str,
        (read, write): (Duration, Duration),
        (max_body, default_max_body): (Size, usize),
    ) -> Result<Self, Vec<OptionError>> {
        let mut errors = tls.problems();
        let address = Address::parse_tcp(address).map_err(|error| error.to_string());
        let address = address.and_then(|address| {
            let stream = address.transport().is_stream();
            let wrong = || format!("{address}: HTTP needs a stream: tcp:// or unix://");
            if stream {
                Ok(address.clone())
            } else {
                Err(wrong())
            }
        });
        let address = address.map_err(|why| errors.push(OptionError::new("service_address", why)));
        let mode = SocketOptions::parse_mode(mode)
            .map_err(|why| errors.push(OptionError::new("socket_mode", why)));
        let (Ok(address), Ok(mode), true) = (address, mode, errors.is_empty()) else {
            return Err(errors);
        };
        // As in Telegraf, less than a second means the default.
        let at_least = |given: Duration| match given.get() {
            short if short < std::time::Duration::from_secs(1) => {
                std::time::Duration::from_secs(10)
            }
            given => given,
        };
        let limits = Limits {
            read_timeout: at_least(read),
            write_timeout: at_least(write),
            ..Limits::default()
        };
        let max_body = match max_body.as_usize() {
            0 => default_max_body,
            given => given,
        };
        Ok(Self {
            address,
            tls,
            mode,
            limits,
            max_body,
        })
    }

    /// Binds the address, or inherits it from the earlier generation.
    ///
    /// # Errors
    /// If it is in use, or a certificate is wrong.
    pub(crate) async fn listen(&self, cx: &StartContext) -> Result<Listening, PluginError> {
        let options = SocketOptions {
            mode: self.mode,
            ..SocketOptions::default()
        };
        let listening = listen(cx, &self.address, self.tls.config()?, options).await?;
        tracing::info!(id = %cx.id(), address = %self.address, "listening");
        Ok(listening)
    }
}
