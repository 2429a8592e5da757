//! `muster input set`.

use clap::Args;
use http::Method;
use muster_plugin::Kind;
use serde_json::{Map, Value};

use super::{names, path, with_near_id};
use crate::args::{ChangeArgs, ClientArgs};
use crate::client::Body;
use crate::key_values::{parse_key, parse_pair, value_to_json};
use crate::session::Session;
use crate::{CommandResult, Failure};

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The component's ID.
    id: String,
    /// Options to set; dots lead into sub-tables, as in tags.dc=x.
    #[arg(value_name = "KEY=VALUE", required_unless_present = "unset")]
    options: Vec<String>,
    /// An option to take out, so that its default holds; may be given several times.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn set(session: &Session, kind: Kind, args: &SetArgs) -> CommandResult {
    let patch = patch(&args.options, &args.unset).map_err(Failure::Usage)?;
    let ids = std::slice::from_ref(&args.id);
    let path = args.change.path(&path(kind, &args.id));
    let body = Body::json(&Value::Object(patch));
    let what = format!("set {}", names(kind, ids));
    let answer = session.call(&what, Method::PATCH, &path, Some(body));
    let answer = with_near_id(session, kind, ids, answer)?;
    session.present_change(&answer)
}

/// The change as the API takes it: `null` takes an option out, a dot leads into a sub-table.
fn patch(options: &[String], unset: &[String]) -> Result<Map<String, Value>, String> {
    let mut patch = Map::new();
    let pairs = options
        .iter()
        .map(|text| parse_pair(text).map(|(k, v)| (k, value_to_json(&v))));
    let nulls = unset
        .iter()
        .map(|key| parse_key(key).map(|key| (key, Value::Null)));
    for entry in pairs.chain(nulls) {
        let (key, value) = entry?;
        let name = key.join(".");
        if key.iter().any(|part| part.contains('.')) {
            return Err(format!(
                "{name:?}: a part with a dot cannot be set alone; set the whole table"
            ));
        }
        if name == "id" {
            return Err(
                "an ID cannot be changed; add a new component and remove the old one".into(),
            );
        }
        if patch.insert(name.clone(), value).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_make_a_patch() {
        let check = |options: &[&str], unset: &[&str], want: Value| {
            let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            let got = patch(&own(options), &own(unset));
            assert_eq!(got.map_or_else(Value::String, Value::Object), want);
        };
        check(
            &["a=1", "tags.dc=x"],
            &["b"],
            json!({"a": 1, "tags.dc": "x", "b": null}),
        );
        check(&["tags={dc='x'}"], &[], json!({"tags": {"dc": "x"}}));
        check(&["a=1"], &["a"], json!("`a` is given twice"));
        check(
            &["tags.'x.y'=1"],
            &[],
            json!("\"tags.x.y\": a part with a dot cannot be set alone; set the whole table"),
        );
        check(
            &["id=x"],
            &[],
            json!("an ID cannot be changed; add a new component and remove the old one"),
        );
    }
}
