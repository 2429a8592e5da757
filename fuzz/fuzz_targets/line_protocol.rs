//! Any bytes as line protocol: nothing panics, what is parsed is well formed and can be written.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/muster-metric/tests/all/invariants.rs"]
#[allow(dead_code, reason = "the other target calls the rest")]
mod invariants;

fuzz_target!(|input: &[u8]| invariants::parsing_and_writing(input));
