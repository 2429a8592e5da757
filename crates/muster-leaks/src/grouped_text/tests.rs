//! Tests of reading grouped text.

use super::*;
use crate::profile::WaitClass;
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, want: &[&str]) -> Profile {
    let profile = read(text.as_bytes()).unwrap();
    let mut got = vec![format!(
        "{} {}/{}",
        profile.kind, profile.ungrouped, profile.total
    )];
    for group in &profile.groups {
        let mut line = format!("{} {}", group.count, group.class);
        for frame in group.stack.iter() {
            line.push_str(&format!(" < {frame}"));
        }
        for label in group.labels.iter() {
            line.push_str(&format!(
                " {}={}",
                label.key,
                group.label(&label.key).unwrap()
            ));
        }
        got.push(line);
    }
    got.extend(
        profile
            .problems
            .iter()
            .map(|problem| format!("! {problem}")),
    );
    assert_eq!(got, want, "{text}");
    profile
}

#[test]
fn records_become_groups() {
    let profile = check(
        "goroutineleak profile: total 9\n5 @ 0x1 0x2\n#\t0x1\t\tmain.f[...]+0x1d\t\tC:/a b/m.go:39\n\
         #\t0x2\truntime.main+0x1\truntime/proc.go:1\n\n\
         3 @ 0x1\n# labels: {\"a\":\"b c\", \"d\":\"\\\"\"}\n\
         #\t0x1\tinternal/sync.(*Mutex).Lock+0x1\tm.go:1\n#\t0x2\tmain.g+0x1\tm.go:2\n\n\
         1 @\n#\t0x0\n\n",
        &[
            "goroutineleak 0/9",
            "5 unknown < main.f[...] C:/a b/m.go:39",
            "3 mutex < internal/sync.(*Mutex).Lock m.go:1 < main.g m.go:2 a=b c d=\"",
            "1 unknown <  :0",
        ],
    );
    assert!(profile.groups.iter().all(|group| group.leaked));
    check(
        "x profile: total 2\r\n2 @ 0x1\r\n#\t0x1\truntime.gopark+0x1\tr.go:2\r\n",
        &["x 0/2", "2 unknown < runtime.gopark r.go:2"],
    );
    check(
        "goroutine profile: total 3\n2 @ 0x1\n#\t0x1\tmain.f+0x1\tm.go:1\n1 @ 0x2\n#\t0x2\tmain.f+0x4\tm.go:1\n-1 @ 0x1\n",
        &["goroutine 0/3", "3 unknown < main.f m.go:1"],
    );
}

#[test]
fn what_is_wrong_is_reported() {
    check(
        "goroutine profile: total 9\nabc\n#\t0x1\n2 @ 0x1\n# labels: {a\n#\t0x1\tmain.f\tm.go:2\n",
        &[
            "goroutine 9/9",
            "! line 2 (byte 27): expected a count, \"@\" and addresses, found \"abc\"",
            "! line 3 (byte 31): expected a record before its frames, found \"#\\t0x1\"",
            "! line 5 (byte 45): expected labels, found \"# labels: {a\"",
            "! line 6 (byte 58): expected an address, a function and its place, \
             found \"#\\t0x1\\tmain.f\\tm.go:2\"",
        ],
    );
    let error = read(b"heap profile: total many").unwrap_err();
    assert_eq!(
        error.to_string(),
        "read the profile: line 1 (byte 0): expected \"goroutine profile: total\" and a number, \
         found \"heap profile: total many\""
    );
}

#[test]
fn a_count_that_cannot_be_is_wrong() {
    let text = format!("goroutine profile: total 9\n{} @\n", MAX_COUNT + 1);
    let profile = read(text.as_bytes()).unwrap();
    assert_eq!((profile.bad, profile.ungrouped), (1, 9));
}

#[test]
fn many_stacks_are_only_counted() {
    let frame = "#\t0x1\tf+0x1\tx:1\n";
    let records = MAX_TOTAL_FRAMES / MAX_FRAMES + 2;
    let record = format!("1 @\n{}", frame.repeat(MAX_FRAMES));
    let text = format!("x profile: total 0\n{}", record.repeat(records));
    let profile = read(text.as_bytes()).unwrap();
    let kept = profile.groups[0].count;
    assert_eq!(kept, (MAX_TOTAL_FRAMES / MAX_FRAMES) as u64);
    assert_eq!((profile.total, profile.ungrouped), (kept + 2, 2));
}

fn text(groups: &[(u64, Vec<(String, u32)>)]) -> String {
    let total: u64 = groups.iter().map(|(count, _)| count).sum();
    let mut out = format!("goroutine profile: total {total}\n");
    for (count, frames) in groups {
        out.push_str(&format!("{count} @ 0x1\n"));
        for (name, line) in frames {
            out.push_str(&format!("#\t0x1\tmain.{name}+0x1\t\tm/{name}.go:{line}\n"));
        }
        out.push('\n');
    }
    out
}

proptest! {
    #[test]
    fn groups_come_back(
        groups in prop::collection::vec(
            (1..1000_u64, prop::collection::vec(("[a-z(*).]{1,8}", 1..9999_u32), 1..5)), 0..8),
    ) {
        let profile = read(text(&groups).as_bytes()).unwrap();
        prop_assert_eq!(profile.bad, 0);
        prop_assert_eq!(profile.ungrouped, 0);
        let mut want = std::collections::BTreeMap::new();
        for (count, frames) in &groups {
            let frames: Vec<Frame> = frames.iter()
                .map(|(name, line)| Frame::new(format!("main.{name}"), format!("m/{name}.go"), *line))
                .collect();
            *want.entry(frames).or_insert(0) += count;
        }
        let got = profile.groups.iter().map(|group| (group.stack.to_vec(), group.count)).collect();
        prop_assert_eq!(want, got);
        prop_assert!(profile.groups.iter().all(|group| group.class == WaitClass::Unknown));
    }

    #[test]
    fn nothing_panics(tail in any::<Vec<u8>>(), lines in "([0-9]+ @( 0x[0-9]+)*|#\t0x1|#[ \t0x:a{}\"]*|\n)*") {
        let _ = read(&tail);
        let text = [b"goroutine profile: total 5\n", lines.as_bytes(), &tail].concat();
        let profile = read(&text).unwrap();
        let grouped = profile.groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.count));
        prop_assert_eq!(profile.total, profile.ungrouped + grouped);
    }
}
