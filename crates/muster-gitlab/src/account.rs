//! What the token may do, and which GitLab this is.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{Error, Gitlab};

/// A token, as GitLab describes it. The token itself is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenInfo {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Whether it works.
    pub active: bool,
    /// Its last day, as `2026-12-31`.
    pub expires_at: Option<String>,
}

/// Which GitLab this is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Such as `18.5.0-ee`.
    pub version: String,
    /// The revision.
    pub revision: String,
}

/// Which scopes of those that the scaler needs are missing, in the order in which they are needed.
/// `api` stands for all of them.
pub fn missing_scopes(scopes: &[String]) -> Vec<&'static str> {
    let has = |wanted: &str| scopes.iter().any(|scope| scope == wanted);
    let needed = ["read_api", "create_runner", "manage_runner"];
    needed
        .into_iter()
        .filter(|scope| !has(scope) && !has("api"))
        .collect()
}

impl Gitlab {
    /// What the token may do; GET /personal_access_tokens/self, which any token may ask. It answers
    /// for personal, project and group tokens.
    ///
    /// # Errors
    /// [`Error`]; [`WrongToken`](Error::WrongToken) above all.
    pub async fn token_info(&self) -> Result<TokenInfo, Error> {
        let path = "personal_access_tokens/self";
        self.json(self.call(Method::GET, path, "look at the token")?)
            .await
    }

    /// Which GitLab this is; GET /version.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn version(&self) -> Result<Version, Error> {
        self.json(self.call(Method::GET, "version", "ask for GitLab's version")?)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_scopes_are_named() {
        let check = |scopes: &[&str], want: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            assert_eq!(missing_scopes(&scopes), want, "{scopes:?}");
        };
        check(&["api"], &[]);
        check(&["read_api", "create_runner", "manage_runner"], &[]);
        check(&["create_runner", "manage_runner"], &["read_api"]);
        check(&[], &["read_api", "create_runner", "manage_runner"]);
    }
}
