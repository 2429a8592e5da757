//! A simulated Go process: goroutines with IDs at lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::profile::{Format, Frame, Group, Profile, Stack, WaitClass};

/// At line `n` of `main.go`, in `main.site<n>`, started in line `n + 1000`.
#[derive(Default)]
pub(super) struct Process {
    sites: BTreeMap<u32, (WaitClass, Vec<u64>)>,
    next_id: u64,
    pub(super) build_id: Option<Arc<str>>,
}

impl Process {
    /// Sets how many goroutines are at a line; `same` is the share of them that stay the same,
    /// evenly from all ages.
    pub(super) fn set(&mut self, line: u32, class: WaitClass, count: usize, same: f64) {
        let (known, ids) = self.sites.entry(line).or_insert((class, Vec::new()));
        *known = class;
        let mut credit = 0.0;
        ids.retain(|_| {
            credit += same;
            let stays = credit >= 1.0;
            credit -= f64::from(u8::from(stays));
            stays
        });
        ids.truncate(count);
        while ids.len() < count {
            self.next_id += 1;
            ids.push(self.next_id);
        }
    }

    /// Lets the leak at a line grow to `leaked` goroutines, and as many new ones pass there.
    pub(super) fn leak(&mut self, line: u32, class: WaitClass, leaked: usize, passing: usize) {
        let ids = self.sites.entry(line).or_insert((class, Vec::new()));
        let stuck = (ids.1.len() as u64).min(leaked as u64) as usize;
        ids.1.truncate(stuck);
        self.set(line, class, leaked, 1.0);
        let (_, ids) = self.sites.get_mut(&line).unwrap();
        for _ in 0..passing {
            self.next_id += 1;
            ids.push(self.next_id);
        }
    }

    pub(super) fn profile(&self) -> Profile {
        let groups = self.sites.iter().map(|(line, (class, ids))| {
            let class = match class {
                WaitClass::NilChannel => WaitClass::Receive,
                class => *class,
            };
            group(*line, class, ids)
        });
        let mut profile = self.of(Format::Binary, "goroutine", groups.collect());
        profile.build_id.clone_from(&self.build_id);
        profile
    }

    pub(super) fn dump(&self) -> Profile {
        let groups = self.sites.iter().map(|(line, (class, ids))| {
            let mut group = group(*line, *class, ids);
            group.ids = ids.iter().copied().collect();
            group.created_by = Some(Frame::new("main.start", "main.go", line + 1000));
            group
        });
        self.of(Format::Dump, "goroutine", groups.collect())
    }

    pub(super) fn leak_profile(&self, lines: &[u32]) -> Profile {
        let leaked = self.sites.iter().filter(|(line, _)| lines.contains(line));
        let groups = leaked.map(|(line, (class, ids))| {
            let mut group = group(*line, *class, ids);
            group.leaked = true;
            group
        });
        self.of(Format::Binary, "goroutineleak", groups.collect())
    }

    fn of(&self, format: Format, kind: &str, groups: Vec<Group>) -> Profile {
        let mut profile = Profile::empty(format, kind);
        profile.total = groups.iter().map(|group| group.count).sum();
        profile.groups = groups;
        profile.groups.retain(|group| group.count > 0);
        profile
    }
}

fn group(line: u32, class: WaitClass, ids: &[u64]) -> Group {
    let frame = Frame::new(format!("main.site{line}"), "main.go", line);
    Group::new(ids.len() as u64, Stack::new(vec![frame]), class)
}
