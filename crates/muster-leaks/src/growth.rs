//! Whether a count grows as a leak does: evenly, and without ever coming back.
//!
//! A leak adds to what is there and takes nothing away. So its low-water marks rise, all of them,
//! by about the same each time. Load also rises, but it falls again, and a pool that is resized
//! grows in few, large steps. The test is made on the lowest counts of equal spans of time, first
//! on spans of one sample, then of 2, 4, 8 and so on: a quick leak shows at once, a slow or bursty
//! one over a longer window.
//!
//! What counts alone cannot tell from a leak is load that rises evenly for the whole window. That
//! is what dumps are for: see `survival.rs`.

use std::time::Duration;

use jiff::Timestamp;

/// What is asked of a rise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// So many low-water marks.
    pub(crate) marks: usize,
    /// Over this time at least.
    pub(crate) span: Duration,
    /// The last marks are to be higher than the first ones times `factor` by this.
    pub(crate) rise: u64,
    /// See `rise`.
    pub(crate) factor: f64,
}

/// A rise that meets a [`Demand`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rise {
    /// The lowest count of its first third.
    pub(crate) from: u64,
    /// How much it is, in goroutines.
    pub(crate) by: u64,
    /// The median of the slopes between all pairs of marks (Theil and Sen), in goroutines an hour.
    pub(crate) per_hour: f64,
    /// How many samples it is seen in.
    pub(crate) samples: usize,
    /// Whether all of them show it; else only the first and the last were compared.
    pub(crate) even: bool,
    /// Whether it is little beside what was there before: enough for a note, and for a suspect only
    /// if dumps show who survives.
    pub(crate) small: bool,
}

/// The share of ordered pairs among all pairs of marks, less that of the others (the tau of Mann
/// and Kendall), is at least this.
const TAU: f64 = 0.8;
/// A mark may lie below an earlier one by this share of the whole rise.
const DIP: f64 = 0.2;
/// The rise consists of at least this share of equally large steps; see [`even_steps`].
const EVENNESS: f64 = 0.5;

/// Looks for a rise that lasts until the last of `points`, on the shortest scale that has one.
pub(crate) fn rise(points: &[(Timestamp, u64)], demand: Demand) -> Option<Rise> {
    let mut samples = demand.marks;
    while demand.marks >= 3 && samples <= points.len() {
        let window = &points[points.len() - samples..];
        if let Some(marks) = low_water(window, demand.marks)
            && let Some(found) = judge(&marks, samples, demand)
        {
            return Some(found);
        }
        samples *= 2;
    }
    None
}

/// The lowest point of each of `marks` equal spans of time, or nothing if one has no point.
fn low_water(window: &[(Timestamp, u64)], marks: usize) -> Option<Vec<(f64, u64)>> {
    let (first, last) = (window.first()?.0, window.last()?.0);
    let hours = |at: Timestamp| at.duration_since(first).as_secs_f64() / 3600.0;
    // The last point belongs into the last span, not behind it.
    let span = hours(last) * (1.0 + 1e-9) * window.len() as f64 / (window.len() - 1).max(1) as f64;
    let mut lowest: Vec<Option<(f64, u64)>> = vec![None; marks];
    for (index, (at, count)) in window.iter().enumerate() {
        let place = if window.len() == marks {
            index
        } else {
            ((hours(*at) / span * marks as f64) as usize).min(marks - 1)
        };
        let mark = &mut lowest[place];
        if mark.is_none_or(|(_, low)| *count < low) {
            *mark = Some((hours(*at), *count));
        }
    }
    lowest.into_iter().collect()
}

fn judge(marks: &[(f64, u64)], samples: usize, demand: Demand) -> Option<Rise> {
    let third = marks.len() / 3;
    let low = |part: &[(f64, u64)]| part.iter().map(|(_, n)| *n).min().unwrap_or(0);
    let first = low(&marks[..third]);
    let middle = low(&marks[third..marks.len() - third]);
    let last = low(&marks[marks.len() - third..]);
    let by = last.saturating_sub(first);
    let hours = marks[marks.len() - 1].0 - marks[0].0;
    let much = last as f64 >= first as f64 * demand.factor + demand.rise as f64;
    // A service that has leaked for long has so many that a fifth of them is a long time away.
    let steady = by >= demand.rise && never_rests(marks);
    let enough = first < middle
        && middle < last
        && (much || steady)
        && hours * 3600.0 + 1e-6 >= demand.span.as_secs_f64();
    if !enough || deepest_dip(marks) as f64 > (by as f64 * DIP).max(1.0) || tau(marks) < TAU {
        return None;
    }
    let even = even_steps(marks) >= EVENNESS * (marks.len() - 1) as f64;
    even.then(|| Rise {
        from: first,
        by,
        per_hour: slope(marks),
        samples,
        even: true,
        small: !much,
    })
}

fn deepest_dip(marks: &[(f64, u64)]) -> u64 {
    let mut top = 0;
    let mut dip = 0;
    for (_, count) in marks {
        top = top.max(*count);
        dip = dip.max(top - count);
    }
    dip
}

fn tau(marks: &[(f64, u64)]) -> f64 {
    let mut balance = 0_i64;
    let mut pairs = 0_i64;
    for (index, (_, earlier)) in marks.iter().enumerate() {
        for (_, later) in &marks[index + 1..] {
            balance += i64::from(later > earlier) - i64::from(later < earlier);
            pairs += 1;
        }
    }
    balance as f64 / pairs.max(1) as f64
}

/// Whether each mark is higher than the one before. Load that comes and goes does this by chance
/// once in the factorial of their number.
fn never_rests(marks: &[(f64, u64)]) -> bool {
    marks.windows(2).all(|pair| pair[1].1 > pair[0].1)
}

/// How many steps of equal size the rise is like: the square of the sum of the steps upwards by the
/// sum of their squares (the participation ratio). One jump is 1, a straight line all steps.
fn even_steps(marks: &[(f64, u64)]) -> f64 {
    let steps = marks
        .windows(2)
        .map(|pair| pair[1].1.saturating_sub(pair[0].1) as f64);
    let (sum, squares) = steps.fold((0.0, 0.0), |(sum, squares), step| {
        (sum + step, squares + step * step)
    });
    if squares > 0.0 {
        sum * sum / squares
    } else {
        0.0
    }
}

/// The median of the slopes between all pairs of points, in goroutines an hour.
pub(crate) fn slope(marks: &[(f64, u64)]) -> f64 {
    let mut slopes = Vec::with_capacity(marks.len() * marks.len() / 2);
    for (index, (from, earlier)) in marks.iter().enumerate() {
        for (to, later) in &marks[index + 1..] {
            if to > from {
                slopes.push((*later as f64 - *earlier as f64) / (to - from));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// When the count was last near the lowest that is known: the growth began then.
pub(crate) fn since(points: &[(Timestamp, u64)]) -> Option<Timestamp> {
    let lowest = points.iter().map(|(_, count)| *count).min()?;
    let near = lowest + points.last()?.1.saturating_sub(lowest) / 20;
    let last = points.iter().rposition(|(_, count)| *count <= near)?;
    Some(points[last].0)
}

/// Whether two counts grew by the same, from sample to sample: the goroutines come in pairs.
pub(crate) fn together(one: &[(Timestamp, u64)], other: &[(Timestamp, u64)]) -> bool {
    let length = one.len().min(other.len()).min(16);
    let tail = |points: &[(Timestamp, u64)]| -> Vec<i64> {
        let window = &points[points.len() - length..];
        let from = window.first().map_or(0, |(_, count)| *count) as i64;
        window
            .iter()
            .map(|(_, count)| *count as i64 - from)
            .collect()
    };
    let (one, other) = (tail(one), tail(other));
    let growth = one.last().copied().unwrap_or(0).max(0);
    let slack = (growth / 20).max(2);
    growth > 2 * slack && one.iter().zip(&other).all(|(a, b)| (a - b).abs() <= slack)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMAND: Demand = Demand {
        marks: 8,
        span: Duration::from_secs(300),
        rise: 10,
        factor: 1.2,
    };

    fn minutes(counts: impl IntoIterator<Item = u64>) -> Vec<(Timestamp, u64)> {
        (0..)
            .zip(counts)
            .map(|(minute, count)| (Timestamp::from_second(minute * 60).unwrap(), count))
            .collect()
    }

    #[test]
    fn a_line_rises_by_its_slope() {
        let found = rise(&minutes((0..8).map(|n| 5 + 60 * n)), DEMAND).unwrap();
        assert_eq!(found.samples, 8);
        assert!((found.per_hour - 3600.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_slow_leak_shows_on_a_longer_scale() {
        let found = rise(&minutes((0..64).map(|n| 3 + n / 2)), DEMAND).unwrap();
        assert!(found.samples > 8, "{found:?}");
        assert!((found.per_hour - 30.0).abs() < 3.0, "{found:?}");
    }

    #[test]
    fn what_is_level_jumps_or_comes_back_does_not_rise() {
        let check = |name: &str, counts: Vec<u64>| {
            assert_eq!(rise(&minutes(counts), DEMAND), None, "{name}");
        };
        check("level", vec![500; 64]);
        check("too few", (0..7).map(|n| 100 * n).collect());
        check(
            "one jump",
            (0..16).map(|n| if n < 8 { 10 } else { 500 }).collect(),
        );
        check("comes back", (0..64).map(|n| 10 + 40 * (n % 7)).collect());
        check(
            "falls at last",
            (0..8).map(|n| if n < 7 { 60 * n } else { 0 }).collect(),
        );
        check(
            "doubles and stays",
            vec![8, 8, 16, 16, 32, 32, 64, 64, 64, 64],
        );
        check(
            "a little of much, now and then",
            (0..8).map(|n| 10_000 + 40 * (n / 2)).collect(),
        );
        check("very little of much", (0..8).map(|n| 10_000 + n).collect());
    }

    #[test]
    fn a_steady_rise_of_what_was_many_is_small() {
        let found = rise(&minutes((0..8).map(|n| 10_000 + 20 * n)), DEMAND).unwrap();
        assert!(found.small && found.by == 120, "{found:?}");
        let found = rise(&minutes((0..8).map(|n| 10 + 20 * n)), DEMAND).unwrap();
        assert!(!found.small, "{found:?}");
    }

    #[test]
    fn the_beginning_is_where_it_left_the_ground() {
        let points = minutes([5, 6, 5, 4, 5, 30, 60, 90, 120]);
        assert_eq!(since(&points), Some(points[4].0));
        assert_eq!(since(&[]), None);
    }

    #[test]
    fn pairs_grow_together() {
        let one = minutes((0..10).map(|n| 60 * n));
        let pair = minutes((0..10).map(|n| 7 + 60 * n));
        let other = minutes((0..10).map(|n| 80 * n));
        let level = minutes([50; 10]);
        assert!(together(&one, &pair));
        assert!(!together(&one, &other));
        assert!(!together(&level, &level));
    }
}
