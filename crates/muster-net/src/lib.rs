//! What plugins share of the network: HTTP client, TLS, retry, listeners.
