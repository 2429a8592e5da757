//! Line protocol, case by case.

use muster_metric::line_protocol::{Fault, OnError, ParseError, Parser, Unwritable, Writer};
use muster_metric::{Batch, Precision, Timestamp};

use crate::dump;

fn check(lines: &str, want: &[&str]) {
    let mut batch = Batch::new();
    let report = Parser::default()
        .parse(lines.as_bytes(), &mut batch)
        .unwrap();
    assert_eq!(report.problems, [], "{lines:?}");
    assert_eq!(dump(&batch), want, "{lines:?}");
}

#[test]
fn good_lines() {
    check("", &[]);
    check("\n\r\n \t\n# a comment\n  # another \"one=\"\n\r\n", &[]);
    check("m f=1", &[r#""m" [] [("f", Float(1.0))] None"#]);
    check(
        "m f=1 5\r\nm f=2 -6\n",
        &[
            r#""m" [] [("f", Float(1.0))] Some(5)"#,
            r#""m" [] [("f", Float(2.0))] Some(-6)"#,
        ],
    );
    check(
        " \t m,b=2,a=1 \t f=1i,g=2u,h=t  7 \t\x0b\n",
        &[
            r#""m" [("a", "1"), ("b", "2")] [("f", Int(1)), ("g", Uint(2)), ("h", Bool(true))] Some(7)"#,
        ],
    );
    check("m\tf=F\t1", &[r#""m" [] [("f", Bool(false))] Some(1)"#]);
}

#[test]
fn escapes() {
    check(
        r"a\ b\,c\=d=e f=1",
        &[r#""a b,c\\=d=e" [] [("f", Float(1.0))] None"#],
    );
    check(
        r#"m,k\ \,\=\"=v\ \,\=\" f=1"#,
        &[r#""m" [("k ,=\"", "v ,=\"")] [("f", Float(1.0))] None"#],
    );
    check(
        r#"m k\ \,\=\"=1"#,
        &[r#""m" [] [("k ,=\"", Float(1.0))] None"#],
    );
    // A backslash before anything else is one; the second of two may escape.
    check(
        r"m,p=C:\dir\\x f=1",
        &[r#""m" [("p", "C:\\dir\\\\x")] [("f", Float(1.0))] None"#],
    );
    check(
        r"m,p=a\\\,b f=1",
        &[r#""m" [("p", "a\\\\,b")] [("f", Float(1.0))] None"#],
    );
    check(r"\#m f=1", &[r#""\\#m" [] [("f", Float(1.0))] None"#]);
    check(
        "mäß,ü=☃ é=1",
        &[r#""mäß" [("ü", "☃")] [("é", Float(1.0))] None"#],
    );
}

#[test]
fn strings() {
    check(r#"m s="" 1"#, &[r#""m" [] [("s", Text(""))] Some(1)"#]);
    check(
        r#"m s="a, b=c \" \\ \n \d" 1"#,
        &[r#""m" [] [("s", Text("a, b=c \" \\ \\n \\d"))] Some(1)"#],
    );
    check(
        "m s=\"two\nlines\r\n\t\",t=\"x\"\nm f=1",
        &[
            r#""m" [] [("s", Text("two\nlines\r\n\t")), ("t", Text("x"))] None"#,
            r#""m" [] [("f", Float(1.0))] None"#,
        ],
    );
    check(
        r#"m s="\\\"" 1"#,
        &[r#""m" [] [("s", Text("\\\""))] Some(1)"#],
    );
    // Quotes are nothing special elsewhere.
    check(
        "m\"x,t=\"a f\"=1",
        &[r#""m\"x" [("t", "\"a")] [("f\"", Float(1.0))] None"#],
    );
}

#[test]
fn of_equal_keys_the_last_value_counts() {
    check(
        "m,a=1,b=2,a=3 f=1",
        &[r#""m" [("a", "3"), ("b", "2")] [("f", Float(1.0))] None"#],
    );
    check(
        "m f=1,g=2,f=3i",
        &[r#""m" [] [("f", Int(3)), ("g", Float(2.0))] None"#],
    );
    check(r#"m a\"=1,a"=2"#, &[r#""m" [] [("a\"", Float(2.0))] None"#]);
    check(
        "m,tag_with_a_long_name_b=1,tag_with_a_long_name_a=2,tag_with_a_long_name_b=3 f=1",
        &[
            r#""m" [("tag_with_a_long_name_a", "2"), ("tag_with_a_long_name_b", "3")] [("f", Float(1.0))] None"#,
        ],
    );
}

#[test]
fn many_fields_are_united_too() {
    let fields: Vec<_> = (0..5000)
        .map(|at| format!("field{}={at}", at % 3000))
        .collect();
    let mut batch = Batch::new();
    Parser::default()
        .parse(format!("m {}", fields.join(",")).as_bytes(), &mut batch)
        .unwrap();
    let metric = batch.get(0).unwrap();
    let got: Vec<_> = metric
        .fields()
        .filter_map(|(_, value)| value.as_f64())
        .collect();
    let want: Vec<_> = (3000..5000).chain(2000..3000).map(f64::from).collect();
    assert_eq!(got, want);
    assert_eq!(metric.fields().next().unwrap().0, "field0");
}

#[test]
fn faults_and_their_places() {
    use Fault::*;
    let check = |line: &[u8], fault, column| {
        let input = [b"m f=1\n", line, b"\nm f=2\n"].concat();
        let mut batch = Batch::new();
        let report = Parser::default().parse(&input, &mut batch).unwrap();
        let shown = line.escape_ascii();
        assert_eq!((report.metrics, report.bad_lines), (2, 1), "{shown}");
        let problem = report.first().unwrap();
        assert_eq!(
            (problem.line, problem.column, problem.fault),
            (2, column, fault),
            "{shown}"
        );
        assert_eq!(
            problem.excerpt,
            String::from_utf8_lossy(line).trim_end(),
            "{shown}"
        );
    };
    check(b",t=a f=1", Name, 1);
    check(b"m", NoFields, 2);
    check(b"m ", NoFields, 3);
    check(b"m,", TagKey, 3);
    check(b"m, f=1", TagKey, 3);
    check(b"m,=a f=1", TagKey, 3);
    check(b"m,t f=1", TagValue, 4);
    check(b"m,t= f=1", TagValue, 5);
    check(b"m,t=a=b f=1", TagValue, 6);
    check(b"m,t=a", NoFields, 6);
    check(b"m,t=a\\ f=1", TagValue, 9);
    check(b"m f", FieldValue, 4);
    check(b"m f=", FieldValue, 5);
    check(b"m =1", FieldKey, 3);
    check(b"m f=1,", FieldKey, 7);
    check(b"m f=1, g=2", FieldKey, 7);
    check(b"m f=x", NotANumber, 5);
    check(b"m f=9223372036854775808i", IntegerRange, 5);
    check(b"m f=1e999", FloatRange, 5);
    check(b"m f=1=2", AfterField, 6);
    check(b"m f=\"a\"b", AfterField, 8);
    check(b"m f=1 x", Timestamp, 7);
    check(b"m f=1 12345678901234567890", Timestamp, 7);
    check(b"m f=1 9999999999999999999", TimestampRange, 7);
    check(b"m f=1 1 2", AfterTimestamp, 9);
    check(b"m f=\"open", OpenString, 5);
    check(b"m f=\"\xff\",g=1", NotUtf8, 6);
    check(b"m\rx f=1", NoFields, 2);
    check(b"m\x00\xfe f=1", NotUtf8, 3);
}

#[test]
fn a_bad_line_fails_everything_if_wanted() {
    let parser = Parser {
        on_error: OnError::Fail,
        ..Parser::default()
    };
    let mut batch = Batch::new();
    batch
        .metric("before")
        .tag("a", "b")
        .field("f", 1.0)
        .untimed();
    let before = dump(&batch);
    let error = parser
        .parse(b"m,t=a f=1\nm f=\"a\nb\"\nm f=x\n", &mut batch)
        .unwrap_err();
    assert_eq!(dump(&batch), before);
    assert_eq!(
        error.to_string(),
        "parse line protocol: line 4, column 5: a field value must be a number, a boolean or a \
         quoted string: \"m f=x\""
    );
    assert!(matches!(error, ParseError::BadLine(problem) if problem.fault == Fault::NotANumber));
    let report = parser.parse(b"m f=1\nm f=2", &mut batch).unwrap();
    assert_eq!((report.metrics, report.bad_lines, batch.len()), (2, 0, 3));
}

#[test]
fn only_the_first_problems_are_kept() {
    let mut batch = Batch::new();
    let report = Parser::default()
        .parse("bad\n".repeat(1000).as_bytes(), &mut batch)
        .unwrap();
    assert_eq!(
        (report.metrics, report.bad_lines, report.problems.len()),
        (0, 1000, 8)
    );
    assert_eq!(report.problems[7].line, 8);
}

#[test]
fn excerpts_of_long_lines_show_the_fault() {
    let line = format!("m {},here=? 1\n", vec!["f=1"; 500].join(","));
    let report = Parser::default()
        .parse(line.as_bytes(), &mut Batch::new())
        .unwrap();
    let problem = report.first().unwrap();
    assert_eq!(problem.column, 2008);
    assert!(problem.excerpt.len() <= 80 && problem.excerpt.ends_with(",here=? 1"));
}

#[test]
fn timestamps_in_units() {
    let check = |unit, lines: &str, want: &[Option<i64>]| {
        let now = Some(Timestamp::from_nanos(1_234_567_891_234_567_891));
        let parser = Parser {
            precision: unit,
            default_time: now,
            ..Parser::default()
        };
        let mut batch = Batch::new();
        let report = parser.parse(lines.as_bytes(), &mut batch).unwrap();
        let mut got: Vec<_> = batch
            .iter()
            .map(|m| m.time().map(Timestamp::nanos))
            .collect();
        got.extend(report.problems.iter().map(|_| None));
        assert_eq!(got, want, "{lines}");
    };
    check(Precision::SECOND, "m f=1 17", &[Some(17_000_000_000)]);
    check(
        Precision::SECOND,
        "m f=1",
        &[Some(1_234_567_891_000_000_000)],
    );
    check(Precision::MILLISECOND, "m f=1 -17", &[Some(-17_000_000)]);
    check(
        Precision::MICROSECOND,
        "m f=1",
        &[Some(1_234_567_891_234_567_000)],
    );
    check(
        Precision::NANOSECOND,
        "m f=1 9223372036854775807",
        &[Some(i64::MAX)],
    );
    check(Precision::SECOND, "m f=1 9223372037", &[None]);
}

#[test]
fn lines_have_a_limit() {
    let check = |input: &str, metrics, bad_lines| {
        let parser = Parser {
            max_line_bytes: 20,
            ..Parser::default()
        };
        let report = parser.parse(input.as_bytes(), &mut Batch::new()).unwrap();
        assert_eq!(
            (report.metrics, report.bad_lines),
            (metrics, bad_lines),
            "{input:?}"
        );
        assert!(
            report
                .problems
                .iter()
                .all(|problem| problem.fault == Fault::TooLong)
        );
    };
    check("m f=3456789012345678\n", 0, 1);
    check("m f=345678901234567\nm f=1\n", 2, 0);
    check("m f=1,g=1,h=1,i=1,j=1,k=1,l=1\nm f=1\n", 1, 1);
    check("m,t=1,u=2,v=3,w=4,x=5,y=6 f=1\nm f=1\n", 1, 1);
    check("m f=1                            \nm f=1\n", 1, 1);
}

#[test]
fn lines_that_are_written() {
    let check = |writer: &Writer, line: &str, want: Result<&str, Unwritable>| {
        let mut batch = Batch::new();
        Parser::default()
            .parse(line.as_bytes(), &mut batch)
            .unwrap();
        let mut out = b"before".to_vec();
        let got = writer.write(batch.get(0).unwrap(), &mut out);
        assert_eq!(
            got.map(|()| std::str::from_utf8(&out[6..]).unwrap()),
            want,
            "{line}"
        );
        assert!(got.is_ok() || out == b"before");
    };
    let plain = Writer::default();
    check(
        &plain,
        "m,b=1,a=2 z=1.50,a=2i,u=3u,t=T,s=\"x\" 5",
        Ok("m,a=2,b=1 z=1.5,a=2i,u=3i,t=true,s=\"x\" 5\n"),
    );
    check(
        &plain,
        "m u=18446744073709551615u",
        Ok("m u=9223372036854775807i\n"),
    );
    check(&plain, "m f=1e21 1", Ok("m f=1000000000000000000000 1\n"));
    let uint = Writer {
        uint_support: true,
        ..Writer::default()
    };
    check(
        &uint,
        "m u=18446744073709551615u",
        Ok("m u=18446744073709551615u\n"),
    );
    let sorted = Writer {
        sort_fields: true,
        ..Writer::default()
    };
    check(&sorted, "m c=1,a=2,b=3 5", Ok("m a=2,b=3,c=1 5\n"));
    let untimed = Writer {
        omit_timestamp: true,
        ..Writer::default()
    };
    check(&untimed, "m c=1 5", Ok("m c=1\n"));
    let seconds = Writer {
        precision: Precision::SECOND,
        ..Writer::default()
    };
    check(&seconds, "m c=1 1999999999", Ok("m c=1 1\n"));
    check(&seconds, "m c=1 -1", Ok("m c=1 -1\n"));
    let short = |max_line_bytes| Writer {
        max_line_bytes,
        ..Writer::default()
    };
    check(
        &short(16),
        "m,t=a f=1,g=2,h=3 5",
        Ok("m,t=a f=1,g=2 5\nm,t=a h=3 5\n"),
    );
    check(
        &short(15),
        "m,t=a f=1,g=2,h=3 5",
        Ok("m,t=a f=1 5\nm,t=a g=2 5\nm,t=a h=3 5\n"),
    );
    check(
        &short(12),
        "m,t=a f=1,g=234 5",
        Err(Unwritable::TooLong { limit: 12 }),
    );
}

#[test]
fn what_line_protocol_cannot_express() {
    let check = |name: &str, key: &str, value: f64, want: Result<&str, Unwritable>| {
        let mut batch = Batch::new();
        batch
            .metric(name)
            .tag(key, "a\\")
            .tag("x", "")
            .field(key, value)
            .untimed();
        let mut out = Vec::new();
        let got = Writer::default().write(batch.get(0).unwrap(), &mut out);
        assert_eq!(got.map(|()| std::str::from_utf8(&out).unwrap()), want);
    };
    check("m", "k", 1.0, Ok("m,k=a k=1\n"));
    check("m\\", "k\\\\", 1.0, Ok("m,k=a k=1\n"));
    check("", "k", 1.0, Err(Unwritable::NoName));
    check("\\", "k", 1.0, Err(Unwritable::NoName));
    check("#m", "k", 1.0, Err(Unwritable::CommentName));
    check("m", "k", f64::NAN, Err(Unwritable::NoFields));
    check("m", "k", f64::NEG_INFINITY, Err(Unwritable::NoFields));
    check("m", "", 1.0, Err(Unwritable::NoFields));
    check("m\n", "k\t", 1.0, Ok("m\\n,k\\t=a k\\t=1\n"));
}
