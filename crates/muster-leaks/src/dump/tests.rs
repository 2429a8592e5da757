//! Tests of reading dumps.

use super::*;
use crate::profile::{Frame, Group, WaitClass};
use proptest::prelude::*;

pub(crate) fn read(text: &[u8]) -> Profile {
    let mut reader = DumpReader::new();
    reader.feed(text);
    reader.finish()
}

/// A group as one line: count, class, marks, stack, creator.
fn show(group: &Group) -> String {
    let mut out = format!("{} {}", group.count, group.class);
    if group.leaked {
        out.push_str(" leaked");
    }
    if group.minutes.shown > 0 {
        let minutes = group.minutes;
        out.push_str(&format!(
            " {}x{}..{}m",
            minutes.shown, minutes.youngest, minutes.oldest
        ));
    }
    for (at, frame) in group.stack.iter().enumerate() {
        if group.stack.missing_after() == Some(at as u32) {
            out.push_str(" ...");
        }
        out.push_str(&format!(" < {frame}"));
    }
    for label in group.labels.iter() {
        let value = group.label(&label.key).unwrap();
        out.push_str(&format!(" {}={value}", label.key));
    }
    if let Some(creator) = &group.created_by {
        out.push_str(&format!(" << {creator}"));
    }
    out
}

#[track_caller]
fn check(text: &str, want: &[&str]) {
    let profile = read(text.as_bytes());
    let mut got: Vec<String> = profile.groups.iter().map(show).collect();
    if profile.ungrouped > 0 {
        got.push(format!("ungrouped {}", profile.ungrouped));
    }
    if let Some(cut) = profile.cut {
        got.push(format!("cut {:?}", cut.goroutine));
    }
    got.extend(
        profile
            .problems
            .iter()
            .map(|problem| format!("! {problem}")),
    );
    assert_eq!(got, want, "{text}");
    let grouped: u64 = profile.groups.iter().map(|group| group.count).sum();
    assert_eq!(grouped + profile.ungrouped, profile.total, "{text}");
}

const A: &str = "goroutine 7 [chan send, 3 minutes]:\nmain.a(0xc01, 0x2)\n\tm/a.go:4 +0x1d\n\
                 created by main.start in goroutine 1\n\tm/main.go:9 +0x2a\n";
const SHOWN_A: &str = "1 channel send 1x3..3m < main.a m/a.go:4 << main.start m/main.go:9";

#[test]
fn what_differs_between_goroutines_is_no_difference_of_groups() {
    let other = A
        .replace("goroutine 7", "goroutine 12")
        .replace("3 minutes", "40 minutes, locked to thread")
        .replace("0xc01, 0x2", "0xc01, 0x7, ...")
        .replace("+0x1d", "+0x1d fp=0x1 sp=0x2 pc=0x3")
        .replace("goroutine 1\n", "goroutine 3\n");
    let text = format!(
        "{other}\n{A}\n{}",
        A.replace("7 [chan send, 3 minutes]", "9 [chan send]")
    );
    check(
        &text,
        &["3 channel send 2x3..40m < main.a m/a.go:4 << main.start m/main.go:9"],
    );
    let group = &read(text.as_bytes()).groups[0];
    assert_eq!(group.ids.as_slice(), [7, 9, 12]);
    assert_eq!(group.objects.counts, [(0xc01, 3)]);
    assert_eq!(group.reason.as_deref(), Some("chan send"));
}

#[test]
fn forms_of_old_go() {
    check(
        "goroutine 5 [semacquire, 2 minutes]:\nsync.runtime_Semacquire(0xc208001234)\n\
         \t/go/src/pkg/runtime/sema.goc:199 +0x30\nsync.(*WaitGroup).Wait(0xc20800)\n\
         \t/go/src/pkg/sync/waitgroup.go:129 +0x14b\nmain.f()\n\t/x/main.go:3 +0x25\n\
         created by main.main\n\t/x/main.go:8 +0x5b\n",
        &[
            "1 wait group 1x2..2m < sync.runtime_Semacquire /go/src/pkg/runtime/sema.goc:199 \
           < sync.(*WaitGroup).Wait /go/src/pkg/sync/waitgroup.go:129 < main.f /x/main.go:3 \
           << main.main /x/main.go:8",
        ],
    );
    check(
        "goroutine 5 [runnable]:\nmain.f(...)\n\tC:/my code/main.go:3\n\
         ...additional frames elided...\nmain.g()\n\t??:0 +0x1\ncreated by main.main\n\tx.go:8 +0x5b\n",
        &["1 runnable < main.f C:/my code/main.go:3 ... < main.g ??:0 << main.main x.go:8"],
    );
}

#[test]
fn marks_labels_elided_frames_and_ancestors() {
    check(
        "goroutine 5 [select (no cases) (leaked)] {b: 7, a: \"x]: {\"}:\nmain.f(...)\n\tm.go:3\n\
         ...31 frames elided...\nmain.g({0x1, 0x2})\n\tm.go:4 +0x1\n\
         created by main.main in goroutine 1\n\tm.go:8 +0x5b\n\
         [originating from goroutine 1]:\nmain.main(...)\n\tm.go:9 +0x1\n\
         ...additional frames elided...\ncreated by main.x\n\tm.go:1 +0x1\n\n\
         goroutine 6 [chan receive (durable), synctest bubble 1 labels:{\"a\": \"b\"}]:\n\
         main.f(...)\n\tm.go:3\n\n",
        &[
            "1 empty select leaked < main.f m.go:3 ... < main.g m.go:4 a=x]: { b=7 \
             << main.main m.go:8",
            "1 channel receive < main.f m.go:3 a=b",
        ],
    );
}

#[test]
fn frames_of_the_runtime_and_of_c() {
    check(
        "goroutine 2 gp=0x2c m=nil [force gc (idle)]:\nruntime.gopark(0x1)\n\tr.go:4 +0xca fp=0x1\n\
         runtime.goexit({})\n\ta.s:1 +0x1 fp=0x1\n\n\
         goroutine 1 gp=0x2c m=0 mp=0x1 [syscall]:\nruntime.cgocall(0x5)\n\tr.go:1 +0x1\n\
         c_work\n\t/src/w.c:12 pc=0x1\nnon-Go function at pc=0x5\nmain._Cfunc_work()\n\
         \t_cgo_gotypes.go:40 +0x1\nmain.g[...](0x7)\n\tm.go:1 +0x1\ngopkg.in/x%2ev2.F()\n\tx.go:1 +0x2\n\n\
         goroutine 3 [running]:\n\tgoroutine running on other thread; stack unavailable\n\
         created by main.main\n\tm.go:5 +0x1\n",
        &[
            "1 runtime < runtime.gopark r.go:4 < runtime.goexit a.s:1",
            "1 system call < c_work /src/w.c:12 < main._Cfunc_work _cgo_gotypes.go:40 \
             < main.g[...] m.go:1 < gopkg.in/x.v2.F x.go:1",
            "1 running << main.main m.go:5",
        ],
    );
}

#[test]
fn a_dump_in_a_log() {
    let log =
        format!("2024/01/02 boot\npanic: no\n[signal 11]\n\n{A}exit status 2\nbye goroutine\n");
    check(&log, &[SHOWN_A]);
    let collected: String = format!("panic: no\n\n{A}\n{A}")
        .lines()
        .map(|line| format!("2024-01-02T03:04:05.{}Z stderr F {line}\n", line.len()))
        .collect();
    check(
        &collected,
        &[&SHOWN_A.replace("1 channel send 1x", "2 channel send 2x")],
    );
    check(
        &collected.replace("F \n", "F\n"),
        &[&SHOWN_A.replace("1 channel send 1x", "2 channel send 2x")],
    );
    check(&A.replace('\n', "\r\n"), &[SHOWN_A]);
}

#[test]
fn what_is_not_understood_is_passed_over_and_reported() {
    let text = format!("goroutine 1 [running]:\nmain.f()\nlog\n\n{A}");
    check(
        &text,
        &[
            SHOWN_A,
            "ungrouped 1",
            "! line 3 (byte 32): expected a path and a line, found \"log\"",
        ],
    );
    let text = format!("goroutine 1 [running]:\nmain.f()\n\tm.go:1 +0x1\nlog line\n{A}");
    check(
        &text,
        &[
            SHOWN_A,
            "ungrouped 1",
            "! line 5 (byte 54): expected a path and a line, \
          found \"goroutine 7 [chan send, 3 minutes]:\"",
        ],
    );
    let text = format!("goroutine 1 [running:\nmain.f()\n\n{A}");
    check(
        &text,
        &[
            SHOWN_A,
            "ungrouped 1",
            "! line 1 (byte 0): expected a goroutine's header, \
          found \"goroutine 1 [running:\"",
        ],
    );
    let long = "x".repeat(MAX_LINE_BYTES + 1);
    let profile = read(format!("{long}\n{A}\ngoroutine 1 [running]:\n{long}\n{A}").as_bytes());
    assert_eq!((profile.total, profile.ungrouped, profile.bad), (3, 1, 1));
}

/// Wherever a dump is cut, each goroutine that began is counted, and none gets a stack that it
/// does not have.
#[test]
fn a_dump_that_is_cut() {
    let text = format!("{A}\n{}", A.replace("goroutine 7", "goroutine 8"));
    let whole = &read(A.as_bytes()).groups[0];
    let second = A.len() + 1;
    for end in second..text.len() {
        let profile = read(&text.as_bytes()[..end]);
        let begun = end >= second + "goroutine 8 [".len();
        let at = &text[second..end];
        assert_eq!(profile.total, if begun { 2 } else { 1 }, "{at}");
        assert_eq!(profile.groups.len(), 1, "{at}");
        assert_eq!(profile.groups[0].stack, whole.stack);
        // With the blank after the line number it is whole.
        if begun && end + "+0x2a\n".len() < text.len() {
            assert_eq!(profile.cut.unwrap().goroutine, Some(8), "{at}");
            assert_eq!(profile.ungrouped, 1, "{at}");
        }
    }
    check("goroutine 7", &["cut None"]);
    check("gorou", &["cut None"]);
}

/// Go stops at 64 MiB; where that is at the end of a line, only the length tells.
#[test]
fn a_dump_of_64_mib_is_cut() {
    let one = format!("{A}\n");
    let end_of_line = one.find("\ncreated").unwrap() + 1;
    let times = 3;
    let log = GO_DUMP_BYTES as usize - times * one.len() - end_of_line;
    let mut reader = DumpReader::new();
    let text = vec![b'x'; 1 << 20];
    (0..(log - 1) / text.len()).for_each(|_| reader.feed(&text));
    reader.feed(&text[..(log - 1) % text.len()]);
    reader.feed(b"\n");
    (0..times).for_each(|_| reader.feed(one.as_bytes()));
    reader.feed(&one.as_bytes()[..end_of_line]);
    let profile = reader.finish();
    assert_eq!(profile.total, times as u64 + 1);
    assert_eq!(profile.ungrouped, 1);
    assert_eq!(profile.groups[0].count, times as u64);
    let goroutine = Some(7);
    assert_eq!(
        profile.cut,
        Some(Cut {
            at: GO_DUMP_BYTES,
            goroutine
        })
    );
}

/// What is kept depends on how many groups there are, not on how many goroutines.
#[test]
fn memory_is_bounded_by_the_groups() {
    let sizes = |goroutines: u64| {
        let mut reader = DumpReader::new();
        for id in 0..goroutines {
            let text = A
                .replace("goroutine 7", &format!("goroutine {id}"))
                .replace("3 minutes", &format!("{} minutes", id / 7))
                .replace("0xc01", &format!("0xc{id:x}"))
                .replace("a.go:4", &format!("a.go:{}", id % 10))
                .replace("goroutine 1\n", &format!("goroutine {}\n", id / 2));
            reader.feed(format!("{text}\n").as_bytes());
        }
        let sizes = (reader.table.size(), reader.tail.capacity());
        let profile = reader.finish();
        assert_eq!((profile.total, profile.groups.len()), (goroutines, 10));
        sizes
    };
    assert_eq!(sizes(3000), sizes(9000));
}

#[test]
fn too_many_groups_are_only_counted() {
    let mut reader = DumpReader::new();
    for line in 0..MAX_GROUPS + 10 {
        let text = A.replace("a.go:4", &format!("a.go:{line}"));
        reader.feed(format!("{text}\n").as_bytes());
    }
    let profile = reader.finish();
    assert_eq!(profile.groups.len(), MAX_GROUPS);
    assert_eq!(profile.ungrouped, 10);
    assert_eq!(profile.groups[0].class, WaitClass::Send);
}

/// A goroutine of a dump, small enough that many are alike.
fn any_goroutine() -> impl Strategy<Value = (usize, Option<u64>, Vec<(usize, u32)>, bool)> {
    let frames = prop::collection::vec((0..FUNCTIONS.len(), 1..3_u32), 1..4);
    (
        0..REASONS.len(),
        prop::option::of(1..9_u64),
        frames,
        any::<bool>(),
    )
}

const REASONS: [&str; 4] = [
    "chan send",
    "select (no cases)",
    "IO wait",
    "sync.Mutex.Lock",
];
const FUNCTIONS: [&str; 4] = [
    "main.(*T[...]).f",
    "a.io/b.g.func1",
    "sync.(*Mutex).Lock",
    "main.h",
];

proptest! {
    /// What a model prints as a dump is read as that model, in pieces of any size, in a log or not.
    #[test]
    fn a_dump_comes_back(
        goroutines in prop::collection::vec(any_goroutine(), 1..20),
        size in 1..200_usize,
        prefix in prop::sample::select(vec!["", "2024-01-02T03:04:05Z stderr F ", "app: "]),
    ) {
        let mut text = "some log\n".to_owned();
        let mut want = std::collections::BTreeMap::<_, u64>::new();
        for (id, (reason, minutes, frames, old)) in goroutines.iter().enumerate() {
            let minutes = minutes.map_or_else(String::new, |m| format!(", {m} minutes"));
            text.push_str(&format!("\n{prefix}goroutine {id} [{}{minutes}]:\n", REASONS[*reason]));
            for (function, line) in frames {
                text.push_str(&format!("{prefix}{}(0x{id:x}, {{0x1, 0x2}})\n", FUNCTIONS[*function]));
                text.push_str(&format!("{prefix}\tC:/a b/x.go:{line} +0x{id:x}\n"));
            }
            let creator = if *old { "" } else { " in goroutine 1" };
            text.push_str(&format!("{prefix}created by main.main{creator}\n{prefix}\tm.go:8 +0x5b\n"));
            let frames: Vec<Frame> = frames.iter()
                .map(|(function, line)| Frame::new(FUNCTIONS[*function], "C:/a b/x.go", *line))
                .collect();
            *want.entry((REASONS[*reason], frames)).or_default() += 1;
        }
        let mut reader = DumpReader::new();
        text.as_bytes().chunks(size).for_each(|piece| reader.feed(piece));
        let profile = reader.finish();
        prop_assert_eq!((profile.bad, profile.ungrouped, profile.cut), (0, 0, None));
        let got = profile.groups.iter()
            .map(|group| ((group.reason.as_deref().unwrap(), group.stack.to_vec()), group.count))
            .collect();
        prop_assert_eq!(want, got);
    }

    #[test]
    fn nothing_panics_and_pieces_do_not_matter(
        bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), flip in any::<u8>(),
        size in 1..100_usize,
    ) {
        let mut near = format!("{A}\n{A}").into_bytes();
        let at = at.index(near.len());
        near[at] ^= flip;
        for dump in [bytes, near] {
            let whole = read(&dump);
            let grouped: u64 = whole.groups.iter().map(|group| group.count).sum();
            prop_assert_eq!(grouped + whole.ungrouped, whole.total);
            let mut reader = DumpReader::new();
            dump.chunks(size).for_each(|piece| reader.feed(piece));
            prop_assert_eq!(reader.finish(), whole);
        }
    }
}
