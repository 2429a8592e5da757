use super::*;
use crate::testing::{check_parser, survives};
use proptest::prelude::*;

#[track_caller]
fn check(options: &str, input: &str, want: &[&str]) {
    check_parser("csv", options, input, want);
}

const HEADER: &str = "csv_header_row_count = 1\n";

#[test]
fn rows_become_metrics() {
    check(
        HEADER,
        "a,b,c,d\n1,2.5,true,x\n-3,1e3,F,\"y,\n\"\"z\"\n",
        &[
            " a=1i,b=2.5,c=true,d=\"x\"",
            " a=-3i,b=1000,c=false,d=\"y,\\n\\\"z\"",
        ],
    );
    check(
        "csv_column_names = ['a', '', 'b']",
        "1,2,3,4\n\n5\r\n",
        &[" a=1i,b=3i", " a=5i"],
    );
    check(
        "csv_header_row_count = 2",
        "a,b\n1,2,c\n1,2,3\n",
        &[" a1=1i,b2=2i,c=3i"],
    );
    check(
        &format!("{HEADER}csv_column_names = ['x', 'y']"),
        "a,b\n1,2\n",
        &[" x=1i,y=2i"],
    );
    check("csv_column_names = ['a', 'a']", "1,2\n", &[" a=2i"]);
    check(HEADER, "", &[]);
    check(HEADER, "a,b\n", &[]);
    check(HEADER, "\u{feff}a\n1\n", &[" a=1i"]);
}

#[test]
fn tags_names_and_times() {
    let options = "csv_header_row_count = 1\ncsv_measurement_column = 'm'\n\
        csv_tag_columns = ['cpu']\ncsv_timestamp_column = 'time'\n";
    let rfc = format!("{options}csv_timestamp_format = '2006-01-02T15:04:05Z07:00'");
    check(
        &rfc,
        "m,cpu,idle,time\ncpu,cpu0,42,2018-09-13T13:03:28Z\n",
        &["cpu,cpu=cpu0 idle=42i 1536843808000000000"],
    );
    let rome =
        format!("{options}csv_timestamp_format = '02/01/06 15:04'\ncsv_timezone = 'Europe/Rome'");
    check(
        &rome,
        "m,idle,time\n,42,13/09/18 15:03\n",
        &[" idle=42i 1536843780000000000"],
    );
    check(
        &rome,
        "m,idle\n,42\n",
        &["!! line 2, column 1: there is no column \"time\", which is csv_timestamp_column"],
    );
    check(
        &rome,
        "m,idle,time\nx,42\n",
        &["!! line 2, column 1: the row has no time"],
    );
    check(
        &rome,
        "m,idle,time\nx,42,soon\n",
        &[
            "!! line 2, column 6: time \"soon\" is not written as \"02/01/06 15:04\": \
         wanted a day from 1 to 31",
        ],
    );
}

#[test]
fn skips_and_trims() {
    let options = "csv_header_row_count = 1\ncsv_skip_rows = 2\ncsv_skip_columns = 1\n\
        csv_delimiter = ';'\ncsv_comment = '#'\ncsv_trim_space = true\n\
        csv_skip_values = ['', 'N/A']";
    check(
        options,
        "junk \"\nmore\nid; a ;b;c\n7; 1 ;N/A;\n# no\n8;2; x y ;z\n",
        &[" a=1i", " a=2i,b=\"x y\",c=\"z\""],
    );
}

#[test]
fn metadata_become_tags() {
    let options = "csv_header_row_count = 1\ncsv_metadata_rows = 3\n\
        csv_metadata_separators = [':', '=']\ncsv_metadata_trim_set = ' #'\n\
        csv_tag_columns = ['Version']\n";
    let input = "# Version=1.1\r\n# File Created: 2021-11-17T07:02:45+10:00\nnothing\n\
        Version,a\n2.0,1\n";
    check(
        options,
        input,
        &[",File Created=2021-11-17T07:02:45+10:00,Version=1.1 a=1i"],
    );
    check(
        &format!("{options}csv_tag_overwrite = true"),
        input,
        &[",File Created=2021-11-17T07:02:45+10:00,Version=2.0 a=1i"],
    );
}

#[test]
fn keeps_the_types_that_are_given() {
    let options = "csv_column_names = ['a', 'b', 'c', 'd']\n\
        csv_column_types = ['int', 'float', 'bool', 'string']\n";
    check(options, "1,2,1,3\n", &[" a=1i,b=2,c=true,d=\"3\""]);
    let input = "1,2,1,3\n1,x,1,3\nx,1,1,1\n2,2,0,2\n";
    check(
        options,
        input,
        &["!! line 2, column 3: \"x\" in column \"b\" is no number"],
    );
    check(
        &format!("{options}csv_skip_errors = true"),
        input,
        &[
            " a=1i,b=2,c=true,d=\"3\"",
            " a=2i,b=2,c=false,d=\"2\"",
            "! 2:3 \"x\" in column \"b\" is no number",
            "! 3:1 \"x\" in column \"a\" is no integer",
        ],
    );
    check(
        HEADER,
        "a\n\"x\n",
        &["!! line 2, column 1: a quote is not closed"],
    );
}

#[test]
fn refuses_wrong_options() {
    check(
        "",
        "",
        &[
            "!!! csv_column_names: the columns have no names: set csv_header_row_count or \
         csv_column_names",
        ],
    );
    check(
        "csv_column_names = ['a']\ncsv_column_types = ['int', 'int']\ncsv_delimiter = '::'\n\
         csv_metadata_rows = 1\ncsv_timestamp_column = 'a'",
        "",
        &[
            "!!! csv_column_types: 2 types for 1 names in csv_column_names",
            "!!! csv_metadata_separators: csv_metadata_rows needs csv_metadata_separators",
            "!!! csv_delimiter: \"::\" is not one ASCII character other than quote or newline",
            "!!! csv_timestamp_format: csv_timestamp_column needs csv_timestamp_format",
        ],
    );
}

#[test]
fn cuts_a_stream_between_rows() {
    let lines = build(&toml::from_str("csv_column_names = ['a']").unwrap())
        .ok()
        .unwrap();
    assert_eq!(lines.framing(), Framing::Lines);
    assert_eq!(lines.complete_len(b"1\n\"x\ny\"\n2\n\"z\n"), 10);
    let document = build(&toml::from_str(HEADER).unwrap()).ok().unwrap();
    assert_eq!(document.framing(), Framing::Document);
}

proptest! {
    #[test]
    fn survives_anything(input in any::<Vec<u8>>(), skip_errors: bool) {
        let options = format!("{HEADER}csv_skip_errors = {skip_errors}");
        survives(&ROW, &options, &input);
    }

    #[test]
    fn survives_what_is_almost_csv(input in "[a\",\n\r #:1.]{0,60}", skip_errors: bool) {
        let options = format!(
            "{HEADER}csv_skip_errors = {skip_errors}\ncsv_metadata_rows = 1\n\
             csv_metadata_separators = [':']\ncsv_comment = '#'\ncsv_tag_columns = ['a']"
        );
        survives(&ROW, &options, input.as_bytes());
    }
}
