//! Sites: the places where goroutines wait, which is what all statistics are kept for.

use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashMapExt};
use serde::Serialize;

use crate::ignore::IgnoreRule;
use crate::profile::{Frame, Group, Profile, Stack, WaitClass};

/// What a goroutine waits for and the line that says so.
///
/// The line is that of the first frame outside the runtime and the packages that only carry a
/// wait on: of a `sync.Mutex` it is the call of `Lock`, of a read from the
/// network the first function that is not of `net`, `net/http`, `crypto/tls`, `bufio` or `io`. If
/// all frames are of these, it is the outermost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// What is waited for. A nil channel is [`WaitClass::Send`] or [`WaitClass::Receive`] here,
    /// as in profiles that cannot tell it.
    pub class: WaitClass,
    /// The blocking line.
    pub frame: Frame,
}

impl Site {
    /// The site of a group.
    pub fn of(group: &Group) -> Self {
        let class = match group.class {
            WaitClass::NilChannel => {
                let sends = group.reason.as_deref().is_some_and(|r| r.contains("send"));
                if sends {
                    WaitClass::Send
                } else {
                    WaitClass::Receive
                }
            }
            class => class,
        };
        Self {
            class,
            frame: blocking_frame(&group.stack, class),
        }
    }
}

/// A line of source code, for reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
pub struct Place {
    /// The function with its package.
    pub function: String,
    /// The source file as the compiler wrote it.
    pub file: String,
    /// The line; 0 if it is not known.
    pub line: u32,
}

impl From<&Frame> for Place {
    fn from(frame: &Frame) -> Self {
        Self {
            function: frame.function.as_ref().to_owned(),
            file: frame.file.as_ref().to_owned(),
            line: frame.line,
        }
    }
}

/// `file:line function`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {}", self.file, self.line, self.function)
    }
}

const PLUMBING: [&str; 5] = ["runtime", "sync", "time", "reflect", "internal"];
const IO_PLUMBING: [&str; 6] = ["net", "net/http", "crypto/tls", "bufio", "io", "syscall"];
/// Libraries in which everybody waits for somebody else: the line of interest is the caller's.
const WAITERS: [&str; 3] = [
    "golang.org/x/sync/semaphore",
    "golang.org/x/sync/singleflight",
    "golang.org/x/sync/errgroup",
];

fn is_plumbing(package: &str, class: WaitClass) -> bool {
    let first = package.split('/').next().unwrap_or_default();
    let io = matches!(class, WaitClass::IoWait | WaitClass::Syscall);
    PLUMBING.contains(&first)
        || package.starts_with("vendor/")
        || WAITERS.contains(&package)
        || (io && IO_PLUMBING.contains(&package))
}

fn blocking_frame(stack: &Stack, class: WaitClass) -> Frame {
    let visible = |frame: &&Frame| !is_plumbing(frame.package(), class);
    stack
        .iter()
        .find(visible)
        .or_else(|| stack.last())
        .cloned()
        .unwrap_or_else(|| Frame::new("", "", 0))
}

/// What one profile says of one site.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Goroutines.
    pub(crate) count: u64,
    /// How many of them are proved to be leaked.
    pub(crate) leaked: u64,
    /// How many wait on a nil channel.
    pub(crate) nil: u64,
    /// Different stacks; the largest is `sample`.
    pub(crate) variants: usize,
    /// The stack of the largest group.
    pub(crate) sample: Stack,
    sample_count: u64,
}

/// The sites of a profile with what is there, without what takes the profile, the runtime's own
/// and the groups that a rule hides.
pub(crate) fn tally(profile: &Profile, rules: &[IgnoreRule]) -> HashMap<Site, Tally> {
    let mut sites: HashMap<Site, Tally> = HashMap::new();
    for group in groups(profile, rules) {
        let nil = match group.class {
            WaitClass::NilChannel => group.count,
            _ => 0,
        };
        let leaked = if group.leaked { group.count } else { 0 };
        match sites.entry(Site::of(group)) {
            Entry::Vacant(place) => {
                place.insert(Tally {
                    count: group.count,
                    leaked,
                    nil,
                    variants: 1,
                    sample: group.stack.clone(),
                    sample_count: group.count,
                });
            }
            Entry::Occupied(mut place) => {
                let tally = place.get_mut();
                tally.count += group.count;
                tally.leaked += leaked;
                tally.nil += nil;
                tally.variants += 1;
                if group.count > tally.sample_count {
                    tally.sample = group.stack.clone();
                    tally.sample_count = group.count;
                }
            }
        }
    }
    sites
}

/// The groups of a profile that count: see [`tally`].
pub(crate) fn groups<'a>(
    profile: &'a Profile,
    rules: &'a [IgnoreRule],
) -> impl Iterator<Item = &'a Group> {
    profile
        .groups
        .iter()
        .filter(|group| group.class != WaitClass::Runtime && !group.takes_profile())
        .filter(|group| !rules.iter().any(|rule| rule.hides_group(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[&str]) -> Stack {
        functions
            .iter()
            .zip(1..)
            .map(|(function, line)| Frame::new(*function, "f.go", line))
            .collect()
    }

    #[test]
    fn the_blocking_line_is_the_first_that_is_not_plumbing() {
        let check = |class, functions: &[&str], line| {
            let group = Group::new(1, stack(functions), class);
            assert_eq!(Site::of(&group).frame.line, line, "{functions:?}");
        };
        check(WaitClass::Send, &["main.f", "main.main"], 1);
        check(
            WaitClass::Mutex,
            &[
                "internal/sync.(*Mutex).lockSlow",
                "sync.(*Mutex).Lock",
                "a.io/b.F",
            ],
            3,
        );
        let serve = [
            "internal/poll.(*FD).Read",
            "net.(*conn).Read",
            "net/http.(*conn).serve",
        ];
        check(WaitClass::IoWait, &serve, 3);
        check(
            WaitClass::IoWait,
            &["bufio.(*Reader).Peek", "a.io/b.F", "main.main"],
            2,
        );
        check(WaitClass::Select, &["net/http.(*persistConn).readLoop"], 1);
        check(
            WaitClass::Select,
            &["golang.org/x/sync/semaphore.(*Weighted).Acquire", "main.f"],
            2,
        );
        // `syncthing` is no package of `sync`.
        check(WaitClass::Receive, &["syncthing/lib.F", "main.main"], 1);
    }

    #[test]
    fn a_nil_channel_is_counted_at_the_site_of_its_operation() {
        let mut group = Group::new(3, stack(&["main.f"]), WaitClass::NilChannel);
        group.reason = Some("chan send (nil chan)".into());
        let other = Group::new(2, stack(&["main.f"]), WaitClass::Send);
        let mut profile = Profile::empty(crate::Format::Dump, "goroutine");
        profile.groups = vec![group, other];
        let sites = tally(&profile, &[]);
        assert_eq!(sites.len(), 1);
        let tally = sites.into_values().next().unwrap();
        assert_eq!((tally.count, tally.nil, tally.variants), (5, 3, 2));
    }
}
