//! Who may write to a listener.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_options::Secret;

/// Compares secrets in a time that does not depend on where they differ.
pub fn same_secret(given: &[u8], wanted: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != wanted.len());
    for (at, wanted) in wanted.iter().enumerate() {
        differs |= wanted ^ given.get(at).copied().unwrap_or(0);
    }
    std::hint::black_box(differs) == 0
}

/// User and password of HTTP basic authentication.
#[derive(Clone, Debug, Default)]
pub struct BasicAuth {
    /// The user.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

impl BasicAuth {
    /// Whether anybody may come in.
    pub fn is_open(&self) -> bool {
        self.username.is_empty() && self.password.is_empty()
    }

    /// Whether the value of an `Authorization` header is right.
    pub fn admits(&self, header: Option<&http::HeaderValue>) -> bool {
        if self.is_open() {
            return true;
        }
        let given = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| {
                let (scheme, rest) = value.split_once(' ')?;
                scheme
                    .eq_ignore_ascii_case("basic")
                    .then(|| STANDARD.decode(rest.trim()).ok())?
            });
        let wanted = format!("{}:{}", self.username.expose(), self.password.expose());
        same_secret(&given.unwrap_or_default(), wanted.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_only_the_right_password() {
        let auth = BasicAuth {
            username: Secret::new("ann"),
            password: Secret::new("pw:1"),
        };
        let check = |value: &str, want| {
            let header = http::HeaderValue::from_str(value).unwrap();
            assert_eq!(auth.admits(Some(&header)), want, "{value}");
        };
        check(&format!("Basic {}", STANDARD.encode("ann:pw:1")), true);
        check(&format!("basic {}", STANDARD.encode("ann:pw:1")), true);
        check(&format!("Basic {}", STANDARD.encode("ann:pw")), false);
        check("Basic !!!", false);
        check("Token pw:1", false);
        assert!(!auth.admits(None));
        assert!(BasicAuth::default().admits(None));
    }
}
