use proptest::prelude::*;

use super::change::Change;
use crate::testing::{check, check_refused, run};

#[track_caller]
fn changes(change: Change, text: &str, want: &str) {
    let mut out = String::new();
    change.apply(text, &mut out);
    assert_eq!(out, want, "{change:?} of {text:?}");
}

#[test]
fn changes_texts() {
    changes(Change::Lower, "ÄbC 1", "äbc 1");
    changes(Change::Upper, "äbC 1", "ÄBC 1");
    changes(
        Change::Title,
        "hello wide-world, it's mE",
        "Hello Wide-World, It's ME",
    );
    changes(Change::Trim(String::new()), " \ta b\n", "a b");
    changes(Change::Trim("xy".into()), "xyaxyx", "a");
    changes(Change::TrimLeft("/".into()), "//a/", "a/");
    changes(Change::TrimRight("\r\n".into()), "a\r\n", "a");
    changes(Change::Prefix("my_".into()), "my_my_a", "my_a");
    changes(Change::Suffix("_count".into()), "read_count", "read");
    changes(Change::Suffix("_sum".into()), "read_count", "read_count");
    changes(Change::Replace(":".into(), "_".into()), "a:b::c", "a_b__c");
    changes(Change::Replace("a".into(), String::new()), "aaa", "aaa");
    changes(Change::Replace("a".into(), String::new()), "aab", "b");
    changes(Change::Replace(String::new(), "-".into()), "ab", "-a-b-");
    changes(Change::Left(3), "abcdef", "abc");
    changes(Change::Left(3), "aéé", "aé");
    changes(Change::Left(2), "aéé", "a");
    changes(Change::Left(9), "abc", "abc");
    changes(Change::Base64, "aG93ZHk=", "howdy");
    changes(Change::Base64, "not base64", "not base64");
    changes(Change::Base64, "/w==", "/w==");
}

#[test]
fn finds_what_to_change() {
    let line = "Net,Host=DB1,Zone=EU In=\"A\",Out=\"B\",n=1i 1";
    check(
        "strings",
        "[[lowercase]]\nmeasurement = '*'",
        line,
        "net,Host=DB1,Zone=EU In=\"A\",Out=\"B\",n=1i 1",
    );
    check(
        "strings",
        "[[lowercase]]\nmeasurement = 'Other'",
        line,
        line,
    );
    check(
        "strings",
        "[[lowercase]]\ntag = 'Host'",
        line,
        "Net,Host=db1,Zone=EU In=\"A\",Out=\"B\",n=1i 1",
    );
    check(
        "strings",
        "[[lowercase]]\ntag = 'Host'\ndest = 'a'",
        line,
        "Net,Host=DB1,Zone=EU,a=db1 In=\"A\",Out=\"B\",n=1i 1",
    );
    check(
        "strings",
        "[[lowercase]]\ntag = '*'\ndest = 'a'",
        line,
        "Net,Host=db1,Zone=eu In=\"A\",Out=\"B\",n=1i 1",
    );
    check(
        "strings",
        "[[lowercase]]\ntag_key = '*'",
        line,
        "Net,host=DB1,zone=EU In=\"A\",Out=\"B\",n=1i 1",
    );
    check(
        "strings",
        "[[lowercase]]\nfield = '*'",
        line,
        "Net,Host=DB1,Zone=EU In=\"a\",Out=\"b\",n=1i 1",
    );
    check(
        "strings",
        "[[lowercase]]\nfield = 'In'\ndest = 'x'",
        line,
        "Net,Host=DB1,Zone=EU In=\"A\",Out=\"B\",n=1i,x=\"a\" 1",
    );
    check(
        "strings",
        "[[lowercase]]\nfield_key = 'In'",
        line,
        "Net,Host=DB1,Zone=EU in=\"A\",Out=\"B\",n=1i 1",
    );
    check("strings", "[[lowercase]]\nfield = 'n'", line, line);
    // A key that would be empty stays.
    check(
        "strings",
        "[[trim_prefix]]\nfield_key = '*'\nprefix = 'n'",
        line,
        line,
    );
}

#[test]
fn keeps_the_order_of_the_sorts() {
    let options = "[[trim_suffix]]\nfield = 'a'\nsuffix = '_x'\n[[lowercase]]\nfield = 'a'";
    check("strings", options, "m a=\"V_X\" 1", "m a=\"v\" 1");
    check(
        "strings",
        "[[left]]\nfield = 'a'\nwidth = 2\n[[valid_utf8]]\nfield = 'a'\nreplacement = '?'",
        "m a=\"abc\" 1",
        "m a=\"ab\" 1",
    );
}

#[test]
fn says_what_is_wrong() {
    check_refused("strings", "[[lowercase]]\ndest = 'x'", &["lowercase[0]"]);
    check_refused("strings", "[[reverse]]\nfield = 'x'", &["reverse"]);
    check_refused(
        "strings",
        "[[left]]\nfield = 'x'\nwidth = -1",
        &["left[0].width"],
    );
}

proptest! {
    #[test]
    fn never_panics(text in "[^\"\\\\\\n\\x00]{0,16}", width in 0u32..20, cut in "[a-zé]{0,3}", key in "[ab*]") {
        let options = format!(
            "[[left]]\nfield = '{key}'\nwidth = {width}\n[[trim]]\nfield = '{key}'\ncutset = '{cut}'\n\
             [[titlecase]]\nfield = '{key}'\n[[replace]]\nfield = '{key}'\nold = '{cut}'\nnew = 'é'\n\
             [[base64decode]]\nfield = '{key}'\n[[uppercase]]\nfield_key = '{key}'\ntag_key = '{key}'\ntag = '{key}'");
        run("strings", &options, &format!("m,a=x,b=y a=\"{text}\",b=\"x\",A=1 1"));
    }
}
