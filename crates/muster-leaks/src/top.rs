//! What is there now, by site, without a verdict.

use serde::Serialize;

use crate::profile::{Profile, WaitClass};
use crate::site::{Place, tally};
use crate::survival::Look;

/// One site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The class of wait: `channel send`.
    pub class: &'static str,
    /// The line.
    pub at: Place,
    /// Goroutines there.
    pub count: u64,
    /// How many different stacks lead to the line.
    pub variants: usize,
    /// How many are proved to be leaked.
    pub leaked: u64,
    /// The line of the `go` statement of most of them. Dumps only.
    pub started_at: Option<Place>,
    /// The longest wait in minutes; 0 if none is shown. Dumps only.
    pub oldest_minutes: u64,
    /// The most frequent stack, leaf first.
    pub stack: Vec<Place>,
}

/// The sites of a profile, those with the most goroutines first. The goroutines that take the
/// profile and the runtime's own are left out.
pub fn top(profile: &Profile) -> Vec<Row> {
    // The time of the look is not used here.
    let look = Look::new(jiff::Timestamp::UNIX_EPOCH, profile, &[]);
    let mut rows: Vec<Row> = tally(profile, &[])
        .into_iter()
        .map(|(site, tally)| {
            let seen = look.sites.get(&site);
            let class = match site.class {
                _ if tally.nil * 2 > tally.count => WaitClass::NilChannel,
                class => class,
            };
            Row {
                class: class.as_str(),
                at: (&site.frame).into(),
                count: tally.count,
                variants: tally.variants,
                leaked: tally.leaked,
                started_at: seen.and_then(|seen| seen.creator()).map(Place::from),
                oldest_minutes: seen.map_or(0, |seen| seen.oldest),
                stack: tally.sample.iter().map(Place::from).collect(),
            }
        })
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.at.cmp(&b.at)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_comes_first_with_what_the_dump_knows() {
        let dump = "goroutine 1 [running]:\nmain.main()\n\tm.go:1 +0x1\n\n\
            goroutine 2 [chan send, 7 minutes]:\nmain.f()\n\tm.go:5 +0x1\n\
            created by main.main\n\tm.go:2 +0x1\n\n\
            goroutine 3 [chan send]:\nmain.f()\n\tm.go:5 +0x1\n\
            created by main.main\n\tm.go:2 +0x1\n";
        let rows = top(&Profile::read(dump.as_bytes()).unwrap());
        assert_eq!(
            (rows[0].count, rows[0].class, rows[0].oldest_minutes),
            (2, "channel send", 7)
        );
        assert_eq!(rows[0].started_at.as_ref().unwrap().line, 2);
        assert_eq!(rows[1].at.function, "main.main");
    }
}
