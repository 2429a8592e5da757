//! How many goroutines a site had over time, within a bound.

use jiff::Timestamp;

use crate::growth;

/// So many points of a site are kept.
pub const MAX_POINTS: usize = 256;

/// Counts over time. When [`MAX_POINTS`] are there, every second one of the older half goes: what
/// is recent stays exact, and what is old reaches ever further back.
#[derive(Clone, Debug, Default)]
pub struct Series {
    points: Vec<(Timestamp, u64)>,
}

impl Series {
    /// Adds a point. One that is not later than the last is left out.
    pub(crate) fn push(&mut self, at: Timestamp, count: u64) {
        if self.points.last().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        if self.points.len() == MAX_POINTS {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index > MAX_POINTS / 2 || index % 2 == 1
            });
        }
        self.points.push((at, count));
    }

    /// The points, oldest first.
    pub fn points(&self) -> &[(Timestamp, u64)] {
        &self.points
    }

    /// The last count; 0 if there is none.
    pub fn last(&self) -> u64 {
        self.points.last().map_or(0, |(_, count)| *count)
    }

    /// The highest count; 0 if there is none.
    pub fn peak(&self) -> u64 {
        self.points
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
    }

    /// How many more there are each hour, by the last 32 points: the median of the slopes between
    /// all pairs of them (Theil and Sen). 0 if there are fewer than two points.
    pub fn per_hour(&self) -> f64 {
        let recent = &self.points[self.points.len().saturating_sub(32)..];
        let Some((first, _)) = recent.first() else {
            return 0.0;
        };
        let hours = |at: Timestamp| at.duration_since(*first).as_secs_f64() / 3600.0;
        let points: Vec<(f64, u64)> = recent.iter().map(|(at, n)| (hours(*at), *n)).collect();
        growth::slope(&points)
    }

    /// Whether the last `points` counts are all 0.
    pub(crate) fn gone_for(&self, points: usize) -> bool {
        self.points.len() >= points && self.points.iter().rev().take(points).all(|(_, n)| *n == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_bounded_and_keeps_the_ends() {
        let mut series = Series::default();
        for second in 0..10_000 {
            let at = Timestamp::from_second(second).unwrap();
            series.push(at, second as u64);
            series.push(at, 7);
        }
        let points = series.points();
        assert!(points.len() <= MAX_POINTS);
        assert_eq!(points[0].1, 0);
        assert!(points.windows(2).all(|pair| pair[0] < pair[1]));
        let recent: Vec<_> = points.iter().rev().take(100).map(|p| p.1).collect();
        assert_eq!(recent, (9_900..10_000).rev().collect::<Vec<_>>());
        assert_eq!((series.last(), series.peak()), (9_999, 9_999));
    }

    #[test]
    fn the_slope_is_that_of_most_recent_points() {
        let mut series = Series::default();
        assert_eq!(series.per_hour(), 0.0);
        for minute in 0..100 {
            // Level for long, then two a minute, with one point that is off.
            let count = if minute == 90 {
                500
            } else {
                2 * (minute.max(60) - 60)
            };
            series.push(Timestamp::from_second(minute * 60).unwrap(), count as u64);
        }
        assert!(
            (series.per_hour() - 120.0).abs() < 1e-6,
            "{}",
            series.per_hour()
        );
    }
}
