use super::*;
use proptest::prelude::*;

#[track_caller]
fn check_read(format: &str, zone_name: &str, text: &str, want: Result<i64, &str>) {
    let read = TimeFormat::new(format)
        .unwrap()
        .read(text, &zone(zone_name).unwrap());
    let got = read.map(Timestamp::nanos).map_err(|e| e.to_string());
    assert_eq!(got, want.map_err(str::to_owned), "{format} {text}");
}

const SECOND: i64 = 1_000_000_000;

#[test]
fn reads_unix_times_exactly() {
    let check = |format, text, want| check_read(format, "", text, want);
    check("unix", "1536869008", Ok(1_536_869_008 * SECOND));
    check(
        "unix",
        "1536869008.123456789",
        Ok(1_536_869_008_123_456_789),
    );
    check("unix", "-0,5", Ok(-500_000_000));
    check("unix", " 12 ", Ok(12 * SECOND));
    check("unix_ms", "1536869008123.4", Ok(1_536_869_008_123_400_000));
    check("unix_us", "1536869008123456", Ok(1_536_869_008_123_456_000));
    check(
        "unix_ns",
        "1536869008123456789.9",
        Ok(1_536_869_008_123_456_789),
    );
    check("unix", "", Err("time \"\" is no number"));
    check("unix", "1e9", Err("time \"1e9\" is no number"));
    check("unix", ".", Err("time \".\" is no number"));
    let too_late = "time \"99999999999\" is outside of the years 1677 to 2262";
    check("unix", "99999999999", Err(too_late));
}

#[test]
fn reads_by_layouts() {
    let check = |format, text, want| check_read(format, "", text, want);
    let noon = 1_136_214_245 * SECOND; // 2006-01-02 15:04:05 UTC
    check(
        "2006-01-02T15:04:05Z07:00",
        "2006-01-02T15:04:05Z",
        Ok(noon),
    );
    check(
        "RFC3339",
        "2006-01-02T17:04:05.25+02:00",
        Ok(noon + 250_000_000),
    );
    check("rfc1123z", "Mon, 02 Jan 2006 08:04:05 -0700", Ok(noon));
    check("ANSIC", "mon jan  2 15:04:05 2006", Ok(noon));
    check(
        "3:04:05 PM, January 2 2006",
        "3:04:05 PM, January 2 2006",
        Ok(noon),
    );
    check("06/1/_2 03:04:05pm", "06/1/ 2 03:04:05pm", Ok(noon));
    check(
        "2006 002 15:04:05.000",
        "2006 002 15:04:05.678",
        Ok(noon + 678_000_000),
    );
    check("2006-01-02 15:04:05,999", "2006-01-02 15:04:05", Ok(noon));
    check(
        "02 Jan 06 15:04 MST",
        "04 Jan 06 15:04 MST",
        Ok(1_136_387_040 * SECOND),
    );
    check(
        "2006-01-02 15:04:05 MST",
        "2006-01-02 18:04:05 GMT+3",
        Ok(noon),
    );
    check(
        "2006-01-02 15:04:05 -07",
        "2006-01-02 17:04:05 +02",
        Ok(noon),
    );
    check("2006-01-02", "1969-12-31", Ok(-86_400 * SECOND));
}

#[test]
fn reads_in_a_zone() {
    let layout = "2006-01-02 15:04:05";
    check_read(
        layout,
        "Europe/Rome",
        "2006-07-02 17:04:05",
        Ok(1_151_852_645 * SECOND),
    );
    check_read(
        layout,
        "America/New_York",
        "2006-01-02 10:04:05",
        Ok(1_136_214_245 * SECOND),
    );
    let with_name = "2006-01-02 15:04:05 MST";
    let in_new_york = |text, want| check_read(with_name, "America/New_York", text, Ok(want));
    in_new_york("2006-01-02 10:04:05 EST", 1_136_214_245 * SECOND);
    in_new_york("2006-07-02 10:04:05 EST", 1_151_852_645 * SECOND);
    in_new_york("2006-07-02 10:04:05 CEST", 1_151_834_645 * SECOND);
}

#[test]
fn says_what_is_wrong() {
    let check = |format: &str, text: &str, want: &str| {
        let message = format!("time {text:?} is not written as {format:?}: {want}");
        check_read(format, "", text, Err(&message));
    };
    check("2006-01-02", "2006-13-02", "wanted a month from 1 to 12");
    check(
        "2006-01-02",
        "2006-02-30",
        "there is no such day in that month",
    );
    check("2006-01-02", "2006-01-02x", "did not expect \"x\"");
    check("2006-01-02", "2006/01/02", "wanted \"-\"");
    check("2006 002", "2006 366", "there is no such day in that year");
    check(
        "15:04 MST 2006",
        "15:04 mst 2006",
        "wanted the abbreviation of a time zone",
    );
    assert!(matches!(
        TimeFormat::new("yyyy-mm-dd"),
        Err(TimeError::Format(_))
    ));
    assert!(matches!(TimeFormat::new(""), Err(TimeError::Format(_))));
    assert!(matches!(zone("Mars/Olympus"), Err(TimeError::Zone(_))));
}

#[test]
fn writes_by_layouts() {
    let check = |format: &str, nanos: i64, want: &str| {
        let format = TimeFormat::new(format).unwrap();
        assert_eq!(
            format.show(Timestamp::from_nanos(nanos), &zone("").unwrap()),
            want
        );
    };
    let time = 1_136_214_245_120_000_000;
    check("RFC3339Nano", time, "2006-01-02T15:04:05.12Z");
    check(
        "Monday, 2 January 06 at 3:04pm",
        time,
        "Monday, 2 January 06 at 3:04pm",
    );
    check(
        "Mon Jan _2 __2 002 .000000 ,999",
        time,
        "Mon Jan  2   2 002 .120000 ,12",
    );
    check("-07:00 -0700 -07 Z0700 MST", time, "+00:00 +0000 +00 Z UTC");
    check("Month _2006 2006.01", time, "Month _2006 2006.01");
    check("unix_ms", time, "1136214245120");
    check("unix", -1, "-1");
}

/// Layouts that say all of a time up to some precision in nanoseconds.
const COMPLETE: &[(&str, i64)] = &[
    ("RFC3339Nano", 1),
    ("2006-01-02 15:04:05.000000000 -0700", 1),
    ("2006-01-02 15:04:05.000 MST", 1_000_000),
    ("Monday, 02-Jan-2006 3:04:05 PM", SECOND),
    ("2006 __2 15h4m5s", SECOND),
    ("20060102150405.999999", 1_000),
    ("unix_us", 1_000),
    ("unix", SECOND),
];

proptest! {
    #[test]
    fn what_is_written_is_read_back(nanos in any::<i64>(), pick in 0..COMPLETE.len()) {
        let (format, precision) = COMPLETE[pick];
        let nanos = nanos.clamp(i64::MIN + 2 * SECOND, i64::MAX);
        let want = nanos.div_euclid(precision) * precision;
        let format = TimeFormat::new(format).unwrap();
        let utc = zone("").unwrap();
        let text = format.show(Timestamp::from_nanos(nanos), &utc);
        prop_assert_eq!(format.read(&text, &utc).map(Timestamp::nanos), Ok(want), "{}", text);
    }

    #[test]
    fn nothing_panics(layout in ".{0,30}", text in ".{0,30}", nanos in any::<i64>()) {
        let zone = zone("Europe/Rome").unwrap();
        if let Ok(format) = TimeFormat::new(&layout) {
            let _ = format.read(&text, &zone);
            let shown = format.show(Timestamp::from_nanos(nanos), &zone);
            let _ = format.read(&shown, &zone);
        }
    }
}
