//! How an event is written.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::text::printable;

/// Says what time it is where the log is read.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    zone: TimeZone,
    format: &'static str,
}

/// Lines for people: time, level, component, message, other fields.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) clock: Clock,
    pub(super) colored: bool,
}

/// Lines for programs: JSON objects.
#[derive(Debug)]
pub(super) struct Json {
    pub(super) clock: Clock,
    pub(super) message_key: String,
}

impl Clock {
    pub(super) fn new(zone: TimeZone) -> Self {
        let utc = zone == TimeZone::UTC;
        let format = if utc {
            "%Y-%m-%dT%H:%M:%S%.3fZ"
        } else {
            "%Y-%m-%dT%H:%M:%S%.3f%:z"
        };
        Self { zone, format }
    }

    fn show(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone())
            .strftime(self.format)
            .to_string()
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    component: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn put(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.message = text(value),
            "component" | "id" if self.component.is_none() => self.component = Some(text(value)),
            name => drop(self.others.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl Text {
    fn line(&self, at: Timestamp, level: Level, fields: &Fields) -> String {
        let time = self.clock.show(at);
        let mut line = if self.colored {
            let color = match level {
                Level::ERROR => "31",
                Level::WARN => "33",
                Level::INFO => "32",
                _ => "2",
            };
            format!("\x1b[2m{time}\x1b[0m \x1b[{color}m{level:<5}\x1b[0m ")
        } else {
            format!("{time} {level:<5} ")
        };
        if let Some(component) = &fields.component {
            line.push_str(&format!("[{}] ", printable(component)));
        }
        // What goes on in a second line is indented: a line that begins with a time is an event.
        line.push_str(&printable(fields.message.trim_end()).replace('\n', "\n    "));
        for (name, value) in &fields.others {
            line.push_str(&match value {
                Value::String(text) if !text.contains(|c: char| c.is_whitespace() || c == '"') => {
                    format!(" {name}={}", printable(text))
                }
                value => format!(" {name}={value}"),
            });
        }
        line
    }
}

impl Json {
    fn line(&self, at: Timestamp, level: Level, fields: &Fields) -> String {
        let mut object = Map::new();
        object.insert("time".to_owned(), self.clock.show(at).into());
        object.insert("level".to_owned(), level.as_str().into());
        if let Some(component) = &fields.component {
            object.insert("component".to_owned(), component.as_str().into());
        }
        object.insert(self.message_key.clone(), fields.message.as_str().into());
        for (name, value) in &fields.others {
            object.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(object).to_string()
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        writeln!(
            writer,
            "{}",
            self.line(Timestamp::now(), level, &Fields::of(event))
        )
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        writeln!(
            writer,
            "{}",
            self.line(Timestamp::now(), level, &Fields::of(event))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(component: Option<&str>, message: &str, others: Value) -> Fields {
        let others = others.as_object().cloned().unwrap_or_default();
        Fields {
            message: message.into(),
            component: component.map(str::to_owned),
            others,
        }
    }

    #[test]
    fn lines_for_people() {
        let check = |fields: Fields, want: &str| {
            let text = Text {
                clock: Clock::new(TimeZone::UTC),
                colored: false,
            };
            let at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
            assert_eq!(text.line(at, Level::WARN, &fields), want);
        };
        check(
            fields(None, "hello", json!({})),
            "2023-11-14T22:13:20.123Z WARN  hello",
        );
        check(
            fields(
                Some("inputs/cpu"),
                "no\nroute",
                json!({"n": 3, "to": "db1", "why": "a b"}),
            ),
            "2023-11-14T22:13:20.123Z WARN  [inputs/cpu] no\n    route n=3 to=db1 why=\"a b\"",
        );
        check(
            fields(Some("x"), "\u{1b}[31mred", json!({})),
            "2023-11-14T22:13:20.123Z WARN  [x] \u{fffd}[31mred",
        );
    }

    #[test]
    fn lines_for_programs() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let json = Json {
            clock: Clock::new(zone),
            message_key: "msg".into(),
        };
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let line = json.line(
            at,
            Level::INFO,
            &fields(Some("inputs/a"), "hi", json!({"n": 1})),
        );
        let want = json!({"time": "2023-11-15T00:13:20.000+02:00", "level": "INFO",
            "component": "inputs/a", "msg": "hi", "n": 1});
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), want);
    }
}
