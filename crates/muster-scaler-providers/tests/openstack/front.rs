//! Stands between the provider and Nova: passes all on, and has go wrong what the suite asks for, by
//! OpenStack's own means where there are any.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use muster_scaler_providers::testing::http::{Asked, Double, Reply};
use muster_scaler_providers::testing::{Fault, Faults};
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// The flavor of servers that fail while they are built.
const BREAKS: &str = "43";

/// The flavor of servers for which there is no room.
const VAST: &str = "44";

#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) faults: Faults,
    /// What `cloud.py` says of the cloud, once it runs.
    pub(crate) about: OnceLock<Value>,
    client: Client,
    /// While this file is there, the database of Nova's cell does not answer.
    down: PathBuf,
}

impl Front {
    pub(crate) fn new(folder: &Path) -> Self {
        muster_net::install_provider();
        Self {
            faults: Faults::default(),
            about: OnceLock::new(),
            client: Client::builder().no_proxy().build().unwrap(),
            down: folder.join("down"),
        }
    }

    pub(crate) fn about(&self, key: &str) -> &str {
        self.about.get().unwrap()[key].as_str().unwrap()
    }

    /// Asks a service as the administrator; the answer must be a success.
    pub(crate) async fn ask(&self, method: Method, url: String, body: &Value) -> Value {
        let request = self.client.request(method, &url);
        let request = request
            .header("X-Auth-Token", self.about("token"))
            .header("OpenStack-API-Version", "compute 2.69");
        let answer = match body {
            Value::Null => request,
            body => request.json(body),
        };
        let answer = answer.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The database of Nova's cell does not answer, or does so again.
    pub(crate) fn take_down(&self, down: bool) {
        if down {
            fs::write(&self.down, "").unwrap();
        } else {
            fs::remove_file(&self.down).unwrap();
        }
    }

    /// The most servers that the project may have; Nova's default if there is no number.
    async fn quota(&self, instances: Option<u32>) {
        let url = format!(
            "{}/os-quota-sets/{}",
            self.about("compute"),
            self.about("project")
        );
        match instances {
            Some(most) => {
                let set = json!({ "quota_set": { "instances": most, "force": true } });
                self.ask(Method::PUT, url, &set).await
            }
            None => self.ask(Method::DELETE, url, &Value::Null).await,
        };
    }

    /// A token is good for nothing from now on.
    async fn revoke(&self, token: &str) {
        let url = format!("{}/auth/tokens", self.about("auth_url"));
        let request = self
            .client
            .delete(url)
            .header("X-Auth-Token", self.about("token"));
        let answer = request.header("X-Subject-Token", token).send().await;
        assert!(answer.unwrap().status().is_success());
        // Nova believes for a while yet what it has heard of Keystone.
        let url = format!("{}/limits", self.about("compute"));
        loop {
            let request = self.client.get(&url).header("X-Auth-Token", token);
            if request.send().await.unwrap().status() == 401 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn pass_on(&self, asked: &Asked, body: String) -> Reply {
        let method = asked.method.parse().unwrap();
        let url = format!("{}{}", self.about("compute"), asked.path);
        let mut request = self.client.request(method, url).query(&asked.query);
        for name in ["X-Auth-Token", "OpenStack-API-Version", "Content-Type"] {
            if let Some(value) = asked.headers.get(name) {
                request = request.header(name, value);
            }
        }
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        Reply::text(status, answer.text().await.unwrap())
    }
}

#[async_trait]
impl Double for Front {
    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn changes(&self, asked: &Asked) -> bool {
        asked.method != "GET"
    }

    async fn answer(&self, asked: &Asked) -> Reply {
        let creates = asked.method == "POST";
        let lists = asked.path == "/servers/detail" && asked.query.is_empty();
        if self.faults.take(Fault::Expire) {
            self.revoke(asked.header("X-Auth-Token")).await;
        }
        let mut body = asked.body.clone();
        for (fault, flavor) in [(Fault::BuildFails, BREAKS), (Fault::NoCapacity, VAST)] {
            if creates && self.faults.take(fault) {
                let mut changed = asked.json();
                changed["server"]["flavorRef"] = flavor.into();
                body = changed.to_string();
            }
        }
        if creates && self.faults.take(Fault::Quota) {
            self.quota(Some(0)).await;
            let reply = self.pass_on(asked, body).await;
            self.quota(None).await;
            reply
        } else if lists && self.faults.take(Fault::Partial) {
            self.take_down(true);
            let reply = self.pass_on(asked, body).await;
            self.take_down(false);
            reply
        } else {
            self.pass_on(asked, body).await
        }
    }

    /// Nova has no limit of its own any more; what stands before it in a cloud has.
    fn rate_limited(&self) -> Reply {
        Reply::text(429, "Too Many Requests")
    }
}
