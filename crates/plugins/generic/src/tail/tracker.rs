//! How far each file was sent, and how far what was sent was dealt with.

use std::collections::{HashMap, VecDeque};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// A file, whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }
}

/// The place of some sent lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    file: FileId,
    /// Which life of the file: it begins a new one when it is cut short.
    life: u64,
    place: u64,
}

/// Where to go on in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) offset: u64,
    /// The file's first bytes, to know it again.
    pub(super) head: Vec<u8>,
    /// Whether it was followed by this process; otherwise it was read from disk.
    pub(super) live: bool,
}

/// All files of one input. Shared with the input's next generation and with what is under way.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    files: Mutex<HashMap<FileId, Tracked>>,
    lives: AtomicU64,
    changed: Notify,
}

#[derive(Debug)]
struct Tracked {
    path: PathBuf,
    head: Vec<u8>,
    live: bool,
    life: u64,
    sent: u64,
    delivered: u64,
    /// The place of the first one under way.
    first: u64,
    under_way: VecDeque<Sent>,
    /// No longer followed; forgotten when nothing is under way.
    gone: bool,
}

#[derive(Debug)]
struct Sent {
    end: u64,
    handed_on: bool,
    dealt_with: bool,
}

impl Tracker {
    /// Where to go on in a file, if it is known.
    pub(super) fn position(&self, file: FileId) -> Option<Position> {
        let files = self.files.lock();
        let known = files.get(&file)?;
        Some(Position {
            offset: known.sent,
            head: known.head.clone(),
            live: known.live,
        })
    }

    /// The files that were read from disk and are not followed yet.
    pub(super) fn waiting(&self) -> Vec<(FileId, PathBuf)> {
        let files = self.files.lock();
        let waiting = files.iter().filter(|(_, known)| !known.live);
        waiting
            .map(|(id, known)| (*id, known.path.clone()))
            .collect()
    }

    /// Begins to follow a file at `offset`, and says which life of the file that is. If it goes on
    /// where it was sent to, it is the same one and what is under way still counts.
    pub(super) fn begin(&self, file: FileId, path: &Path, offset: u64, head: &[u8]) -> u64 {
        let mut files = self.files.lock();
        let fresh = || Tracked::new(path, offset, self.new_life());
        let known = files.entry(file).or_insert_with(fresh);
        if known.sent != offset {
            *known = fresh();
        }
        known.path = path.to_owned();
        known.head = head.to_vec();
        (known.live, known.gone) = (true, false);
        let life = known.life;
        drop(files);
        self.changed.notify_one();
        life
    }

    /// Begins a file anew that was cut short; as [`begin`](Self::begin).
    pub(super) fn begin_again(&self, file: FileId, path: &Path, head: &[u8]) -> u64 {
        self.files.lock().remove(&file);
        self.begin(file, path, 0, head)
    }

    fn new_life(&self) -> u64 {
        self.lives.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes more of a file's first bytes, or its new name.
    pub(super) fn describe(&self, file: FileId, path: &Path, head: &[u8]) {
        if let Some(known) = self.files.lock().get_mut(&file) {
            known.path = path.to_owned();
            known.head = head.to_vec();
        }
    }

    /// The file is no longer followed.
    pub(super) fn forget(&self, file: FileId) {
        let mut files = self.files.lock();
        if let Some(known) = files.get_mut(&file) {
            known.gone = true;
            if known.under_way.is_empty() {
                files.remove(&file);
            }
        }
        drop(files);
        self.changed.notify_one();
    }

    /// Notes that everything up to `end` is being sent. It counts as delivered when it was both
    /// handed on to the pipeline and dealt with there.
    pub(super) fn send(&self, file: FileId, life: u64, end: u64) -> Ticket {
        let mut files = self.files.lock();
        // What was read before the file was cut short is no longer in it.
        let Some(known) = files.get_mut(&file).filter(|known| known.life == life) else {
            return Ticket {
                file,
                life: u64::MAX,
                place: 0,
            };
        };
        known.sent = known.sent.max(end);
        known.under_way.push_back(Sent {
            end,
            handed_on: false,
            dealt_with: false,
        });
        let place = known.first + known.under_way.len() as u64 - 1;
        Ticket { file, life, place }
    }

    pub(super) fn handed_on(&self, ticket: Ticket) {
        self.update(ticket, |sent| sent.handed_on = true);
    }

    pub(super) fn dealt_with(&self, ticket: Ticket) {
        self.update(ticket, |sent| sent.dealt_with = true);
    }

    fn update(&self, ticket: Ticket, change: impl FnOnce(&mut Sent)) {
        let mut files = self.files.lock();
        let Some(known) = files
            .get_mut(&ticket.file)
            .filter(|known| known.life == ticket.life)
        else {
            return;
        };
        let place = ticket.place.checked_sub(known.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some(sent) = place.and_then(|place| known.under_way.get_mut(place)) {
            change(sent);
        }
        let before = known.delivered;
        while let Some(sent) = known.under_way.front()
            && sent.handed_on
            && sent.dealt_with
        {
            known.delivered = sent.end;
            known.under_way.pop_front();
            known.first += 1;
        }
        let moved = known.delivered != before;
        if known.gone && known.under_way.is_empty() {
            files.remove(&ticket.file);
        }
        drop(files);
        if moved {
            self.changed.notify_one();
        }
    }

    /// Waits until there is a new state to save.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What was delivered, to save.
    pub(super) fn state(&self) -> Value {
        let files = self.files.lock();
        let mut saved: Vec<_> = files
            .iter()
            .map(|(id, known)| {
                json!({
                    "path": known.path.to_string_lossy(),
                    "device": id.device,
                    "inode": id.inode,
                    "offset": known.delivered,
                    "head": known.head,
                })
            })
            .collect();
        saved.sort_by_cached_key(ToString::to_string);
        json!({ "files": saved })
    }

    /// Takes over what was saved, for files that this process does not know better.
    pub(super) fn restore(&self, state: &Value) {
        let Some(saved) = state.get("files").and_then(Value::as_array) else {
            return;
        };
        let mut files = self.files.lock();
        for file in saved {
            let number = |key: &str| file.get(key).and_then(Value::as_u64);
            let (Some(device), Some(inode), Some(offset)) =
                (number("device"), number("inode"), number("offset"))
            else {
                continue;
            };
            let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
            let head = file
                .get("head")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let byte = |value: &Value| u8::try_from(value.as_u64()?).ok();
            let known = Tracked {
                head: head.iter().filter_map(byte).collect(),
                live: false,
                ..Tracked::new(Path::new(path), offset, self.new_life())
            };
            files.entry(FileId { device, inode }).or_insert(known);
        }
    }
}

impl Tracked {
    fn new(path: &Path, offset: u64, life: u64) -> Self {
        Self {
            path: path.to_owned(),
            head: Vec::new(),
            live: true,
            life,
            sent: offset,
            delivered: offset,
            first: 0,
            under_way: VecDeque::new(),
            gone: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId {
        device: 1,
        inode: 2,
    };

    fn delivered(tracker: &Tracker) -> Option<u64> {
        tracker.state()["files"][0]["offset"].as_u64()
    }

    #[test]
    fn only_what_was_delivered_without_a_gap_counts() {
        let tracker = Tracker::default();
        let life = tracker.begin(FILE, Path::new("f"), 10, b"head");
        let tickets = [20, 30, 40].map(|end| tracker.send(FILE, life, end));
        assert_eq!(tracker.position(FILE).map(|p| p.offset), Some(40));
        tickets.iter().for_each(|ticket| tracker.handed_on(*ticket));
        tracker.dealt_with(tickets[1]);
        assert_eq!(delivered(&tracker), Some(10));
        tracker.dealt_with(tickets[0]);
        assert_eq!(delivered(&tracker), Some(30));
        tracker.dealt_with(tickets[2]);
        assert_eq!(delivered(&tracker), Some(40));
    }

    #[test]
    fn what_was_dropped_on_the_way_does_not_count() {
        let tracker = Tracker::default();
        let life = tracker.begin(FILE, Path::new("f"), 0, b"");
        let ticket = tracker.send(FILE, life, 5);
        tracker.dealt_with(ticket);
        assert_eq!(delivered(&tracker), Some(0));
        tracker.handed_on(ticket);
        assert_eq!(delivered(&tracker), Some(5));
    }

    #[test]
    fn a_new_life_knows_nothing_of_the_old() {
        let tracker = Tracker::default();
        let life = tracker.begin(FILE, Path::new("f"), 0, b"");
        let old = tracker.send(FILE, life, 50);
        let life = tracker.begin_again(FILE, Path::new("f"), b"new");
        let stale = tracker.send(FILE, life - 1, 60);
        for ticket in [old, stale] {
            tracker.handed_on(ticket);
            tracker.dealt_with(ticket);
        }
        assert_eq!(delivered(&tracker), Some(0));
    }

    #[test]
    fn the_next_generation_goes_on() {
        let tracker = Tracker::default();
        let life = tracker.begin(FILE, Path::new("f"), 0, b"");
        let ticket = tracker.send(FILE, life, 50);
        assert_eq!(tracker.begin(FILE, Path::new("f"), 50, b""), life);
        tracker.handed_on(ticket);
        tracker.dealt_with(ticket);
        assert_eq!(delivered(&tracker), Some(50));
    }

    #[test]
    fn a_file_that_is_gone_is_known_until_all_is_delivered() {
        let tracker = Tracker::default();
        let life = tracker.begin(FILE, Path::new("f"), 0, b"");
        let ticket = tracker.send(FILE, life, 5);
        tracker.forget(FILE);
        assert_eq!(delivered(&tracker), Some(0));
        tracker.handed_on(ticket);
        tracker.dealt_with(ticket);
        assert_eq!(delivered(&tracker), None);
    }

    #[test]
    fn saves_and_restores() {
        let first = Tracker::default();
        first.begin(FILE, Path::new("/f"), 7, b"ab");
        let second = Tracker::default();
        second.restore(&first.state());
        assert_eq!(second.waiting(), [(FILE, PathBuf::from("/f"))]);
        let want = Position {
            offset: 7,
            head: b"ab".to_vec(),
            live: false,
        };
        assert_eq!(second.position(FILE), Some(want));
        second.restore(&json!({ "files": [1, { "device": 1 }, null] }));
    }
}
