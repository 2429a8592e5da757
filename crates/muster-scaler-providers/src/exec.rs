//! `exec`: any program that keeps to a small protocol.
//!
//! The program is called once for each question, with the verb as its last argument, the request as
//! one JSON line on its standard input, and answers with JSON lines and its exit code.
//! `docs/reference/scaler-exec-provider.md` is the protocol.

mod protocol;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_options::{JsonSchema, OptionError, Options, Parts, Secret};
use muster_process::{Command, Limits as Bounds, RunError};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, Listing, Provider, ProviderError, Refusal,
    ServerSpec,
};
use muster_tasks::Group;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock;
use crate::row::ProviderRow;
use crate::scrub::scrub;

pub(crate) const ROW: ProviderRow = ProviderRow {
    name: "exec",
    summary: "any program that creates, deletes, lists and describes servers",
    options: ExecOptions::describe,
    build,
};

/// The most that a program may put out, in bytes: room for some ten thousand servers.
const MOST_OUTPUT: usize = 16 << 20;

/// How much of a program's complaints is read, in bytes.
const MOST_COMPLAINTS: usize = 16 << 10;

/// The options of `exec`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ExecOptions {
    /// The program and its arguments; the verb is added as the last one.
    command: Vec<String>,
    /// Environment variables, each as `KEY=value`, beside those that the scaler has itself. Others on
    /// the machine can read them: put secrets into `secrets`.
    environment: Vec<String>,
    /// The directory in which the program runs; that of the scaler if empty.
    directory: String,
    /// What the program is told with every request, as `parameters`: the image, the size, ...
    parameters: BTreeMap<String, String>,
    /// The same as `secrets`: told on standard input only, and shown nowhere.
    secrets: BTreeMap<String, Secret>,
}

fn build(
    parts: Parts,
    common: &ProviderCommon,
    group: &Group,
) -> Result<Arc<dyn Provider>, Vec<OptionError>> {
    let options: ExecOptions = parts.rest()?;
    let command = Command::new(options.command.clone())
        .map_err(|error| vec![OptionError::new("command", error.to_string())])?;
    let environment = options.environment.iter().map(String::as_str);
    command
        .environment(environment)
        .map_err(|error| vec![OptionError::new("environment", error.to_string())])?;
    Ok(Arc::new(Exec {
        options,
        timeout: common.timeout.get(),
        group: group.clone(),
    }))
}

#[derive(Debug)]
struct Exec {
    options: ExecOptions,
    timeout: Duration,
    group: Group,
}

/// What the program said, and how it ended.
struct Said {
    lines: Vec<String>,
    end: End,
}

/// How a program ended.
enum End {
    /// Well: its lines are the answer.
    Ok,
    /// It refuses, and has done nothing.
    Refused(Refusal, String),
    /// Something else: nobody knows what it has done.
    Failed(String),
}

impl Exec {
    /// Runs the program for one verb.
    async fn ask(&self, verb: &str, mut request: serde_json::Value, more: &[&Secret]) -> Said {
        let secrets: BTreeMap<&str, &str> = self
            .options
            .secrets
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose()))
            .collect();
        request["protocol"] = json!(protocol::VERSION);
        request["verb"] = json!(verb);
        request["parameters"] = json!(self.options.parameters);
        request["secrets"] = json!(secrets);
        let line = format!("{request}\n");
        let failed = |error: &dyn std::fmt::Display| Said {
            lines: Vec::new(),
            end: End::Failed(self.clean(&error.to_string(), more)),
        };
        let bounds = Bounds {
            timeout: self.timeout,
            stdout: MOST_OUTPUT,
            stderr: MOST_COMPLAINTS,
        };
        let command = match self.command(verb) {
            Ok(command) => command,
            Err(error) => return failed(&error),
        };
        let output = match command.run(&self.group, line.as_bytes(), bounds).await {
            Ok(output) => output,
            Err(RunError::Start { command, source }) => {
                let text = format!("start {command}: {source}");
                let text = self.clean(&text, more);
                // It never ran, so it has done nothing.
                return Said {
                    lines: Vec::new(),
                    end: End::Refused(Refusal::Invalid, text),
                };
            }
            Err(RunError::Pipe { command, source }) => {
                return failed(&format!("talk to {command}: {source}"));
            }
            Err(error) => return failed(&error),
        };
        let complaint = self.clean(&String::from_utf8_lossy(&output.stderr), more);
        let said = |fallback: &str| {
            if complaint.is_empty() {
                fallback.to_owned()
            } else {
                complaint.clone()
            }
        };
        let end = match output.exit.code() {
            Some(0) => End::Ok,
            Some(10) => End::Refused(Refusal::Quota, said("the quota is used up")),
            Some(11) => End::Refused(Refusal::Capacity, said("there is no capacity")),
            Some(12) => End::Refused(Refusal::RateLimit, said("not now")),
            Some(20) => End::Refused(Refusal::Invalid, said("the configuration is wrong")),
            _ => End::Failed(format!(
                "{verb}: {}: {}",
                output.exit,
                said("it says nothing")
            )),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Said {
            lines: lines.map(str::to_owned).collect(),
            end,
        }
    }

    fn command(&self, verb: &str) -> Result<Command, muster_process::CommandError> {
        let options = &self.options;
        let words = options.command.iter().map(String::as_str).chain([verb]);
        let command = Command::new(words)?;
        let command = command.environment(options.environment.iter().map(String::as_str))?;
        Ok(match options.directory.as_str() {
            "" => command,
            directory => command.directory(directory),
        })
    }

    fn clean(&self, text: &str, more: &[&Secret]) -> String {
        scrub(
            text,
            self.options.secrets.values().chain(more.iter().copied()),
        )
    }

    /// What is wrong with a line of an answer.
    fn wrong(&self, verb: &str, why: &str, more: &[&Secret]) -> String {
        self.clean(&format!("{verb}: {why}"), more)
    }
}

#[async_trait]
impl Provider for Exec {
    fn kind(&self) -> &'static str {
        ROW.name
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        let began = clock::now();
        let said = self.ask("list", json!({ "owner": owner }), &[]).await;
        match said.end {
            End::Ok => {}
            End::Refused(_, why) | End::Failed(why) => return Err(ProviderError(why)),
        }
        let (servers, complete) = protocol::listing(&said.lines)
            .map_err(|why| ProviderError(self.wrong("list", &why, &[])))?;
        let servers = servers
            .into_iter()
            .filter(|server| server.belongs_to(owner))
            .collect();
        Ok(Listing {
            servers,
            complete,
            began,
        })
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let request = json!({
            "name": spec.name.0,
            "labels": spec.labels,
            "user_data": spec.user_data.expose(),
        });
        let secrets = [&spec.user_data];
        let said = self.ask("create", request, &secrets).await;
        match said.end {
            End::Refused(refusal, why) => CreateAnswer::Refused(refusal, why),
            End::Failed(why) => CreateAnswer::Unknown(why),
            End::Ok => match protocol::created(&said.lines) {
                Ok(created) if created.already => CreateAnswer::AlreadyThere(created.id),
                Ok(created) => CreateAnswer::Created(created.id),
                Err(why) => CreateAnswer::Unknown(self.wrong("create", &why, &secrets)),
            },
        }
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        match self.describe(id).await {
            DescribeAnswer::Gone => return DeleteAnswer::Gone,
            DescribeAnswer::Unknown(why) => return DeleteAnswer::Unknown(why),
            DescribeAnswer::Found(server) if !server.belongs_to(owner) => {
                return DeleteAnswer::Refused(format!("server {id} does not belong to {owner}"));
            }
            DescribeAnswer::Found(_) => {}
        }
        let request = json!({ "id": id, "owner": owner });
        let said = self.ask("delete", request, &[]).await;
        match said.end {
            End::Refused(Refusal::RateLimit, why) | End::Failed(why) => DeleteAnswer::Unknown(why),
            End::Refused(_, why) => DeleteAnswer::Refused(why),
            End::Ok => protocol::deleted(&said.lines)
                .unwrap_or_else(|why| DeleteAnswer::Unknown(self.wrong("delete", &why, &[]))),
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        let said = self.ask("describe", json!({ "id": id }), &[]).await;
        match said.end {
            End::Refused(_, why) | End::Failed(why) => DescribeAnswer::Unknown(why),
            End::Ok => protocol::described(&said.lines, id)
                .unwrap_or_else(|why| DescribeAnswer::Unknown(self.wrong("describe", &why, &[]))),
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        let said = self.ask("limits", json!({}), &[]).await;
        match said.end {
            End::Ok => protocol::limits(&said.lines)
                .map_err(|why| ProviderError(self.wrong("limits", &why, &[]))),
            End::Refused(_, why) | End::Failed(why) => Err(ProviderError(why)),
        }
    }
}
