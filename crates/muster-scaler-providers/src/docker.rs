//! `docker`: containers of a Docker Engine (or of Podman, which speaks the same) as servers.
//!
//! A container is created with its labels, gets the user data as a file that only root can read, and is
//! started: three calls. If the last two are lost, the container stays as one that was never started: it is
//! listed, and the scaler deletes it when it has not joined in time. The image must be there: it is not
//! pulled.

mod answer;
mod tar;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_net::{Client, path_segment};
use muster_options::{JsonSchema, OptionError, Options, Parts, Secret, Size};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, ListedServer, Listing, Phase, Provider,
    ProviderError, Refusal, ServerSpec, label,
};
use muster_tasks::Group;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::counting::Counting;
use crate::http::{Failure, Reply, builder, client, send};
use crate::row::ProviderRow;
use crate::scrub::scrub;

pub(crate) const ROW: ProviderRow = ProviderRow {
    name: "docker",
    summary: "containers of a Docker Engine, over its unix socket",
    options: DockerOptions::describe,
    build,
};

/// So many calls make up a creation, the wait for its turn to count included: it, the count, the creation,
/// the user data and the start.
const CALLS: u32 = 5;

/// The options of `docker`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DockerOptions {
    /// The engine's socket.
    socket: String,
    /// The version of the API.
    api_version: String,
    /// The image, which must be there.
    image: String,
    /// What containers run; what the image says if empty.
    command: Vec<String>,
    /// Where in the container the user data is written: an absolute path.
    user_data_path: String,
    /// The network; the engine's default if empty.
    network: String,
    /// Folders to mount, each as `host:container` or `host:container:ro`.
    binds: Vec<String>,
    /// How many processors a container may use; 0 for no bound.
    cpus: f64,
    /// How much memory a container may use; 0 for no bound.
    memory: Size,
    /// Give containers all rights of the host, as builds of images inside them need.
    privileged: bool,
    /// How many containers of this owner's pool there may be; 0 for no bound.
    max_containers: u32,
}

impl Default for DockerOptions {
    fn default() -> Self {
        Self {
            socket: "/var/run/docker.sock".to_owned(),
            api_version: "v1.41".to_owned(),
            image: String::new(),
            command: Vec::new(),
            user_data_path: "/etc/muster/user-data".to_owned(),
            network: String::new(),
            binds: Vec::new(),
            cpus: 0.0,
            memory: Size::default(),
            privileged: false,
            max_containers: 0,
        }
    }
}

fn build(
    parts: Parts,
    common: &ProviderCommon,
    _: &Group,
) -> Result<Arc<dyn Provider>, Vec<OptionError>> {
    let options: DockerOptions = parts.rest()?;
    let mut errors = Vec::new();
    let mut refuse = |name: &str, why: &str| errors.push(OptionError::new(name, why));
    if options.image.is_empty() {
        refuse("image", "a container needs an image");
    }
    if !tar::fits(&options.user_data_path) {
        refuse(
            "user_data_path",
            "an absolute path to a file, of at most 100 characters",
        );
    }
    if !(options.cpus.is_finite() && (0.0..=4096.0).contains(&options.cpus)) {
        refuse("cpus", "0 to 4096");
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let builder = builder(common.timeout.get()).unix_socket(Path::new(&options.socket));
    let client = client(builder, &Default::default())?;
    Ok(Arc::new(Docker {
        options,
        client,
        counting: Counting::new(common.timeout.get()),
    }))
}

#[derive(Debug)]
struct Docker {
    options: DockerOptions,
    client: Client,
    counting: Counting,
}

impl Docker {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://localhost/{}{path}", self.options.api_version);
        self.client.request(method, url)
    }

    async fn get(&self, path: &str) -> Result<Reply, Failure> {
        send(self.request(Method::GET, path))
            .await
            .map_err(|failure| match failure {
                Failure::NotSent(refusal, why) => {
                    Failure::NotSent(refusal, format!("{}: {why}", self.options.socket))
                }
                lost @ Failure::Lost(_) => lost,
            })
    }

    /// The answer to a question that must succeed.
    async fn ask(&self, path: &str) -> Result<Value, ProviderError> {
        let reply = self
            .get(path)
            .await
            .map_err(|failure| ProviderError(failure.why()))?;
        match reply.is_success() {
            true => Ok(reply.json()),
            false => Err(ProviderError(format!(
                "ask for {path}: {}",
                answer::complaint(&reply)
            ))),
        }
    }

    async fn list(
        &self,
        name: &str,
        value: &str,
    ) -> Result<(Vec<ListedServer>, bool), ProviderError> {
        let filters = json!({ name: [value] }).to_string();
        let listed = self
            .ask(&format!(
                "/containers/json?all=true&filters={}",
                path_segment(&filters)
            ))
            .await?;
        let all = listed.as_array();
        let servers: Vec<_> = all.into_iter().flatten().map(answer::listed).collect();
        let whole = all.is_some() && servers.iter().all(Option::is_some);
        Ok((servers.into_iter().flatten().collect(), whole))
    }

    fn body(&self, spec: &ServerSpec) -> Value {
        let options = &self.options;
        let mut host = json!({ "Privileged": options.privileged, "Binds": options.binds });
        if options.cpus > 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "at most 4096 billion")]
            let nanos = (options.cpus * 1e9) as i64;
            host["NanoCpus"] = json!(nanos);
        }
        if options.memory.bytes() > 0 {
            host["Memory"] = json!(options.memory.bytes());
        }
        if !options.network.is_empty() {
            host["NetworkMode"] = json!(options.network);
        }
        let labels: BTreeMap<_, _> = spec.labels.iter().collect();
        let mut body = json!({
            "Image": options.image,
            "Labels": labels,
            "Hostname": spec.name.0,
            "Env": [format!("MUSTER_USER_DATA={}", options.user_data_path)],
            "HostConfig": host,
        });
        if !options.command.is_empty() {
            body["Cmd"] = json!(options.command);
        }
        body
    }

    /// Writes the user data and starts the container. Both may be done twice.
    async fn start(&self, id: &str, spec: &ServerSpec) -> Result<(), String> {
        let archive = tar::one_file(
            &self.options.user_data_path,
            spec.user_data.expose().as_bytes(),
        );
        let write = self.request(Method::PUT, &format!("/containers/{id}/archive?path=/"));
        let write = write
            .header("Content-Type", "application/x-tar")
            .body(archive);
        let start = self.request(Method::POST, &format!("/containers/{id}/start"));
        for (what, request) in [("write the user data", write), ("start", start)] {
            let reply = send(request)
                .await
                .map_err(|failure| format!("{what}: {}", failure.why()))?;
            // 304: it runs already.
            if !reply.is_success() && reply.status != 304 {
                return Err(format!("{what}: {}", answer::complaint(&reply)));
            }
        }
        Ok(())
    }

    /// The name is taken: by our own container, or by somebody else's.
    async fn taken(&self, spec: &ServerSpec) -> CreateAnswer {
        let name = &spec.name.0;
        let (found, _) = match self.list("name", &format!("^/{name}$")).await {
            Ok(found) => found,
            Err(error) => return CreateAnswer::Unknown(error.to_string()),
        };
        let owner = spec.labels.get(label::OWNER).map_or("", String::as_str);
        let Some(server) = found.into_iter().find(|server| server.name == *name) else {
            return CreateAnswer::Unknown(format!(
                "the name {name} is taken by a container that is not shown"
            ));
        };
        if !server.belongs_to(owner) {
            let why =
                format!("the name {name} is taken by a container that does not belong to {owner}");
            return CreateAnswer::Refused(Refusal::Invalid, why);
        }
        if server.phase == Phase::Building
            && let Err(why) = self.start(&server.id, spec).await
        {
            return CreateAnswer::Unknown(why);
        }
        CreateAnswer::AlreadyThere(server.id)
    }

    /// Whether the pool has as many containers as it may have.
    async fn is_full(&self, spec: &ServerSpec) -> Result<bool, ProviderError> {
        let most = self.options.max_containers as usize;
        if most == 0 {
            return Ok(false);
        }
        let value = |key: &str| spec.labels.get(key).map_or("", String::as_str);
        let (found, _) = self
            .list(
                "label",
                &format!("{}={}", label::OWNER, value(label::OWNER)),
            )
            .await?;
        let same_pool =
            |server: &&ListedServer| server.label(label::POOL) == Some(value(label::POOL));
        let others = |server: &&ListedServer| server.name != spec.name.0;
        Ok(found.iter().filter(same_pool).filter(others).count() >= most)
    }

    async fn try_create(&self, spec: &ServerSpec) -> Result<CreateAnswer, Failure> {
        let turn = self.counting.turn(self.options.max_containers).await;
        let turn = turn.map_err(|why| Failure::NotSent(Refusal::RateLimit, why))?;
        let full = self.is_full(spec).await;
        if full.map_err(|error| Failure::NotSent(Refusal::RateLimit, error.to_string()))? {
            let why = format!(
                "there are {} containers already",
                self.options.max_containers
            );
            return Ok(CreateAnswer::Refused(Refusal::Quota, why));
        }
        let path = format!("/containers/create?name={}", path_segment(&spec.name.0));
        let reply = send(self.request(Method::POST, &path).json(&self.body(spec))).await?;
        drop(turn);
        if reply.status == 409 {
            return Ok(self.taken(spec).await);
        }
        let id = reply.json()["Id"].as_str().map(str::to_owned);
        Ok(match (answer::refusal(&reply), id) {
            (Some(refusal), _) => CreateAnswer::Refused(refusal, answer::complaint(&reply)),
            (None, Some(id)) if reply.is_success() => match self.start(&id, spec).await {
                Ok(()) => CreateAnswer::Created(id),
                // The container is there: a listing shows how far it came.
                Err(why) => CreateAnswer::Unknown(why),
            },
            _ => CreateAnswer::Unknown(answer::complaint(&reply)),
        })
    }
}

#[async_trait]
impl Provider for Docker {
    fn kind(&self) -> &'static str {
        ROW.name
    }

    fn creation_time(&self, timeout: Duration) -> Duration {
        timeout.saturating_mul(CALLS)
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        let began = clock::now();
        let (mut servers, complete) = self
            .list("label", &format!("{}={owner}", label::OWNER))
            .await?;
        servers.retain(|server| server.belongs_to(owner));
        Ok(Listing {
            servers,
            complete,
            began,
        })
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let clean = |secret: &Secret, why: &str| scrub(why, [secret]);
        match self.try_create(spec).await {
            Ok(CreateAnswer::Refused(refusal, why)) => {
                CreateAnswer::Refused(refusal, clean(&spec.user_data, &why))
            }
            Ok(CreateAnswer::Unknown(why)) => CreateAnswer::Unknown(clean(&spec.user_data, &why)),
            Ok(answer) => answer,
            Err(failure) => failure.cleaned(|why| clean(&spec.user_data, why)).into(),
        }
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        match self.describe(id).await {
            DescribeAnswer::Gone => return DeleteAnswer::Gone,
            DescribeAnswer::Unknown(why) => return DeleteAnswer::Unknown(why),
            DescribeAnswer::Found(server) if !server.belongs_to(owner) => {
                return DeleteAnswer::Refused(format!("container {id} does not belong to {owner}"));
            }
            DescribeAnswer::Found(_) => {}
        }
        let path = format!("/containers/{}?force=true&v=true", path_segment(id));
        match send(self.request(Method::DELETE, &path)).await {
            Ok(reply) => match reply.status {
                200..300 | 404 => DeleteAnswer::Gone,
                // It is being removed already.
                409 => DeleteAnswer::Accepted,
                429 | 500.. => DeleteAnswer::Unknown(answer::complaint(&reply)),
                _ => DeleteAnswer::Refused(answer::complaint(&reply)),
            },
            Err(failure) => DeleteAnswer::Unknown(failure.why()),
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        match self
            .get(&format!("/containers/{}/json", path_segment(id)))
            .await
        {
            Ok(reply) if reply.status == 404 => DescribeAnswer::Gone,
            Ok(reply) if reply.is_success() => match answer::inspected(&reply.json()) {
                Some(server) if server.id == id => DescribeAnswer::Found(server),
                // The engine also finds by name and by the beginning of an ID.
                Some(_) => DescribeAnswer::Gone,
                None => DescribeAnswer::Unknown("the answer is no container".to_owned()),
            },
            Ok(reply) => DescribeAnswer::Unknown(answer::complaint(&reply)),
            Err(failure) => DescribeAnswer::Unknown(failure.why()),
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        let info = self.ask("/info").await?;
        let image = self
            .get(&format!(
                "/images/{}/json",
                path_segment(&self.options.image)
            ))
            .await;
        let image = image.map_err(|failure| ProviderError(failure.why()))?;
        if !image.is_success() {
            let (name, why) = (&self.options.image, answer::complaint(&image));
            return Err(ProviderError(format!(
                "the image {name} is not there ({why}); pull it first"
            )));
        }
        let number = |key: &str| info[key].as_u64();
        let host = number("NCPU").zip(number("MemTotal"));
        let notes = host.map(|(cpus, memory)| {
            format!("the engine has {cpus} processors and {memory} bytes of memory")
        });
        Ok(Limits {
            servers: None,
            used: number("Containers"),
            notes: notes.into_iter().collect(),
        })
    }
}
