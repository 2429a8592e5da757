//! How commands fail, and how that is told.

use muster_control::api::{ErrorBody, Problem};
use serde_json::{Value, json};

/// How commands fail.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something went wrong at run time.
    #[error("{0}")]
    Failed(String),
    /// The configuration cannot be used; the text is rendered already.
    #[error("{0}")]
    Configuration(String),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written, or does not hold what it must.
    #[error("{0}")]
    Unusable(String),
    /// No agent answers.
    #[error("{0}")]
    Unreachable(String),
    /// The agent answers that it will not.
    #[error("{}", render(what, body))]
    Refused {
        /// What was to be done, as in "failed to ...".
        what: String,
        /// The answer's status.
        status: u16,
        /// Why, as the API says it.
        body: Box<ErrorBody>,
    },
}

impl Failure {
    /// A failure at run time.
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// The number with which the process ends.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Configuration(_) | Self::Unusable(_) => 3,
            Self::Unreachable(_) => 4,
            Self::Refused { status: 422, .. } => 3,
            Self::Refused { .. } => 1,
        }
    }

    /// The failure as programs read it, in the form of the API's errors.
    pub(crate) fn json(&self) -> Value {
        let (code, message) = match self {
            Self::Refused { body, .. } => return json!(body),
            Self::Failed(message) => ("failed", message),
            Self::Configuration(message) => ("invalid", message),
            Self::Usage(message) => ("usage", message),
            Self::Unusable(message) => ("unusable", message),
            Self::Unreachable(message) => ("unreachable", message),
        };
        json!({ "code": code, "message": message })
    }

    /// The same with something that may help.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        if let Self::Refused { body, .. } = &mut self {
            match body.problems.as_mut_slice() {
                [problem] if problem.hint.is_none() => problem.hint = Some(hint.to_owned()),
                [] => {
                    let message = body.message.clone();
                    let hint = Some(hint.to_owned());
                    body.problems.push(Problem {
                        message,
                        hint,
                        ..Problem::default()
                    });
                }
                _ => {}
            }
        }
        self
    }
}

/// An error of the API for people: what failed, then each problem with its place and hint.
fn render(what: &str, body: &ErrorBody) -> String {
    let ErrorBody {
        code,
        message,
        problems,
        generation,
    } = body;
    let mut text = format!("failed to {what}: ");
    match problems.as_slice() {
        // Its message shows the lines of the file with all problems.
        [_, ..] if code == "invalid" => {
            text.push_str("the configuration is wrong; nothing was changed\n");
            text.push_str(message.trim_end());
        }
        [only] if code != "stale" && only.component.is_none() && only.path.is_empty() => {
            text.push_str(&only.message);
            push_hint(&mut text, "  ", only);
        }
        [] => text.push_str(message),
        several => {
            let summary = match code.as_str() {
                "stale" => message.lines().next().unwrap_or_default(),
                "refused" => "the agent refused it; nothing was changed",
                _ => "nothing was changed",
            };
            text.push_str(summary);
            for problem in several {
                text.push_str("\n  ");
                if let Some(component) = &problem.component {
                    text.push_str(&format!("{component}: "));
                }
                if !problem.path.is_empty() {
                    text.push_str(&format!("{}: ", problem.path));
                }
                text.push_str(&problem.message.replace('\n', "\n    "));
                push_hint(&mut text, "    ", problem);
            }
        }
    }
    match (code.as_str(), generation) {
        ("stale", Some(now)) => text.push_str(&format!(
            "\n  hint: see what changed with `muster diff`, then try again with --base {now}"
        )),
        ("denied", _) => text.push_str("\n  hint: name the token's file with --token-file FILE"),
        _ => {}
    }
    text
}

fn push_hint(text: &mut String, indent: &str, problem: &Problem) {
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("\n{indent}hint: {hint}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: Value, want: &str) {
        let body: ErrorBody = serde_json::from_value(body).unwrap();
        let failure = Failure::Refused {
            what: "add inputs/a".into(),
            status: 409,
            body: Box::new(body),
        };
        assert_eq!(failure.to_string(), want);
    }

    #[test]
    fn errors_of_the_api_are_told_with_place_and_hint() {
        check(
            json!({"code": "store", "message": "no room"}),
            "failed to add inputs/a: no room",
        );
        check(
            json!({"code": "conflict", "message": "x", "problems": [{"message": "inputs/a exists already"}]}),
            "failed to add inputs/a: inputs/a exists already",
        );
        check(
            json!({"code": "refused", "message": "x", "problems": [
                {"component": "inputs/a", "path": "tags.x", "message": "bad", "hint": "did you mean y?"},
                {"component": "inputs/b", "message": "worse"}]}),
            "failed to add inputs/a: the agent refused it; nothing was changed\n  \
             inputs/a: tags.x: bad\n    hint: did you mean y?\n  inputs/b: worse",
        );
        check(
            json!({"code": "invalid", "message": "error: x\n --> f:1:2\n", "problems": [{"message": "x"}]}),
            "failed to add inputs/a: the configuration is wrong; nothing was changed\nerror: x\n --> f:1:2",
        );
        check(
            json!({"code": "stale", "message": "made for 1, now 3", "generation": 3, "problems": [
                {"component": "inputs/b", "message": "differs"}]}),
            "failed to add inputs/a: made for 1, now 3\n  inputs/b: differs\n  hint: see what \
             changed with `muster diff`, then try again with --base 3",
        );
    }

    #[test]
    fn a_hint_is_added_once() {
        let body = ErrorBody {
            code: "not-found".into(),
            message: "there is no inputs/cpuu".into(),
            problems: Vec::new(),
            generation: None,
        };
        let failure = Failure::Refused {
            what: "show inputs/cpuu".into(),
            status: 404,
            body: Box::new(body),
        };
        let text = failure
            .with_hint("did you mean cpu?")
            .with_hint("never")
            .to_string();
        let want = "failed to show inputs/cpuu: there is no inputs/cpuu\n  hint: did you mean cpu?";
        assert_eq!(text, want);
    }
}
