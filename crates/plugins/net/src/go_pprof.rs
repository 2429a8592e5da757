//! `inputs.go_pprof`: watches services that show Go's net/http/pprof, and says which line leaks.
//!
//! What is known of a target outlives a change of options: it is handed from one generation of the
//! component to the next.

mod metrics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use muster_leaks::collect::{FetchError, Fetcher, Follower, Sample, Target};
use muster_leaks::{IgnoreRule, Watch};
use muster_metric::Batch;
use muster_net::{HttpClientOptions, OptionReader, TlsClientOptions};
use muster_options::{Duration, JsonSchema, OptionDoc, OptionError, Options, Secret};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, PluginError, PluginRow,
    StartContext,
};
use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::http_client::{Credentials, apply_headers, header_problems};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "go_pprof",
    summary: "watches the goroutines of Go services and names the lines that leak",
    options: docs,
    format: FormatUse::None,
    build: Build::Input(|cx| Ok(Box::new(GoPprof::build(cx)?))),
};

/// So many sites of a target can be asked for.
const MOST_SITES: u32 = 512;

/// Between two dumps, and between two leak profiles, there is at least this.
const LEAST_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Options of `inputs.go_pprof`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct GoPprofOptions {
    /// The services: `host:port`, `http://host:port`, `https://host:port/prefix` or `unix:///path`;
    /// `/debug/pprof` is added. Programs on muster-tasks can be watched, too. Each is asked once
    /// each interval; less often, up to 8 times, if its answer takes more than 200 ms or it has more
    /// than 50,000 goroutines.
    targets: Vec<String>,
    /// How many lines of each target become `goroutine_site`, those with the most goroutines; 0 to
    /// 512. This bounds the number of series.
    sites: u32,
    /// What to leave out: rules as `function=PATTERN`, `file=PATTERN`, `created_by=PATTERN`,
    /// `label=KEY:PATTERN`, with `max_count=NUMBER` if it holds only up to so many; several in one
    /// rule must all hold.
    ignore: Vec<String>,
    /// So many samples must show the growth of a suspect; at least 5.
    samples: u32,
    /// The growth must last this long.
    span: Duration,
    /// Samples this soon after the first do not count.
    warm_up: Duration,
    /// The least time between two dumps of all goroutines, which are taken only when something
    /// grows.
    dump_every: Duration,
    /// So many dumps an hour of each target at most; 0 for none.
    dumps_per_hour: u32,
    /// No dump of a target with more goroutines: it stands still meanwhile, 0.7 s at 100,000.
    dump_up_to: u64,
    /// The least time between two `goroutineleak` profiles, which are taken only where there is one
    /// and when something grows.
    leak_profile_every: Duration,
    /// File with the bearer token; read for each sample.
    bearer_token: Secret,
    /// Bearer token by which to identify ourselves.
    bearer_token_string: Secret,
    /// User for HTTP basic authentication.
    username: Secret,
    /// Password for HTTP basic authentication.
    password: Secret,
    /// Additional headers of each request.
    http_headers: BTreeMap<String, String>,
}

impl Default for GoPprofOptions {
    fn default() -> Self {
        let watch = muster_leaks::Options::default();
        Self {
            targets: Vec::new(),
            sites: 20,
            ignore: Vec::new(),
            samples: watch.samples as u32,
            span: watch.span.into(),
            warm_up: watch.warm_up.into(),
            dump_every: watch.dump_every.into(),
            dumps_per_hour: watch.dumps_an_hour,
            dump_up_to: watch.dump_up_to,
            leak_profile_every: watch.leak_profile_every.into(),
            bearer_token: Secret::default(),
            bearer_token_string: Secret::default(),
            username: Secret::default(),
            password: Secret::default(),
            http_headers: BTreeMap::new(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = GoPprofOptions::describe();
    docs.extend(HttpClientOptions::describe());
    docs.extend(TlsClientOptions::describe());
    docs
}

/// One target's watch, with when it is to be asked next. The lock keeps two generations of the
/// component from asking at the same time.
type Slot = Arc<tokio::sync::Mutex<Following>>;

/// The watches of a component by target, over all of its generations.
type Kept = Mutex<BTreeMap<String, Slot>>;

struct Following {
    follower: Follower,
    due: Instant,
    /// How long the target took for the last sample, or why there was none, with what to do.
    last: Result<std::time::Duration, (String, &'static str)>,
}

/// The input.
struct GoPprof {
    options: GoPprofOptions,
    watch: muster_leaks::Options,
    targets: Vec<Target>,
    credentials: Credentials,
    client_options: HttpClientOptions,
    tls: TlsClientOptions,
    /// Made at the start.
    fetchers: Vec<Fetcher>,
    kept: Arc<Kept>,
    /// Of this generation, in the order of `fetchers`; made at the first gather.
    slots: Vec<Slot>,
}

impl GoPprof {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, HttpClientOptions::NOT_YET);
        let tls: TlsClientOptions = reader.take();
        let client_options: HttpClientOptions = reader.take();
        let problems = tls.problems().into_iter().chain(client_options.problems());
        problems.for_each(|error| reader.refuse(error));
        let options: GoPprofOptions = reader.rest()?;
        let mut errors = header_problems("http_headers", &options.http_headers);
        let mut targets: Vec<Target> = Vec::new();
        for text in &options.targets {
            match Target::parse(text) {
                Ok(target) if targets.contains(&target) => {
                    let message = format!("{target} is given twice");
                    errors.push(OptionError::new("targets", message));
                }
                Ok(target) => targets.push(target),
                Err(error) => errors.push(OptionError::new("targets", error.to_string())),
            }
        }
        if options.targets.is_empty() {
            errors.push(OptionError::new("targets", "at least one is needed"));
        }
        if options.sites > MOST_SITES {
            let message = format!("at most {MOST_SITES} are possible");
            errors.push(OptionError::new("sites", message));
        }
        if options.samples < 5 {
            errors.push(OptionError::new("samples", "at least 5 are needed"));
        }
        for (name, every) in [
            ("dump_every", options.dump_every),
            ("leak_profile_every", options.leak_profile_every),
        ] {
            if every.get() < LEAST_PAUSE {
                errors.push(OptionError::new(name, "at least 100ms are needed"));
            }
        }
        let rules = options.ignore.iter().map(|text| text.parse::<IgnoreRule>());
        let (rules, wrong): (Vec<_>, Vec<_>) = rules.partition(Result::is_ok);
        let wrong = wrong.into_iter().filter_map(Result::err);
        errors.extend(wrong.map(|error| OptionError::new("ignore", error.to_string())));
        if !errors.is_empty() {
            return Err(errors);
        }
        let watch = muster_leaks::Options {
            warm_up: options.warm_up.get(),
            samples: options.samples as usize,
            span: options.span.get(),
            dump_every: options.dump_every.get(),
            dumps_an_hour: options.dumps_per_hour,
            dump_up_to: options.dump_up_to,
            leak_profile_every: options.leak_profile_every.get(),
            ignore: rules.into_iter().flatten().collect(),
            ..muster_leaks::Options::default()
        };
        Ok(Self {
            credentials: Credentials {
                token: options.bearer_token_string.clone(),
                token_file: options.bearer_token.clone(),
                username: options.username.clone(),
                password: options.password.clone(),
            },
            options,
            watch,
            targets,
            client_options,
            tls,
            fetchers: Vec::new(),
            kept: Arc::default(),
            slots: Vec::new(),
        })
    }

    /// Takes over what is known of the targets, and forgets the others.
    async fn take_over(&mut self, every: std::time::Duration) {
        let name = |fetcher: &Fetcher| fetcher.target().to_string();
        let slots: Vec<Slot> = {
            let mut kept = self.kept.lock();
            kept.retain(|target, _| self.fetchers.iter().any(|fetcher| name(fetcher) == *target));
            let slot = |fetcher: &Fetcher| {
                let make = || {
                    let watch = Watch::new(name(fetcher), self.watch.clone());
                    Arc::new(tokio::sync::Mutex::new(Following {
                        follower: Follower::new(watch, every),
                        due: Instant::now(),
                        last: Ok(std::time::Duration::ZERO),
                    }))
                };
                Arc::clone(kept.entry(name(fetcher)).or_insert_with(make))
            };
            self.fetchers.iter().map(slot).collect()
        };
        for slot in &slots {
            let mut following = slot.lock().await;
            following.due = Instant::now();
            following.follower.set_options(self.watch.clone(), every);
        }
        self.slots = slots;
    }

    async fn headers(&self) -> Result<HeaderMap, PluginError> {
        let Some(fetcher) = self.fetchers.first() else {
            return Ok(HeaderMap::new());
        };
        let request = fetcher.client().get("http://localhost");
        let request = self.credentials.apply(request).await?;
        let request = apply_headers(request, &self.options.http_headers).build();
        let failed = |_| PluginError::new("make a request of these headers");
        Ok(request.map_err(failed)?.headers().clone())
    }
}

/// A failure for the agent.
fn failure(error: &FetchError) -> PluginError {
    PluginError::new(error.to_string()).with_hint(error.hint())
}

/// Takes a sample if it is time, and writes what is known then. Until the next sample of a target
/// that is asked less often, the same is written again, or its failure told again.
async fn sample(
    fetcher: &Fetcher,
    slot: &Slot,
    cx: &GatherContext,
    sites: usize,
) -> Result<Batch, PluginError> {
    let mut batch = Batch::new();
    let mut following = slot.lock().await;
    let began = Instant::now();
    // The clock of the gathers may run a little ahead.
    if following.due <= began + cx.interval() / 2 {
        let outcome = following.follower.sample(fetcher).await;
        following.due = began + following.follower.pause();
        following.last = match outcome {
            Ok(Sample { took, problems, .. }) => {
                problems.iter().for_each(|error| cx.report(failure(error)));
                Ok(took)
            }
            Err(error) => Err((error.to_string(), error.hint())),
        };
    }
    match &following.last {
        Ok(took) => metrics::write(following.follower.watch(), *took, sites, &mut batch),
        Err((error, hint)) => return Err(PluginError::new(error.clone()).with_hint(*hint)),
    }
    Ok(batch)
}

#[async_trait]
impl Input for GoPprof {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let client = self.client_options.builder();
        let fetchers = Fetcher::for_targets(self.targets.clone(), client, &self.tls);
        self.fetchers = fetchers.map_err(|error| failure(&error))?;
        let name = format!("go_pprof:{}", cx.id().id);
        let make = || Ok::<_, PluginError>(Kept::default());
        self.kept = cx.resources().take(cx.id(), &name, make)?;
        Ok(())
    }

    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        if self.slots.is_empty() {
            self.take_over(cx.interval()).await;
        }
        let headers = self.headers().await?;
        for fetcher in &mut self.fetchers {
            fetcher.set_headers(headers.clone());
        }
        // One target that is slow must not take the others with it.
        let within = cx.timeout().mul_f64(0.9);
        let sites = self.options.sites as usize;
        let samples = self
            .fetchers
            .iter()
            .zip(&self.slots)
            .map(async |(fetcher, slot)| {
                let sampled = muster_tasks::timeout(within, sample(fetcher, slot, cx, sites)).await;
                sampled.unwrap_or_else(|_| {
                    let target = fetcher.target();
                    let what = format!("read the goroutines of {target} within {within:?}");
                    Err(PluginError::new(what).with_hint("give it a longer interval or timeout"))
                })
            });
        let mut failures = Vec::new();
        for sampled in join_all(samples).await {
            match sampled {
                Ok(rows) => rows.iter().for_each(|row| batch.push(row)),
                Err(error) => failures.push(error),
            }
        }
        crate::http::settle(cx, failures, self.fetchers.len())
    }
}
