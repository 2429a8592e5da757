//! Waiting for something to happen to files.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_tasks::BlockingCtx;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// How soon a thread that waits notices that it is to end.
const ATTENTION: Duration = Duration::from_millis(100);

/// Wakes when files change.
#[derive(Debug)]
pub(super) enum Watch {
    /// The kernel tells.
    Inotify {
        queue: OwnedFd,
        folders: HashMap<i32, PathBuf>,
    },
    /// Nobody tells.
    Poll,
}

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// Files that were written to.
    pub(super) written: HashSet<PathBuf>,
    /// Files that were renamed, from and to, in order.
    pub(super) renamed: Vec<(PathBuf, PathBuf)>,
    /// Files came, went or were renamed, or nothing is known for certain.
    pub(super) look_around: bool,
}

impl Watch {
    /// Asks the kernel to tell; where that is not to be had, polls.
    pub(super) fn new(ask: bool) -> Self {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        match inotify::init(flags) {
            Ok(queue) if ask => Self::Inotify {
                queue,
                folders: HashMap::new(),
            },
            _ => Self::Poll,
        }
    }

    /// Watches what happens in a folder, too.
    pub(super) fn add(&mut self, folder: &Path) {
        let Self::Inotify { queue, folders } = self else {
            return;
        };
        let here = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        if folders.values().any(|known| known == folder) {
            return;
        }
        let what = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO;
        // A folder that is not there (yet) is looked at each round.
        if let Ok(number) = inotify::add_watch(&*queue, here, what) {
            folders.insert(number, folder.to_owned());
        }
    }

    /// Waits until something happens, at most so long, or until the thread is to end.
    pub(super) fn wait(&mut self, most: Duration, thread: &BlockingCtx) -> Wake {
        let until = Instant::now() + most;
        let Self::Inotify { queue, folders } = self else {
            let _ = thread.sleep(most);
            return Wake {
                look_around: true,
                ..Wake::default()
            };
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || thread.is_cancelled() {
                return Wake {
                    look_around: true,
                    ..Wake::default()
                };
            }
            let step = left.min(ATTENTION);
            let step = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(step.subsec_nanos()),
            };
            let mut queues = [PollFd::new(&*queue, PollFlags::IN)];
            if poll(&mut queues, Some(&step)).is_ok_and(|ready| ready > 0) {
                return read(queue, folders);
            }
        }
    }
}

fn read(queue: &OwnedFd, folders: &mut HashMap<i32, PathBuf>) -> Wake {
    let mut wake = Wake::default();
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut events = inotify::Reader::new(queue, &mut buffer);
    // The half of a rename whose other half is to follow.
    let mut from: Option<(u32, PathBuf)> = None;
    while let Ok(event) = events.next() {
        if event.events().contains(ReadFlags::IGNORED) {
            folders.remove(&event.wd());
        }
        let file = event
            .file_name()
            .map(|name| OsStr::from_bytes(name.to_bytes()));
        let path = folders
            .get(&event.wd())
            .zip(file)
            .map(|(folder, file)| folder.join(file));
        match path {
            Some(path) if event.events() == ReadFlags::MODIFY => {
                wake.written.insert(path);
                continue;
            }
            Some(path) if event.events().contains(ReadFlags::MOVED_FROM) => {
                from = Some((event.cookie(), path));
            }
            Some(path) if event.events().contains(ReadFlags::MOVED_TO) => {
                let before = from.take().filter(|(cookie, _)| *cookie == event.cookie());
                wake.renamed
                    .extend(before.map(|(_, before)| (before, path)));
            }
            _ => {}
        }
        wake.look_around = true;
    }
    wake
}
