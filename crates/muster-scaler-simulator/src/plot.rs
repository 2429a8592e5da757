//! The frontier as a picture.

use std::fmt::Write as _;

use crate::frontier::{Frontier, Point};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 460.0;

/// Colours that people with any sight can tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 8] = [
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a00", "#555555",
];

/// What of a frontier is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Points with more hours a day are left out.
    pub most_hours: f64,
    /// Points with a longer wait are left out.
    pub most_p95: f64,
}

impl Picture {
    /// One in which most of a frontier is seen well: up to a bit more than its own points need.
    pub fn of(frontier: &Frontier) -> Self {
        let own = frontier.points.iter().filter(|point| {
            let family = point.family.as_str();
            !point.dominated && (family == "Muster" || family == "taskscaler")
        });
        let most = |of: fn(&Point) -> f64| own.clone().map(of).fold(1.0, f64::max) * 1.15;
        Self {
            most_hours: most(|point| point.hours.mean),
            most_p95: most(|point| point.p95.mean),
        }
    }

    fn shows(&self, point: &Point) -> bool {
        point.hours.mean <= self.most_hours && point.p95.mean <= self.most_p95
    }

    fn x(&self, hours: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * hours / self.most_hours
    }

    fn y(&self, p95: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * p95 / self.most_p95
    }

    /// The picture, as SVG: hours to the right, wait upward; each family a colour, a line through the
    /// points that no other of it dominates, the others light.
    pub fn svg(&self, frontier: &Frontier) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        let seeds = frontier.options.seeds;
        let name = escape(&frontier.options.name);
        text(
            &mut svg,
            LEFT,
            24.0,
            "start",
            &format!("{name}, {seeds} seeds: less is better"),
        );
        self.axes(&mut svg);
        for (family, at) in frontier.families().into_iter().zip(0usize..) {
            let colour = COLOURS[at % COLOURS.len()];
            self.family(&mut svg, frontier, family, colour);
            legend(&mut svg, at, family, colour);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String) {
        for hours in ticks(self.most_hours) {
            let x = self.x(hours);
            line(svg, (x, TOP), (x, BOTTOM), "#e6e6e6");
            text(svg, x, BOTTOM + 18.0, "middle", &hours.to_string());
        }
        for p95 in ticks(self.most_p95) {
            let y = self.y(p95);
            line(svg, (LEFT, y), (RIGHT, y), "#e6e6e6");
            text(svg, LEFT - 8.0, y + 4.0, "end", &p95.to_string());
        }
        line(svg, (LEFT, BOTTOM), (RIGHT, BOTTOM), "#333333");
        line(svg, (LEFT, TOP), (LEFT, BOTTOM), "#333333");
        let middle = f64::midpoint(LEFT, RIGHT);
        text(
            svg,
            middle,
            BOTTOM + 40.0,
            "middle",
            "hours of temporary servers a day",
        );
        let y = f64::midpoint(TOP, BOTTOM);
        _ = writeln!(
            svg,
            "<text x=\"18\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {y})\">wait \
             for a runner, 95th percentile, s</text>"
        );
    }

    fn family(&self, svg: &mut String, frontier: &Frontier, family: &str, colour: &str) {
        let mut shown: Vec<&Point> = frontier.of(family).filter(|p| self.shows(p)).collect();
        shown.sort_by(|a, b| a.hours.mean.total_cmp(&b.hours.mean));
        let best = shown.iter().filter(|point| !point.dominated);
        let way = best.map(|p| format!("{:.1},{:.1}", self.x(p.hours.mean), self.y(p.p95.mean)));
        let way = way.collect::<Vec<_>>().join(" ");
        _ = writeln!(
            svg,
            "<polyline points=\"{way}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
        for point in shown {
            let (x, y) = (self.x(point.hours.mean), self.y(point.p95.mean));
            let (radius, opacity) = if point.dominated {
                (2.5, 0.3)
            } else {
                (4.0, 1.0)
            };
            _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\" \
                 opacity=\"{opacity}\"><title>{}, {}: {:.1} h, {:.1} s</title></circle>",
                escape(family),
                escape(&point.setting),
                point.hours.mean,
                point.p95.mean
            );
        }
    }
}

fn legend(svg: &mut String, at: usize, family: &str, colour: &str) {
    let y = (at as f64).mul_add(20.0, TOP + 10.0);
    let x = RIGHT + 24.0;
    _ = writeln!(
        svg,
        "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/>"
    );
    text(svg, x + 12.0, y + 4.0, "start", &escape(family));
}

/// Round numbers up to `most`.
fn ticks(most: f64) -> impl Iterator<Item = f64> {
    let rough = most / 8.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    (0..)
        .map(move |n| f64::from(n) * step)
        .take_while(move |at| *at <= most)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
