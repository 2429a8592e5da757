//! What plugins share of the network: HTTP client, TLS, listeners, an HTTP server, compression.
//!
//! - [`TlsClientOptions`], [`TlsServerOptions`], [`HttpClientOptions`]: the options that many
//!   plugins have in common, with Telegraf's names. A plugin takes them out of its table with
//!   [`OptionReader`].
//! - [`ClientBuilder`]: one HTTP client a plugin instance; its connections close with it.
//! - [`Address`], [`Listening`], [`Stream`]: sockets by URL (`tcp://`, `udp://`, `unix://`,
//!   `unixgram://`). A listener is bound through [`muster_plugin::Resources`], so that the next
//!   generation of a component inherits it without a gap.
//! - [`serve`](http_server::serve): HTTP on a listener, each connection a task of the component.
//! - [`Encoding`]: compression with a bound on what comes out of it.
//!
//! Everything that runs here runs in a task of the caller's [`Group`](muster_tasks::Group), and
//! every connection is held by a future, so that dropping the future closes it. (The one exception
//! is inside of the HTTP client crate, whose idle connections end with the client.)

mod address;
mod auth;
mod body;
mod client;
mod dial;
mod encoding;
pub mod http_server;
mod listener;
mod options;
mod path;
mod retry;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;

pub use address::{Address, AddressError, Transport};
pub use auth::{BasicAuth, same_secret};
pub use body::{BodyError, read_response, read_text_excerpt};
pub use client::{Client, ClientBuilder, HttpClientOptions, describe_error, proxy_problem};
pub use dial::{Connector, Sender};
pub use encoding::{DecodeError, Encoding, Inflater};
pub use listener::{
    Accepted, Datagrams, Listening, Parking, SocketOptions, listen, listen_datagrams,
};
pub use options::OptionReader;
pub use path::path_segment;
pub use retry::{Answer, Pause, classify, retry_after};
pub use stream::Stream;
pub use tls::{TlsClientOptions, TlsServerOptions, install_provider, provider};
