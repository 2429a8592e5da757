//! Instances that are checked, as people see them.

use muster_sentinel::{Document, Fleet, Freshness, State};

use crate::text::{Cell, Table, Tone, ago, duration, printable};

/// The colour of an instance's state.
pub(crate) fn tone(state: State) -> Tone {
    match state {
        State::Up => Tone::Good,
        State::Suspect | State::Rising | State::Degraded | State::Flapping => Tone::Warn,
        State::Down => Tone::Bad,
        State::Unknown => Tone::Dim,
    }
}

/// What is shown of an instance.
const HEADINGS: [&str; 10] = [
    "INSTANCE", "CLUSTER", "STATE", "REASON", ">SINCE", ">CHECKED", ">RTT", ">FAILS", "ROLE",
    "DETAIL",
];

/// A table of instances at a time in nanoseconds since 1970.
pub(crate) fn table<'d>(documents: impl IntoIterator<Item = &'d Document>, now: i64) -> Table {
    let mut table = Table::new(&HEADINGS);
    for document in documents {
        table.row(row(document, now));
    }
    table
}

/// A table of what others reported, with who did and whether it still says something.
pub(crate) fn fleet(fleet: &Fleet, now: i64) -> Table {
    let mut headings = vec!["REPORT", "REPORTER"];
    headings.extend(HEADINGS);
    let mut table = Table::new(&headings);
    for member in fleet.members.values() {
        let mut cells = vec![
            freshness(fleet.freshness(member, now / 1_000_000)),
            printable(&member.document.writer.id).into(),
        ];
        cells.extend(row(&member.document, now));
        table.row(cells);
    }
    table
}

fn freshness(freshness: Freshness) -> Cell {
    match freshness {
        Freshness::Fresh => Cell::toned("fresh", Tone::Good),
        Freshness::NoReporter => Cell::toned("stale: nobody looks", Tone::Bad),
        Freshness::Late(age) => {
            let age = duration(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
            Cell::toned(format!("stale: written {age} ago"), Tone::Warn)
        }
    }
}

fn row(document: &Document, now: i64) -> Vec<Cell> {
    let text = |text: &str| match text {
        "" => "-".to_owned(),
        text => printable(text),
    };
    let since = |millis: i64| match millis {
        0 => "-".to_owned(),
        millis => ago(millis.saturating_mul(1_000_000), now),
    };
    let mut state = document.state.to_string();
    for (so, word) in [
        (document.suspect, "suspect"),
        (document.rising, "rising"),
        (document.tilt, "tilt"),
    ] {
        if so {
            state.push_str(", ");
            state.push_str(word);
        }
    }
    let shaky = document.suspect || document.rising || document.tilt;
    let tone = match tone(document.state) {
        Tone::Good if shaky => Tone::Warn,
        tone => tone,
    };
    let took = |micros: u64| duration(micros.saturating_mul(1000));
    vec![
        printable(&place(document)).into(),
        text(&document.instance.cluster).into(),
        Cell::toned(state, tone),
        document.reason.to_string().into(),
        since(document.since_ms).into(),
        since(document.checked_ms).into(),
        document.rtt_us.map_or_else(|| "-".to_owned(), took).into(),
        document.fails.to_string().into(),
        text(&document.instance.role).into(),
        Cell::toned(
            document
                .detail
                .as_deref()
                .map(printable)
                .unwrap_or_default(),
            Tone::Dim,
        ),
    ]
}

/// Where an instance is.
pub(crate) fn place(document: &Document) -> String {
    let (host, port) = (&document.instance.host, document.instance.port);
    match port {
        0 => host.clone(),
        port if host.contains(':') => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Style;
    use serde_json::json;

    fn document(changes: serde_json::Value) -> Document {
        let mut all = json!({"v": 1, "instance": {"kind": "redis", "cluster": "shop", "host": "10.0.0.1",
            "port": 6379}, "state": "up", "suspect": false, "rising": false, "reason": "ok",
            "since_ms": 1000, "checked_ms": 4000, "seq": 9, "rtt_us": 210, "oks": 9, "fails": 0,
            "flaps_1h": 0, "interval_ms": 1000, "ttl_ms": 3000, "tilt": false, "writer": {"id": "w"}});
        let (Some(all_keys), Some(changes)) = (all.as_object_mut(), changes.as_object()) else {
            panic!("objects");
        };
        all_keys.extend(changes.clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn instances_are_a_table() {
        let up = document(json!({}));
        let down = document(
            json!({"state": "down", "reason": "refused", "fails": 3, "rtt_us": null,
            "instance": {"kind": "redis", "host": "::1", "port": 7000, "role": "master"},
            "detail": "connection \u{1b}refused"}),
        );
        let shaky = document(json!({"suspect": true, "reason": "hung", "checked_ms": 0,
            "instance": {"kind": "redis", "host": "/run/redis.sock"}}));
        let want = "\
INSTANCE         CLUSTER  STATE        REASON   SINCE  CHECKED    RTT  FAILS  ROLE    DETAIL
10.0.0.1:6379    shop     up           ok          4s       1s  210µs      0  -
[::1]:7000       -        down         refused     4s       1s      -      3  master  connection \u{fffd}refused
/run/redis.sock  -        up, suspect  hung        4s        -  210µs      0  -
";
        let got = table([&up, &down, &shaky], 5_000_000_000).render(Style::plain());
        assert_eq!(got, want);
    }
}
