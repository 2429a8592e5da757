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
    check("a.io/nats.go.(*Conn).readLoop", "a.io/nats.go");
    check("main.(*T[...]).Wait", "main");
    check("a/b.Map[go.shape.string,c/d.E]", "a/b");
    check("glob..func1", "glob");
    check("cgo", "cgo");
    check("", "");
}

#[test]
fn minutes_keep_their_ends() {
    let mut minutes = Minutes::default();
    [7, 2, 9]
        .into_iter()
        .for_each(|m| minutes.absorb(Minutes::one(m)));
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
    (0..10).chain([3, 9]).for_each(|word| objects.add(word, 1));
    assert_eq!(objects.counts.len(), MAX_OBJECTS);
    assert_eq!(objects.counts[3], (3, 2));
    assert_eq!(objects.others, 3);
}

proptest! {
    /// Whatever dies and is born between two dumps, the survivors of the sample are counted.
    #[test]
    fn the_sampled_ids_tell_who_survived(
        lives in prop::collection::btree_map(1..1000_u64, any::<bool>(), 0..300),
        born in prop::collection::btree_set(1000..2000_u64, 0..300),
    ) {
        let before: Ids = lives.keys().copied().collect();
        let alive = || lives.iter().filter(|(_, lives)| **lives).map(|(id, _)| *id);
        let after: Ids = alive().chain(born).collect();
        prop_assert_eq!(before.as_slice().len(), lives.len().min(MAX_IDS));
        prop_assert!(before.as_slice().is_sorted());
        let (survivors, of) = before.survivors(&after);
        if lives.len() <= MAX_IDS && after.as_slice().len() < MAX_IDS {
            prop_assert_eq!((survivors, of), (alive().count(), lives.len()));
        }
        // Of those that can be compared, each is found exactly if it lives.
        let lives_on = |id: &&u64| lives.get(id).is_some_and(|lives| *lives);
        let sampled = before.as_slice().iter().filter(lives_on).count();
        prop_assert!(survivors <= sampled);
        prop_assert!(of - survivors <= before.as_slice().len() - sampled);
        prop_assert_eq!(before.survivors(&before).0, before.as_slice().len());
    }

    /// In what order the IDs come and how they are divided does not matter.
    #[test]
    fn samples_of_parts_make_the_sample_of_all(
        ids in prop::collection::btree_set(1..5000_u64, 0..300),
        cut in 0..300_usize,
    ) {
        let all: Ids = ids.iter().copied().collect();
        let backwards: Ids = ids.iter().rev().copied().collect();
        prop_assert_eq!(&backwards, &all);
        let part = |ids: Vec<u64>| ids.into_iter().collect::<Ids>();
        let mut one = part(ids.iter().take(cut).copied().collect());
        one.absorb(&part(ids.iter().skip(cut).copied().collect()));
        prop_assert_eq!(one.as_slice(), all.as_slice());
    }
}
