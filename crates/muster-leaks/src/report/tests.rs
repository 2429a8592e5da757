//! Tests of the reports.

use jiff::Timestamp;

use super::*;
use crate::profile::{Format, Frame, Group, Profile, Stack, WaitClass};
use crate::{Options, Verdict, Want, Watch, top};

fn minute(n: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + n * 60).unwrap()
}

fn profile(format: Format, count: u64) -> Profile {
    let stack = Stack::new(vec![
        Frame::new("main.<b>send</b>", "/src/a&b.go", 12),
        Frame::new("main.\"work\"\u{1b}[2J", "/src/a&b.go", 30),
    ]);
    let mut group = Group::new(count, stack, WaitClass::Send);
    if format == Format::Dump {
        group.ids = (1..=count).collect();
        group.created_by = Some(Frame::new("main.main", "/src/a&b.go", 5));
    }
    let idle = Stack::new(vec![Frame::new("net.accept", "/src/net.go", 1)]);
    let mut profile = Profile::empty(format, "goroutine");
    profile.groups = vec![group, Group::new(1, idle, WaitClass::IoWait)];
    profile.total = count + 1;
    profile
}

fn watched() -> Watch {
    let mut watch = Watch::new("http://shop:6060/<x>", Options::default());
    for n in 0..10 {
        let count = 5 + 60 * n as u64;
        watch.feed(minute(n), &profile(Format::Binary, count));
        while let Some(want) = watch.want(minute(n)) {
            match want {
                Want::Dump => watch.feed(minute(n), &profile(Format::Dump, count)),
                Want::LeakProfile => watch.no_leak_profile(),
            }
        }
    }
    watch
}

#[test]
fn the_text_is_aligned_and_says_all() {
    let text = verdict(&watched().verdict());
    assert!(text.starts_with("http://shop:6060/<x>: suspects, 546 goroutines, 10 samples\n"));
    for part in [
        "   COUNT  PER HOUR  OLDEST  EVIDENCE   WAITS FOR     BLOCKS AT\n",
        "1    545     +3600   9 min  survivors  channel send  /src/a&b.go:12 main.<b>send</b>\n",
        "   waits for      a send that nobody receives\n",
        "   started at     /src/a&b.go:5 main.main\n",
        "   memory         1.1 MiB to 4.3 MiB of stacks\n",
        "   why            only another goroutine can end this wait\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn the_page_escapes_all_and_needs_nothing_else() {
    let watch = watched();
    let verdict = watch.verdict();
    let rows = top(&profile(Format::Dump, 545));
    let page = Page {
        title: "Leaks of <shop>",
        made: minute(10),
        targets: &[Target {
            verdict: &verdict,
            total: watch.total().points(),
            pauses: &[(minute(0), 0.1), (minute(1), 0.4), (minute(2), f64::NAN)],
            top: &rows,
        }],
    };
    let page = html(&page);
    assert!(page.contains("<title>Leaks of &lt;shop&gt;</title>"));
    assert!(page.contains("main.&lt;b&gt;send&lt;/b&gt;"));
    assert!(!page.contains("<b>") && !page.contains("<x>") && !page.contains("NaN"));
    assert_eq!(page.matches("<svg ").count(), 2);
    for outside in ["src=", "href=", "url(", "<script", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for tag in ["svg", "dl", "table", "pre", "h2", "h3"] {
        let ends = page.matches(&format!("</{tag}>")).count();
        let begins =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(begins, ends, "{tag}");
    }
}

#[test]
fn the_json_names_both_lines() {
    let json = serde_json::to_value(watched().verdict()).unwrap();
    assert_eq!(json["status"], "suspects");
    let suspect = &json["suspects"][0];
    assert_eq!(suspect["evidence"], "survivors");
    assert_eq!(suspect["blocks_at"]["line"], 12);
    assert_eq!(suspect["started_at"]["line"], 5);
}

#[test]
fn what_is_there_is_listed_up_to_a_limit() {
    let all = top(&profile(Format::Dump, 545));
    let text = rows(&all, 1);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.ends_with("and 1 more\n"));
}

#[test]
fn nothing_is_a_report_too() {
    let watch = Watch::new("new", Options::default());
    let empty: Verdict = watch.verdict();
    assert_eq!(verdict(&empty), "new: clean, 0 goroutines, 0 samples\n");
    let page = Page {
        title: "",
        made: minute(0),
        targets: &[Target {
            verdict: &empty,
            total: watch.total().points(),
            pauses: &[],
            top: &[],
        }],
    };
    assert!(!html(&page).contains("<svg"));
}

#[test]
fn quantities_are_in_their_largest_unit() {
    assert_eq!(
        [age(90), age(600), age(10_000), age(200_000)],
        ["90 s", "10 min", "2 h", "2 d"]
    );
    assert_eq!(
        [size(2048), size(3 << 20), size(5 << 30)],
        ["2 KiB", "3.0 MiB", "5.0 GiB"]
    );
    assert_eq!([rate(0.25), rate(3600.0)], ["+0.2", "+3600"]);
}
