//! Signatures of Amazon's kind, version 4, for requests whose parameters are in the body.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use muster_options::Secret;
use muster_scaler_core::Time;
use sha2::{Digest, Sha256};

use muster_net::path_segment;

/// Who signs.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) key: &'a str,
    pub(super) secret: &'a Secret,
    pub(super) session: &'a Secret,
}

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

impl Signer<'_> {
    /// The headers of a `POST /` with this body.
    pub(super) fn headers(&self, host: &str, body: &str, now: Time) -> Vec<(&'static str, String)> {
        let stamp = stamp(now);
        let (day, _) = stamp.split_once('T').unwrap_or((&stamp, ""));
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", stamp.clone()),
        ];
        if !self.session.is_empty() {
            headers.push(("x-amz-security-token", self.session.expose().to_owned()));
        }
        let names = headers
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let request = format!(
            "POST\n/\n\n{lines}\n{names}\n{}",
            hex(&Sha256::digest(body))
        );
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let digest = hex(&Sha256::digest(request));
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let secret = format!("AWS4{}", self.secret.expose());
        let parts = [day, self.region, self.service, "aws4_request", &text];
        let signature = parts
            .iter()
            .fold(secret.into_bytes(), |key, part| hash(&key, part.as_bytes()));
        let (key, signature) = (self.key, hex(&signature));
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        headers.push(("authorization", value));
        headers
    }
}

/// The body of a form.
pub(super) fn form(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| format!("{}={}", path_segment(&key), path_segment(&value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn stamp(now: Time) -> String {
    let time = Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hash(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}
