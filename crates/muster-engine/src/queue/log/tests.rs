//! The log against a model: each metric carries its own number.

use super::*;
use crate::queue::tests::{chunk, numbers};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds {
    bytes: 64 << 10,
    sync: false,
};

fn open(folder: &Path) -> Log {
    Log::open(folder, BOUNDS).unwrap()
}

/// Appends so many metrics with their numbers.
fn append(log: &mut Log, count: i64) {
    log.append(&chunk(log.tail().cast_signed(), count)).unwrap();
}

fn last_segment(folder: &Path) -> PathBuf {
    let last = *list(folder).unwrap().last().unwrap();
    folder.join(name(last.first))
}

/// Reads from a number on to the end in pieces; each piece is whole and each metric in its place.
#[track_caller]
fn read_all(log: &mut Log, from: u64, count: usize) -> Vec<u64> {
    let (mut at, mut all) = (from, Vec::new());
    while at < log.tail() {
        let piece = log.read(at, count).unwrap();
        assert!(piece.first >= at);
        let numbers = numbers(&piece.metrics.clone().into());
        let expected: Vec<i64> = (piece.first..piece.end()).map(u64::cast_signed).collect();
        assert_eq!(numbers, expected);
        all.extend(piece.first..piece.end());
        assert!(piece.end() > at, "no progress at {at}");
        at = piece.end();
    }
    all
}

#[test]
fn a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let refused = Log::open(folder.path(), BOUNDS).unwrap_err().to_string();
    assert!(refused.contains("another agent or output"), "{refused}");
    drop(first);
    open(folder.path());
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    append(&mut open(folder.path()), 3);
    let path = last_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let refused = Log::open(folder.path(), BOUNDS).unwrap_err().to_string();
    assert!(refused.contains("version 9"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn what_is_not_used_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new");
    open(&folder).discard();
    assert!(!folder.exists());
    append(&mut open(&folder), 1);
    open(&folder).discard();
    assert_eq!(open(&folder).tail(), 1);
}

#[test]
fn the_oldest_go_when_it_becomes_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    for _ in 0..100 {
        append(&mut log, 100);
        assert!(log.bytes() <= BOUNDS.bytes, "{}", log.bytes());
    }
    let first = log.first();
    assert!(first > 0 && log.tail() == 10_000);
    assert_eq!(
        read_all(&mut log, 0, 500),
        (first..10_000).collect::<Vec<_>>()
    );
    let on_disk: u64 = list(folder.path()).unwrap().iter().map(|s| s.bytes).sum();
    assert_eq!(on_disk, log.bytes());
}

#[test]
fn what_is_settled_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    for _ in 0..10 {
        append(&mut log, 300);
    }
    assert!(log.segments.len() > 2);
    log.settle(3000).unwrap();
    assert_eq!(log.segments.len(), 1);
    assert_eq!(list(folder.path()).unwrap().len(), 1);
    drop(log);
    let mut log = open(folder.path());
    assert_eq!((log.position(), log.tail()), (3000, 3000));
    append(&mut log, 1);
    assert_eq!(read_all(&mut log, 3000, 10), [3000]);
}

#[test]
fn settled_metrics_that_the_disk_lost_do_not_settle_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 10);
    log.settle(10).unwrap();
    drop(log);
    let file = OpenOptions::new()
        .write(true)
        .open(last_segment(folder.path()));
    file.unwrap().set_len(HEADER as u64).unwrap();
    let mut log = open(folder.path());
    append(&mut log, 5);
    drop(log);
    let mut log = open(folder.path());
    let from = log.position();
    assert_eq!(read_all(&mut log, from, 10), [10, 11, 12, 13, 14]);
}

#[test]
fn going_back_takes_back_whole_segments() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 50);
    let (mark, bytes) = (log.mark(), log.bytes());
    for _ in 0..10 {
        append(&mut log, 200);
    }
    log.go_back(mark);
    assert_eq!((log.tail(), log.bytes()), (50, bytes));
    append(&mut log, 7);
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(read_all(&mut log, 0, 1), (0..57).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Step {
    Append(i64),
    Read(usize),
    Settle(u64),
    PutBack,
    Open,
    /// The process ends while it appends: of the last record so many bytes are missing.
    Tear(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1i64..80).prop_map(Step::Append),
        3 => (1usize..100).prop_map(Step::Read),
        2 => (0u64..100).prop_map(Step::Settle),
        1 => Just(Step::PutBack),
        1 => Just(Step::Open),
        1 => (1u64..2000).prop_map(Step::Tear),
    ]
}

proptest! {
    /// Whatever happens, what is read is what was written, in order, from the first metric that is
    /// not settled on.
    #[test]
    fn as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        let (mut settled, mut cursor) = (0u64, 0u64);
        for step in steps {
            match step {
                Step::Append(count) => append(&mut log, count),
                Step::Read(count) => {
                    let piece = log.read(cursor, count).unwrap();
                    prop_assert_eq!(piece.first, cursor.max(log.first()).min(log.tail()));
                    let expected: Vec<i64> =
                        (piece.first..piece.end()).map(u64::cast_signed).collect();
                    prop_assert_eq!(numbers(&piece.metrics.clone().into()), expected);
                    let there = (log.tail() - piece.first).min(count as u64);
                    prop_assert!(piece.metrics.len() as u64 >= there);
                    cursor = piece.end();
                }
                Step::Settle(count) => {
                    settled = (settled + count).min(cursor);
                    log.settle(settled).unwrap();
                }
                Step::PutBack => cursor = settled,
                Step::Open => {
                    let before = (log.first(), log.tail(), log.bytes());
                    drop(log);
                    log = open(folder.path());
                    prop_assert_eq!((log.first(), log.tail(), log.bytes()), before);
                    prop_assert_eq!(log.position(), settled.max(log.first()));
                    cursor = settled;
                }
                Step::Tear(bytes) => {
                    let tail = log.tail();
                    drop(log);
                    if !list(folder.path()).unwrap().is_empty() {
                        let path = last_segment(folder.path());
                        let file = OpenOptions::new().write(true).open(path).unwrap();
                        let left = file.metadata().unwrap().len().saturating_sub(bytes);
                        file.set_len(left).unwrap();
                    }
                    log = open(folder.path());
                    prop_assert!(log.tail() <= tail);
                    prop_assert!(log.tail() >= settled);
                    cursor = settled;
                }
            }
            prop_assert!(log.bytes() <= BOUNDS.bytes);
        }
        let there: Vec<u64> = (settled.max(log.first())..log.tail()).collect();
        let read = read_all(&mut log, settled, 50);
        // Numbers of settled metrics that were torn off are not used again, and nothing lies there.
        let missing: Vec<_> = there.iter().filter(|n| !read.contains(n)).collect();
        prop_assert!(missing.is_empty(), "{:?}", missing);
    }

    /// Any damaged byte costs at most its segment, and nothing that is read is wrong.
    #[test]
    fn damage_costs_at_most_its_segment(at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        for _ in 0..6 {
            append(&mut log, 90);
        }
        let segments = log.segments.clone();
        prop_assert!(segments.len() > 2);
        drop(log);
        let mut at = at.index(segments.iter().map(|s| s.bytes as usize).sum());
        let mut hit = 0;
        while at as u64 >= segments[hit].bytes {
            at -= segments[hit].bytes as usize;
            hit += 1;
        }
        let path = folder.path().join(name(segments[hit].first));
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        let mut log = open(folder.path());
        let read = read_all(&mut log, 0, 40);
        let end = segments.get(hit + 1).map_or(540, |next| next.first);
        let others = (0..segments[hit].first).chain(end..540);
        for number in others.filter(|number| *number < log.tail()) {
            prop_assert!(read.contains(&number), "{} is lost", number);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Cut off at any byte, the last segment is read up to its last whole record.
    #[test]
    fn a_tail_torn_at_any_byte(counts in prop::collection::vec(1i64..5, 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        let mut ends = vec![(HEADER as u64, 0)];
        for count in counts {
            append(&mut log, count);
            ends.push((log.bytes(), log.tail()));
        }
        drop(log);
        let path = last_segment(folder.path());
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = open(folder.path());
            let kept = ends.iter().rev().find(|(bytes, _)| *bytes <= cut as u64);
            let (bytes, tail) = kept.copied().unwrap_or((HEADER as u64, 0));
            prop_assert_eq!((log.bytes(), log.tail()), (bytes, tail), "cut at {}", cut);
            append(&mut log, 2);
            prop_assert_eq!(read_all(&mut log, 0, 3), (0..tail + 2).collect::<Vec<_>>());
        }
    }
}
