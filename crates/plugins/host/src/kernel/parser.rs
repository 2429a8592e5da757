//! `/proc/stat` and `/proc/pressure/*`.

/// The counters of `/proc/stat` that concern the system as a whole, with the names of their fields.
pub(super) fn counters(stat: &str) -> impl Iterator<Item = (&'static str, i64)> {
    stat.lines().flat_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let names: [Option<&'static str>; 2] = match words.next() {
            Some("intr") => [Some("interrupts"), None],
            Some("ctxt") => [Some("context_switches"), None],
            Some("btime") => [Some("boot_time"), None],
            Some("processes") => [Some("processes_forked"), None],
            Some("page") => [Some("disk_pages_in"), Some("disk_pages_out")],
            _ => [None, None],
        };
        let values = names.map(|name| Some((name?, words.next()?.parse().ok()?)));
        values.into_iter().flatten()
    })
}

/// A line of `/proc/pressure/*`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stall<'t> {
    pub(super) kind: &'t str,
    pub(super) averages: [f64; 3],
    pub(super) total: i64,
}

/// The lines of `/proc/pressure/*`. Those that are not understood are left out.
pub(super) fn stalls(text: &str) -> impl Iterator<Item = Stall<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next()?;
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let mut average = |name| value(name)?.parse().ok();
        let averages = [average("avg10")?, average("avg60")?, average("avg300")?];
        Some(Stall {
            kind,
            averages,
            total: value("total")?.parse().ok()?,
        })
    })
}
