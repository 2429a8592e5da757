//! A line over time, as SVG.

use std::fmt::Write;

use jiff::Timestamp;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 180.0;
/// Room for the numbers at the left and the times below.
const LEFT: f64 = 64.0;
const BELOW: f64 = 22.0;

/// A chart of at least two points; nothing for fewer. `name` is its accessible name and must be
/// escaped already.
pub(super) fn chart(name: &str, points: &[(Timestamp, f64)]) -> String {
    let points: Vec<(Timestamp, f64)> = points
        .iter()
        .filter(|(_, value)| value.is_finite())
        .copied()
        .collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let span = last.0.duration_since(first.0).as_secs_f64();
    if span <= 0.0 {
        return String::new();
    }
    let top = points
        .iter()
        .fold(0.0_f64, |top, (_, value)| top.max(*value));
    let top = if top > 0.0 { top * 1.05 } else { 1.0 };
    let x = |at: Timestamp| LEFT + at.duration_since(first.0).as_secs_f64() / span * (WIDTH - LEFT);
    let y = |value: f64| (HEIGHT - BELOW) * (1.0 - value.max(0.0) / top) + 1.0;
    let mut line = String::new();
    for (at, value) in &points {
        let _ = write!(line, "{:.1},{:.1} ", x(*at), y(*value));
    }
    let floor = y(0.0);
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name}\">\n");
    for step in [0.0, 0.5, 1.0] {
        let (value, at) = (top / 1.05 * step, y(top / 1.05 * step));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{WIDTH}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at.max(10.0) + 3.0,
            number(value)
        );
    }
    let _ = writeln!(
        svg,
        "<polygon class=\"area\" points=\"{LEFT},{floor:.1} {line}{WIDTH},{floor:.1}\"/>\
         <polyline class=\"line\" points=\"{}\"/>",
        line.trim_end()
    );
    let below = HEIGHT - 6.0;
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{below}\">{:.0}</text>\
         <text x=\"{WIDTH}\" y=\"{below}\" text-anchor=\"end\">{:.0}</text>\n</svg>",
        first.0, last.0
    );
    svg
}

fn number(value: f64) -> String {
    if value >= 10.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
