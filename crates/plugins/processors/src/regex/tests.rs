use proptest::prelude::*;

use crate::testing::{check, check_refused, run};

const REQUEST: &str = "nginx,resp_code=200,verb=GET request=\"/api/search/?category=plugins&q=regex&sort=asc\",bytes=270i 1";

#[test]
fn changes_values() {
    check(
        "regex",
        "[[tags]]\nkey = 'resp_code'\npattern = '^(\\d)\\d\\d$'\nreplacement = '${1}xx'",
        REQUEST,
        &REQUEST.replace("=200", "=2xx"),
    );
    check(
        "regex",
        "[[fields]]\nkey = 'request'\npattern = '^/api(?P<method>/[\\w/]+)\\S*'\nreplacement = '${method}'\nresult_key = 'method'",
        REQUEST,
        &REQUEST.replace("270i", "270i,method=\"/search/\""),
    );
    // What does not match stays, and no result is made.
    check(
        "regex",
        "[[tags]]\nkey = 'verb'\npattern = 'POST'\nreplacement = 'x'\nresult_key = 'y'",
        REQUEST,
        REQUEST,
    );
    // Numbers are no text.
    check(
        "regex",
        "[[fields]]\nkey = '*'\npattern = '270'\nreplacement = 'x'",
        REQUEST,
        REQUEST,
    );
    // Every match is replaced, in every tag that fits.
    check(
        "regex",
        "[[tags]]\nkey = 'a*'\npattern = 'o'\nreplacement = '0'",
        "m,a1=foo,a2=o,b=o v=1 1",
        "m,a1=f00,a2=0,b=o v=1 1",
    );
}

#[test]
fn appends() {
    let options = r#"
        [[tags]]
        key = "cluster"
        pattern = "^(.*)"
        replacement = "${1}"
        result_key = "host"
        [[tags]]
        key = "dc"
        pattern = "^(.*)"
        replacement = "_${1}"
        result_key = "host"
        append = true
    "#;
    check(
        "regex",
        options,
        "m,cluster=c1,dc=d1,host=x v=1 1",
        "m,cluster=c1,dc=d1,host=c1_d1 v=1 1",
    );
}

#[test]
fn named_groups_become_tags_and_fields() {
    check(
        "regex",
        "[[tags]]\nkey = 'path'\npattern = '^(?P<dc>\\w+)/(?P<rack>\\w+)(/(?P<no>x))?'",
        "m,path=ams/r1 v=1 1",
        "m,dc=ams,path=ams/r1,rack=r1 v=1 1",
    );
    check(
        "regex",
        "[[fields]]\nkey = 'line'\npattern = 'user=(?P<user>\\S+) took=(?P<took>\\d+)'",
        "m line=\"user=ann took=12\" 1",
        "m line=\"user=ann took=12\",user=\"ann\",took=\"12\" 1",
    );
    // Without named groups an empty replacement deletes.
    check(
        "regex",
        "[[tags]]\nkey = 'a'\npattern = 'x'",
        "m,a=xyx v=1 1",
        "m,a=y v=1 1",
    );
}

#[test]
fn renames() {
    check(
        "regex",
        "[[metric_rename]]\npattern = '^(\\w+)_requests$'\nreplacement = 'http_$1'",
        "nginx_requests v=1 1",
        "http_nginx v=1 1",
    );
    check(
        "regex",
        "[[tag_rename]]\npattern = '^k8s_'",
        "m,k8s_pod=a,z=b v=1 1",
        "m,pod=a,z=b v=1 1",
    );
    check(
        "regex",
        "[[field_rename]]\npattern = '_bytes$'\nreplacement = '_b'",
        "m in_bytes=1,out_bytes=2 1",
        "m in_b=1,out_b=2 1",
    );
    // A name that is there already.
    check(
        "regex",
        "[[tag_rename]]\npattern = 'x'\nreplacement = 'y'",
        "m,x=1,y=2 v=1 1",
        "m,x=1,y=2 v=1 1",
    );
    check(
        "regex",
        "[[tag_rename]]\npattern = 'x'\nreplacement = 'y'\nresult_key = 'overwrite'",
        "m,x=1,y=2 v=1 1",
        "m,y=1 v=1 1",
    );
    check(
        "regex",
        "[[field_rename]]\npattern = 'x'\nreplacement = 'y'\nresult_key = 'keep'",
        "m x=1,y=2 1",
        "m x=1,y=2 1",
    );
    check(
        "regex",
        "[[field_rename]]\npattern = 'x'\nreplacement = 'y'\nresult_key = 'overwrite'",
        "m x=1,y=2 1",
        "m y=1 1",
    );
}

#[test]
fn says_what_is_wrong() {
    check_refused(
        "regex",
        "[[tags]]\npattern = '('",
        &["tags[0].key", "tags[0].pattern"],
    );
    check_refused(
        "regex",
        "[[tag_rename]]\npattern = 'a'\nresult_key = 'replace'",
        &["tag_rename[0].result_key"],
    );
    check_refused(
        "regex",
        "[[metric_rename]]\npattern = '['",
        &["metric_rename[0].pattern"],
    );
}

proptest! {
    #[test]
    fn never_panics(pattern in "[a-c(.*+?$^)|\\\\d]{0,8}", replacement in "[a-c$0-9{}]{0,8}", key in "[ab*]{1,2}") {
        let change = format!("key = '{key}'\npattern = '{pattern}'\nreplacement = '{replacement}'\n");
        let rename = format!("pattern = '{pattern}'\nreplacement = '{replacement}'\nresult_key = 'overwrite'\n");
        let options = format!("[[tags]]\n{change}append = true\n[[fields]]\n{change}[[tag_rename]]\n{rename}[[field_rename]]\n{rename}");
        if crate::testing::make("regex", &options).is_ok() {
            run("regex", &options, "m,a=abc,b=cab,c=1 a=\"abc\",b=\"ccc\",c=1i 1");
        }
    }
}
