//! The options of the output.

use std::collections::BTreeMap;

use muster_net::proxy_problem;
use muster_options::{Duration, JsonSchema, OptionError, Secret, Size};
use serde::{Deserialize, Serialize};

/// Options of `outputs.influxdb`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InfluxdbOptions {
    /// URLs of the servers: `http://`, `https://`, `udp://` or `unix://`. Each write goes to one of
    /// them; where it fails, the next one is tried.
    pub(super) urls: Vec<String>,
    /// The database to write to. It is created if it is missing.
    pub(super) database: String,
    /// The tag whose value is the database, for metrics that have it.
    pub(super) database_tag: String,
    /// Leave the tag `database_tag` out of what is written.
    pub(super) exclude_database_tag: bool,
    /// Create no databases.
    pub(super) skip_database_creation: bool,
    /// The retention policy to write to; the database's default one if empty.
    pub(super) retention_policy: String,
    /// The tag whose value is the retention policy, for metrics that have it.
    pub(super) retention_policy_tag: String,
    /// Leave the tag `retention_policy_tag` out of what is written.
    pub(super) exclude_retention_policy_tag: bool,
    /// How many nodes of a cluster must have the points: `any`, `one`, `quorum` or `all`.
    pub(super) write_consistency: String,
    /// How long a request may take.
    pub(super) timeout: Duration,
    /// User for HTTP basic authentication.
    pub(super) username: Secret,
    /// Password for HTTP basic authentication.
    pub(super) password: Secret,
    /// The `User-Agent` header.
    pub(super) user_agent: String,
    /// The most bytes of a UDP packet.
    pub(super) udp_payload: Size,
    /// URL of a proxy; that of the environment if empty.
    pub(super) http_proxy: String,
    /// Additional headers of each request.
    pub(super) http_headers: BTreeMap<String, String>,
    /// How the lines are compressed: `gzip` or `identity`.
    pub(super) content_encoding: String,
    /// Write unsigned integers as such. InfluxDB 1.x must be built for that.
    pub(super) influx_uint_support: bool,
    /// Write no timestamps: the server gives its own.
    pub(super) influx_omit_timestamp: bool,
}

impl Default for InfluxdbOptions {
    fn default() -> Self {
        Self {
            urls: vec!["http://127.0.0.1:8086".to_owned()],
            database: "telegraf".to_owned(),
            database_tag: String::new(),
            exclude_database_tag: false,
            skip_database_creation: false,
            retention_policy: String::new(),
            retention_policy_tag: String::new(),
            exclude_retention_policy_tag: false,
            write_consistency: String::new(),
            timeout: Duration::from_secs(5),
            username: Secret::default(),
            password: Secret::default(),
            user_agent: String::new(),
            udp_payload: Size::from_bytes(512),
            http_proxy: String::new(),
            http_headers: BTreeMap::new(),
            content_encoding: "gzip".to_owned(),
            influx_uint_support: false,
            influx_omit_timestamp: false,
        }
    }
}

impl InfluxdbOptions {
    pub(super) fn problems(&self) -> Vec<OptionError> {
        let mut errors = Vec::new();
        if self.urls.is_empty() {
            errors.push(OptionError::new("urls", "at least one URL is needed"));
        }
        if !["", "any", "one", "quorum", "all"].contains(&self.write_consistency.as_str()) {
            let message = format!("unknown consistency \"{}\"", self.write_consistency);
            let error = OptionError::new("write_consistency", message);
            errors.push(error.with_hint("possible are any, one, quorum and all"));
        }
        errors.extend(proxy_problem("http_proxy", &self.http_proxy));
        errors.extend(crate::http_headers::problems(
            "http_headers",
            &self.http_headers,
        ));
        errors
    }
}
