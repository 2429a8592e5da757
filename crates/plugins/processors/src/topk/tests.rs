use muster_metric::Batch;
use muster_plugin::{Selected, StatefulProcessor};
use proptest::prelude::*;

use super::rank;
use crate::testing::{at, check_refused, read, stateful, write};

fn feed(topk: &mut dyn StatefulProcessor, seconds: i64, lines: &str) -> String {
    let mut batch = read(lines);
    topk.apply(&mut Selected::all(&mut batch), &at(seconds));
    write(&batch).trim_end().to_owned()
}

const LINES: &str =
    "m,host=a v=1 1\nm,host=b v=5 1\nm,host=c v=3 1\nm,host=a v=9 2\nm,host=d x=1 1";

/// Feeds the lines above and looks at what passes after the period.
#[track_caller]
fn check(options: &str, want: &str) {
    let options = format!("fields = ['v', 'w']\n{options}");
    let mut topk = stateful("topk", &options);
    assert_eq!(feed(&mut *topk, 100, LINES), "");
    assert_eq!(feed(&mut *topk, 109, ""), "");
    assert_eq!(feed(&mut *topk, 110, ""), want, "{options}");
    assert_eq!(feed(&mut *topk, 120, ""), "");
}

#[test]
fn ranks() {
    check("k = 1", "m,host=a v=1 1\nm,host=a v=9 2");
    check("k = 2", "m,host=a v=1 1\nm,host=a v=9 2\nm,host=b v=5 1");
    check("k = 1\nbottomk = true", "m,host=c v=3 1");
    check(
        "k = 1\nbottomk = true\naggregation = 'min'",
        "m,host=a v=1 1\nm,host=a v=9 2",
    );
    check(
        "k = 2\naggregation = 'sum'",
        "m,host=a v=1 1\nm,host=a v=9 2\nm,host=b v=5 1",
    );
    check("k = 0", "");
    check(
        "k = 1\nadd_rank_fields = ['v']\nadd_aggregate_fields = ['v', 'x']\nadd_groupby_tag = 'group'\naggregation = 'max'",
        "m,group=m&host\\=a&,host=a v=1,v_topk_aggregate=9,v_topk_rank=1i 1\nm,group=m&host\\=a&,host=a v=9,v_topk_aggregate=9,v_topk_rank=1i 2",
    );
    check(
        "k = 1\ngroup_by = []",
        "m,host=a v=1 1\nm,host=b v=5 1\nm,host=c v=3 1\nm,host=a v=9 2",
    );
}

#[test]
fn each_field_on_its_own() {
    let mut topk = stateful("topk", "fields = ['v', 'w']\nk = 1");
    feed(
        &mut *topk,
        100,
        "m,h=a v=1,w=9i 1\nm,h=b v=2u,w=1i 1\nm,h=c v=0,w=\"text\" 1",
    );
    assert_eq!(
        feed(&mut *topk, 111, ""),
        "m,h=b v=2u,w=1i 1\nm,h=a v=1,w=9i 1"
    );
}

#[test]
fn what_is_held_survives() {
    let mut before = stateful("topk", "fields = ['v']\nk = 1");
    feed(&mut *before, 100, LINES);
    let mut after = stateful("topk", "fields = ['v']\nk = 2");
    after.restore(before.state().unwrap());
    assert_eq!(feed(&mut *after, 105, ""), "");
    assert_eq!(
        feed(&mut *after, 110, ""),
        "m,host=a v=1 1\nm,host=a v=9 2\nm,host=b v=5 1"
    );
    after.restore(serde_json::json!([1, 2]));

    let mut end = Batch::new();
    before.finish(&mut end);
    assert_eq!(write(&end), "m,host=a v=1 1\nm,host=a v=9 2\n");
}

#[test]
fn what_is_held_is_bounded() {
    let mut topk = stateful("topk", "fields = ['v']\nmax_metrics = 2");
    feed(&mut *topk, 100, LINES);
    assert_eq!(feed(&mut *topk, 110, ""), "m,host=b v=5 1\nm,host=a v=1 1");
}

#[test]
fn says_what_is_wrong() {
    check_refused(
        "topk",
        "aggregation = 'median'\nk = -1",
        &["aggregation", "k"],
    );
    check_refused("topk", "group_by = ['[']", &["group_by[0]"]);
}

proptest! {
    #[test]
    fn the_first_are_not_less_than_the_others(values in proptest::collection::vec(proptest::option::of(-1e9f64..1e9), 0..20), k in 0usize..8) {
        let first = rank::first(values.iter().copied(), k, false);
        let mut all: Vec<f64> = values.iter().flatten().copied().collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all.truncate(k);
        prop_assert_eq!(first.iter().map(|(_, v)| *v).collect::<Vec<_>>(), all);
    }
}
