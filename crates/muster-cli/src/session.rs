//! What all commands that talk to an agent share: the connection, the answer for programs or for
//! people.

use std::process::ExitCode;

use http::Method;
use muster_control::SOCKET_NAME;
use muster_control::api::{AppliedView, EditView};
use muster_net::path_segment;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::args::{ChangeArgs, ClientArgs, StateArgs};
use crate::client::{Answer, Body, Client, Target, token};
use crate::state_path::state_path;
use crate::text::{Style, Tone, plural, print};
use crate::{CommandResult, Failure};

/// One command's talk with an agent.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    runtime: tokio::runtime::Runtime,
    /// Whether a program reads the answer.
    pub(crate) json: bool,
    /// The colours for people.
    pub(crate) style: Style,
}

impl Session {
    /// Finds out where the agent is. Nothing is sent yet.
    pub(crate) fn open(args: &ClientArgs, state: &StateArgs) -> Result<Self, Failure> {
        let given = args.api.as_deref().filter(|url| !url.is_empty());
        let target = match given {
            Some(url) => Target::parse(url).map_err(Failure::Usage)?,
            None => Target::Unix(state_path(state)?.join(SOCKET_NAME)),
        };
        let state_dir = state_path(state).ok();
        let variable = std::env::var("MUSTER_TOKEN").ok();
        let token = token(
            args.token_file.as_deref(),
            variable,
            &target,
            state_dir.as_deref(),
        )?;
        Self::with(Client::new(target, token), args)
    }

    /// A talk with a program that may be no agent: it is sent no token but one that is given.
    pub(crate) fn elsewhere(target: Target, args: &ClientArgs) -> Result<Self, Failure> {
        let variable = std::env::var("MUSTER_TOKEN").ok();
        let token = token(args.token_file.as_deref(), variable, &target, None)?;
        Self::with(Client::new(target, token), args)
    }

    fn with(client: Client, args: &ClientArgs) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|e| Failure::failed(format!("failed to start the runtime: {e}")))?;
        Ok(Self {
            client,
            runtime,
            json: args.json,
            style: Style::stdout(),
        })
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Does some work to its end.
    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Answer, Failure> {
        self.block_on(self.client.call(what, method, path, body))
    }

    /// Gets something.
    pub(crate) fn get(&self, what: &str, path: &str) -> Result<Answer, Failure> {
        self.call(what, Method::GET, path, None)
    }

    /// Prints an answer: as it is for programs, in words for people.
    pub(crate) fn present<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        words: impl FnOnce(&T, Style) -> String,
    ) -> CommandResult {
        if self.json {
            self.print_json(&answer.json()?)?;
        } else {
            print(&words(&answer.to()?, self.style))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints what a change did.
    pub(crate) fn present_change(&self, answer: &Answer) -> CommandResult {
        self.present(answer, applied)
    }

    /// Prints JSON for programs.
    pub(crate) fn print_json(&self, value: &Value) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
        print(&(text + "\n"))
    }
}

impl Body {
    /// A JSON body.
    pub(crate) fn json(value: &Value) -> Self {
        Self {
            text: value.to_string(),
            media_type: "application/json",
            file_name: None,
        }
    }
}

impl ChangeArgs {
    /// The path with how the change is to be made.
    pub(crate) fn path(&self, path: &str) -> String {
        let mut parts = Vec::new();
        if let Some(base) = self.base {
            parts.push(format!("base={base}"));
        }
        if self.dry_run {
            parts.push("dry_run=true".to_owned());
        }
        if let Some(message) = &self.message {
            parts.push(format!("message={}", path_segment(message)));
        }
        if parts.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", parts.join("&"))
        }
    }
}

/// What a change did, for people.
fn applied(view: &AppliedView, style: Style) -> String {
    let mut text = edits(&view.edits, style, view.dry_run);
    let generation = view.generation;
    if view.restarted > 0 {
        let begun = if view.dry_run {
            "to be started"
        } else {
            "started"
        };
        text.push_str(&format!(
            "{} with the same definition {begun} anew\n",
            plural(view.restarted, "component")
        ));
    }
    if view.edits.is_empty() && view.restarted > 0 {
        text.push_str(&format!("generation {generation}\n"));
    } else if view.edits.is_empty() {
        text.push_str(&format!("nothing to change (generation {generation})\n"));
    } else if view.dry_run {
        text.push_str(&format!(
            "nothing was changed: a dry run (generation {generation})\n"
        ));
    } else {
        text.push_str(&format!("generation {generation}\n"));
    }
    text
}

/// The edits, each with the options that differ.
pub(crate) fn edits(edits: &[EditView], style: Style, dry_run: bool) -> String {
    let mut text = String::new();
    for edit in edits {
        let (tone, would) = match edit.action.as_str() {
            "added" => (Tone::Good, "would be added"),
            "removed" => (Tone::Bad, "would be removed"),
            _ => (Tone::Warn, "would be changed"),
        };
        let action = style.paint(if dry_run { would } else { &edit.action }, tone);
        text.push_str(&format!("{} ({}) {action}\n", edit.component, edit.plugin));
        if edit.before.is_some() && edit.after.is_some() {
            let none = json!({});
            let before = edit.before.as_ref().unwrap_or(&none);
            differences("", before, edit.after.as_ref().unwrap_or(&none), &mut text);
        }
    }
    text
}

/// The options that differ, a line each.
fn differences(path: &str, before: &Value, after: &Value, text: &mut String) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let null = &Value::Null;
                let (old, new) = (old.get(key).unwrap_or(null), new.get(key).unwrap_or(null));
                differences(&path, old, new, text);
            }
        }
        (Value::Null, new) => text.push_str(&format!("    {path} = {new}\n")),
        (old, Value::Null) => text.push_str(&format!("    {path} no more (was {old})\n")),
        (old, new) => text.push_str(&format!("    {path} = {new} (was {old})\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_with_what_differs() {
        let view = json!({"generation": 7, "dry_run": false, "edits": [
            {"component": "inputs/a", "action": "added", "plugin": "cpu", "after": {}},
            {"component": "inputs/b", "action": "changed", "plugin": "mem",
             "before": {"x": 1, "gone": true, "tags": {"dc": "a"}},
             "after": {"x": 2, "new": "s", "tags": {"dc": "b"}}}]});
        let want = "inputs/a (cpu) added\n\
                    inputs/b (mem) changed\n    \
                        gone no more (was true)\n    \
                        new = \"s\"\n    \
                        tags.dc = \"b\" (was \"a\")\n    \
                        x = 2 (was 1)\n\
                    generation 7\n";
        assert_eq!(
            applied(&serde_json::from_value(view).unwrap(), Style::plain()),
            want
        );
        let view = json!({"generation": 7, "dry_run": false, "edits": [], "restarted": 2});
        assert_eq!(
            applied(&serde_json::from_value(view).unwrap(), Style::plain()),
            "2 components with the same definition started anew\ngeneration 7\n"
        );
        let view = json!({"generation": 7, "dry_run": true, "edits": [
            {"component": "inputs/a", "action": "removed", "plugin": "cpu", "before": {}}]});
        let want = "inputs/a (cpu) would be removed\n\
                    nothing was changed: a dry run (generation 7)\n";
        assert_eq!(
            applied(&serde_json::from_value(view).unwrap(), Style::plain()),
            want
        );
    }

    #[test]
    fn how_a_change_is_made_stands_in_the_query() {
        let args = ChangeArgs {
            dry_run: true,
            base: Some(3),
            message: Some("a&b".into()),
        };
        assert_eq!(args.path("/x"), "/x?base=3&dry_run=true&message=a%26b");
        assert_eq!(ChangeArgs::default().path("/x"), "/x");
    }
}
