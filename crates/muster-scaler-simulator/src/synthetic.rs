//! A load as published figures have it, drawn from a seed.
//!
//! Durations are lognormal with the mean and median of a month of GNOME's `glib` and its forks
//! (3.73 and 2.3 minutes). A part of the spread belongs to the job's name, so that a job is much like
//! the last ones of its name: how much like is `name_sigma`. No public trace has arrivals together
//! with stages; they follow a day in an office: see [`PROFILE`].

use muster_scaler_core::Time;
use serde::{Deserialize, Serialize};

use crate::load::{Job, Load, Names, Pipeline};
use crate::random::Random;

/// How busy each hour of a working day is, relative to the others; between them it is linear.
pub const PROFILE: [f64; 24] = [
    0.20, 0.15, 0.15, 0.15, 0.15, 0.20, 0.40, 0.80, 1.40, 2.00, 2.20, 2.10, 1.70, 1.90, 2.20, 2.20,
    2.00, 1.60, 1.10, 0.80, 0.60, 0.50, 0.40, 0.30,
];

/// Monday, 2026-11-02, 00:00 UTC: when every synthetic load begins.
pub const START: Time = Time::from_secs(1_793_577_600);

/// The most jobs of one stage of one pipeline.
const MOST_IN_STAGE: usize = 40;
/// What `1 + floor(lognormal(1, .9))`, at most 40, is on average.
const MEAN_IN_STAGE: f64 = 4.53;
const HOUR: f64 = 3_600_000.0;

/// A synthetic load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synthetic {
    /// How many days, from a Monday; at most 366.
    pub days: u32,
    /// Jobs of a working day, on average, without the nightly burst; at most a million.
    pub jobs_per_day: f64,
    /// Pipelines have 1 to so many stages, each number as often as the others; 1 to 20.
    pub stages: u32,
    /// The share of pipelines whose jobs need single jobs of the stage before instead of all; 0 to 1.
    pub needs: f64,
    /// How many projects there are. Each has its own jobs' names.
    pub projects: u32,
    /// Mean duration of a job in seconds.
    pub mean_seconds: f64,
    /// Deviation of the logarithm of the durations of all jobs.
    pub sigma: f64,
    /// Deviation of the logarithm of the durations of jobs of the same name; at most `sigma`.
    pub name_sigma: f64,
    /// How busy Saturdays and Sundays are, as a share of a working day.
    pub weekend: f64,
    /// Jobs of one stage that arrive at once each night at 02:00.
    pub nightly: u32,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            days: 7,
            jobs_per_day: 3300.0,
            stages: 4,
            needs: 0.0,
            projects: 20,
            mean_seconds: 223.8,
            sigma: 0.98,
            name_sigma: 0.3,
            weekend: 0.2,
            nightly: 60,
        }
    }
}

impl Synthetic {
    /// Draws the load of a seed.
    pub fn draw(&self, seed: u64) -> Load {
        let mut load = Load::default();
        load.tags.position("");
        let mut draw = Draw {
            options: self,
            shapes: Random::new(seed, "shapes"),
            base: seed,
        };
        let mut arrivals = Random::new(seed, "arrivals");
        let days = self.days.min(366);
        let end = f64::from(days) * 24.0 * HOUR;
        let stages = f64::from(self.stages.clamp(1, 20));
        let per_pipeline = MEAN_IN_STAGE * f64::midpoint(1.0, stages);
        let mean = PROFILE.iter().sum::<f64>() / 24.0;
        let rate = self.jobs_per_day.clamp(0.0, 1e6) / per_pipeline / (24.0 * HOUR);
        let peak = rate * 2.2 / mean;
        let mut at = if rate > 0.0 { arrivals.gap(peak) } else { end };
        while at < end {
            if arrivals.share() * peak < rate * self.busy(at) / mean {
                load.pipelines.push(draw.pipeline(at, &mut load.names));
            }
            at += arrivals.gap(peak);
        }
        for day in 0..days {
            if self.nightly > 0 {
                let at = (f64::from(day) * 24.0 + 2.0) * HOUR;
                load.pipelines.push(draw.nightly(at, &mut load.names));
            }
        }
        load.pipelines.sort_by_key(|pipeline| pipeline.arrival);
        load
    }

    /// How busy it is so many milliseconds after the start.
    fn busy(&self, at: f64) -> f64 {
        let hour = (at / HOUR) % 24.0;
        let weekday = (at / HOUR / 24.0) as u64 % 7;
        let before = PROFILE[hour as usize % 24];
        let after = PROFILE[(hour as usize + 1) % 24];
        let day = if weekday < 5 { 1.0 } else { self.weekend };
        day * (after - before).mul_add(hour.fract(), before)
    }
}

struct Draw<'a> {
    options: &'a Synthetic,
    shapes: Random,
    base: u64,
}

impl Draw<'_> {
    fn pipeline(&mut self, at: f64, names: &mut Names) -> Pipeline {
        let project = self.shapes.below(self.options.projects.max(1) as usize) as u32;
        let stages = 1 + self.shapes.below(self.options.stages.clamp(1, 20) as usize) as u16;
        let graph = self.shapes.share() < self.options.needs;
        let mut jobs: Vec<Job> = Vec::new();
        let mut before = 0..0;
        for stage in 0..stages {
            let drawn = (1.0 + 0.9 * self.shapes.normal()).exp().floor();
            let count = (1 + drawn as usize).min(MOST_IN_STAGE);
            let first = jobs.len();
            for at in 0..count {
                let needs = (graph && stage > 0).then(|| {
                    let one = before.start + self.shapes.below(before.len());
                    vec![one as u32]
                });
                let name = format!("job-{stage}-{at}");
                jobs.push(self.job(project, &name, stage, needs, names));
            }
            before = first..jobs.len();
        }
        Pipeline {
            arrival: arrival(at),
            project,
            name: String::new(),
            jobs,
        }
    }

    fn nightly(&mut self, at: f64, names: &mut Names) -> Pipeline {
        let project = self.options.projects;
        let count = self.options.nightly.min(10_000);
        let jobs = (0..count).map(|n| self.job(project, &format!("nightly-{n}"), 0, None, names));
        Pipeline {
            arrival: arrival(at),
            project,
            name: "nightly".to_owned(),
            jobs: jobs.collect(),
        }
    }

    fn job(
        &mut self,
        project: u32,
        name: &str,
        stage: u16,
        needs: Option<Vec<u32>>,
        names: &mut Names,
    ) -> Job {
        let Synthetic {
            mean_seconds,
            sigma,
            name_sigma,
            ..
        } = *self.options;
        let own = name_sigma.clamp(0.0, sigma);
        let shared = (sigma * sigma - own * own).max(0.0).sqrt();
        let mut of_name = Random::new(self.base, &format!("{project} {name}"));
        let typical = of_name.lognormal(mean_seconds, shared);
        let seconds = self.shapes.lognormal(typical, own).clamp(1.0, 86_400.0);
        Job {
            name: names.position(name),
            tags: 0,
            stage,
            millis: (seconds * 1000.0) as u32,
            needs,
        }
    }
}

fn arrival(at: f64) -> Time {
    Time::from_millis(START.millis() + at as i64)
}
