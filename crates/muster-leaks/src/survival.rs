//! What dumps add to the counts: who survives, who started them, how long they wait.

use foldhash::{HashMap, HashMapExt};
use jiff::{SignedDuration, Timestamp};

use crate::ignore::IgnoreRule;
use crate::profile::{Frame, Ids, Profile, WaitClass};
use crate::site::{Site, groups};

/// What a dump says of one site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) count: u64,
    /// How many wait on a nil channel.
    pub(crate) nil: u64,
    /// How many are marked as leaked.
    pub(crate) leaked: u64,
    pub(crate) ids: Ids,
    /// The longest wait in minutes; 0 if none is shown.
    pub(crate) oldest: u64,
    /// How many goroutines wait on the same object as the most others do, as far as it shows.
    pub(crate) same_object: u64,
    creators: HashMap<Frame, u64>,
}

impl Seen {
    /// The `go` statement that started most of them.
    pub(crate) fn creator(&self) -> Option<&Frame> {
        let most = self
            .creators
            .iter()
            .max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)));
        most.map(|(frame, _)| frame)
    }
}

/// One dump, by site.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: Timestamp,
    pub(crate) sites: HashMap<Site, Seen>,
    /// The longest wait of any goroutine, in minutes.
    pub(crate) oldest: u64,
}

impl Look {
    pub(crate) fn new(at: Timestamp, dump: &Profile, rules: &[IgnoreRule]) -> Self {
        let mut look = Self {
            at,
            sites: HashMap::new(),
            oldest: 0,
        };
        for group in groups(dump, rules) {
            let seen = look.sites.entry(Site::of(group)).or_default();
            seen.count += group.count;
            if group.class == WaitClass::NilChannel {
                seen.nil += group.count;
            }
            if group.leaked {
                seen.leaked += group.count;
            }
            seen.ids.absorb(&group.ids);
            seen.oldest = seen.oldest.max(group.minutes.oldest);
            let most = group.objects.counts.iter().map(|(_, count)| *count).max();
            seen.same_object = seen.same_object.max(most.unwrap_or(0));
            if let Some(creator) = &group.created_by {
                *seen.creators.entry(creator.clone()).or_default() += group.count;
            }
            look.oldest = look.oldest.max(group.minutes.oldest);
        }
        look
    }

    /// What is known of a site. Where a profile could not tell what is waited for, the line is
    /// enough.
    pub(crate) fn site(&self, site: &Site) -> Option<(&Site, &Seen)> {
        if site.class != WaitClass::Unknown {
            return self.sites.get_key_value(site);
        }
        let at_line = self
            .sites
            .iter()
            .filter(|(other, _)| other.frame == site.frame);
        at_line.max_by_key(|(_, seen)| seen.count)
    }
}

/// Who of an earlier dump's goroutines is still at the same site in a later one.
///
/// IDs are never given twice, so one that is there again is the same goroutine. Of those that wait
/// for a request or a job, few are: they have been answered since, or wait elsewhere. Of those that
/// leak, all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Survival {
    /// Of so many goroutines that were looked at
    pub(crate) of: usize,
    /// so many are still there
    pub(crate) alive: usize,
    /// after this time.
    pub(crate) after: SignedDuration,
    /// How many were there in all at the earlier dump.
    count: u64,
}

impl Survival {
    /// At least so many are looked at.
    const FEWEST: usize = 4;

    pub(crate) fn between(earlier: (Timestamp, &Seen), later: (Timestamp, &Seen)) -> Option<Self> {
        let (alive, of) = earlier.1.ids.survivors(&later.1.ids);
        (of >= Self::FEWEST).then(|| Self {
            of,
            alive,
            after: later.0.duration_since(earlier.0),
            count: earlier.1.count,
        })
    }

    /// Whether nearly all survive, as those of a leak do: all but one of twenty.
    pub(crate) fn stay(self) -> bool {
        (self.of - self.alive) * 20 <= self.of
    }

    /// Whether most survive: four of five.
    pub(crate) fn most_stay(self) -> bool {
        self.alive * 5 >= self.of * 4
    }

    /// Whether a leak would have left more: it leaves the lowest count around the earlier dump, of
    /// which a part may have come and gone all the same.
    pub(crate) fn refutes(self, lowest: u64) -> bool {
        let survivors = self.alive as f64 / self.of as f64 * self.count as f64;
        survivors < 0.85 * lowest as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Format, Group, Stack};

    fn dump(ids: impl IntoIterator<Item = u64>) -> Profile {
        let stack = Stack::new(vec![Frame::new("main.f", "f.go", 3)]);
        let ids: Vec<u64> = ids.into_iter().collect();
        let mut group = Group::new(ids.len() as u64, stack, WaitClass::Send);
        group.ids = ids.into_iter().collect();
        group.created_by = Some(Frame::new("main.main", "f.go", 9));
        let mut profile = Profile::empty(Format::Dump, "goroutine");
        profile.groups = vec![group];
        profile
    }

    #[test]
    fn a_leak_survives_and_requests_do_not() {
        let look = |minute: i64, ids: Vec<u64>| {
            Look::new(
                Timestamp::from_second(minute * 60).unwrap(),
                &dump(ids),
                &[],
            )
        };
        let check = |before: Vec<u64>, after: Vec<u64>, expected: Option<(bool, bool)>| {
            let (before, after) = (look(0, before), look(2, after));
            let site = before.sites.keys().next().unwrap();
            let survival = Survival::between(
                (before.at, before.site(site).unwrap().1),
                (after.at, after.site(site).unwrap().1),
            );
            let lowest = before.sites[site].count * 4 / 5;
            assert_eq!(survival.map(|s| (s.stay(), s.refutes(lowest))), expected);
        };
        check((1..50).collect(), (1..90).collect(), Some((true, false)));
        check((1..500).collect(), (1..900).collect(), Some((true, false)));
        check(
            (1..500).collect(),
            (300..900).collect(),
            Some((false, true)),
        );
        check((1..50).collect(), (40..90).collect(), Some((false, true)));
        check((1..50).collect(), (10..90).collect(), Some((false, false)));
        check(vec![1, 2], vec![1, 2], None);
    }

    #[test]
    fn a_line_is_enough_where_the_class_is_hidden() {
        let look = Look::new(Timestamp::UNIX_EPOCH, &dump([1, 2, 3]), &[]);
        let frame = Frame::new("main.f", "f.go", 3);
        let site = |class| Site {
            class,
            frame: frame.clone(),
        };
        assert!(look.site(&site(WaitClass::Unknown)).is_some());
        assert!(look.site(&site(WaitClass::Receive)).is_none());
        let (_, seen) = look.site(&site(WaitClass::Send)).unwrap();
        assert_eq!(seen.creator().unwrap().line, 9);
    }
}
