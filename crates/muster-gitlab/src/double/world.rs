//! What there is: tokens, projects and runners. Pipelines and jobs are in `work`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use muster_scaler_core::Time;
use serde_json::Value;

use super::Options;
use crate::{JobStatus, RunnerType};

/// A runner to make as somebody else would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerSpec {
    /// Its description.
    pub description: String,
    /// Which jobs it takes.
    pub tags: Vec<String>,
    /// Whether it takes jobs without tags.
    pub run_untagged: bool,
    /// Whose jobs it takes.
    pub runner_type: RunnerType,
    /// The group or project, for the types that want one.
    pub scope: Option<u64>,
    /// Whether it takes only jobs of protected branches.
    pub protected: bool,
    /// Whether it begins paused.
    pub paused: bool,
    /// Who made it and why.
    pub note: String,
}

/// A job to make.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobSpec {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// Which runners may take it.
    pub tags: Vec<String>,
    /// How long a runner of [`fleet`](crate::fleet) runs it, in seconds.
    pub seconds: f64,
    /// Names of jobs that it needs, in place of all of earlier stages.
    pub needs: Option<Vec<String>>,
    /// Whether it is of a protected branch.
    pub protected: bool,
    /// Whether a runner of [`fleet`](crate::fleet) fails it.
    pub fails: bool,
    /// Whether the pipeline goes on if it fails.
    pub allow_failure: bool,
}

/// What came of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It waits, for jobs before it or for a runner.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed by itself.
    Failed,
    /// It ended because its runner did: stopped, killed or silent.
    Killed,
    /// Somebody cancelled it.
    Canceled,
    /// A job before it failed.
    Skipped,
}

/// A job as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Its ID.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// Its pipeline.
    pub pipeline: u64,
    /// What came of it.
    pub fate: Fate,
    /// In GitLab's word.
    pub status: JobStatus,
    /// The runner that has or had it.
    pub runner: Option<u64>,
    /// When it began to wait for a runner.
    pub queued: Option<Time>,
    /// When it began to run.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
}

/// How many jobs came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wait for jobs before them.
    pub created: usize,
    /// Wait for a runner.
    pub pending: usize,
    /// Run.
    pub running: usize,
    /// Ended well.
    pub succeeded: usize,
    /// Failed by themselves.
    pub failed: usize,
    /// Ended because their runner did.
    pub killed: usize,
    /// Were cancelled or skipped.
    pub dropped: usize,
}

impl Counts {
    /// How many are not over.
    pub const fn open(&self) -> usize {
        self.created + self.pending + self.running
    }
}

/// A runner as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerView {
    /// Its ID.
    pub id: u64,
    /// Its description.
    pub description: String,
    /// Whether it takes no jobs.
    pub paused: bool,
    /// How many processes have shown themselves.
    pub managers: usize,
    /// How many jobs it runs.
    pub running: usize,
}

#[derive(Debug)]
pub(super) struct Token {
    pub(super) scopes: Vec<String>,
    pub(super) admin: bool,
    window: i64,
    sent: u32,
}

#[derive(Debug)]
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) group: Option<u64>,
    pub(super) has_ci: bool,
}

#[derive(Debug)]
pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) token: String,
    pub(super) spec: RunnerSpec,
    pub(super) created: Time,
    pub(super) contacted: Option<Time>,
    pub(super) managers: Vec<Manager>,
}

#[derive(Debug)]
pub(super) struct Manager {
    pub(super) id: u64,
    pub(super) system_id: String,
    pub(super) created: Time,
    /// As written down: far behind.
    pub(super) contacted: Time,
    write_next: Time,
}

/// All there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) tokens: HashMap<String, Token>,
    pub(super) projects: BTreeMap<u64, Project>,
    pub(super) groups: BTreeMap<u64, String>,
    pub(super) runners: BTreeMap<u64, Runner>,
    pub(super) pipelines: BTreeMap<u64, super::work::Pipeline>,
    pub(super) jobs: BTreeMap<u64, super::work::JobRow>,
    pub(super) events: Vec<(&'static str, Value)>,
    pub(super) silence: Duration,
    contact: (Duration, Duration),
    runner_limit: usize,
    rate: Option<u32>,
    last_id: u64,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            tokens: HashMap::new(),
            projects: BTreeMap::new(),
            groups: BTreeMap::new(),
            runners: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: Vec::new(),
            silence: options.silence,
            contact: options.contact,
            runner_limit: options.runner_limit,
            rate: options.rate,
            last_id: 0,
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// What happened since this was last asked for: what webhooks tell. Each of them may also have
    /// made a job takeable.
    pub(super) fn take_events(&mut self) -> Vec<(&'static str, Value)> {
        std::mem::take(&mut self.events)
    }

    /// Wakes up requests for jobs without telling anybody else.
    pub(super) fn nudge(&mut self) {
        self.events.push(("", Value::Null));
    }

    pub(super) fn add_token(&mut self, scopes: &[&str], admin: bool) -> String {
        let text = secret("glpat-");
        let token = Token {
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            admin,
            window: 0,
            sent: 0,
        };
        self.tokens.insert(text.clone(), token);
        text
    }

    pub(super) fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Whether the token sends more than it may; counts this request.
    pub(super) fn is_too_fast(&mut self, token: &str, now: Time) -> bool {
        let Some(most) = self.rate else {
            return false;
        };
        let Some(token) = self.tokens.get_mut(token) else {
            return false;
        };
        let window = now.millis().div_euclid(1000);
        if token.window != window {
            (token.window, token.sent) = (window, 0);
        }
        token.sent += 1;
        token.sent > most
    }

    pub(super) fn add_project(&mut self, path: &str) -> u64 {
        let group = path.rsplit_once('/').map(|(group, _)| group.to_owned());
        let group = group.map(|path| {
            let known = self.groups.iter().find(|(_, known)| **known == path);
            match known {
                Some((id, _)) => *id,
                None => {
                    let id = self.next_id();
                    self.groups.insert(id, path);
                    id
                }
            }
        });
        let id = self.next_id();
        let path = path.to_owned();
        let has_ci = true;
        let project = Project {
            id,
            path,
            group,
            has_ci,
        };
        self.projects.insert(id, project);
        id
    }

    /// A project by ID or path.
    pub(super) fn project(&self, name: &str) -> Option<&Project> {
        match name.parse() {
            Ok(id) => self.projects.get(&id),
            Err(_) => self.projects.values().find(|project| project.path == name),
        }
    }

    pub(super) fn has_room_for_a_runner(&self) -> bool {
        self.runners.len() < self.runner_limit
    }

    pub(super) fn add_runner(&mut self, spec: &RunnerSpec, now: Time) -> (u64, String) {
        let (id, token) = (self.next_id(), secret("glrt-"));
        let runner = Runner {
            id,
            token: token.clone(),
            spec: spec.clone(),
            created: now,
            contacted: None,
            managers: Vec::new(),
        };
        self.runners.insert(id, runner);
        (id, token)
    }

    pub(super) fn runner_of(&self, token: &str) -> Option<u64> {
        let found = self.runners.values().find(|runner| runner.token == token)?;
        Some(found.id)
    }

    /// Notes that a process of the runner has come.
    pub(super) fn contact(&mut self, runner: u64, system_id: &str, now: Time) {
        let manager_id = self.last_id + 1;
        let (least, most) = self.contact;
        let after = least + most.saturating_sub(least).mul_f64(fastrand::f64());
        let Some(runner) = self.runners.get_mut(&runner) else {
            return;
        };
        let known = runner
            .managers
            .iter_mut()
            .find(|manager| manager.system_id == system_id);
        match known {
            Some(manager) if now < manager.write_next => {}
            Some(manager) => {
                (manager.contacted, manager.write_next) = (now, now + after);
                runner.contacted = Some(now);
            }
            None => {
                runner.managers.push(Manager {
                    id: manager_id,
                    system_id: system_id.to_owned(),
                    created: now,
                    contacted: now,
                    write_next: now + after,
                });
                runner.contacted = Some(now);
                self.last_id = manager_id;
            }
        }
    }

    pub(super) fn runner_views(&self) -> Vec<RunnerView> {
        let view = |runner: &Runner| RunnerView {
            id: runner.id,
            description: runner.spec.description.clone(),
            paused: runner.spec.paused,
            managers: runner.managers.len(),
            running: self.running_on(runner.id, None).len(),
        };
        self.runners.values().map(view).collect()
    }
}

/// A token nobody can guess is not needed here: one that differs from the others is.
pub(super) fn secret(prefix: &str) -> String {
    let chars = std::iter::repeat_with(fastrand::alphanumeric).take(20);
    prefix.chars().chain(chars).collect()
}
