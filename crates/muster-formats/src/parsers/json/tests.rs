use super::*;
use crate::testing::{check_parser, parse, survives};
use proptest::prelude::*;

#[track_caller]
fn check(options: &str, input: &str, want: &[&str]) {
    check_parser("json", options, input, want);
}

#[test]
fn flattens_objects() {
    check(
        "",
        r#"{"a": 5, "b": {"c": 6.5}, "ignored": "text", "no": true, "nil": null}"#,
        &[" a=5,b_c=6.5"],
    );
    check(
        "",
        r#"{"a": [1, {"x": 2}, [3]], "": 4}"#,
        &[" a_0=1,a_1_x=2,a_2_0=3,=4"],
    );
    check("", r#"{"a_b": 1, "a": {"b": 2}}"#, &[" a_b=2"]);
    check("", "\u{feff} [] ", &[]);
    check("", "", &[]);
    check("", "null", &[]);
    check("", r#"{"only": "text"}"#, &[]);
    check(
        "",
        r#"{"big": 18446744073709551615, "e": 1e300}"#,
        &[&format!(" big=18446744073709552000,e={}", 1e300)],
    );
}

#[test]
fn names_tags_and_texts() {
    let options = "json_name_key = 'name'\ntag_keys = ['my_tag_1', 'n*']\n\
                   json_string_fields = ['b_my_field', 'ok']";
    check(
        options,
        r#"{"a":5,"b":{"c":6,"my_field":"description"},"my_tag_1":"foo","name":"my_json","n1":1.50,"n2":true,"ok":false}"#,
        &[
            r#"my_json,my_tag_1=foo,n1=1.5,n2=true,name=my_json a=5,b_c=6,b_my_field="description",ok=false"#,
        ],
    );
    check("json_name_key = 'n'", r#"{"n": 3}"#, &[" n=3"]);
}

#[test]
fn arrays_are_many_metrics() {
    let time = "json_time_key = 'b_time'\njson_time_format = '02 Jan 06 15:04 MST'\n";
    let input = r#"[
        {"a": 5, "b": {"c": 6, "time":"04 Jan 06 15:04 MST"}},
        {"a": 7, "b": {"c": 8, "time":"11 Jan 07 15:04 MST"}}
    ]"#;
    check(
        time,
        input,
        &[
            " a=5,b_c=6 1136387040000000000",
            " a=7,b_c=8 1168527840000000000",
        ],
    );
    let input = r#"[{"a": 5}, {"a": 7, "b": {"time":"11 Jan 07 15:04 MST"}}, 3]"#;
    check(
        time,
        input,
        &["!! line 1, column 1: element 0 of the array: there is no time at \"b_time\""],
    );
    check(
        &format!("{time}json_strict = false"),
        input,
        &[
            " a=7 1168527840000000000",
            "! 1:1 element 0 of the array: there is no time at \"b_time\"",
            "! 1:1 element 2 of the array: expected an object, found a number",
        ],
    );
}

#[test]
fn reads_times() {
    let check_time = |format: &str, time: &str, want: &str| {
        let options = format!(
            "json_time_key = 't'\njson_time_format = '{format}'\njson_timezone = 'Europe/Rome'"
        );
        check(&options, &format!("{{\"v\": 1, \"t\": {time}}}"), &[want]);
    };
    check_time("unix", "1536869008", " v=1 1536869008000000000");
    check_time("unix", "\"1536869008.5\"", " v=1 1536869008500000000");
    check_time("unix_ms", "1536869008123", " v=1 1536869008123000000");
    check_time(
        "2006-01-02 15:04:05",
        "\"2018-09-13 15:03:28\"",
        " v=1 1536843808000000000",
    );
    check_time(
        "unix",
        "true",
        "!! line 1, column 1: time \"true\" is no number",
    );
}

#[test]
fn finds_a_part() {
    let document = r#"{"obj": {
        "name": {"first": "Tom", "last": "Anderson"}, "age": 37, "fav.movie": {"year": 1978},
        "friends": [
            {"first": "Dale", "last": "Murphy", "age": 44},
            {"first": "Roger", "last": "Craig", "age": 68, "pets": {"cats": 2}},
            {"first": "Jane", "last": "Murphy", "age": 47, "pets": {"cats": 3}}
        ]}}"#;
    let check = |query: &str, want: &[&str]| {
        let options = format!("tag_keys = ['first']\njson_query = '{query}'");
        check(&options, document, want);
    };
    check(
        "obj.friends",
        &[
            ",first=Dale age=44",
            ",first=Roger age=68,pets_cats=2",
            ",first=Jane age=47,pets_cats=3",
        ],
    );
    check("obj.friends.0", &[",first=Dale age=44"]);
    check("obj|friends|2|pets", &[" cats=3"]);
    check("obj.friends.#.pets", &[" cats=2", " cats=3"]);
    check(r"obj.fav\.movie", &[" year=1978"]);
    check("ob?.fr*.0", &[",first=Dale age=44"]);
    check(r#"obj.friends.#(last=="Murphy")"#, &[",first=Dale age=44"]);
    check(r#"obj.friends.#(last=="Murphy")#.pets"#, &[" cats=3"]);
    check("obj.friends.#(age>45)#.pets", &[" cats=2", " cats=3"]);
    check("obj.friends.#(pets.cats<=2).pets", &[" cats=2"]);
    check("obj.friends.#(pets).pets", &[" cats=2"]);
    check("obj.nothing", &[]);
    check(
        "obj.age",
        &["!! line 1, column 1: expected an object or an array of objects, found a number"],
    );
    check(
        "obj.friends.#",
        &["!! line 1, column 1: expected an object or an array of objects, found a number"],
    );
    check(
        "obj..x",
        &["!!! json_query: a key between two dots is empty"],
    );
    check("obj.#(a", &["!!! json_query: a parenthesis is not closed"]);
    assert!(parse("json", "json_query = '@reverse'", b"{}")[0].contains("not supported yet"));
}

#[test]
fn lines_stand_for_themselves() {
    check("", "{\"a\":1}\n{\"a\":2}\n", &[" a=1", " a=2"]);
    check(
        "",
        "{\"a\":1}\n{\"a\":}\n{\"a\":3}\n",
        &[" a=1", " a=3", "! 2:6 expected value"],
    );
    let unclosed = &[" a=1", " a=3", "! 3:1 expected `,` or `}`"];
    check("", "{\"a\":1}\n{\"a\":2\n{\"a\":3}\n", unclosed);
    check(
        "",
        "{\"a\":1}\n7\n",
        &[
            " a=1",
            "! 2:1 expected an object or an array of objects, found a number",
        ],
    );
}

#[test]
fn says_where_a_document_is_bad() {
    check(
        "",
        "{\n  \"a\": 1,\n  \"b\": {\"c\" 2}\n}",
        &["!! line 3, column 13: expected `:`"],
    );
    check(
        "",
        "  {\"a\": 1",
        &["!! line 1, column 9: EOF while parsing an object"],
    );
    check("", "<html>", &["!! line 1, column 1: expected value"]);
    let deep = "[".repeat(200);
    check(
        "",
        &deep,
        &["!! line 1, column 128: recursion limit exceeded"],
    );
    let long = format!("{{\"{}\": {{\"a\": 1}}}}", "k".repeat(MAX_KEY_BYTES));
    check(
        "",
        &long,
        &["!! line 1, column 1: a flattened key has more than 1024 bytes"],
    );
}

#[test]
fn refuses_wrong_options() {
    check(
        "json_time_key = 't'\njson_timezone = 'x'\ntag_keys = ['[']",
        "",
        &[
            "!!! tag_keys: \"[\" is no pattern: a [ has no ]",
            "!!! json_timezone: there is no time zone \"x\"",
        ],
    );
    check(
        "json_time_key = 't'",
        "",
        &["!!! json_time_format: json_time_key needs json_time_format"],
    );
}

/// Text that is often close to JSON.
fn almost_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\n".to_owned()),
        Just("null".to_owned()),
        "\"[a-t.]{0,3}\"",
        any::<f64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        Just("{\"t\":1,\"a\":{\"b\":[1,\"x\"]}}".to_owned()),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn survives_anything(input in any::<Vec<u8>>()) {
        survives(&ROW, "", &input);
    }

    #[test]
    fn survives_what_is_almost_json(input in almost_json(), strict: bool, query in "[a.#*]{0,4}") {
        let options = format!("json_strict = {strict}\ntag_keys = ['a*']\njson_string_fields = ['*']");
        survives(&ROW, &options, input.as_bytes());
        if Path::new(&query).is_ok() {
            survives(&ROW, &format!("{options}\njson_query = '{query}'"), input.as_bytes());
        }
    }
}
