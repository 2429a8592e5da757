//! Errors as the API tells them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use muster_config::Diagnostic;
use muster_engine::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::change::ChangeError;

/// The body of every answer that is no success.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A word for programs: `stale`, `conflict`, `not-found`, `refused`, `invalid`, `denied`,
    /// `too-large`, `store`, `stopping`.
    pub code: String,
    /// What is wrong, for people; several lines if it is several things.
    pub message: String,
    /// Each single problem.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The present generation, if the change was made for an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// One problem.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The component, as `inputs/cpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The option in its table, as `servers[2].url`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Where in a file, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An answer that is no success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
}

impl ApiError {
    /// An error with its word for programs.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let body = ErrorBody {
            code: code.to_owned(),
            message: message.into(),
            problems: Vec::new(),
            generation: None,
        };
        Self {
            status,
            body: Box::new(body),
        }
    }

    /// What the request says cannot be.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// What the request names is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.body.problems = problems;
        self
    }
}

impl From<Vec<Refusal>> for ApiError {
    fn from(refusals: Vec<Refusal>) -> Self {
        ChangeError::Refused(refusals).into()
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        let told = |status, code| Self::new(status, code, message.clone());
        let lines = |lines: &[String]| {
            let problem = |message: &String| Problem {
                message: message.clone(),
                ..Problem::default()
            };
            lines.iter().map(problem).collect()
        };
        match &error {
            ChangeError::Stale {
                current, differs, ..
            } => {
                let differs = differs.iter().map(|id| Problem {
                    component: Some(id.to_string()),
                    message: "differs between the two generations".to_owned(),
                    ..Problem::default()
                });
                let mut error =
                    told(StatusCode::CONFLICT, "stale").with_problems(differs.collect());
                error.body.generation = Some(*current);
                error
            }
            ChangeError::Conflict(all) => {
                told(StatusCode::CONFLICT, "conflict").with_problems(lines(all))
            }
            ChangeError::NotFound(all) => {
                told(StatusCode::NOT_FOUND, "not-found").with_problems(lines(all))
            }
            ChangeError::Refused(refusals) => {
                let problems = refusals.iter().flat_map(refusal_problems).collect();
                told(StatusCode::UNPROCESSABLE_ENTITY, "refused").with_problems(problems)
            }
            ChangeError::Invalid(diagnostics) => {
                let problems = diagnostics.0.iter().map(diagnostic_problem).collect();
                told(StatusCode::UNPROCESSABLE_ENTITY, "invalid").with_problems(problems)
            }
            ChangeError::NoGeneration(_) => told(StatusCode::NOT_FOUND, "not-found"),
            ChangeError::Store(_) => told(StatusCode::INSUFFICIENT_STORAGE, "store"),
            ChangeError::Stopping => told(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }
}

fn refusal_problems(refusal: &Refusal) -> impl Iterator<Item = Problem> + '_ {
    refusal.errors.iter().map(|error| Problem {
        component: Some(refusal.id.to_string()),
        path: error.path.clone(),
        message: error.message.clone(),
        hint: error.hint.clone(),
        place: None,
    })
}

fn diagnostic_problem(diagnostic: &Diagnostic) -> Problem {
    Problem {
        place: diagnostic.place.as_ref().map(ToString::to_string),
        message: diagnostic.message.clone(),
        hint: diagnostic.hint.clone(),
        ..Problem::default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(*self.body)).into_response()
    }
}
