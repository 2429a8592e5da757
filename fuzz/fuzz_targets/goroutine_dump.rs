//! Any bytes as a dump: every goroutine is in a group or counted beside, and where the bytes are
//! cut into pieces changes nothing. The first byte says where.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_leaks::DumpReader;

fuzz_target!(|input: &[u8]| {
    let Some((size, dump)) = input.split_first() else {
        return;
    };
    let mut whole = DumpReader::new();
    whole.feed(dump);
    let whole = whole.finish();
    let grouped: u64 = whole.groups.iter().map(|group| group.count).sum();
    assert_eq!(grouped + whole.ungrouped, whole.total);
    let mut pieces = DumpReader::new();
    dump.chunks(usize::from(*size) + 1)
        .for_each(|piece| pieces.feed(piece));
    assert_eq!(pieces.finish(), whole);
});
