//! `openstack`: Nova, with tokens from Keystone.
//!
//! A server's labels are its metadata, written with its creation; a tag `muster-owner=...` beside them is
//! for people who look for the servers with other tools. Nova has no token by which a creation can be
//! repeated, and takes a name twice: so a creation looks first whether a server of that name and owner is
//! there, in a listing of all.
//!
//! Listings ask for all servers of the project and pick ours: Nova leaves out the servers of cells that do
//! not answer, and says nothing, as soon as a listing has a filter. Without one (from microversion 2.69 on)
//! they are there as stubs, by which a listing is known not to be complete. (Of a listing with more than one
//! page, which is after 1000 servers as a rule, they are left out again.)

mod keystone;
mod nova;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_net::{TlsClientOptions, path_segment};
use muster_options::{JsonSchema, OptionError, Options, Parts, Secret};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, ListedServer, Listing, Phase, Provider,
    ProviderError, Refusal, ServerSpec,
};
use muster_tasks::Group;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;
use crate::http::{Failure, Reply, builder, client, text};
use crate::row::ProviderRow;
use keystone::{Service, Session};

pub(crate) const ROW: ProviderRow = ProviderRow {
    name: "openstack",
    summary: "servers of an OpenStack cloud",
    options: || {
        let mut docs = OpenStackOptions::describe();
        docs.extend(TlsClientOptions::describe());
        docs
    },
    build,
};

/// The most pages of a listing; what is beyond them makes it incomplete.
const MOST_PAGES: usize = 100;

/// So many calls make up a creation: the log-in, a listing, two each for flavor and image, the request.
const CALLS: u32 = 7;

/// The most bytes of user data that Nova takes, in base64.
const MOST_USER_DATA: usize = 65_535;

/// The options of `openstack`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OpenStackOptions {
    /// Keystone's URL, as `OS_AUTH_URL`: `https://cloud.example.com:5000/v3`.
    auth_url: String,
    /// The region; the first of the catalog if empty.
    region: String,
    /// Which endpoints to use: `public`, `internal` or `admin`.
    interface: String,
    /// The ID of an application credential: the recommended way to log in.
    application_credential_id: String,
    /// The secret of the application credential.
    application_credential_secret: Secret,
    /// The user, if there is no application credential.
    username: String,
    /// The user's password.
    password: Secret,
    /// The domain of the user, by name.
    user_domain: String,
    /// The project of the user, by name.
    project: String,
    /// The domain of the project, by name.
    project_domain: String,
    /// The flavor, by name or ID.
    flavor: String,
    /// The image, by name or ID. Of a name there must be one image only.
    image: String,
    /// The networks, by ID. Empty: as Nova chooses (`auto`). `["none"]`: without any.
    networks: Vec<String>,
    /// The security groups, by name; the project's default if empty.
    security_groups: Vec<String>,
    /// The name of a key pair, to look at servers over SSH; none if empty.
    key_name: String,
    /// The availability zone; any if empty.
    availability_zone: String,
    /// Hand the user data over on a drive, too, for networks without a metadata service.
    config_drive: bool,
}

impl Default for OpenStackOptions {
    fn default() -> Self {
        Self {
            auth_url: String::new(),
            region: String::new(),
            interface: "public".to_owned(),
            application_credential_id: String::new(),
            application_credential_secret: Secret::default(),
            username: String::new(),
            password: Secret::default(),
            user_domain: "Default".to_owned(),
            project: String::new(),
            project_domain: "Default".to_owned(),
            flavor: String::new(),
            image: String::new(),
            networks: Vec::new(),
            security_groups: Vec::new(),
            key_name: String::new(),
            availability_zone: String::new(),
            config_drive: false,
        }
    }
}

impl OpenStackOptions {
    fn problems(&self) -> Vec<OptionError> {
        let mut errors = Vec::new();
        let mut refuse = |name: &str, why: &str| errors.push(OptionError::new(name, why));
        if !self.auth_url.starts_with("http://") && !self.auth_url.starts_with("https://") {
            refuse("auth_url", "the URL of Keystone is needed");
        }
        if self.flavor.is_empty() {
            refuse("flavor", "a server needs a flavor");
        }
        if self.image.is_empty() {
            refuse("image", "a server needs an image");
        }
        if !["public", "internal", "admin"].contains(&self.interface.as_str()) {
            refuse("interface", "one of public, internal, admin");
        }
        let by_credential = !self.application_credential_id.is_empty();
        if by_credential && self.application_credential_secret.is_empty() {
            refuse(
                "application_credential_secret",
                "the secret is needed beside the ID",
            );
        }
        if !by_credential && (self.username.is_empty() || self.password.is_empty()) {
            let why = "an application credential (or username, password and project) is needed";
            refuse("application_credential_id", why);
        }
        if !by_credential && !self.username.is_empty() && self.project.is_empty() {
            refuse("project", "a user needs a project");
        }
        errors
    }
}

fn build(
    mut parts: Parts,
    common: &ProviderCommon,
    _: &Group,
) -> Result<Arc<dyn Provider>, Vec<OptionError>> {
    let tls: TlsClientOptions = parts.take();
    let options: OpenStackOptions = parts.rest()?;
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    let client = client(builder(common.timeout.get()), &tls)?;
    let options = Arc::new(options);
    let session = Session::new(client, Arc::clone(&options));
    Ok(Arc::new(OpenStack { options, session }))
}

#[derive(Debug)]
struct OpenStack {
    options: Arc<OpenStackOptions>,
    session: Session,
}

impl OpenStack {
    async fn get(&self, service: Service, path: &str) -> Result<Reply, Failure> {
        self.session.call(Method::GET, service, path, None).await
    }

    /// The answer to a question that must succeed.
    async fn ask(&self, service: Service, path: &str) -> Result<Value, Failure> {
        let reply = self.get(service, path).await?;
        self.read(path, &reply)
    }

    fn read(&self, path: &str, reply: &Reply) -> Result<Value, Failure> {
        if reply.is_success() {
            return Ok(reply.json());
        }
        let why = format!("{path}: {}", self.complaint(reply, &[]));
        let refusal = nova::refusal(reply).unwrap_or(Refusal::RateLimit);
        Err(Failure::NotSent(refusal, why))
    }

    /// What nothing has as its name is an ID, if there is something with that.
    async fn by_id(
        &self,
        service: Service,
        folder: &str,
        what: &str,
        id: &str,
    ) -> Result<String, Failure> {
        let path = format!("{folder}/{}", path_segment(id));
        let reply = self.get(service, &path).await?;
        match reply.status {
            400 | 404 => {
                let why = format!("there is no {what} {id}");
                Err(Failure::NotSent(Refusal::Invalid, why))
            }
            _ => self.read(&path, &reply).map(|_| id.to_owned()),
        }
    }

    fn complaint(&self, reply: &Reply, more: &[&Secret]) -> String {
        self.session.clean(&nova::complaint(reply), more)
    }

    /// The ID of the flavor.
    async fn flavor(&self) -> Result<String, Failure> {
        let wanted = &self.options.flavor;
        let listed = self.ask(Service::Compute, "/flavors").await?;
        let mut flavors = listed["flavors"].as_array().into_iter().flatten();
        if let Some(flavor) = flavors.find(|one| one["name"] == wanted.as_str()) {
            return Ok(text(&flavor["id"]).to_owned());
        }
        self.by_id(Service::Compute, "/flavors", "flavor", wanted)
            .await
    }

    /// The ID of the image.
    async fn image(&self) -> Result<String, Failure> {
        let wanted = &self.options.image;
        let path = format!("/v2/images?name={}", path_segment(wanted));
        let listed = self.ask(Service::Image, &path).await?;
        let images = listed["images"].as_array().into_iter().flatten();
        let named: Vec<&str> = images
            .filter(|one| one["name"] == wanted.as_str())
            .map(|one| text(&one["id"]))
            .collect();
        match named.as_slice() {
            [id] => return Ok((*id).to_owned()),
            [] => {}
            _ => {
                let count = named.len();
                let why = format!("there are {count} images {wanted}: say which by its ID");
                return Err(Failure::NotSent(Refusal::Invalid, why));
            }
        }
        self.by_id(Service::Image, "/v2/images", "image", wanted)
            .await
    }

    /// The servers of this owner.
    async fn list(&self, owner: &str) -> Result<Listing, Failure> {
        let mut listing = Listing {
            servers: Vec::new(),
            complete: true,
            began: clock::now(),
        };
        let mut path = "/servers/detail".to_owned();
        for number in 0..MOST_PAGES {
            let page = match self.ask(Service::Compute, &path).await {
                Ok(listed) => nova::page(&listed),
                Err(failure) if number == 0 => return Err(failure),
                Err(_) => break,
            };
            listing.complete &= page.complete;
            let new = page
                .servers
                .into_iter()
                .filter(|server| server.belongs_to(owner));
            for server in new {
                if listing.servers.iter().all(|one| one.id != server.id) {
                    listing.servers.push(server);
                }
            }
            match page.next {
                Some(query) => path = format!("/servers/detail?{query}"),
                None => return Ok(listing),
            }
        }
        listing.complete = false;
        Ok(listing)
    }

    async fn try_create(&self, spec: &ServerSpec) -> Result<CreateAnswer, Failure> {
        let owner = spec.labels.get(muster_scaler_core::provider::label::OWNER);
        let owner = owner.map_or("", String::as_str);
        let user_data = Secret::new(STANDARD.encode(spec.user_data.expose()));
        if user_data.expose().len() > MOST_USER_DATA {
            let why = format!(
                "the user data has {} bytes in base64, more than {MOST_USER_DATA}",
                user_data.expose().len()
            );
            return Ok(CreateAnswer::Refused(Refusal::Invalid, why));
        }
        let listing = self.list(owner).await;
        let listing = listing.map_err(Failure::before_creation)?;
        let ours =
            |server: &&ListedServer| server.name == spec.name.0 && server.phase != Phase::Deleting;
        if let Some(server) = listing.servers.iter().find(ours) {
            return Ok(CreateAnswer::AlreadyThere(server.id.clone()));
        }
        if !listing.complete {
            let why = "the listing is not complete: a server of that name may be in a cell that does not answer";
            return Err(Failure::Lost(why.to_owned()).before_creation());
        }
        let (flavor, image) = (self.flavor().await, self.image().await);
        let flavor = flavor.map_err(Failure::before_creation)?;
        let image = image.map_err(Failure::before_creation)?;
        let body = nova::create(
            &self.options,
            spec,
            owner,
            &flavor,
            &image,
            user_data.expose(),
        );
        let reply = self
            .session
            .call(Method::POST, Service::Compute, "/servers", Some(&body))
            .await?;
        let id = reply.json()["server"]["id"].as_str().map(str::to_owned);
        Ok(match (nova::refusal(&reply), id) {
            (None, Some(id)) if reply.is_success() => CreateAnswer::Created(id),
            (Some(refusal), _) => CreateAnswer::Refused(
                refusal,
                self.complaint(&reply, &[&spec.user_data, &user_data]),
            ),
            _ => CreateAnswer::Unknown(self.complaint(&reply, &[&spec.user_data, &user_data])),
        })
    }
}

#[async_trait]
impl Provider for OpenStack {
    fn kind(&self) -> &'static str {
        ROW.name
    }

    fn creation_time(&self, timeout: Duration) -> Duration {
        timeout.saturating_mul(CALLS)
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        let listed = self.list(owner).await;
        listed.map_err(|failure| ProviderError(failure.why()))
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let clean = |why: &str| self.session.clean(why, &[&spec.user_data]);
        let answer = self.try_create(spec).await;
        answer.unwrap_or_else(|failure| failure.cleaned(clean).into())
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
        let path = format!("/servers/{}", path_segment(id));
        match self
            .session
            .call(Method::DELETE, Service::Compute, &path, None)
            .await
        {
            Ok(reply) => match reply.status {
                200..300 => DeleteAnswer::Accepted,
                404 => DeleteAnswer::Gone,
                429 | 500.. => DeleteAnswer::Unknown(self.complaint(&reply, &[])),
                _ => DeleteAnswer::Refused(self.complaint(&reply, &[])),
            },
            Err(failure) => DeleteAnswer::Unknown(failure.why()),
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        match self
            .get(Service::Compute, &format!("/servers/{}", path_segment(id)))
            .await
        {
            Ok(reply) if reply.status == 404 => DescribeAnswer::Gone,
            Ok(reply) if reply.is_success() => match nova::server(&reply.json()["server"]) {
                Some(server) => DescribeAnswer::Found(server),
                None => {
                    DescribeAnswer::Unknown("the cell of the server does not answer".to_owned())
                }
            },
            Ok(reply) => DescribeAnswer::Unknown(self.complaint(&reply, &[])),
            Err(failure) => DescribeAnswer::Unknown(failure.why()),
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        let failed = |failure: Failure| ProviderError(failure.why());
        let about = self.ask(Service::Compute, "/").await.map_err(failed)?;
        nova::check_version(&about).map_err(ProviderError)?;
        let limits = self
            .ask(Service::Compute, "/limits")
            .await
            .map_err(failed)?;
        self.flavor().await.map_err(failed)?;
        self.image().await.map_err(failed)?;
        Ok(nova::limits(&limits))
    }
}
