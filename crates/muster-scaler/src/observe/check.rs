//! Whether a configuration will work, found out without changing anything.

use muster_gitlab::{TokenInfo, Version, missing_scopes};
use muster_scaler_core::Time;
use muster_scaler_core::config::Config;
use serde::Serialize;

use super::gitlab::GitlabRunners;
use super::prometheus::Prometheus;
use super::queries::{self, Asked};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: an option, a query, a provider.
    pub what: String,
    /// Whether it works.
    pub ok: bool,
    /// What was found, or what is wrong and what to do.
    pub text: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether everything works.
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.ok)
    }

    /// Adds something that was looked at: what was found, or what is wrong.
    pub fn add(&mut self, what: impl Into<String>, found: Result<String, String>) {
        let (ok, text) = match found {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        let what = what.into();
        self.findings.push(Finding { what, ok, text });
    }
}

/// Checks what the observation needs: every selector and expression as text, each run once as of
/// `now`; GitLab's answer, the token and its scopes; the projects. Creates and changes nothing. The
/// providers' limits are the caller's to [`add`](CheckReport::add).
pub async fn check(config: &Config, now: Time) -> CheckReport {
    let mut report = CheckReport::default();
    check_prometheus(config, now, &mut report).await;
    check_gitlab(config, &mut report).await;
    report
}

async fn check_prometheus(config: &Config, now: Time, report: &mut CheckReport) {
    let prometheus = match Prometheus::new(&config.prometheus) {
        Ok(prometheus) => prometheus,
        Err(why) => return report.add("prometheus.url", Err(why)),
    };
    for pool in &config.pool {
        let name = &pool.name;
        if let Err(error) = super::problems(pool) {
            report.add(format!("pool {name}"), Err(error.to_string()));
            continue;
        }
        for query in queries::of_pool(config, pool) {
            let answer = prometheus.instant(&query.expression, now).await;
            let what = format!("pool {name}: {}", query.expression);
            let found = match answer {
                Err(error) => Err(error.to_string()),
                Ok(rows) if rows.is_empty() => empty(query.asked, &pool.permanent),
                Ok(rows) if query.asked == Asked::Pending => {
                    super::prometheus::single(&rows).map(|value| format!("{value} jobs wait"))
                }
                Ok(rows) => Ok(format!("{} series", rows.len())),
            };
            report.add(what, found);
        }
    }
}

/// What an empty answer means.
fn empty(asked: Asked, permanent: &str) -> Result<String, String> {
    match asked {
        Asked::Up | Asked::UpAt | Asked::Concurrent | Asked::ConcurrentAt | Asked::Jobs => {
            if permanent.is_empty() {
                return Ok("no series: no server of ours is there now".to_owned());
            }
            Err("no series: check `permanent`, and that Prometheus scrapes the runners".to_owned())
        }
        Asked::Cpu | Asked::CpuAt | Asked::Memory | Asked::MemoryAt => Err(
            "no series: check `node`, and that the hosts' kernels have pressure (PSI) and \
             node_exporter tells it"
                .to_owned(),
        ),
        Asked::Pending => Err(
            "no series, which counts as unknown and not as zero; if this metric is absent at zero, \
             end the expression with: or vector(0)"
                .to_owned(),
        ),
        Asked::Limit | Asked::UsedLimit | Asked::HardLimit => {
            Ok("no series: an old runner, or none is there now".to_owned())
        }
        Asked::Wait => Ok("no series: no job began of late".to_owned()),
    }
}

async fn check_gitlab(config: &Config, report: &mut CheckReport) {
    let Some(gitlab) = &config.gitlab else {
        let text = "not configured: reduced mode, from Prometheus alone (no drain by pausing, no \
                    joining by GitLab, no look-ahead)";
        return report.add("gitlab", Ok(text.to_owned()));
    };
    if !GitlabRunners::has_token(gitlab) {
        let text = "neither `token` nor `token_file` is set: reduced mode, from Prometheus alone";
        return report.add("gitlab.token", Ok(text.to_owned()));
    }
    let runners = match GitlabRunners::new(config, gitlab) {
        Ok(runners) => runners,
        Err(error) => return report.add("gitlab.url", Err(error.to_string())),
    };
    let client = runners.gitlab();
    let token = client.token_info().await;
    let known = token.is_ok();
    let token = token.map_err(|error| error.to_string());
    report.add("gitlab.token", token.and_then(|token| describe(&token)));
    if !known {
        return;
    }
    let version = client
        .version()
        .await
        .map(|Version { version, .. }| version);
    report.add("gitlab.url", version.map_err(|error| error.to_string()));
    let all = gitlab.runner_type == "instance_type";
    let listed = client.runners(all).await;
    let listed = listed.map(|runners| format!("{} runners are listed", runners.len()));
    report.add(
        "gitlab: list runners",
        listed.map_err(|error| error.to_string()),
    );
    for project in &gitlab.projects {
        let found = client.project(project).await;
        let found = found.map(|project| project.path_with_namespace);
        let what = format!("gitlab.projects: {project}");
        report.add(what, found.map_err(|error| error.to_string()));
    }
    for group in &gitlab.groups {
        let found = client.group_projects(group).await;
        let found = found.map(|projects| format!("{} projects", projects.len()));
        let what = format!("gitlab.groups: {group}");
        report.add(what, found.map_err(|error| error.to_string()));
    }
    if gitlab.projects.is_empty() && gitlab.groups.is_empty() {
        let text = "none: jobs are counted by `pending_query` of the pools, without look-ahead";
        report.add("gitlab.projects", Ok(text.to_owned()));
    }
}

fn describe(token: &TokenInfo) -> Result<String, String> {
    if !token.active {
        return Err("the token is revoked or expired; make another".to_owned());
    }
    let missing = missing_scopes(&token.scopes);
    if !missing.is_empty() {
        return Err(format!(
            "the token lacks {}; make one with these scopes",
            missing.join(", ")
        ));
    }
    let until = token.expires_at.as_deref();
    let until = until.map_or(String::new(), |day| format!(", until {day}"));
    Ok(format!("scopes {}{until}", token.scopes.join(", ")))
}
