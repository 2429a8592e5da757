use muster_metric::Value;
use proptest::prelude::*;

use super::number::{to_bool, to_float, to_integer, to_unsigned};
use crate::testing::{check, check_refused, run};

#[test]
fn converts_fields() {
    let options = r#"
        [fields]
        measurement = ["name"]
        tag = ["host", "port"]
        integer = ["i*"]
        unsigned = ["u*"]
        boolean = ["b*"]
        float = ["f*"]
        string = ["s*"]
        base64_ieee_float32 = ["raw"]
    "#;
    let check = |input: &str, want: &str| check("converter", options, input, want);
    check(
        "m i=1.5,i2=-1.5,i3=true,i4=\"0x1f\",i5=7u 1",
        "m i=2i,i2=-2i,i3=1i,i4=31i,i5=7i 1",
    );
    check(
        "m i=1e300,i2=-1e300,i3=18446744073709551615u 1",
        "m i=9223372036854775807i,i2=-9223372036854775808i,i3=9223372036854775807i 1",
    );
    check(
        "m u=1.5,u2=-1.5,u3=false,u4=\"1_000\",u5=-7i 1",
        "m u=2u,u2=0u,u3=0u,u4=1000u,u5=0u 1",
    );
    check(
        "m b=1,b2=0i,b3=2u,b4=\"T\",b5=\"False\" 1",
        "m b=true,b2=false,b3=true,b4=true,b5=false 1",
    );
    check(
        "m f=1i,f2=2u,f3=true,f4=\"1e3\",f5=\"0x10\" 1",
        "m f=1,f2=2,f3=1,f4=1000,f5=16 1",
    );
    check(
        "m s=1i,s2=2u,s3=true,s4=1.50,s5=\"x\",s6=1e21 1",
        "m s=\"1\",s2=\"2\",s3=\"true\",s4=\"1.5\",s5=\"x\",s6=\"1000000000000000000000\" 1",
    );
    check(
        "m name=\"new\",host=\"db1\",port=80i,v=1 1",
        "new,host=db1,port=80 v=1 1",
    );
    check("m raw=\"QEkP2w==\",v=1 1", "m raw=3.1415927410125732,v=1 1");
}

#[test]
fn removes_what_cannot_be_converted() {
    let check = |options: &str, input: &str, want: &str| check("converter", options, input, want);
    check(
        "[fields]\ninteger = ['*']",
        "m a=\"x\",b=1,c=\"\",d=\"1e999\" 1",
        "m b=1i 1",
    );
    check(
        "[fields]\nboolean = ['*']",
        "m a=\"yes\",b=1 1",
        "m b=true 1",
    );
    check(
        "[fields]\nbase64_ieee_float32 = ['*']",
        "m a=\"AAAAAAA=\",b=\"!\",c=1,d=\"AAAAAA==\" 1",
        "m d=0 1",
    );
    check("[tags]\nfloat = ['*']", "m,a=x,b=2 v=1 1", "m v=1,b=2 1");
}

#[test]
fn converts_tags() {
    let options = "[tags]\nmeasurement = ['n']\nstring = ['s']\ninteger = ['i']\nunsigned = ['u']\nboolean = ['b']\nfloat = ['f']";
    check(
        "converter",
        options,
        "m,n=new,s=x,i=1.5,u=3,b=t,f=2.5,z=1 v=1 1",
        "new,z=1 v=1,b=true,f=2.5,i=2i,s=\"x\",u=3u 1",
    );
}

#[test]
fn converts_times() {
    let check = |options: &str, input: &str, want: &str| check("converter", options, input, want);
    check(
        "[tags]\ntimestamp = ['t']\ntimestamp_format = 'unix'",
        "m,t=12 v=1 1",
        "m v=1 12000000000",
    );
    check(
        "[fields]\ntimestamp = ['t']\ntimestamp_format = 'unix_ms'",
        "m t=12i,v=1 1",
        "m v=1 12000000",
    );
    check(
        "[fields]\ntimestamp = ['t']\ntimestamp_format = 'unix'",
        "m t=1.5,v=1 1",
        "m v=1 1500000000",
    );
    check(
        "[fields]\ntimestamp = ['t']\ntimestamp_format = '2006-01-02T15:04:05Z07:00'",
        "m t=\"1970-01-01T00:01:00Z\",v=1 1",
        "m v=1 60000000000",
    );
    // What cannot be read stays.
    check(
        "[tags]\ntimestamp = ['t']\ntimestamp_format = 'unix'",
        "m,t=x v=1 1",
        "m,t=x v=1 1",
    );
    check(
        "[fields]\ntimestamp = ['t']\ntimestamp_format = 'unix'",
        "m t=\"x\",v=1 1",
        "m t=\"x\",v=1 1",
    );
}

#[test]
fn the_first_kind_wins() {
    check(
        "converter",
        "[fields]\ntag = ['a']\nfloat = ['*']",
        "m a=1i,b=2i 1",
        "m,a=1 b=2 1",
    );
    check(
        "converter",
        "[tags]\nstring = ['x']\n[fields]\ninteger = ['x']",
        "m,x=5 v=1 1",
        "m v=1,x=5i 1",
    );
}

#[test]
fn says_what_is_wrong() {
    check_refused(
        "converter",
        "[tags]\ntimestamp = ['t']",
        &["tags.timestamp_format"],
    );
    check_refused("converter", "[tags]\ntag = ['t']", &["tags.tag"]);
    check_refused(
        "converter",
        "[fields]\nfloat = ['[']\ninteger = ['a', '[']",
        &["fields.float[0]", "fields.integer[1]"],
    );
}

#[test]
fn reads_numbers_as_go_does() {
    let check =
        |text: &str, want: Option<i64>| assert_eq!(to_integer(Value::Text(text)), want, "{text}");
    check("42", Some(42));
    check("-42", Some(-42));
    check("+42", Some(42));
    check("0", Some(0));
    check("010", Some(8));
    check("08", Some(8)); // no octal, but a float
    check("0x_1F", Some(31));
    check("0b101", Some(5));
    check("1_000", Some(1000));
    check("1__0", None);
    check("_1", None);
    check("1_", None);
    check("0x", None);
    check("", None);
    check("-", None);
    check(" 1", None);
    check("2.5", Some(3));
    check("-2.5", Some(-3));
    check("1e3", Some(1000));
    check("9223372036854775808", Some(i64::MAX));
    check("-0xffffffffffffffffffffffff", Some(i64::MIN));
    check("inf", Some(i64::MAX));
    check("nan", None);
    check("1e999", None);
    assert_eq!(
        to_unsigned(Value::Text("18446744073709551615")),
        Some(u64::MAX)
    );
    assert_eq!(to_unsigned(Value::Text("-1")), Some(0));
    assert_eq!(to_float(Value::Text("0x1F")), Some(31.0));
    assert_eq!(to_float(Value::Text("010")), Some(10.0));
    assert_eq!(to_float(Value::Text("1_0")), None);
    assert_eq!(to_bool(Value::Text("tRUE")), None);
}

proptest! {
    #[test]
    fn any_text_is_fine(text in "\\PC{0,24}") {
        let value = Value::Text(&text);
        let _ = (to_integer(value), to_unsigned(value), to_float(value), to_bool(value));
    }

    #[test]
    fn number_like_texts_are_fine(text in "[-+]?(0[xobXOB])?[0-9a-f_.e]{0,40}") {
        let value = Value::Text(&text);
        if let (Some(signed), Some(unsigned)) = (to_integer(value), to_unsigned(value))
            && (0..i64::MAX).contains(&signed) {
                prop_assert_eq!(signed as u64, unsigned);
            }
    }

    #[test]
    fn integers_come_back(v: i64, u: u64) {
        prop_assert_eq!(to_integer(Value::Text(&v.to_string())), Some(v));
        prop_assert_eq!(to_unsigned(Value::Text(&u.to_string())), Some(u));
        prop_assert_eq!(to_integer(Value::Text(&format!("{v:#x}").replace("0x", "0x_"))).is_some(), true);
    }

    #[test]
    fn any_metric_is_fine(a in any::<f64>(), text in "[^\"\\\\\\n\\x00]{0,12}", list in "[a-c*?]{1,3}", kind in 0usize..9) {
        let kind = ["measurement", "tag", "float", "integer", "unsigned", "boolean", "string", "base64_ieee_float32", "timestamp"][kind];
        let options = format!("[fields]\n{kind} = ['{list}', 'b']\ntimestamp_format = 'unix'\n[tags]\ninteger = ['{list}']");
        let a = if a.is_finite() { a } else { 0.0 };
        run("converter", &options, &format!("m,a=x,b=1 a={a},b=\"{text}\",c=true,ab=9223372036854775807i 1"));
    }
}
