//! Many policies over many seeds: what wait costs what.

use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::measure::{Measured, Spread};
use crate::rule::Rule;
use crate::simulation::simulate;
use crate::synthetic::Synthetic;
use crate::world::World;

/// What to compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What the comparison is called.
    pub name: String,
    /// The world.
    pub world: World,
    /// The load, drawn anew for each seed, unless one is given.
    pub synthetic: Synthetic,
    /// The policies with their settings.
    pub rules: Vec<Rule>,
    /// How many seeds, from 1 on; with a given load they only change the world's chances.
    pub seeds: u64,
}

impl Default for Options {
    fn default() -> Self {
        let mut rules = Rule::muster();
        rules.extend(Rule::baselines());
        Self {
            name: "pipelines of 1 to 4 stages".to_owned(),
            world: World::default(),
            synthetic: Synthetic::default(),
            rules,
            seeds: 20,
        }
    }
}

/// What came of a rule over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The family of rules.
    pub family: String,
    /// The settings, in few words.
    pub setting: String,
    /// The rule.
    pub rule: Rule,
    /// Whether another rule of the family has both less wait and fewer hours.
    pub dominated: bool,
    /// 95th percentile of the wait, in seconds.
    pub p95: Spread,
    /// 99th percentile.
    pub p99: Spread,
    /// The share of jobs that waited longer than 120 s.
    pub over_120: Spread,
    /// Hours of temporary servers a day.
    pub hours: Spread,
    /// Each run, in the order of the seeds.
    pub runs: Vec<Measured>,
}

/// All points of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frontier {
    /// What was compared.
    pub options: Options,
    /// In the order of the rules.
    pub points: Vec<Point>,
}

/// How far a comparison is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs that are done.
    pub done: usize,
    /// All runs.
    pub all: usize,
}

/// Runs one rule over one seed; for callers that run several at a time, which then
/// [gather] them.
pub fn run(options: &Options, rule: &Rule, seed: u64, load: Option<&Load>) -> Measured {
    let drawn;
    let load = match load {
        Some(load) => load,
        None => {
            drawn = options.synthetic.draw(seed);
            &drawn
        }
    };
    let mut policy = rule.policy(&options.world);
    simulate(load, &options.world, policy.as_mut(), seed)
}

/// Runs all rules over all seeds, one after the other, and tells after each how far it is; `false`
/// from `progress` ends it, with `None`.
pub fn frontier(
    options: &Options,
    load: Option<&Load>,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Option<Frontier> {
    let all = options.rules.len() * options.seeds as usize;
    let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); options.rules.len()];
    let mut done = 0;
    for seed in 1..=options.seeds {
        let drawn = load.is_none().then(|| options.synthetic.draw(seed));
        let load = load.or(drawn.as_ref());
        for (rule, runs) in options.rules.iter().zip(&mut runs) {
            runs.push(run(options, rule, seed, load));
            done += 1;
            if !progress(Progress { done, all }) {
                return None;
            }
        }
    }
    Some(gather(options.clone(), runs))
}

/// The frontier of runs: one list a rule, one run a seed, both in order.
pub fn gather(options: Options, runs: Vec<Vec<Measured>>) -> Frontier {
    let points = options.rules.iter().zip(runs);
    let mut points: Vec<Point> = points.map(|(rule, runs)| point(rule, runs)).collect();
    for at in 0..points.len() {
        let is_better = |other: &Point| {
            other.family == points[at].family
                && other.p95.mean <= points[at].p95.mean
                && other.hours.mean <= points[at].hours.mean
                && (other.p95.mean, other.hours.mean)
                    != (points[at].p95.mean, points[at].hours.mean)
        };
        points[at].dominated = points.iter().any(is_better);
    }
    Frontier { options, points }
}

fn point(rule: &Rule, runs: Vec<Measured>) -> Point {
    let spread = |of: fn(&Measured) -> f64| {
        let values: Vec<f64> = runs.iter().map(of).collect();
        Spread::of(&values)
    };
    Point {
        family: rule.family().to_owned(),
        setting: rule.setting(),
        rule: rule.clone(),
        dominated: false,
        p95: spread(|run| run.wait.p95),
        p99: spread(|run| run.wait.p99),
        over_120: spread(|run| run.wait.over_120),
        hours: spread(Measured::hours_per_day),
        runs,
    }
}

/// How many fewer hours one family of rules needs than another for the same wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saving {
    /// The family.
    pub family: String,
    /// The family that it is compared with.
    pub than: String,
    /// The waits that both reach, in seconds: the 95th percentiles from and to.
    pub p95: (f64, f64),
    /// The share of hours saved, over all those waits.
    pub mean: f64,
    /// At the wait where it is least, and where it is most.
    pub least: f64,
    /// See `least`.
    pub most: f64,
    /// `mean` of each seed alone, where both families reach a common wait there.
    pub by_seed: Spread,
    /// At each of the other family's points on its frontier: setting, wait, its hours, hours here.
    pub at: Vec<(String, f64, f64, f64)>,
}

/// So many waits are looked at between the least and the longest.
const STEPS: usize = 50;

impl Frontier {
    /// How many fewer hours one family needs than another for the same wait: by straight lines
    /// between the points of each that no other of it dominates. `None` if there is no wait that both
    /// reach.
    pub fn saving(&self, family: &str, than: &str) -> Option<Saving> {
        let line = |family: &str| line(self.of(family).map(|p| (p.p95.mean, p.hours.mean)));
        let (mine, theirs) = (line(family), line(than));
        let p95 = common(&mine, &theirs)?;
        let saved = shares(&mine, &theirs, p95);
        let seeds = 0..self.points.first().map_or(0, |point| point.runs.len());
        let by_seed = seeds.filter_map(|seed| {
            let of = |family: &str| {
                let runs = self.of(family).filter_map(|point| point.runs.get(seed));
                line_of_runs(runs)
            };
            let (mine, theirs) = (of(family), of(than));
            let p95 = common(&mine, &theirs)?;
            Some(Spread::of(&shares(&mine, &theirs, p95)).mean)
        });
        let by_seed: Vec<f64> = by_seed.collect();
        let spread = Spread::of(&saved);
        let on_line =
            |point: &&Point| !point.dominated && (p95.0..=p95.1).contains(&point.p95.mean);
        let at = self.of(than).filter(on_line).filter_map(|point| {
            let hours = hours_at(&mine, point.p95.mean)?;
            Some((
                point.setting.clone(),
                point.p95.mean,
                point.hours.mean,
                hours,
            ))
        });
        Some(Saving {
            family: family.to_owned(),
            than: than.to_owned(),
            p95,
            mean: spread.mean,
            least: spread.least,
            most: spread.most,
            by_seed: Spread::of(&by_seed),
            at: at.collect(),
        })
    }

    /// The points of a family.
    pub fn of<'a>(&'a self, family: &'a str) -> impl Iterator<Item = &'a Point> {
        self.points
            .iter()
            .filter(move |point| point.family == family)
    }

    /// The families, in the order of the rules.
    pub fn families(&self) -> Vec<&str> {
        let mut families = Vec::new();
        for point in &self.points {
            if !families.contains(&point.family.as_str()) {
                families.push(&point.family);
            }
        }
        families
    }
}

fn line_of_runs<'a>(runs: impl Iterator<Item = &'a Measured>) -> Vec<(f64, f64)> {
    line(runs.map(|run| (run.wait.p95, run.hours_per_day())))
}

/// The points that no other dominates, by wait.
fn line(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut line: Vec<(f64, f64)> = Vec::new();
    for point in points {
        if line.last().is_none_or(|last| point.1 < last.1) {
            line.push(point);
        }
    }
    line
}

/// The waits that both reach.
fn common(a: &[(f64, f64)], b: &[(f64, f64)]) -> Option<(f64, f64)> {
    let least = a.first()?.0.max(b.first()?.0);
    let most = a.last()?.0.min(b.last()?.0);
    (least <= most).then_some((least, most))
}

/// The shares saved at waits evenly spread over a range.
fn shares(mine: &[(f64, f64)], theirs: &[(f64, f64)], p95: (f64, f64)) -> Vec<f64> {
    let waits = (0..=STEPS).map(|step| {
        let share = step as f64 / STEPS as f64;
        (p95.1 - p95.0).mul_add(share, p95.0).min(p95.1)
    });
    let saved = waits.filter_map(|wait| {
        let theirs = hours_at(theirs, wait)?;
        Some(1.0 - hours_at(mine, wait)? / theirs)
    });
    saved.collect()
}

/// The hours at a wait, on the straight line between the points beside it.
fn hours_at(line: &[(f64, f64)], p95: f64) -> Option<f64> {
    let after = line.partition_point(|point| point.0 < p95);
    let next = line.get(after)?;
    let Some(last) = after.checked_sub(1).and_then(|at| line.get(at)) else {
        return (next.0 == p95).then_some(next.1);
    };
    let share = (p95 - last.0) / (next.0 - last.0);
    Some((next.1 - last.1).mul_add(share, last.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_lie_on_straight_lines_between_points_that_are_not_dominated() {
        let line = line([(10.0, 50.0), (20.0, 40.0), (15.0, 60.0), (40.0, 20.0)].into_iter());
        assert_eq!(line, [(10.0, 50.0), (20.0, 40.0), (40.0, 20.0)]);
        assert_eq!(hours_at(&line, 10.0), Some(50.0));
        assert_eq!(hours_at(&line, 15.0), Some(45.0));
        assert_eq!(hours_at(&line, 30.0), Some(30.0));
        assert_eq!(hours_at(&line, 9.9), None);
        assert_eq!(hours_at(&line, 40.1), None);
    }

    #[test]
    fn half_of_the_hours_are_a_saving_of_a_half() {
        let (mine, theirs) = ([(10.0, 25.0), (20.0, 20.0)], [(5.0, 60.0), (15.0, 45.0)]);
        let p95 = common(&mine, &theirs).unwrap();
        assert_eq!(p95, (10.0, 15.0));
        let shares = shares(&mine, &theirs, p95);
        // At 10 s 25 against 52.5, at 15 s 22.5 against 45.
        assert!((shares[0] - (1.0 - 25.0 / 52.5)).abs() < 1e-9);
        assert!((shares[STEPS] - 0.5).abs() < 1e-9);
        assert_eq!(common(&[(1.0, 1.0)], &[(2.0, 2.0)]), None);
    }
}
