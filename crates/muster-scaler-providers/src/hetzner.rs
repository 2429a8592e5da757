//! `hetzner`: servers of Hetzner Cloud.
//!
//! Names are unique in a project, so a name that is taken is how a repeated creation is known. A server
//! that is off is billed all the same.

mod answer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use muster_net::{Client, path_segment};
use muster_options::{JsonSchema, OptionError, Options, Parts, Secret};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, Listing, Phase, Provider, ProviderError,
    Refusal, ServerSpec, label,
};
use muster_tasks::Group;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::http::{Failure, Reply, builder, client, send};
use crate::row::ProviderRow;
use crate::scrub::scrub;

pub(crate) const ROW: ProviderRow = ProviderRow {
    name: "hetzner",
    summary: "servers of Hetzner Cloud",
    options: HetznerOptions::describe,
    build,
};

/// The most bytes of user data that the API takes.
const MOST_USER_DATA: usize = 32 << 10;

/// The most pages (of 50 servers) of a listing; what is beyond them makes it incomplete.
const MOST_PAGES: usize = 100;

/// The options of `hetzner`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HetznerOptions {
    /// The API's URL.
    url: String,
    /// An API token of the project, with the right to write.
    token: Secret,
    /// The type of the servers, by name: `cx32`.
    server_type: String,
    /// The image or snapshot, by name or ID.
    image: String,
    /// The location, by name: `fsn1`; any if empty.
    location: String,
    /// The SSH keys to put on servers, by name or ID.
    ssh_keys: Vec<String>,
    /// The private networks, by ID.
    networks: Vec<u64>,
    /// The firewalls, by ID.
    firewalls: Vec<u64>,
    /// Give servers a public IPv4 address.
    public_ipv4: bool,
    /// Give servers a public IPv6 address.
    public_ipv6: bool,
}

impl Default for HetznerOptions {
    fn default() -> Self {
        Self {
            url: "https://api.hetzner.cloud/v1".to_owned(),
            token: Secret::default(),
            server_type: String::new(),
            image: String::new(),
            location: String::new(),
            ssh_keys: Vec::new(),
            networks: Vec::new(),
            firewalls: Vec::new(),
            public_ipv4: true,
            public_ipv6: true,
        }
    }
}

fn build(
    parts: Parts,
    common: &ProviderCommon,
    _: &Group,
) -> Result<Arc<dyn Provider>, Vec<OptionError>> {
    let options: HetznerOptions = parts.rest()?;
    let needed = [
        ("token", options.token.is_empty()),
        ("server_type", options.server_type.is_empty()),
        ("image", options.image.is_empty()),
    ];
    let missing = needed.into_iter().filter(|(_, missing)| *missing);
    let errors: Vec<_> = missing
        .map(|(name, _)| OptionError::new(name, "it is needed"))
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let client = client(builder(common.timeout.get()), &Default::default())?;
    Ok(Arc::new(Hetzner { options, client }))
}

#[derive(Debug)]
struct Hetzner {
    options: HetznerOptions,
    client: Client,
}

impl Hetzner {
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let url = format!("{}{path}", self.options.url.trim_end_matches('/'));
        let mut request = self
            .client
            .request(method, url)
            .bearer_auth(self.options.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        send(request)
            .await
            .map_err(|failure| failure.cleaned(|why| self.clean(why, &[])))
    }

    /// The answer to a question that must succeed.
    async fn ask(&self, path: &str) -> Result<Value, ProviderError> {
        let reply = self.call(Method::GET, path, None).await;
        let reply = reply.map_err(|failure| ProviderError(failure.why()))?;
        match reply.is_success() {
            true => Ok(reply.json()),
            false => Err(ProviderError(format!(
                "ask for {path}: {}",
                self.complaint(&reply, &[])
            ))),
        }
    }

    fn complaint(&self, reply: &Reply, more: &[&Secret]) -> String {
        self.clean(&answer::complaint(reply), more)
    }

    fn clean(&self, text: &str, more: &[&Secret]) -> String {
        scrub(
            text,
            [&self.options.token]
                .into_iter()
                .chain(more.iter().copied()),
        )
    }

    fn body(&self, spec: &ServerSpec) -> Value {
        let options = &self.options;
        let mut body = json!({
            "name": spec.name.0,
            "server_type": options.server_type,
            "image": options.image,
            "labels": spec.labels,
            "user_data": spec.user_data.expose(),
            "start_after_create": true,
            "ssh_keys": options.ssh_keys,
            "networks": options.networks,
            "public_net": { "enable_ipv4": options.public_ipv4, "enable_ipv6": options.public_ipv6 },
        });
        if !options.location.is_empty() {
            body["location"] = json!(options.location);
        }
        let firewalls = options.firewalls.iter().map(|id| json!({ "firewall": id }));
        if firewalls.len() > 0 {
            body["firewalls"] = firewalls.collect();
        }
        body
    }

    /// The name is taken: by our own server, or by somebody else's.
    async fn taken(&self, spec: &ServerSpec) -> CreateAnswer {
        let name = &spec.name.0;
        let listed = match self
            .ask(&format!("/servers?name={}", path_segment(name)))
            .await
        {
            Ok(listed) => listed,
            Err(error) => return CreateAnswer::Unknown(error.to_string()),
        };
        let owner = spec.labels.get(label::OWNER).map_or("", String::as_str);
        match answer::page(&listed)
            .servers
            .into_iter()
            .find(|server| server.name == *name)
        {
            Some(server) if server.belongs_to(owner) => CreateAnswer::AlreadyThere(server.id),
            Some(_) => {
                let why =
                    format!("the name {name} is taken by a server that does not belong to {owner}");
                CreateAnswer::Refused(Refusal::Invalid, why)
            }
            None => CreateAnswer::Unknown(format!(
                "the name {name} is taken by a server that is not shown"
            )),
        }
    }

    /// Fails if there is nothing of that kind with that name or ID.
    async fn check(&self, kind: &str, key: &str, name: &str) -> Result<(), ProviderError> {
        let listed = self
            .ask(&format!("/{kind}?name={}", path_segment(name)))
            .await?;
        let found = listed[key]
            .as_array()
            .is_some_and(|found| !found.is_empty());
        let by_id = name.bytes().all(|byte| byte.is_ascii_digit());
        if found || (by_id && self.ask(&format!("/{kind}/{name}")).await.is_ok()) {
            return Ok(());
        }
        let kind = kind.trim_end_matches('s').replace('_', " ");
        Err(ProviderError(format!("there is no {kind} {name}")))
    }
}

#[async_trait]
impl Provider for Hetzner {
    fn kind(&self) -> &'static str {
        ROW.name
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        let mut listing = Listing {
            servers: Vec::new(),
            complete: false,
            began: clock::now(),
        };
        let selector = path_segment(&format!("{}={owner}", label::OWNER));
        let mut number = 1;
        for _ in 0..MOST_PAGES {
            let path = format!("/servers?label_selector={selector}&per_page=50&page={number}");
            let page = match self.ask(&path).await {
                Ok(listed) => answer::page(&listed),
                Err(error) if number == 1 => return Err(error),
                Err(_) => return Ok(listing),
            };
            if !page.whole {
                return Ok(listing);
            }
            let ours = page
                .servers
                .into_iter()
                .filter(|server| server.belongs_to(owner));
            for server in ours {
                if listing.servers.iter().all(|one| one.id != server.id) {
                    listing.servers.push(server);
                }
            }
            match page.next {
                Some(next) => number = next,
                None => {
                    listing.complete = true;
                    break;
                }
            }
        }
        Ok(listing)
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        if spec.user_data.expose().len() > MOST_USER_DATA {
            let why = format!("the user data has more than {MOST_USER_DATA} bytes");
            return CreateAnswer::Refused(Refusal::Invalid, why);
        }
        let reply = match self
            .call(Method::POST, "/servers", Some(&self.body(spec)))
            .await
        {
            Ok(reply) => reply,
            Err(failure) => {
                return failure
                    .cleaned(|why| self.clean(why, &[&spec.user_data]))
                    .into();
            }
        };
        let body = reply.json();
        if reply.is_success() {
            return match body["server"]["id"].as_u64() {
                Some(id) => CreateAnswer::Created(id.to_string()),
                None => CreateAnswer::Unknown("the answer has no ID".to_owned()),
            };
        }
        if body["error"]["code"] == "uniqueness_error" {
            return self.taken(spec).await;
        }
        let why = self.complaint(&reply, &[&spec.user_data]);
        match answer::refusal(&reply) {
            Some(refusal) => CreateAnswer::Refused(refusal, why),
            None => CreateAnswer::Unknown(why),
        }
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        match self.describe(id).await {
            DescribeAnswer::Gone => return DeleteAnswer::Gone,
            DescribeAnswer::Unknown(why) => return DeleteAnswer::Unknown(why),
            DescribeAnswer::Found(server) if !server.belongs_to(owner) => {
                return DeleteAnswer::Refused(format!("server {id} does not belong to {owner}"));
            }
            DescribeAnswer::Found(server) if server.phase == Phase::Deleting => {
                return DeleteAnswer::Accepted;
            }
            DescribeAnswer::Found(_) => {}
        }
        match self
            .call(
                Method::DELETE,
                &format!("/servers/{}", path_segment(id)),
                None,
            )
            .await
        {
            Ok(reply) => match reply.status {
                200..300 => DeleteAnswer::Accepted,
                404 => DeleteAnswer::Gone,
                // Locked or busy: it goes later.
                409 | 423 | 429 | 500.. => DeleteAnswer::Unknown(self.complaint(&reply, &[])),
                _ => DeleteAnswer::Refused(self.complaint(&reply, &[])),
            },
            Err(failure) => DeleteAnswer::Unknown(failure.why()),
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        match self
            .call(Method::GET, &format!("/servers/{}", path_segment(id)), None)
            .await
        {
            Ok(reply) if reply.status == 404 => DescribeAnswer::Gone,
            Ok(reply) if reply.is_success() => match answer::server(&reply.json()["server"]) {
                Some(server) => DescribeAnswer::Found(server),
                None => DescribeAnswer::Unknown("the answer is no server".to_owned()),
            },
            Ok(reply) => DescribeAnswer::Unknown(self.complaint(&reply, &[])),
            Err(failure) => DescribeAnswer::Unknown(failure.why()),
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        let listed = self.ask("/servers?per_page=1").await?;
        let options = &self.options;
        self.check("server_types", "server_types", &options.server_type)
            .await?;
        self.check("images", "images", &options.image).await?;
        if !options.location.is_empty() {
            self.check("locations", "locations", &options.location)
                .await?;
        }
        Ok(Limits {
            servers: None,
            used: listed["meta"]["pagination"]["total_entries"].as_u64(),
            notes: vec!["the API does not say how many servers the project may have".to_owned()],
        })
    }
}
