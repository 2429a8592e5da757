//! Writing the text format, line by line.

use muster_metric::MetricType;

use super::super::float::push_go_float;

/// Writes families and samples in Prometheus' text format: for whoever has numbers of their own
/// to show.
///
/// ```
/// use muster_formats::PrometheusText;
/// use muster_metric::MetricType;
///
/// let mut text = PrometheusText::new();
/// text.family("muster_gathers_total", MetricType::Counter, "Gathers since the start.");
/// text.sample("muster_gathers_total", &[("input", "cpu")], 3.0);
/// assert_eq!(
///     text.finish().lines().collect::<Vec<_>>(),
///     [
///         "# HELP muster_gathers_total Gathers since the start.",
///         "# TYPE muster_gathers_total counter",
///         "muster_gathers_total{input=\"cpu\"} 3",
///     ]
/// );
/// ```
#[derive(Clone, Debug, Default)]
pub struct PrometheusText {
    out: String,
}

impl PrometheusText {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a family; its samples follow. Without help, only the type is written.
    pub fn family(&mut self, name: &str, kind: MetricType, help: &str) {
        if !help.is_empty() {
            self.out.push_str("# HELP ");
            push_name(name, true, &mut self.out);
            self.out.push(' ');
            push_escaped(help, false, &mut self.out);
            self.out.push('\n');
        }
        self.out.push_str("# TYPE ");
        push_name(name, true, &mut self.out);
        self.out.push(' ');
        self.out.push_str(kind.as_str());
        self.out.push('\n');
    }

    /// Writes a sample. Names are made legal; values are escaped.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        push_name(name, true, &mut self.out);
        for (at, (key, value)) in labels.iter().enumerate() {
            self.out.push(if at == 0 { '{' } else { ',' });
            push_label(key, value, &mut self.out);
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.end_sample(value, None);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.out
    }

    /// A sample with labels that are written already, and one more.
    pub(super) fn raw_sample(
        &mut self,
        (name, suffix): (&str, &str),
        labels: &str,
        more: Option<(&str, f64)>,
        value: f64,
        millis: Option<i64>,
    ) {
        self.out.push_str(name);
        self.out.push_str(suffix);
        if !labels.is_empty() || more.is_some() {
            self.out.push('{');
            self.out.push_str(labels);
            if let Some((key, bound)) = more {
                if !labels.is_empty() {
                    self.out.push(',');
                }
                self.out.push_str(key);
                self.out.push_str("=\"");
                push_go_float(bound, &mut self.out);
                self.out.push('"');
            }
            self.out.push('}');
        }
        self.end_sample(value, millis);
    }

    fn end_sample(&mut self, value: f64, millis: Option<i64>) {
        self.out.push(' ');
        push_go_float(value, &mut self.out);
        if let Some(millis) = millis {
            self.out.push(' ');
            self.out.push_str(itoa::Buffer::new().format(millis));
        }
        self.out.push('\n');
    }
}

/// Whether the name can stand as it is; colons only in a metric's.
pub(super) fn is_legal(name: &str, colons: bool) -> bool {
    let legal = |b: u8| b == b'_' || b.is_ascii_alphanumeric() || (colons && b == b':');
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(legal)
}

/// The name with `_` in place of what may not stand in one.
pub(super) fn push_name(name: &str, colons: bool, out: &mut String) {
    if is_legal(name, colons) {
        out.push_str(name);
        return;
    }
    for (at, c) in name.chars().enumerate() {
        let legal = c == '_'
            || c.is_ascii_alphabetic()
            || (colons && c == ':')
            || (at > 0 && c.is_ascii_digit());
        out.push(if legal { c } else { '_' });
    }
    if name.is_empty() {
        out.push('_');
    }
}

pub(super) fn push_label(key: &str, value: &str, out: &mut String) {
    push_name(key, false, out);
    out.push_str("=\"");
    push_escaped(value, true, out);
    out.push('"');
}

fn push_escaped(text: &str, quotes: bool, out: &mut String) {
    let mut plain = 0;
    for at in memchr::memchr3_iter(b'\\', b'\n', b'"', text.as_bytes()) {
        let escape = match text.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            _ if quotes => "\\\"",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        out.push_str(escape);
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
}
