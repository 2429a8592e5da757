//! Durations counted in buckets of logarithmic width.

use std::fmt;
use std::time::Duration;

/// Buckets per doubling, as a power of two.
const SUB_BITS: u32 = 3;
const SUB: usize = 1 << SUB_BITS;
/// Durations from here on (about 4.9 hours) fall into the last bucket.
const LIMIT_BITS: u32 = 44;
const BUCKETS: usize = (LIMIT_BITS - SUB_BITS) as usize * SUB + SUB;

/// How often durations of which length came: a fixed 2.7 KB, whatever is recorded.
///
/// A bucket is an eighth of a doubling wide, so a [`quantile`](Self::quantile) is at most 6.25 % off. Nanoseconds
/// below 16 are exact; from 4.9 hours on all fall into one bucket (the maximum stays exact).
///
/// ```
/// use std::time::Duration;
/// let mut times = muster_tasks::Histogram::new();
/// for ms in 1..=100 {
///     times.record(Duration::from_millis(ms));
/// }
/// let median = times.quantile(0.5).as_secs_f64();
/// assert!((median / 0.050 - 1.0).abs() <= 0.0625);
/// assert_eq!((times.count(), times.max()), (100, Duration::from_millis(100)));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            count: 0,
            sum: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
        }
    }

    /// Counts one duration. A few nanoseconds.
    #[inline]
    pub fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket_of(nanos)) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        self.min = self.min.min(time);
        self.max = self.max.max(time);
    }

    /// How many durations were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The shortest; zero if there is none.
    #[must_use]
    pub fn min(&self) -> Duration {
        self.min.min(self.max)
    }

    /// The longest; zero if there is none.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The average; zero if there is none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos((self.sum.as_nanos() / u128::from(self.count)) as u64)
    }

    /// The duration that a share `q` (0 to 1) of all does not exceed, at most 6.25 % off; zero if there
    /// is none. `quantile(1.0)` is the exact maximum.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64;
        let rank = rank.max(1);
        if rank >= self.count {
            return self.max;
        }
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let (low, high) = bounds_of(bucket);
                let middle = Duration::from_nanos(low + (high - low) / 2);
                return middle.clamp(self.min(), self.max);
            }
        }
        self.max
    }

    /// The buckets that are not empty, shortest first: the longest duration that belongs into each
    /// (the last bucket has no end, so there it is the maximum), and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let used = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        used.map(|(bucket, count)| match bucket {
            last if last == BUCKETS - 1 => (self.max, *count),
            bucket => (Duration::from_nanos(bounds_of(bucket).1), *count),
        })
    }

    /// Adds what another histogram has counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("min", &self.min())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max)
            .finish()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Histogram", 7)?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("mean", &self.mean())?;
        fields.serialize_field("min", &self.min())?;
        fields.serialize_field("p50", &self.quantile(0.5))?;
        fields.serialize_field("p90", &self.quantile(0.9))?;
        fields.serialize_field("p99", &self.quantile(0.99))?;
        fields.serialize_field("max", &self.max)?;
        fields.end()
    }
}

/// Nanoseconds below twice `SUB` have a bucket each; above, the highest `SUB_BITS + 1` bits decide.
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << LIMIT_BITS) - 1);
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(SUB_BITS + 1);
    shift as usize * SUB + (nanos >> shift) as usize
}

/// The shortest and the longest of a bucket, in nanoseconds.
fn bounds_of(bucket: usize) -> (u64, u64) {
    let shift = (bucket / SUB).saturating_sub(1);
    let top = (bucket - shift * SUB) as u64;
    (top << shift, ((top + 1) << shift) - 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_lie_side_by_side() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (low, high) = bounds_of(bucket);
            assert_eq!(low, next, "bucket {bucket}");
            assert_eq!((bucket_of(low), bucket_of(high)), (bucket, bucket));
            next = high + 1;
        }
        assert_eq!(next, 1 << LIMIT_BITS);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn an_empty_one_is_all_zero() {
        let empty = Histogram::new();
        let zero = Duration::ZERO;
        assert_eq!(
            (empty.min(), empty.mean(), empty.quantile(0.5), empty.max()),
            (zero, zero, zero, zero)
        );
        assert_eq!(empty.buckets().count(), 0);
    }

    proptest! {
        #[test]
        fn quantiles_keep_their_error(
            mut nanos in prop::collection::vec(0..1u64 << LIMIT_BITS, 1..200),
            q in 0.0..=1.0f64,
        ) {
            let (mut left, mut right) = (Histogram::new(), Histogram::new());
            for (place, nanos) in nanos.iter().enumerate() {
                let half = if place % 2 == 0 { &mut left } else { &mut right };
                half.record(Duration::from_nanos(*nanos));
            }
            left.merge(&right);
            nanos.sort_unstable();
            let rank = ((q * nanos.len() as f64).ceil() as usize).max(1);
            let exact = nanos[rank - 1] as f64;
            let told = left.quantile(q).as_nanos() as f64;
            prop_assert!((told - exact).abs() <= exact / 16.0, "{told} for {exact}");
            prop_assert_eq!(left.count(), nanos.len() as u64);
            prop_assert_eq!(left.sum(), Duration::from_nanos(nanos.iter().sum()));
            prop_assert_eq!(left.buckets().map(|(_, count)| count).sum::<u64>(), left.count());
        }
    }
}
