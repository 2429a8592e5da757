//! `/proc/meminfo` and its like: a name and a number on each line.

/// The named values of a file like `/proc/meminfo` or `/proc/vmstat`: in bytes where the file says
/// `kB`, else as they are.
pub(crate) fn pick<const N: usize>(text: &str, names: [&str; N]) -> [Option<u64>; N] {
    let mut found = [None; N];
    for (name, value) in entries(text) {
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            found[at] = Some(value);
        }
    }
    found
}

fn entries(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let value: u64 = words.next()?.parse().ok()?;
        let unit = if words.next() == Some("kB") { 1024 } else { 1 };
        Some((
            name.strip_suffix(':').unwrap_or(name),
            value.saturating_mul(unit),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn picks_by_name() {
        let text = "MemTotal:  8 kB\nHugePages_Total:  3\nnonsense\nBad: x kB\npswpin 7\n";
        let found = pick(
            text,
            ["pswpin", "MemTotal", "HugePages_Total", "Bad", "None"],
        );
        assert_eq!(found, [Some(7), Some(8192), Some(3), None, None]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "([A-Za-z:]{0,9}[ \t]{0,3}[0-9x-]{0,24}( kB)?\n?){0,9}|\\PC{0,60}") {
            pick(&text, ["A", "MemTotal"]);
        }
    }
}
