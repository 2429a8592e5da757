use super::*;
use crate::testing::{check_parser, parse, survives};
use proptest::prelude::*;

#[track_caller]
fn check(options: &str, input: &str, want: &[&str]) {
    check_parser("prometheus", options, input, want);
}

#[track_caller]
fn check_open(options: &str, input: &str, want: &[&str]) {
    check_parser("openmetrics", options, input, want);
}

const V1: &str = "prometheus_metric_version = 1";

const TYPES: &str = "\
# HELP go_goroutines Number of goroutines that \\n exist.
# TYPE go_goroutines gauge
go_goroutines 69
# a comment
# TYPE req_total\tcounter
req_total{code=\"200\",method=\"get\"} 1027 1395066363000
req_total { code = \"400\" , method=\"\", } 3\t-3982045
untyped{a=\"C:\\\\DIR\\n\\\"x\\\"\"} -1.5e3
";

const SERIES: &str = "\
# TYPE h histogram
h_bucket{le=\"0.5\",a=\"1\"} 1
h_bucket{le=\"1.0\",a=\"1\"} 3
h_bucket{le=\"+Inf\",a=\"1\"} 4
h_sum{a=\"1\"} 2.5
h_count{a=\"1\"} 4
# TYPE s summary
s{quantile=\"0.5\"} NaN
s{quantile=\"0.9\"} 3
s_sum 9
s_count 4
";

#[test]
fn reads_single_values() {
    check(
        "",
        TYPES,
        &[
            "prometheus go_goroutines=69 gauge",
            "prometheus,code=200,method=get req_total=1027 1395066363000000000 counter",
            "prometheus,code=400 req_total=3 -3982045000000 counter",
            "prometheus,a=C:\\DIR\n\"x\" untyped=-1500",
        ],
    );
    check(
        &format!("{V1}\nprometheus_ignore_timestamp = true"),
        TYPES,
        &[
            "go_goroutines gauge=69 gauge",
            "req_total,code=200,method=get counter=1027 counter",
            "req_total,code=400 counter=3 counter",
            "untyped,a=C:\\DIR\n\"x\" value=-1500",
        ],
    );
    check(
        "",
        "a NaN\nb +Inf\nc -Inf\nd 0x1\n",
        &[
            "prometheus b=inf",
            "prometheus c=-inf",
            "! 4:3 \"0x1\" is no number",
        ],
    );
    check(
        "",
        "{\"my.metric\", \"a.b\"=\"c\"} 1\r\n\n  x:y 2",
        &["prometheus,a.b=c my.metric=1", "prometheus x:y=2"],
    );
}

#[test]
fn reads_series() {
    check(
        "",
        SERIES,
        &[
            "prometheus,a=1,le=0.5 h_bucket=1 histogram",
            "prometheus,a=1,le=1 h_bucket=3 histogram",
            "prometheus,a=1,le=+Inf h_bucket=4 histogram",
            "prometheus,a=1 h_sum=2.5,h_count=4 histogram",
            "prometheus,quantile=0.5 s=NaN summary",
            "prometheus,quantile=0.9 s=3 summary",
            "prometheus s_sum=9,s_count=4 summary",
        ],
    );
    check(
        V1,
        SERIES,
        &[
            "h,a=1 0.5=1,1=3,+Inf=4,sum=2.5,count=4 histogram",
            "s 0.9=3,sum=9,count=4 summary",
        ],
    );
    let mixed = "# TYPE h histogram\n# TYPE c counter\nh_sum 1\nc 2\nh_count 3\n";
    check(
        "",
        mixed,
        &[
            "prometheus h_sum=1 histogram",
            "prometheus c=2 counter",
            "prometheus h_count=3 histogram",
        ],
    );
}

#[test]
fn reads_openmetrics() {
    let input = "\
# TYPE acme summary
# UNIT acme seconds
# HELP acme Latency.
acme_sum{path=\"/v1\"} 9036.32
acme_count{path=\"/v1\"} 807283.0
acme_created{path=\"/v1\"} 1605281325.0
acme{path=\"/v1\",quantile=\"0.5\"} 1.29854
# TYPE cpu_seconds counter
# UNIT cpu_seconds seconds
cpu_seconds_total 4.20072246e+06 1605281325.123456789 # {trace_id=\"x\"} 1 2
# TYPE build info
build_info{version=\"1\"} 1
# TYPE on stateset
on{on=\"a\"} 1
# EOF
after 1
";
    check_open(
        "",
        input,
        &[
            "prometheus,path=/v1,unit=seconds acme_sum=9036.32,acme_count=807283,acme_created=1605281325 summary",
            "prometheus,path=/v1,quantile=0.5,unit=seconds acme=1.29854 summary",
            "prometheus,unit=seconds cpu_seconds=4200722.46 1605281325123456789 counter",
            "prometheus,version=1 build_info=1 gauge",
            "prometheus,on=a on=1 gauge",
        ],
    );
    check_open(
        "openmetrics_metric_version = 1\nopenmetrics_ignore_timestamp = true",
        input,
        &[
            "acme,path=/v1,unit=seconds sum=9036.32,count=807283,created=1605281325,0.5=1.29854 summary",
            "cpu_seconds,unit=seconds counter=4200722.46 counter",
            "build,version=1 info=1 gauge",
            "on,on=a gauge=1 gauge",
        ],
    );
    check_open(
        "",
        "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum 2\n",
        &[
            "prometheus,le=+Inf g_bucket=1 histogram",
            "prometheus g_gcount=1,g_gsum=2 histogram",
        ],
    );
}

#[test]
fn reports_bad_lines_and_keeps_the_others() {
    let check = |line: &str, want: &str| {
        let input = format!("a 1\n  {line}\nb 2\n");
        self::check("", &input, &["prometheus a=1", "prometheus b=2", want]);
    };
    check("x", "! 2:4 wanted a name and a value");
    check("1x 2", "! 2:3 \"1x\" is no name");
    check("x y", "! 2:5 \"y\" is no number");
    check("x 1 y", "! 2:7 \"y\" is no timestamp");
    check("x 1 2 3", "! 2:9 did not expect \"3\"");
    check("x{a=\"1\"", "! 2:10 wanted `,` or `}` after a label");
    check("x{a=\"1} 2", "! 2:7 a quote is not closed");
    check("x{a=1} 2", "! 2:7 wanted a quoted text");
    check("x{a} 2", "! 2:6 wanted `=` after a label's name, or `}`");
    check("x{=\"1\"} 2", "! 2:5 \"\" is no label");
    check("x{a=\"1\"}", "! 2:11 wanted a value");
    check("{a=\"1\"} 2", "! 2:3 wanted a name");
    check("# TYPE x strange", "! 2:3 there is no type \"strange\"");
    check("x 1 # {a=\"b\"} 1", "! 2:7 \"#\" is no timestamp");
    let input = "# TYPE h histogram\nh_bucket 1\nh_bucket{le=\"x\"} 1\n";
    self::check(
        "",
        input,
        &[
            "! 2:1 there is no label \"le\"",
            "! 3:1 label \"le\": \"x\" is no number",
        ],
    );
    let bytes = parse("prometheus", "", b"a 1\nb{x=\"\xff\"} 2\nc 3\n");
    assert_eq!(
        bytes,
        [
            "prometheus a=1",
            "prometheus c=3",
            "! 2:6 the line is no valid UTF-8"
        ]
    );
    self::check(
        "prometheus_metric_version = 3",
        "",
        &["!!! prometheus_metric_version: there is no version 3; use 1 or 2"],
    );
}

#[test]
fn numbers_keep_their_value() {
    for text in [
        "0",
        "-0",
        "1.5",
        "999999999999999",
        "0.000000000000001",
        "12345678.1234567",
        ".5",
        "5.",
    ] {
        assert_eq!(number::value(text), text.parse().ok(), "{text}");
    }
    for text in ["", "-", ".", "1..2", "+", "1e", "--1"] {
        assert_eq!(number::value(text), None, "{text}");
    }
    for (text, want) in [
        ("0.5", "0.5"),
        ("1.0", "1"),
        ("1000000", "1e+06"),
        ("0.00001", "1e-05"),
        ("10", "10"),
        ("1e3", "1000"),
        ("007", "7"),
        ("inf", "+Inf"),
        ("-1", "-1"),
        ("0.10", "0.1"),
    ] {
        assert_eq!(number::canonical(text).as_deref(), Some(want), "{text}");
    }
}

/// Text that is often close to an exposition.
fn almost_text() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "[a-c_]{1,3}",
        "[{}=,\" \n#\\\\]{1,3}",
        any::<f64>().prop_map(|n| n.to_string()),
        Just("# TYPE a histogram\n".to_owned()),
        Just("# TYPE b summary\n".to_owned()),
        Just("a_bucket{le=\"1\",x=\"y\"} 2\n".to_owned()),
        Just("a_sum{x=\"y\"} 2 3\n".to_owned()),
        Just("b{quantile=\"0.50\"} 2\n".to_owned()),
        Just("b_count 7\n".to_owned()),
        Just("# UNIT b s\n".to_owned()),
        Just("# EOF\n".to_owned()),
    ];
    prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn survives_anything(input in any::<Vec<u8>>()) {
        survives(&PROMETHEUS, "", &input);
        survives(&OPENMETRICS, "", &input);
    }

    #[test]
    fn survives_what_is_almost_text(input in almost_text(), version in 1..3) {
        survives(&PROMETHEUS, &format!("prometheus_metric_version = {version}"), input.as_bytes());
        survives(&OPENMETRICS, &format!("openmetrics_metric_version = {version}"), input.as_bytes());
    }

    #[test]
    fn short_numbers_are_exact(digits in "-?[0-9]{1,16}(\\.[0-9]{0,15})?") {
        prop_assert_eq!(number::value(&digits), digits.parse().ok());
    }

    #[test]
    fn canonical_numbers_are_equal(number: f64) {
        let text = number.to_string();
        let canonical = number::canonical(&text);
        prop_assert_eq!(canonical.and_then(|text| text.parse().ok()), Some(number));
    }
}
