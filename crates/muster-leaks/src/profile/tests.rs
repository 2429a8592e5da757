//! Tests of the model.

use super::*;
use proptest::prelude::*;

#[test]
fn a_frame_knows_its_package() {
    let check = |function: &str, package: &str| {
        assert_eq!(Frame::new(function, "", 0).package(), package, "{function}");
    };
    check("main.main", "main");
    check("net/http.(*conn).serve", "net/http");
    check("a.io/b/c.F.func1.2", "a.io/b/c");
    check("gopkg.in/yaml.v3.Unmarshal", "gopkg.in/yaml.v3");
    check("main.(*T[...]).Wait", "main");
    check("a/b.Map[go.shape.string,c/d.E]", "a/b");
    check("glob..func1", "glob");
    check("cgo", "cgo");
    check("", "");
}

#[test]
fn minutes_keep_their_ends() {
    let mut minutes = Minutes::default();
    [7, 2, 9].into_iter().for_each(|m| minutes.add(m));
    assert_eq!(
        minutes,
        Minutes {
            shown: 3,
            oldest: 9,
            youngest: 2
        }
    );
}

#[test]
fn objects_are_counted_by_themselves_up_to_a_bound() {
    let mut objects = Objects::default();
    (0..10).chain([3, 9]).for_each(|word| objects.add(word));
    assert_eq!(objects.counts.len(), MAX_OBJECTS);
    assert_eq!(objects.counts[3], (3, 2));
    assert_eq!(objects.others, 3);
}

proptest! {
    /// Whatever dies and is born between two dumps, the survivors of the sample are counted.
    #[test]
    fn the_lowest_ids_tell_who_survived(
        lives in prop::collection::btree_map(1..1000_u64, any::<bool>(), 0..300),
        born in prop::collection::btree_set(1000..2000_u64, 0..300),
    ) {
        let before: Ids = lives.keys().copied().collect();
        let alive = || lives.iter().filter(|(_, lives)| **lives).map(|(id, _)| *id);
        let after: Ids = alive().chain(born).collect();
        prop_assert_eq!(before.as_slice().len(), lives.len().min(MAX_IDS));
        prop_assert!(before.as_slice().is_sorted());
        let sample = lives.iter().take(MAX_IDS).filter(|(_, lives)| **lives).count();
        prop_assert_eq!(before.survivors(&after), sample);
    }
}
