//! What a server is given at its birth: a shell script that cloud-init runs once as root.
//!
//! It installs nothing: the image has `gitlab-runner` (whose service it must not start by itself)
//! and, to join, `curl` or `wget`. The script writes the runner's configuration, starts the runner,
//! and holds the dead-man's lease: when the server's life is over and nobody has deleted it, the
//! runner is told to finish its jobs (SIGQUIT), and after at most the drain's time the machine is
//! switched off.

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_options::Secret;
use muster_scaler_core::config::PoolConfig;
use muster_scaler_core::{Server, Time};

/// Providers take so many bytes of user data, as base64.
pub const MOST_BYTES: usize = 65_535;

/// The configuration of a runner where the pool does not say otherwise.
const RUNNER_CONFIG: &str = r#"concurrent = {{slots}}
check_interval = 3
listen_address = ":9252"

[[runners]]
  name = "{{name}}"
  url = "{{url}}"
  token = "{{token}}"
  executor = "shell"
  limit = {{slots}}
"#;

/// How the server gets its runner's configuration.
#[derive(Clone, Copy, Debug)]
pub enum Boot<'a> {
    /// It is in the script.
    Config(&'a Secret),
    /// The server asks for it with a word that works once, or again for the same server if the answer was lost.
    Join {
        /// How it reaches the scaler.
        url: &'a str,
        /// The word.
        word: &'a Secret,
    },
}

/// Failed to write the user data; the message completes "failed to ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// There is more than providers take.
    #[error(
        "write the user data: it has {0} bytes as base64, providers take {MOST_BYTES}; shorten `runner_config`, or set `join_url`"
    )]
    TooLong(usize),
}

/// The text of a runner's configuration.
pub fn runner_config(pool: &PoolConfig, server: &Server, url: &str, token: &Secret) -> Secret {
    let template = match pool.runner_config.as_str() {
        "" => RUNNER_CONFIG,
        own => own,
    };
    let text = template
        .replace("{{slots}}", &server.slots.to_string())
        .replace("{{name}}", &server.name.0)
        .replace("{{url}}", url)
        .replace("{{token}}", token.expose());
    Secret::new(text)
}

/// The script of a server whose life is over at `expires`; its jobs then have `drain` to end.
///
/// # Errors
/// If it is longer than providers take.
pub fn user_data(boot: &Boot<'_>, expires: Time, drain: Duration) -> Result<Secret, UserDataError> {
    let mut script = String::from(HEAD);
    let _ = writeln!(script, "expires={}", expires.millis() / 1000);
    let _ = writeln!(script, "drain={}", drain.as_secs());
    match boot {
        Boot::Config(config) => {
            let config = STANDARD.encode(config.expose());
            let _ = writeln!(script, "config={config}");
            script.push_str(WRITE);
        }
        Boot::Join { url, word } => {
            let url = format!("{}/join", url.trim_end_matches('/'));
            let _ = writeln!(script, "url={}", quoted(&url));
            let _ = writeln!(script, "word={}", quoted(word.expose()));
            script.push_str(JOIN);
        }
    }
    script.push_str(RUN);
    let bytes = script.len().div_ceil(3) * 4;
    if bytes > MOST_BYTES {
        return Err(UserDataError::TooLong(bytes));
    }
    Ok(Secret::new(script))
}

/// The text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

// `MUSTER_ROOT` and `MUSTER_POWEROFF` are for trying the script where it must not touch the machine.
const HEAD: &str = r#"#!/bin/sh
# Made by muster for this server alone: its runner's configuration, and the end of its life.
umask 077
root=${MUSTER_ROOT:-}
etc=$root/etc/gitlab-runner
state=$root/var/lib/muster
mkdir -p "$etc" "$state"
"#;

const WRITE: &str = r#"fetch() {
    printf %s "$config" | base64 -d
}
"#;

// The number is known to this machine's root alone: a job that reads the user data cannot ask with it.
const JOIN: &str = r#"number=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s %s' "$word" "$number" > "$state/word"
fetch() {
    if command -v curl > /dev/null 2>&1; then
        curl -fsS --max-time 20 --data-binary "@$state/word" "$url"
    else
        wget -q -T 20 -O - --post-file="$state/word" "$url"
    fi
}
"#;

const RUN: &str = r#"left() {
    echo $((expires - $(date +%s)))
}
(
    until fetch > "$state/config.toml" && [ -s "$state/config.toml" ]; do
        [ "$(left)" -gt 0 ] || break
        sleep 5
    done
    mv "$state/config.toml" "$etc/config.toml"
    rm -f "$state/word"
    gitlab-runner run --config "$etc/config.toml" --working-directory "$state" &
    runner=$!
    while rest=$(left) && [ "$rest" -gt 0 ]; do
        [ "$rest" -lt 30 ] || rest=30
        sleep "$rest"
    done
    kill -QUIT "$runner" 2> /dev/null
    end=$(($(date +%s) + drain))
    while kill -0 "$runner" 2> /dev/null && [ "$(date +%s)" -lt "$end" ]; do
        sleep 1
    done
    ${MUSTER_POWEROFF:-poweroff}
) < /dev/null > "$state/log" 2>&1 &
"#;
