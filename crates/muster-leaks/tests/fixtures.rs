//! What real Go printed, in all its forms, is read alike.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::PathBuf;

use muster_leaks::{DumpReader, Format, Group, Profile, WaitClass};

fn bytes(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(name: &str) -> Profile {
    let profile = Profile::read(&bytes(name)).unwrap();
    assert_eq!(profile.problems, [], "{name}");
    assert_eq!(
        (profile.bad, profile.ungrouped, profile.cut),
        (0, 0, None),
        "{name}"
    );
    let sum: u64 = profile.groups.iter().map(|group| group.count).sum();
    assert_eq!(sum, profile.total, "{name}");
    profile
}

/// The first function of the program on the stack, and what the group waits for.
fn waits(profile: &Profile) -> Vec<String> {
    let mut waits: Vec<String> = profile
        .groups
        .iter()
        .filter(|group| !group.takes_profile())
        .map(|group| {
            let own = group.stack.iter().find(|frame| frame.package() == "main");
            let own = own.map_or_else(String::new, |frame| frame.function.replace("main.", ""));
            format!("{} {own}: {}", group.count, group.class)
        })
        .collect();
    waits.sort();
    waits
}

const FORMS: [(&str, Format); 3] = [
    ("goroutine.pb.gz", Format::Binary),
    ("goroutine.debug1.txt", Format::GroupedText),
    ("goroutine.debug2.txt", Format::Dump),
];

#[test]
fn every_way_to_wait_has_its_class() {
    let want = [
        "1 (*box[...]).put: channel send",
        "1 (*worker).run: channel receive",
        "1 choose: select",
        "1 deep: channel receive",
        "1 forever: empty select",
        "1 labelled.func1: channel receive",
        "1 listen: I/O wait",
        "1 lock: mutex",
        "1 nilReceive: nil channel",
        "1 nilSend: nil channel",
        "1 read: rwmutex",
        "1 start.func1: channel receive",
        "1 waitAll: wait group",
        "1 waitCond: condition variable",
        "1 write: mutex",
        "3 sendTo: channel send",
    ];
    for go in ["go1.19", "go1.27"] {
        for (name, format) in FORMS {
            let profile = read(&format!("{go}/{name}"));
            assert_eq!(profile.format, format);
            assert_eq!((&*profile.kind, profile.total), ("goroutine", 20));
            let want = want.map(|line| match (format, line) {
                (Format::Binary, "1 nilReceive: nil channel") => "1 nilReceive: channel receive",
                (Format::Binary, "1 nilSend: nil channel") => "1 nilSend: channel send",
                _ => line,
            });
            let mut got = waits(&profile);
            // Sleep has no function of the program.
            let sleeper = got.iter().position(|line| line == "1 : sleep");
            got.remove(sleeper.unwrap());
            if format == Format::GroupedText {
                let known = |line: &&str| {
                    ["mutex", "wait", "I/O", "cond"]
                        .iter()
                        .any(|word| line.contains(word))
                };
                let want: Vec<&str> = want.iter().filter(|line| known(line)).copied().collect();
                got.retain(|line| !line.contains("unknown"));
                assert_eq!(got, want, "{go} {name}");
            } else {
                assert_eq!(got, want, "{go} {name}");
            }
        }
    }
}

/// A goroutine has the same stack in all forms, but for those that are cut.
#[test]
fn stacks_are_the_same_in_all_forms() {
    for go in ["go1.19", "go1.27"] {
        let [binary, text, dump] = FORMS.map(|(name, _)| read(&format!("{go}/{name}")));
        let whole = |profile: &Profile| -> Vec<String> {
            let mut stacks: Vec<String> = profile
                .groups
                .iter()
                .filter(|group| group.stack.len() < 20 && !group.takes_profile())
                .map(|group| format!("{} {:?} {:?}", group.count, group.labels, group.stack))
                .collect();
            stacks.sort();
            stacks
        };
        assert_eq!(whole(&binary), whole(&text), "{go}");
        assert_eq!(whole(&binary).len(), 16, "{go}");
        if go == "go1.19" {
            // Its dumps show no labels.
            let unlabelled = |profile: &Profile| {
                let mut profile = profile.clone();
                profile
                    .groups
                    .iter_mut()
                    .for_each(|group| group.labels = [].into());
                whole(&profile)
            };
            assert_eq!(unlabelled(&binary), whole(&dump));
        } else {
            assert_eq!(whole(&binary), whole(&dump));
        }
    }
}

fn group<'a>(profile: &'a Profile, function: &str) -> &'a Group {
    let has = |group: &&Group| group.stack.iter().any(|frame| &*frame.function == function);
    profile.groups.iter().find(has).unwrap()
}

#[test]
fn dumps_tell_more() {
    for go in ["go1.19", "go1.27"] {
        let profile = read(&format!("{go}/goroutine.debug2.txt"));
        let sends = group(&profile, "main.sendTo");
        let creator = sends.created_by.as_ref().unwrap();
        assert_eq!(&*creator.function, "main.start");
        assert_eq!(&*creator.file, "example.com/waits/main.go");
        assert_eq!(sends.ids.as_slice().len(), 3);
        assert_eq!(sends.reason.as_deref(), Some("chan send"));
        let lock = group(&profile, "main.lock");
        assert_eq!(lock.objects.counts.len(), 1);
        assert_eq!(group(&profile, "main.nilSend").class, WaitClass::NilChannel);
        let deep = group(&profile, "main.deep");
        // Go 1.19 leaves frames out without a word.
        assert_eq!(
            deep.stack.missing_after(),
            (go == "go1.27").then_some(50),
            "{go}"
        );
        assert_eq!(
            deep.created_by,
            sends.created_by.clone().map(|frame| muster_leaks::Frame {
                line: deep.created_by.as_ref().unwrap().line,
                ..frame
            })
        );
        let main = group(&profile, "main.main");
        assert_eq!(main.created_by, None);
        assert!(main.takes_profile());
    }
    let labelled = read("go1.27/goroutine.debug2.txt");
    let group = group(&labelled, "main.labelled");
    assert_eq!(group.label("route"), Some("/a b]:"));
    assert_eq!(group.label("shard"), Some("7"));
}

#[test]
fn proved_leaks_are_marked() {
    let all = ["goroutineleak.pb.gz", "goroutineleak.debug1.txt"]
        .map(|name| read(&format!("go1.27/{name}")));
    for profile in &all {
        assert_eq!((&*profile.kind, profile.total), ("goroutineleak", 8));
        assert!(profile.groups.iter().all(|group| group.leaked));
    }
    let dump = read("go1.27/goroutineleak.debug2.txt");
    let leaked = dump.groups.iter().filter(|group| group.leaked);
    assert_eq!(leaked.clone().map(|group| group.count).sum::<u64>(), 8);
    let mut functions: Vec<&str> = leaked.map(|group| &*group.stack[0].function).collect();
    functions.sort_unstable();
    assert_eq!(
        functions,
        [
            "main.(*box[...]).put",
            "main.choose",
            "main.forever",
            "main.nilReceive",
            "main.nilSend",
            "main.sendTo"
        ]
    );
}

#[test]
fn threads_are_counted() {
    for (go, total) in [("go1.19", 7), ("go1.27", 6)] {
        let text = read(&format!("{go}/threadcreate.debug1.txt"));
        let binary = read(&format!("{go}/threadcreate.pb.gz"));
        assert_eq!(&*text.kind, "threadcreate");
        assert_eq!(&*binary.kind, "threadcreate");
        assert!(
            text.total == total && binary.total.abs_diff(total) < 4,
            "{text:?}"
        );
    }
}

/// A panic's dump in a log, with ancestors, and one with all of the runtime's frames.
#[test]
fn panics_in_logs() {
    for go in ["go1.19", "go1.27"] {
        let panic = read(&format!("{go}/panic.log"));
        assert_eq!(panic.format, Format::Dump);
        assert_eq!(panic.total, 20);
        let sends = group(&panic, "main.sendTo");
        assert_eq!(
            (sends.count, sends.stack.len()),
            (3, 1),
            "ancestors are no frames"
        );
        let system = read(&format!("{go}/system.log"));
        assert!(system.total > 20);
        let sends = group(&system, "main.sendTo");
        assert_eq!(
            (sends.count, sends.stack.len()),
            (3, 2),
            "private frames are left out, the compiler's wrappers are not"
        );
        let runtime = system.groups.iter().filter(|group| {
            group
                .created_by
                .as_ref()
                .is_some_and(|frame| frame.package() == "runtime")
        });
        assert!(runtime.count() >= 3);
    }
}

/// Where the pieces end does not matter, and a dump that is cut anywhere invents nothing.
#[test]
fn pieces_and_cuts_of_real_dumps() {
    for name in [
        "go1.19/goroutine.debug2.txt",
        "go1.27/goroutineleak.debug2.txt",
        "go1.27/panic.log",
        "go1.19/system.log",
    ] {
        let whole = bytes(name);
        let want = read(name);
        for size in [1, 7, 100, 4096] {
            let mut reader = DumpReader::new();
            whole.chunks(size).for_each(|piece| reader.feed(piece));
            assert_eq!(reader.finish(), want, "{name} in pieces of {size}");
        }
        for end in (0..whole.len()).step_by(13) {
            let mut reader = DumpReader::new();
            reader.feed(&whole[..end]);
            let part = reader.finish();
            assert!(part.ungrouped <= 1, "{name} to {end}");
            for group in &part.groups {
                let same = want.groups.iter().any(|other| {
                    other.stack == group.stack && other.created_by == group.created_by
                });
                assert!(same, "{name} to {end}: {group:?}");
            }
        }
    }
}

#[test]
fn what_is_no_profile_is_refused() {
    let check = |bytes: &[u8], want: &str| {
        assert_eq!(
            Profile::read(bytes).unwrap_err().to_string(),
            format!("read the profile: {want}")
        );
    };
    check(b" \n", "there is nothing in it");
    check(
        b"<html>goroutine</html>",
        "expected a binary profile (pprof), \"goroutine profile: total\" (debug=1) or \"goroutine N [\" \
         at the start of a line (debug=2, a panic), found \"<html>goroutine</html>\"",
    );
}
