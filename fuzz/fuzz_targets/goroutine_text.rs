//! Any bytes behind the head of grouped text: every goroutine is in a group or counted beside.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_leaks::Profile;

fuzz_target!(|input: &[u8]| {
    let text = [b"goroutine profile: total 5\n", input].concat();
    let profile = Profile::read(&text).expect("the head is good");
    let grouped = profile
        .groups
        .iter()
        .fold(0_u64, |sum, group| sum.saturating_add(group.count));
    assert_eq!(profile.total - profile.ungrouped, grouped);
});
