//! One page with everything in it: no script, nothing from elsewhere.

use std::fmt::Write;

use jiff::Timestamp;

use super::chart::chart;
use super::{age, rate, size};
use crate::top::Row;
use crate::verdict::{Suspect, Verdict};

/// What a page shows.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// When it was made.
    pub made: Timestamp,
    /// The targets, in this order.
    pub targets: &'a [Target<'a>],
}

/// One target of a [`Page`].
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// What is known of it.
    pub verdict: &'a Verdict,
    /// Goroutines in all over time: [`Watch::total`](crate::Watch::total).
    pub total: &'a [(Timestamp, u64)],
    /// Pauses of the garbage collector in milliseconds, where they are known; else nothing.
    pub pauses: &'a [(Timestamp, f64)],
    /// What is there now; the first 50 sites are shown.
    pub top: &'a [Row],
}

/// So many sites are listed.
const SITES: usize = 50;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #2563eb; --grid: #8884; --bad: #c2410c; --good: #15803d; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin-bottom: .3rem; overflow-wrap: anywhere; }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--grid); border-radius: 4px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .5rem; border-bottom: 1px solid var(--grid); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: 8rem 1fr; gap: .1rem .8rem; margin: .4rem 0; }
dt { opacity: .7; } dd { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; } svg text { fill: currentColor; opacity: .7; }
.line { fill: none; stroke: var(--line); stroke-width: 1.5; } .area { fill: var(--line); opacity: .12; }
.grid { stroke: var(--grid); } .clean { color: var(--good); } .suspects, .confirmed { color: var(--bad); }
";

/// The page as HTML. All that comes from the targets is escaped.
pub fn html(page: &Page<'_>) -> String {
    let title = escape(page.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p>Made by muster at {:.0}.</p>\n",
        page.made
    );
    for target in page.targets {
        section(&mut out, target);
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn section(out: &mut String, target: &Target<'_>) {
    let verdict = target.verdict;
    let status = verdict.status;
    let _ = writeln!(
        out,
        "<h2>{}: <span class=\"{status}\">{status}</span></h2>\n\
         <p>{} goroutines, {} samples, {} restarts{}.</p>",
        escape(&verdict.target),
        verdict.goroutines,
        verdict.samples,
        verdict.restarts,
        verdict.leaked.map_or_else(String::new, |leaked| format!(
            ", {leaked} proved to be leaked"
        ))
    );
    let total: Vec<(Timestamp, f64)> = target
        .total
        .iter()
        .map(|(at, count)| (*at, *count as f64))
        .collect();
    for (name, points) in [
        ("Goroutines", total.as_slice()),
        ("Pauses of the garbage collector, ms", target.pauses),
    ] {
        let svg = chart(name, points);
        if !svg.is_empty() {
            let _ = writeln!(out, "<h3>{name}</h3>\n{svg}");
        }
    }
    for (number, suspect) in (1..).zip(&verdict.suspects) {
        suspected(out, number, suspect);
    }
    if !verdict.notes.is_empty() {
        out.push_str("<h3>Also growing</h3>\n<table>\n<tr><th class=\"n\">Count</th><th class=\"n\">Per hour</th><th>Waits for</th><th>At</th><th>Only a note, because</th></tr>\n");
        for note in &verdict.notes {
            let _ = writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
                note.count,
                rate(note.per_hour),
                note.class,
                escape(&note.at.to_string()),
                escape(note.why)
            );
        }
        out.push_str("</table>\n");
    }
    if !target.top.is_empty() {
        out.push_str("<h3>All sites</h3>\n<table>\n<tr><th class=\"n\">Count</th><th>Waits for</th><th>At</th></tr>\n");
        for row in target.top.iter().take(SITES) {
            let _ = writeln!(
                out,
                "<tr><td class=\"n\">{}</td><td>{}</td><td><code>{}</code></td></tr>",
                row.count,
                row.class,
                escape(&row.at.to_string())
            );
        }
        out.push_str("</table>\n");
        if target.top.len() > SITES {
            let _ = writeln!(out, "<p>and {} more</p>", target.top.len() - SITES);
        }
    }
}

fn suspected(out: &mut String, number: usize, suspect: &Suspect) {
    let _ = writeln!(
        out,
        "<h3>{number}. {}: <code>{}</code></h3>\n<dl>",
        suspect.class,
        escape(&suspect.blocks_at.to_string())
    );
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    };
    row("waits for", suspect.waits_for);
    row(
        "count",
        &format!("{} ({} per hour)", suspect.count, rate(suspect.per_hour)),
    );
    match &suspect.started_at {
        Some(at) => row("started at", &at.to_string()),
        None => row("started at", "not known: it needs a dump (debug=2)"),
    }
    if let Some(since) = suspect.since {
        row("since", &format!("{since:.0}"));
    }
    row(
        "oldest",
        &format!("at least {}", age(suspect.oldest_seconds)),
    );
    let (low, high) = (size(suspect.memory.low), size(suspect.memory.high));
    row("memory", &format!("{low} to {high} of stacks"));
    row("evidence", suspect.evidence.as_str());
    for reason in &suspect.why {
        row("why", reason);
    }
    if let Some(cause) = suspect.cause {
        row("cause", cause);
    }
    row("look at", suspect.look_at);
    for with in &suspect.together_with {
        let (count, class, at) = (with.count, with.class, &with.blocks_at);
        row("together with", &format!("{count} in {class} at {at}"));
    }
    out.push_str("</dl>\n<pre>");
    for place in &suspect.stack {
        let (function, file) = (escape(&place.function), escape(&place.file));
        let _ = writeln!(out, "{function}\n    {file}:{}", place.line);
    }
    out.push_str("</pre>\n");
}

/// Makes a text safe between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
