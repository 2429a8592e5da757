use proptest::prelude::*;

use super::stats::Stats;
use crate::testing::{check, check_refused, check_survives};

const LINES: &str = "m,a=1 v=2,i=10i,s=\"x\",b=true 1000000000\nm,a=2 v=7u 1000000000\nm,a=1 v=6,i=5i 3000000000\nm,a=1 v=4 5000000000";

#[test]
fn computes() {
    check(
        "basicstats",
        "",
        LINES,
        "m,a=1 v_count=3,v_min=2,v_max=6,v_mean=4,v_s2=4,v_stdev=2,i_count=2,i_min=5,i_max=10,i_mean=7.5,i_s2=12.5,i_stdev=3.5355339059327378\n\
         m,a=2 v_count=1,v_min=7,v_max=7,v_mean=7",
    );
    check(
        "basicstats",
        "stats = ['sum', 'first', 'last', 'diff', 'rate', 'interval', 'percent_change']",
        LINES,
        "m,a=1 v_sum=12,v_first=2,v_last=4,v_diff=2,v_rate=0.5,v_interval=4000000000i,v_percent_change=100,\
         i_sum=15,i_first=10,i_last=5,i_diff=-5,i_rate=-2.5,i_interval=2000000000i,i_percent_change=-50\n\
         m,a=2 v_sum=7,v_first=7,v_last=7",
    );
    check(
        "basicstats",
        "stats = ['non_negative_diff', 'non_negative_rate']",
        LINES,
        "m,a=1 v_non_negative_diff=2,v_non_negative_rate=0.5",
    );
    check("basicstats", "stats = []", LINES, "");
    check(
        "basicstats",
        "stats = ['variance']\nmax_series = 1",
        LINES,
        "m,a=1 v_s2=4,i_s2=12.5",
    );
    // No time went by.
    check(
        "basicstats",
        "stats = ['rate', 'interval']",
        "m v=1 5\nm v=2 5",
        "m v_rate=0,v_interval=0i",
    );
}

#[test]
fn an_open_window_survives() {
    check_survives(
        "basicstats",
        "stats = ['s2', 'mean', 'rate', 'min', 'max', 'count', 'percent_change']",
        LINES,
        "m,a=1 v=9 6000000000\nm,a=2 v=1 9000000000\nn v=1 1",
    );
}

#[test]
fn says_what_is_wrong() {
    check_refused("basicstats", "stats = ['median']", &["stats[0]"]);
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * (1.0 + a.abs().max(b.abs()))
}

proptest! {
    #[test]
    fn agrees_with_the_naive_way(values in proptest::collection::vec(-1e6f64..1e6, 2..50)) {
        let mut stats = Stats::new(values[0], 0);
        for (at, value) in values.iter().enumerate().skip(1) {
            stats.add(*value, at as i64 * 1_000_000_000);
        }
        let n = values.len() as f64;
        let sum: f64 = values.iter().sum();
        let mean = sum / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        prop_assert!(near(stats.mean, mean) && near(stats.sum, sum));
        prop_assert!(near(stats.variance(), variance), "{} {variance}", stats.variance());
        let diff = values[values.len() - 1] - values[0];
        prop_assert!(near(stats.diff(), diff) && near(stats.rate(), diff / (n - 1.0)));
        prop_assert_eq!(Stats::load(&stats.save()), Some(stats));
    }
}
