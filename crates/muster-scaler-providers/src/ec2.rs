//! `ec2`: instances of Amazon EC2, by its query API.
//!
//! A creation has a client token made of owner and name, so that EC2 itself makes no second instance. An
//! instance that ends itself (powers off) is terminated, so that it costs nothing. Instances that are
//! terminated stay visible for about an hour; they count as gone.

mod answer;
mod sign;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_net::{Client, path_segment};
use muster_options::{JsonSchema, OptionError, Options, Parts, Secret};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, Listing, Phase, Provider, ProviderError,
    Refusal, ServerSpec, label,
};
use muster_tasks::Group;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::http::{Failure, Reply, builder, client, send};
use crate::row::ProviderRow;
use crate::scrub::scrub;

pub(crate) const ROW: ProviderRow = ProviderRow {
    name: "ec2",
    summary: "instances of Amazon EC2",
    options: Ec2Options::describe,
    build,
};

/// The most bytes of user data that EC2 takes, before base64.
const MOST_USER_DATA: usize = 16 << 10;

/// The most pages (of 1000 instances) of a listing; what is beyond them makes it incomplete.
const MOST_PAGES: usize = 100;

/// The options of `ec2`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Ec2Options {
    /// The region: `eu-central-1`.
    region: String,
    /// The API's URL; that of the region if empty.
    url: String,
    /// The ID of an access key that may run, describe and terminate instances and create tags.
    access_key_id: String,
    /// Its secret.
    secret_access_key: Secret,
    /// The session token of temporary keys; empty for others.
    session_token: Secret,
    /// The image, by ID.
    image_id: String,
    /// The type of instances: `c7i.xlarge`.
    instance_type: String,
    /// The subnet, by ID; the default one if empty.
    subnet_id: String,
    /// The security groups, by ID; the default one if empty.
    security_group_ids: Vec<String>,
    /// The name of a key pair; none if empty.
    key_name: String,
    /// The name of the instance profile; none if empty.
    instance_profile: String,
    /// Ask for spot instances: cheaper, and taken away when Amazon needs them.
    spot: bool,
}

fn build(
    parts: Parts,
    common: &ProviderCommon,
    _: &Group,
) -> Result<Arc<dyn Provider>, Vec<OptionError>> {
    let options: Ec2Options = parts.rest()?;
    let needed = [
        ("region", options.region.is_empty()),
        ("access_key_id", options.access_key_id.is_empty()),
        ("secret_access_key", options.secret_access_key.is_empty()),
        ("image_id", options.image_id.is_empty()),
        ("instance_type", options.instance_type.is_empty()),
    ];
    let missing = needed.into_iter().filter(|(_, missing)| *missing);
    let mut errors: Vec<_> = missing
        .map(|(name, _)| OptionError::new(name, "it is needed"))
        .collect();
    let host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !options.region.chars().all(host) {
        errors.push(OptionError::new("region", "no name of a region"));
    }
    let url = match options.url.as_str() {
        "" => format!("https://ec2.{}.amazonaws.com", options.region),
        url => url.trim_end_matches('/').to_owned(),
    };
    let Some((_, host)) = url
        .split_once("://")
        .filter(|(_, host)| !host.is_empty() && !host.contains('/'))
    else {
        errors.push(OptionError::new("url", "a URL without a path"));
        return Err(errors);
    };
    let host = host.to_owned();
    if !errors.is_empty() {
        return Err(errors);
    }
    let client = client(builder(common.timeout.get()), &Default::default())?;
    Ok(Arc::new(Ec2 {
        options,
        client,
        url,
        host,
    }))
}

#[derive(Debug)]
struct Ec2 {
    options: Ec2Options,
    client: Client,
    url: String,
    host: String,
}

/// The parameters of a question.
type Pairs = Vec<(String, String)>;

impl Ec2 {
    async fn call(&self, action: &str, pairs: Pairs) -> Result<Reply, Failure> {
        let own = [("Action", action), ("Version", "2016-11-15")];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let body = sign::form(own.into_iter().chain(pairs));
        let options = &self.options;
        let signer = sign::Signer {
            region: &options.region,
            service: "ec2",
            key: &options.access_key_id,
            secret: &options.secret_access_key,
            session: &options.session_token,
        };
        let mut request = self.client.post(format!("{}/", self.url));
        for (name, value) in signer.headers(&self.host, &body, clock::wall()) {
            request = request.header(name, value);
        }
        let sent = send(request.body(body)).await;
        sent.map_err(|failure| failure.cleaned(|why| self.clean(why, &[])))
    }

    fn complaint(&self, reply: &Reply, more: &[&Secret]) -> String {
        self.clean(&answer::complaint(reply), more)
    }

    fn clean(&self, text: &str, more: &[&Secret]) -> String {
        let own = [&self.options.secret_access_key, &self.options.session_token];
        scrub(text, own.into_iter().chain(more.iter().copied()))
    }

    /// The instances that a filter finds, without those that are terminated, and whether these are all.
    async fn find(&self, filter: Pairs) -> Result<Listing, Failure> {
        let mut listing = Listing {
            servers: Vec::new(),
            complete: false,
            began: clock::now(),
        };
        let mut token: Option<String> = None;
        for number in 0..MOST_PAGES {
            let mut pairs = filter.clone();
            pairs.push(("MaxResults".to_owned(), "1000".to_owned()));
            pairs.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let page = match self.call("DescribeInstances", pairs).await {
                Ok(reply) if reply.is_success() => answer::page(&reply.text()),
                Ok(_) | Err(_) if number > 0 => return Ok(listing),
                Ok(reply) => return Err(self.refused(&reply)),
                Err(failure) => return Err(failure),
            };
            let Some(page) = page else { return Ok(listing) };
            for server in page.servers {
                if listing.servers.iter().all(|one| one.id != server.id) {
                    listing.servers.push(server);
                }
            }
            match page.next {
                Some(next) => token = Some(next),
                None => {
                    listing.complete = true;
                    break;
                }
            }
        }
        Ok(listing)
    }

    fn refused(&self, reply: &Reply) -> Failure {
        let refusal = answer::refusal(reply).unwrap_or(Refusal::RateLimit);
        Failure::NotSent(refusal, self.complaint(reply, &[]))
    }

    /// What runs an instance.
    fn run(&self, spec: &ServerSpec, owner: &str) -> Pairs {
        let options = &self.options;
        let digest = Sha256::digest(format!("{owner}\n{}", spec.name.0));
        let data = STANDARD.encode(spec.user_data.expose());
        let mut pairs: Vec<(String, String)> = [
            ("ImageId", options.image_id.as_str()),
            ("InstanceType", &options.instance_type),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("ClientToken", &sign::hex(&digest)),
            ("UserData", &data),
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("SubnetId", &options.subnet_id),
            ("KeyName", &options.key_name),
            ("IamInstanceProfile.Name", &options.instance_profile),
            (
                "InstanceMarketOptions.MarketType",
                if options.spot { "spot" } else { "" },
            ),
            ("TagSpecification.1.ResourceType", "instance"),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        for (at, group) in (1..).zip(&options.security_group_ids) {
            pairs.push((format!("SecurityGroupId.{at}"), group.clone()));
        }
        let name = [(&"Name".to_owned(), &spec.name.0)];
        for (at, (key, value)) in (1..).zip(name.into_iter().chain(&spec.labels)) {
            pairs.push((format!("TagSpecification.1.Tag.{at}.Key"), key.clone()));
            pairs.push((format!("TagSpecification.1.Tag.{at}.Value"), value.clone()));
        }
        pairs
    }

    async fn try_create(&self, spec: &ServerSpec) -> Result<CreateAnswer, Failure> {
        let owner = spec.labels.get(label::OWNER).map_or("", String::as_str);
        if spec.user_data.expose().len() > MOST_USER_DATA {
            let why = format!("the user data has more than {MOST_USER_DATA} bytes");
            return Ok(CreateAnswer::Refused(Refusal::Invalid, why));
        }
        // The client token prevents a second one; that the first is there is said only by a look.
        let found = self.find(filter(label::NAME, &spec.name.0)).await;
        let mut found = found.map_err(Failure::before_creation)?.servers.into_iter();
        if let Some(server) = found.find(|server| server.belongs_to(owner)) {
            return Ok(CreateAnswer::AlreadyThere(server.id));
        }
        let reply = self.call("RunInstances", self.run(spec, owner)).await?;
        let id = answer::instance_id(&reply.text());
        // As it was sent, in case it comes back.
        let data = STANDARD.encode(spec.user_data.expose());
        let data = [path_segment(&data), data].map(Secret::new);
        let why = self.complaint(&reply, &[&spec.user_data, &data[0], &data[1]]);
        Ok(match (answer::refusal(&reply), id) {
            (Some(refusal), _) => CreateAnswer::Refused(refusal, why),
            (None, Some(id)) if reply.is_success() => CreateAnswer::Created(id),
            _ => CreateAnswer::Unknown(why),
        })
    }
}

/// Finds instances with a tag.
fn filter(tag: &str, value: &str) -> Pairs {
    let states = ["pending", "running", "shutting-down", "stopping", "stopped"];
    let mut pairs = vec![
        ("Filter.1.Name".to_owned(), format!("tag:{tag}")),
        ("Filter.1.Value.1".to_owned(), value.to_owned()),
        ("Filter.2.Name".to_owned(), "instance-state-name".to_owned()),
    ];
    for (at, state) in (1..).zip(states) {
        pairs.push((format!("Filter.2.Value.{at}"), state.to_owned()));
    }
    pairs
}

#[async_trait]
impl Provider for Ec2 {
    fn kind(&self) -> &'static str {
        ROW.name
    }

    fn creation_time(&self, timeout: Duration) -> Duration {
        // A look goes before the request.
        timeout.saturating_mul(2)
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        let found = self.find(filter(label::OWNER, owner)).await;
        let mut listing = found.map_err(|failure| ProviderError(failure.why()))?;
        listing.servers.retain(|server| server.belongs_to(owner));
        Ok(listing)
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let clean = |why: &str| self.clean(why, &[&spec.user_data]);
        let answer = self.try_create(spec).await;
        answer.unwrap_or_else(|failure| failure.cleaned(clean).into())
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        match self.describe(id).await {
            DescribeAnswer::Gone => return DeleteAnswer::Gone,
            DescribeAnswer::Unknown(why) => return DeleteAnswer::Unknown(why),
            DescribeAnswer::Found(server) if !server.belongs_to(owner) => {
                return DeleteAnswer::Refused(format!("instance {id} does not belong to {owner}"));
            }
            DescribeAnswer::Found(server) if server.phase == Phase::Deleting => {
                return DeleteAnswer::Accepted;
            }
            DescribeAnswer::Found(_) => {}
        }
        let pairs = vec![("InstanceId.1".to_owned(), id.to_owned())];
        match self.call("TerminateInstances", pairs).await {
            Ok(reply) if reply.is_success() => DeleteAnswer::Accepted,
            Ok(reply) => match answer::refusal(&reply) {
                Some(Refusal::RateLimit) | None => {
                    DeleteAnswer::Unknown(self.complaint(&reply, &[]))
                }
                Some(_) if answer::is_not_found(&reply) => DeleteAnswer::Gone,
                Some(_) => DeleteAnswer::Refused(self.complaint(&reply, &[])),
            },
            Err(failure) => DeleteAnswer::Unknown(failure.why()),
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        let pairs = vec![("InstanceId.1".to_owned(), id.to_owned())];
        match self.call("DescribeInstances", pairs).await {
            Ok(reply) if reply.is_success() => match answer::page(&reply.text()) {
                Some(page) => match page.servers.into_iter().find(|server| server.id == id) {
                    Some(server) => DescribeAnswer::Found(server),
                    None => DescribeAnswer::Gone,
                },
                None => DescribeAnswer::Unknown("the answer is no list of instances".to_owned()),
            },
            Ok(reply) if answer::is_not_found(&reply) => DescribeAnswer::Gone,
            Ok(reply) => DescribeAnswer::Unknown(self.complaint(&reply, &[])),
            Err(failure) => DescribeAnswer::Unknown(failure.why()),
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        let failed = |failure: Failure| ProviderError(failure.why());
        let all = self.find(Vec::new()).await.map_err(failed)?;
        // A run that is only tried checks the rights, the image, the type and the subnet.
        let labels = [(label::OWNER, "dry-run"), (label::NAME, "dry-run")];
        let spec = ServerSpec {
            name: muster_scaler_core::ServerName("dry-run".to_owned()),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            user_data: Secret::new("#cloud-config\n"),
        };
        let mut pairs = self.run(&spec, "dry-run");
        pairs.push(("DryRun".to_owned(), "true".to_owned()));
        let reply = self.call("RunInstances", pairs).await.map_err(failed)?;
        if !answer::would_work(&reply) {
            return Err(ProviderError(format!(
                "an instance cannot be run: {}",
                self.complaint(&reply, &[])
            )));
        }
        Ok(Limits {
            servers: None,
            used: u64::try_from(all.servers.len()).ok(),
            notes: vec!["the API does not say how many instances the account may have".to_owned()],
        })
    }
}
