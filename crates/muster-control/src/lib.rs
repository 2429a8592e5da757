//! HTTP API, persisted intent and authorization.
