//! Figures as tables of text.

use std::fmt::Write as _;

use crate::frontier::{Frontier, Point, Saving};
use crate::measure::Spread;

/// What is to be reached with pipelines of several stages: so many fewer hours.
pub const BAR_STAGES: f64 = 0.15;
/// What is to be reached with pipelines of one stage: at most so many more hours.
pub const BAR_SINGLE: f64 = 0.02;

/// Lines with a column for each cell: the first two to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, width), column) in row.iter().zip(&widths).zip(0..) {
            let gap = if column == 0 { "" } else { "  " };
            _ = if column < 2 {
                write!(line, "{gap}{cell:<width$}")
            } else {
                write!(line, "{gap}{cell:>width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A comparison as a table: a line a rule, those first that no other of their family dominates.
pub fn table(frontier: &Frontier) -> String {
    let head = [
        "policy",
        "setting",
        "p95 s",
        "±",
        "p99 s",
        ">120 s",
        "hours/day",
        "±",
        "by hour",
        "creates",
        "flaps",
        "killed",
        "orphan h",
        "",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for family in frontier.families() {
        let mut points: Vec<&Point> = frontier.of(family).collect();
        points.sort_by(|a, b| {
            let by_hours = a.hours.mean.total_cmp(&b.hours.mean);
            a.dominated.cmp(&b.dominated).then(by_hours)
        });
        rows.extend(points.into_iter().map(row));
    }
    aligned(&rows)
}

fn row(point: &Point) -> Vec<String> {
    let a_day = |of: fn(&crate::Measured) -> f64| {
        let values: Vec<f64> = point.runs.iter().map(|run| of(run) / run.days).collect();
        Spread::of(&values).mean
    };
    vec![
        point.family.clone(),
        point.setting.clone(),
        format!("{:.1}", point.p95.mean),
        format!("{:.1}", point.p95.deviation),
        format!("{:.0}", point.p99.mean),
        format!("{:.2} %", point.over_120.mean * 100.0),
        format!("{:.1}", point.hours.mean),
        format!("{:.1}", point.hours.deviation),
        format!("{:.1}", a_day(|run| run.billed_hours[2])),
        format!("{:.0}", a_day(|run| run.creates as f64)),
        format!("{:.1}", a_day(|run| run.flaps as f64)),
        point
            .runs
            .iter()
            .map(|run| run.killed)
            .sum::<u64>()
            .to_string(),
        format!("{:.2}", a_day(|run| run.orphan_hours)),
        if point.dominated { "dominated" } else { "" }.to_owned(),
    ]
}

/// A saving in words, with whether `least`, as a share of the hours, is reached on average.
pub fn saving(saving: &Saving, least: f64) -> String {
    let reached = if saving.mean >= least {
        "reached"
    } else {
        "not reached"
    };
    let Saving {
        family,
        than,
        p95,
        mean,
        by_seed,
        ..
    } = saving;
    let mut text = format!(
        "{family} against {than}, at equal p95 from {:.1} to {:.1} s: {:+.1} % of the hours (from \
         {:+.1} to {:+.1} %; by seed {:+.1} ± {:.1} %); bar {:+.1} %: {reached}\n",
        p95.0,
        p95.1,
        -100.0 * mean,
        -100.0 * saving.most,
        -100.0 * saving.least,
        -100.0 * by_seed.mean,
        100.0 * by_seed.deviation,
        -100.0 * least,
    );
    let mut rows = Vec::new();
    for (setting, p95, theirs, mine) in &saving.at {
        rows.push(vec![
            format!("  {than}"),
            setting.clone(),
            format!("p95 {p95:.1} s"),
            format!("{theirs:.1} h"),
            format!("here {mine:.1} h"),
            format!("{:+.1} %", 100.0 * (mine / theirs - 1.0)),
        ]);
    }
    text += &aligned(&rows);
    text
}
