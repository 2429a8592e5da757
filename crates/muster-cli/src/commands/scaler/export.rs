//! `muster scaler export`.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use muster_gitlab::{Gitlab, JobInfo, JobStatus};
use muster_plugin::Registry;
use muster_scaler::observe::GitlabRunners;
use muster_scaler_core::Time;
use muster_scaler_simulator::{Job, Load, Pipeline, table};

use super::configured::one;
use super::explain::time;
use crate::args::SourceArgs;
use crate::commands::run::runtime;
use crate::{CommandResult, Failure};

/// Which jobs.
#[derive(Debug, Args)]
#[command(
    after_help = "Asks the GitLab of the configuration for the jobs of its `projects` and `groups`
that ended, newest first, and writes them as a table for `muster scaler simulate --jobs`. The token
needs the scope read_api.

Examples:
  muster scaler export --config scaler.conf --since 7d > jobs.csv
  muster scaler export --config scaler.conf --since 2026-11-01T00:00:00Z --output jobs.csv"
)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Jobs made since then: a time (RFC 3339), or so long ago.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "7d")]
    since: Time,
    /// Where to write [default: the standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn export(args: &ExportArgs, registry: &Registry) -> CommandResult {
    let config = one(&args.sources, registry)?;
    let Some(gitlab) = &config.gitlab else {
        let message = "the configuration has no table [scaler.gitlab] to ask".to_owned();
        return Err(Failure::Configuration(message));
    };
    let failed = |error: muster_gitlab::Error| Failure::Failed(format!("failed to {error}"));
    let runners = GitlabRunners::new(&config, gitlab).map_err(failed)?;
    let client = runners.gitlab();
    let load = runtime()?.block_on(async {
        let mut projects = Vec::new();
        for project in &gitlab.projects {
            projects.push(client.project(project).await.map_err(failed)?.id);
        }
        for group in &gitlab.groups {
            let found = client.group_projects(group).await.map_err(failed)?;
            projects.extend(found.into_iter().map(|project| project.id));
        }
        if projects.is_empty() {
            let message =
                "neither `projects` nor `groups` are configured in [scaler.gitlab]".to_owned();
            return Err(Failure::Configuration(message));
        }
        let mut load = Load::default();
        for project in projects {
            add(&mut load, client, project, args.since)
                .await
                .map_err(failed)?;
        }
        Ok(load)
    })?;
    if load.pipelines.is_empty() {
        return Err(Failure::failed("no job of these projects ended since then"));
    }
    let unwritten = |error: &dyn std::fmt::Display| Failure::Unusable(format!("failed to {error}"));
    match &args.output {
        None => table::write(&load, std::io::stdout().lock()),
        Some(path) => {
            let file = std::fs::File::create(path);
            let file = file.map_err(|e| unwritten(&format!("write {}: {e}", path.display())))?;
            table::write(&load, BufWriter::new(file))
        }
    }
    .map_err(|error| unwritten(&error))?;
    eprintln!("{} jobs of {} pipelines", load.jobs(), load.pipelines.len());
    Ok(ExitCode::SUCCESS)
}

/// Adds the jobs of a project.
async fn add(
    load: &mut Load,
    client: &Gitlab,
    project: u64,
    since: Time,
) -> Result<(), muster_gitlab::Error> {
    let states = [JobStatus::Success, JobStatus::Failed];
    let jobs = client.jobs_since(project, &states, since).await?;
    let mut pipelines: BTreeMap<u64, Vec<JobInfo>> = BTreeMap::new();
    for job in jobs {
        let ran = job.duration.is_some_and(|seconds| seconds > 0.0);
        if let (Some(pipeline), true, true) = (job.pipeline, ran, job.created_at.is_some()) {
            pipelines.entry(pipeline.id).or_default().push(job);
        }
    }
    for (id, mut jobs) in pipelines {
        // GitLab makes the jobs of a pipeline stage by stage; a list of jobs does not number them.
        jobs.sort_by_key(|job| job.id);
        let mut stages: Vec<&str> = Vec::new();
        for job in &jobs {
            if !stages.contains(&job.stage.as_str()) {
                stages.push(&job.stage);
            }
        }
        let arrival = jobs.iter().filter_map(|job| job.created_at).min();
        let made = jobs.iter().map(|job| {
            let stage = stages.iter().position(|stage| *stage == job.stage);
            let millis = job.duration.unwrap_or_default() * 1000.0;
            let mut tags = job.tag_list.clone();
            tags.sort();
            Job {
                name: load.names.position(&job.name),
                tags: load.tags.position(&tags.join(",")),
                stage: stage
                    .and_then(|at| u16::try_from(at).ok())
                    .unwrap_or(u16::MAX),
                millis: millis as u32,
                needs: None,
            }
        });
        let made = made.collect();
        load.pipelines.push(Pipeline {
            arrival: arrival.unwrap_or_default(),
            project: u32::try_from(project).unwrap_or(u32::MAX),
            name: format!("{project}/{id}"),
            jobs: made,
        });
    }
    load.pipelines.sort_by_key(|pipeline| pipeline.arrival);
    Ok(())
}
