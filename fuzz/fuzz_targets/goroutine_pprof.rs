//! Any bytes as a profile of whatever form: nothing panics, nobody is lost.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_leaks::Profile;

fuzz_target!(|input: &[u8]| {
    if let Ok(profile) = Profile::read(input) {
        let counts = profile.groups.iter().map(|group| group.count);
        let all = counts.fold(profile.ungrouped, u64::saturating_add);
        assert_eq!(all, profile.total);
    }
});
