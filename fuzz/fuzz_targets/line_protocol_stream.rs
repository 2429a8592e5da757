//! Any bytes as a stream of line protocol: cutting it into pieces changes nothing. The first
//! bytes say where it is cut and how long a line may be.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/muster-metric/tests/all/invariants.rs"]
#[allow(dead_code, reason = "the other target calls the rest")]
mod invariants;

fuzz_target!(|input: &[u8]| {
    if let Some(([limit, pieces @ ..], stream)) = input.split_first_chunk::<4>() {
        let pieces = pieces.map(|piece| usize::from(piece) + 1);
        invariants::cutting(stream, &pieces, usize::from(*limit) + 8);
    }
});
