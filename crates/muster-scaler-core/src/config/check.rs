//! What is wrong with a configuration beyond the types of its options.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use muster_options::{OptionError, Options};

use super::{
    BudgetConfig, Config, GitlabConfig, Mode, OverloadConfig, PoolConfig, PrometheusConfig, Relief,
    ScheduleConfig,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

impl Config {
    /// Reads the table `[scaler]`.
    ///
    /// # Errors
    /// All that is wrong with it: unknown keys, wrong types, and [`problems`](Self::problems).
    pub fn read(table: &toml::Table) -> Result<Self, Vec<OptionError>> {
        let config = Self::parse(table)?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    /// All that is wrong: values out of range, names that are not unique, options that others need.
    /// Paths are those in the table `[scaler]`.
    pub fn problems(&self) -> Vec<OptionError> {
        let mut check = Check::default();
        check.within("tick", self.tick.get(), Duration::from_secs(1), 5 * MINUTE);
        let (second, longest) = (Duration::from_secs(1), 10 * MINUTE);
        check.within("list_every", self.list_every.get(), second, longest);
        check.within("long_polling", self.long_polling.get(), second, longest);
        let named = self
            .owner
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if self.mode != Mode::Off && self.owner.is_empty() {
            check.add(
                "owner",
                "name the owner of the servers, unique in its account",
            );
        }
        if !named || self.owner.len() > 40 {
            check.add("owner", "at most 40 letters, digits, `-`, `_` and `.`");
        }
        if !self.listen.is_empty() && self.listen.parse::<SocketAddr>().is_err() {
            check.add(
                "listen",
                "expected an address and a port, such as \"127.0.0.1:8099\"",
            );
        }
        if !self.join_url.is_empty() {
            check.url("join_url", &self.join_url);
            if self.listen.is_empty() {
                check.add(
                    "join_url",
                    "servers cannot join where nothing listens: set `listen`",
                );
            }
        }
        check.prometheus(&self.prometheus);
        if let Some(gitlab) = &self.gitlab {
            check.gitlab(gitlab);
        }
        if self.mode != Mode::Off && self.pool.is_empty() {
            check.add("pool", "there must be one at least");
        }
        let mut names = BTreeSet::new();
        for (at, pool) in self.pool.iter().enumerate() {
            check.path = format!("pool[{at}].");
            let name = pool.name.to_ascii_lowercase().replace('_', "-");
            if !names.insert(name) {
                check.add("name", "another pool has the same");
            }
            let before = &self.pool[..at];
            check.pool(pool, before, self.gitlab.is_some());
            check.path.clear();
        }
        check.problems
    }
}

#[derive(Default)]
struct Check {
    /// What stands before the names of options.
    path: String,
    problems: Vec<OptionError>,
}

impl Check {
    fn add(&mut self, option: &str, message: impl Into<String>) {
        let path = format!("{}{option}", self.path);
        self.problems.push(OptionError::new(path, message));
    }

    fn within(&mut self, option: &str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let (least, most) = (
                muster_options::format_duration(least),
                muster_options::format_duration(most),
            );
            self.add(option, format!("must be from {least} to {most}"));
        }
    }

    fn count(&mut self, option: &str, value: u32, least: u32, most: u32) {
        if !(least..=most).contains(&value) {
            self.add(option, format!("must be from {least} to {most}"));
        }
    }

    fn number(&mut self, option: &str, value: f64, most: f64) {
        if !(0.0..=most).contains(&value) {
            let most = if most.is_finite() && most < f64::MAX {
                format!("must be from 0 to {most}")
            } else {
                "must be a number that is not below 0".to_owned()
            };
            self.add(option, most);
        }
    }

    fn url(&mut self, option: &str, value: &str) {
        let rest = value
            .strip_prefix("http://")
            .or(value.strip_prefix("https://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            self.add(
                option,
                "expected a URL that begins with http:// or https://",
            );
        }
    }

    fn prometheus(&mut self, prometheus: &PrometheusConfig) {
        self.url("prometheus.url", &prometheus.url);
        self.within(
            "prometheus.timeout",
            prometheus.timeout.get(),
            Duration::from_millis(100),
            MINUTE,
        );
        self.within(
            "prometheus.max_age",
            prometheus.max_age.get(),
            Duration::from_secs(1),
            HOUR,
        );
        self.number("prometheus.min_coverage", prometheus.min_coverage, 1.0);
        if !prometheus.bearer_token.is_empty() && !prometheus.username.is_empty() {
            self.add("prometheus.bearer_token", "either this or `username`");
        }
    }

    fn gitlab(&mut self, gitlab: &GitlabConfig) {
        self.url("gitlab.url", &gitlab.url);
        let (token, file) = (
            !gitlab.token.is_empty(),
            !gitlab.token_file.as_os_str().is_empty(),
        );
        match (token, file) {
            (false, false) => self.add("gitlab.token", "a token or a `token_file` is needed"),
            (true, true) => self.add("gitlab.token_file", "either this or `token`"),
            _ => {}
        }
        self.within(
            "gitlab.timeout",
            gitlab.timeout.get(),
            Duration::from_millis(100),
            MINUTE,
        );
        self.within(
            "gitlab.poll",
            gitlab.poll.get(),
            Duration::from_secs(1),
            HOUR,
        );
        if gitlab.projects.is_empty() && gitlab.groups.is_empty() {
            self.add(
                "gitlab.projects",
                "name the projects or `groups` whose jobs the pools serve",
            );
        }
        match (gitlab.runner_type.as_str(), gitlab.runner_scope) {
            ("instance_type", _) | ("group_type" | "project_type", Some(_)) => {}
            ("group_type" | "project_type", None) => {
                self.add(
                    "gitlab.runner_scope",
                    "the ID of the group or project of the runners",
                );
            }
            _ => self.add(
                "gitlab.runner_type",
                "must be instance_type, group_type or project_type",
            ),
        }
    }

    fn pool(&mut self, pool: &PoolConfig, before: &[PoolConfig], gitlab: bool) {
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if pool.name.is_empty() || pool.name.len() > 30 || !pool.name.chars().all(named) {
            self.add("name", "1 to 30 letters, digits, `-` and `_`");
        }
        self.tags(pool, before);
        self.count("slots_per_server", pool.slots_per_server, 1, 1000);
        self.count("max_servers", pool.max_servers, 0, 1000);
        self.count("warm", pool.warm, 0, 1_000_000);
        self.number("headroom", pool.headroom, 10.0);
        self.within("idle_time", pool.idle_time.get(), Duration::ZERO, YEAR);
        self.within("hard_ttl", pool.hard_ttl.get(), 10 * MINUTE, YEAR);
        self.within(
            "min_life",
            pool.min_life.get(),
            Duration::ZERO,
            pool.hard_ttl.get(),
        );
        self.within(
            "drain_deadline",
            pool.drain_deadline.get(),
            3 * MINUTE,
            YEAR,
        );
        self.within(
            "billing_quantum",
            pool.billing_quantum.get(),
            Duration::ZERO,
            24 * HOUR,
        );
        self.within(
            "target_wait_p95",
            pool.target_wait_p95.get(),
            Duration::from_secs(1),
            YEAR,
        );
        if pool.grow_blind && !gitlab {
            self.add("grow_blind", "without GitLab nothing tells of demand then");
        }
        if gitlab && !pool.pending_query.is_empty() {
            self.add(
                "pending_query",
                "is for the reduced mode: GitLab tells of waiting jobs",
            );
        }
        self.overload(&pool.overload, gitlab);
        self.budget(&pool.budget, pool);
        self.count(
            "rate.create_per_minute",
            pool.rate.create_per_minute,
            1,
            1000,
        );
        self.count(
            "rate.delete_per_minute",
            pool.rate.delete_per_minute,
            1,
            1000,
        );
        for (at, schedule) in pool.schedule.iter().enumerate() {
            self.schedule(&format!("schedule[{at}]"), schedule);
        }
        if pool.provider.is_empty() && pool.max_servers > 0 {
            self.add(
                "provider",
                "there must be one at least, or `max_servers` be 0",
            );
        }
        for (at, provider) in pool.provider.iter().enumerate() {
            let path = format!("provider[{at}]");
            let common = &provider.common;
            if common.kind.is_empty() {
                self.add(&format!("{path}.kind"), "which kind of provider is it?");
            }
            let second = Duration::from_secs(1);
            let option = format!("{path}.boot_timeout");
            self.within(&option, common.boot_timeout.get(), second, 24 * HOUR);
            self.within(
                &format!("{path}.timeout"),
                common.timeout.get(),
                second,
                HOUR,
            );
            self.number(
                &format!("{path}.price_per_hour"),
                common.price_per_hour,
                f64::MAX,
            );
        }
    }

    fn tags(&mut self, pool: &PoolConfig, before: &[PoolConfig]) {
        if pool.match_tags.is_empty() && !pool.run_untagged {
            self.add(
                "match_tags",
                "no job matches: name tags, or set `run_untagged`",
            );
        }
        for (at, tag) in pool.match_tags.iter().enumerate() {
            if tag.trim().is_empty() || tag.contains(',') {
                self.add(
                    &format!("match_tags[{at}]"),
                    "a tag is not empty and has no comma",
                );
            }
        }
        let covers = |other: &&PoolConfig| {
            let all = pool
                .match_tags
                .iter()
                .all(|tag| other.match_tags.contains(tag));
            all && (other.run_untagged || !pool.run_untagged)
        };
        if let Some(other) = before.iter().find(covers) {
            let message = format!("the pool \"{}\" before it takes all its jobs", other.name);
            self.add("match_tags", message);
        }
    }

    fn overload(&mut self, overload: &OverloadConfig, gitlab: bool) {
        let thresholds = [
            ("saturation", overload.saturation),
            ("cpu_pressure", overload.cpu_pressure),
            ("memory_stall", overload.memory_stall),
        ];
        for (name, threshold) in thresholds {
            let option = format!("overload.{name}.above");
            if !(threshold.above > 0.0 && threshold.above <= 1.0) {
                self.add(&option, "must be above 0 and at most 1");
            }
            let option = format!("overload.{name}.for");
            self.within(&option, threshold.lasting.get(), Duration::ZERO, 24 * HOUR);
        }
        self.within(
            "overload.calm",
            overload.calm.get(),
            Duration::ZERO,
            24 * HOUR,
        );
        self.within(
            "overload.relief_time",
            overload.relief_time.get(),
            MINUTE,
            HOUR,
        );
        if overload.relief == Relief::PauseHost {
            self.count("overload.relief_hosts", overload.relief_hosts, 1, 1000);
            if !gitlab {
                self.add(
                    "overload.relief",
                    "hosts are paused through GitLab, which is not configured",
                );
            }
        }
    }

    fn budget(&mut self, budget: &BudgetConfig, pool: &PoolConfig) {
        if let Some(hours) = budget.server_hours_per_day {
            self.number("budget.server_hours_per_day", hours, f64::MAX);
        }
        let Some(money) = budget.money_per_month else {
            return;
        };
        self.number("budget.money_per_month", money, f64::MAX);
        let free = |provider: &super::ProviderConfig| provider.common.price_per_hour == 0.0;
        if pool.provider.iter().any(free) {
            self.add(
                "budget.money_per_month",
                "every provider must have its `price_per_hour`",
            );
        }
    }

    fn schedule(&mut self, path: &str, schedule: &ScheduleConfig) {
        if schedule.cron.is_empty() {
            self.add(&format!("{path}.cron"), "when does it apply?");
        }
        if let Some(headroom) = schedule.headroom {
            self.number(&format!("{path}.headroom"), headroom, 10.0);
        }
        if let Some(most) = schedule.max_servers {
            self.count(&format!("{path}.max_servers"), most, 0, 1000);
        }
        let nothing = schedule.warm.is_none() && schedule.headroom.is_none();
        if nothing && schedule.max_servers.is_none() {
            self.add(path, "set `warm`, `headroom` or `max_servers`");
        }
    }
}

#[cfg(test)]
mod tests;
