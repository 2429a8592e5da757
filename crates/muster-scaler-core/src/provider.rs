//! What the scaler asks of whoever has the servers. One trait; each provider is one file elsewhere.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use muster_options::Secret;
use serde::{Deserialize, Serialize};

use crate::{ServerName, Time};

/// Which provider of which pool: the pool's name and the provider's position in the pool's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId {
    /// The pool.
    pub pool: String,
    /// The position, from 0; those before are preferred.
    pub at: usize,
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.at)
    }
}

impl FromStr for ProviderId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('/');
        let (pool, at) = parts.ok_or_else(|| format!("\"{text}\" is not pool/position"))?;
        let at = at
            .parse()
            .map_err(|_| format!("\"{at}\" is not a position"))?;
        let pool = pool.to_owned();
        Ok(Self { pool, at })
    }
}

impl Serialize for ProviderId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProviderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The names of the labels that are written on every server at its birth.
pub mod label {
    /// The scaler that owns the server: `owner` of its configuration. Without this label, with
    /// exactly our value, a server is never touched.
    pub const OWNER: &str = "muster-owner";
    /// The pool.
    pub const POOL: &str = "muster-pool";
    /// The server's name in the ledger, which is also the key of its creation.
    pub const NAME: &str = "muster-name";
    /// The decision that wanted it.
    pub const DECISION: &str = "muster-decision";
    /// When its life is over, in seconds since 1970.
    pub const EXPIRES: &str = "muster-expires";
}

/// A server to create. Creating twice with the same name must not make two where the provider can
/// prevent it.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// The unique name, also the key of the creation.
    pub name: ServerName,
    /// All labels, with [`label::OWNER`] among them.
    pub labels: BTreeMap<String, String>,
    /// The cloud-init text. It holds a token of this one server or a one-time word to join with.
    pub user_data: Secret,
}

/// How far a server is, as its provider sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Is being built.
    Building,
    /// Runs.
    Active,
    /// Will never run; what the provider says of it. It must be deleted and counts until it is gone.
    Error(String),
    /// Is off; most providers bill it all the same.
    Stopped,
    /// Is being deleted.
    Deleting,
    /// Something else, in the provider's word.
    Other(String),
}

/// A server as its provider shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedServer {
    /// The provider's ID.
    pub id: String,
    /// The provider's name of it, which need not be unique.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How far it is.
    pub phase: Phase,
    /// Where it is reached, if it has an address.
    pub address: Option<String>,
    /// When it was made, if the provider says so.
    pub created: Option<Time>,
}

impl ListedServer {
    /// Whether it is the server of this owner.
    pub fn belongs_to(&self, owner: &str) -> bool {
        self.label(label::OWNER) == Some(owner)
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// The servers of one owner at one provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Those found. Whoever reads them checks the owner's label again.
    pub servers: Vec<ListedServer>,
    /// Whether these are all: every page came, no part of the provider was missing. Only a complete
    /// listing may say that a server is gone.
    pub complete: bool,
    /// When the first page was asked for. A server that was requested later may be missing.
    pub began: Time,
}

impl Listing {
    /// Those that are this owner's by their labels.
    pub fn owned<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a ListedServer> {
        self.servers.iter().filter(move |s| s.belongs_to(owner))
    }
}

/// Why a creation was refused. Each is answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// The account's quota is used up.
    Quota,
    /// The provider has no room for it now.
    Capacity,
    /// Too many requests.
    RateLimit,
    /// The request is wrong: image, flavour, network, credentials. Trying again will not help.
    Invalid,
}

impl Refusal {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::RateLimit => "rate limit",
            Self::Invalid => "invalid",
        }
    }
}

/// How a creation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateAnswer {
    /// The server exists now, with this ID at the provider.
    Created(String),
    /// A server of this name was there already and is ours.
    AlreadyThere(String),
    /// There is none, for certain.
    Refused(Refusal, String),
    /// Nobody knows: the request may have been taken. Only a complete listing decides.
    Unknown(String),
}

/// How a deletion went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// It is gone, or was gone already.
    Gone,
    /// The provider is at it.
    Accepted,
    /// It was not deleted: it is not ours, or the provider says no.
    Refused(String),
    /// Nobody knows; ask again.
    Unknown(String),
}

/// One server, looked at afresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescribeAnswer {
    /// This is it.
    Found(ListedServer),
    /// The provider has none with that ID.
    Gone,
    /// Nobody knows; ask again.
    Unknown(String),
}

/// How much the provider lets us have; `None` where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many servers the account may have.
    pub servers: Option<u64>,
    /// How many it has, ours or not.
    pub used: Option<u64>,
    /// What else is worth saying, a line each.
    pub notes: Vec<String>,
}

/// Failed to ask a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProviderError(pub String);

/// Who has the servers.
///
/// Every method may be dropped at any moment, which closes its connection or kills its process; the
/// caller sets the deadline. None tries again by itself. None logs or returns a secret.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// The kind: `exec`, `openstack`, ...
    fn kind(&self) -> &'static str;

    /// The longest that a creation may take where one call may take `timeout`: more, if it is made of more
    /// than one call.
    fn creation_time(&self, timeout: Duration) -> Duration {
        timeout
    }

    /// All servers with [`label::OWNER`] set to `owner`.
    ///
    /// # Errors
    /// If the provider could not be asked at all. Part of an answer is a listing that is not complete.
    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError>;

    /// Asks for a server.
    async fn create(&self, spec: &ServerSpec) -> CreateAnswer;

    /// Deletes a server after it has looked afresh that [`label::OWNER`] is `owner` there.
    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer;

    /// Looks at one server.
    async fn describe(&self, id: &str) -> DescribeAnswer;

    /// What is left to be had. Creates nothing; also checks the credentials, and that image, flavour
    /// and the like exist where the provider can say so.
    ///
    /// # Errors
    /// If the provider could not be asked, or what is configured does not exist there.
    async fn limits(&self) -> Result<Limits, ProviderError>;
}
