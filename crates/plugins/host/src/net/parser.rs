//! `/proc/net/dev` and `/proc/net/snmp`.

/// An interface's counters, as `/proc/net/dev` orders them: eight received, eight sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface<'t> {
    pub(super) name: &'t str,
    counters: [u64; 16],
}

impl Interface<'_> {
    /// The fields as they are reported.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
        const FIELDS: [(&str, usize); 8] = [
            ("bytes_sent", 8),
            ("bytes_recv", 0),
            ("packets_sent", 9),
            ("packets_recv", 1),
            ("err_in", 2),
            ("err_out", 10),
            ("drop_in", 3),
            ("drop_out", 11),
        ];
        FIELDS
            .iter()
            .map(|(field, at)| (*field, self.counters[*at]))
    }
}

/// The interfaces. Lines that are not understood, such as the headings, are left out.
pub(super) fn interfaces(text: &str) -> impl Iterator<Item = Interface<'_>> {
    text.lines().filter_map(|line| {
        // The name may hold colons itself (`eth0:1`), the counters never do.
        let (name, numbers) = line.rsplit_once(':')?;
        let mut words = numbers.split_ascii_whitespace();
        let mut counters = [0; 16];
        for counter in &mut counters {
            *counter = words.next()?.parse().ok()?;
        }
        Some(Interface {
            name: name.trim(),
            counters,
        })
    })
}

/// A number such as `0x1003`.
pub(super) fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// The counters of `/proc/net/snmp` or `/proc/net/netstat` as protocol, name and value. A line with
/// the names is followed by one with the values; both begin with the protocol.
pub(crate) fn counters(text: &str) -> impl Iterator<Item = (&str, &str, i64)> {
    let mut lines = text.lines();
    let pairs = std::iter::from_fn(move || Some((lines.next()?, lines.next()?)));
    pairs.flat_map(|(names, values)| {
        let (names, values) = (names.split_once(':'), values.split_once(':'));
        let fits = match (names, values) {
            (Some((protocol, names)), Some((same, values))) if protocol == same => {
                Some((protocol, names, values))
            }
            _ => None,
        };
        fits.into_iter().flat_map(|(protocol, names, values)| {
            let pairs = names
                .split_ascii_whitespace()
                .zip(values.split_ascii_whitespace());
            pairs.filter_map(move |(name, value)| Some((protocol, name, value.parse().ok()?)))
        })
    })
}
