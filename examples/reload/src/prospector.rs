//! One prospector: what it is told, and what it does.

use std::time::Duration;

use muster_tasks::{Closed, Ctx, Group, StopOptions};

/// What a prospector is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// The files that it looks for.
    pub paths: Vec<String>,
    /// How many harvesters it has.
    pub harvesters: usize,
    /// How long its first look at the disk takes.
    pub scan: Duration,
    /// How long a harvester needs to write down how far it has come when it is stopped.
    pub flush: Duration,
}

impl Spec {
    /// A prospector with two harvesters that takes a few milliseconds.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            paths: vec![format!("/var/log/{name}/*.log")],
            name,
            harvesters: 2,
            scan: Duration::from_millis(20),
            flush: Duration::from_millis(50),
        }
    }
}

/// What is wrong with a prospector's settings, or its disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It has no paths.
    #[error("prospector `{0}` has no paths")]
    NoPaths(String),
    /// A path is not absolute.
    #[error("prospector `{name}`: path {path:?} is not absolute")]
    Relative {
        /// The prospector.
        name: String,
        /// The path.
        path: String,
    },
    /// It has no harvesters.
    #[error("prospector `{0}` has no harvesters, so nothing would be read")]
    NoHarvesters(String),
    /// It could not be started because the program ends.
    #[error("failed to start prospector `{0}`: the program ends")]
    Ending(String),
}

/// Looks at the disk (which takes its time) and says what is wrong.
///
/// # Errors
/// The first thing that is wrong.
pub async fn look(spec: &Spec) -> Result<(), SpecError> {
    tokio::time::sleep(spec.scan).await;
    let name = || spec.name.clone();
    if spec.paths.is_empty() {
        return Err(SpecError::NoPaths(name()));
    }
    if let Some(path) = spec.paths.iter().find(|path| !path.starts_with('/')) {
        let path = path.clone();
        return Err(SpecError::Relative { name: name(), path });
    }
    if spec.harvesters == 0 {
        return Err(SpecError::NoHarvesters(name()));
    }
    Ok(())
}

/// Starts the harvesters of a prospector in a group of its own.
///
/// # Errors
/// [`Closed`] if the group takes no more tasks.
pub fn harvest(parent: &Group, spec: &Spec) -> Result<Group, Closed> {
    let group = parent
        .builder(spec.name.clone())
        .grace(StopOptions::default().grace)
        .build();
    for _ in 0..spec.harvesters {
        let flush = spec.flush;
        group.go_cx("harvester", move |cx: Ctx| async move {
            cx.at("reading").cancelled().await;
            cx.at("flushing").shield(tokio::time::sleep(flush)).await;
        })?;
    }
    Ok(group)
}
