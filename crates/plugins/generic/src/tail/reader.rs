//! The thread that finds files and reads them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_plugin::PluginError;
use muster_tasks::BlockingCtx;
use tokio::sync::mpsc;

use super::follow::{FileName, Followed, Next, Piece};
use super::tracker::{FileId, Tracker};
use super::watch::{Wake, Watch};
use super::{Start, Tail, WatchMethod};
use crate::encoding::Encoding;
use crate::paths::FilePattern;

/// How often everything is looked at where the kernel tells of changes.
const ROUND: Duration = Duration::from_secs(1);

/// How often everything is looked at where it does not.
const POLL: Duration = Duration::from_millis(250);

/// At most so many lines make one piece.
const LINES: usize = 1000;

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Event {
    Piece(Piece),
    /// No more comes of this life of a file; and whether the file itself is let go.
    Ended(Arc<FileName>, bool),
    Problem(PluginError),
}

/// The input's task has ended.
struct Stopped;

pub(super) struct Reader {
    patterns: Vec<FilePattern>,
    encoding: Encoding,
    start: Start,
    is_pipe: bool,
    lines: usize,
    tracker: Arc<Tracker>,
    events: mpsc::Sender<Event>,
    watch: Watch,
    every: Duration,
    followed: Vec<Followed>,
    /// The last problem with a file, so that it is told once.
    problems: HashMap<PathBuf, String>,
    is_first_round: bool,
}

impl Reader {
    pub(super) fn new(tail: &Tail, tracker: Arc<Tracker>, events: mpsc::Sender<Event>) -> Self {
        let options = &tail.options;
        let asks = options.watch_method == WatchMethod::Inotify && !options.pipe;
        Self {
            patterns: tail.patterns.clone(),
            encoding: options.character_encoding,
            start: options.initial_read_offset,
            is_pipe: options.pipe,
            lines: LINES.min(options.max_undelivered_lines as usize),
            tracker,
            events,
            watch: Watch::new(asks),
            every: if asks { ROUND } else { POLL },
            followed: Vec::new(),
            problems: HashMap::new(),
            is_first_round: true,
        }
    }

    /// Works until the thread is to end.
    pub(super) fn run(mut self, thread: &BlockingCtx) {
        let _ = self.rounds(thread);
    }

    fn rounds(&mut self, thread: &BlockingCtx) -> Result<(), Stopped> {
        let mut last_look = None;
        let mut wake = Wake {
            look_around: true,
            ..Wake::default()
        };
        while !thread.is_cancelled() {
            self.open_renamed(&wake)?;
            if wake.look_around || last_look.is_none_or(|at: Instant| at.elapsed() >= self.every) {
                self.look_around()?;
                last_look = Some(Instant::now());
            }
            self.read(&wake, thread)?;
            if wake.look_around {
                self.part()?;
                // What has taken a name over is opened at once.
                if self.followed.iter().any(Followed::has_left) {
                    self.look_around()?;
                    self.read(&wake, thread)?;
                }
            }
            wake = self.watch.wait(self.every, thread);
        }
        Ok(())
    }

    fn tell(&self, event: Event) -> Result<(), Stopped> {
        self.events.blocking_send(event).map_err(|_| Stopped)
    }

    /// Finds files and opens new ones.
    fn look_around(&mut self) -> Result<(), Stopped> {
        let mut paths = Vec::new();
        for pattern in &self.patterns {
            // First, so that nothing that happens meanwhile goes unseen.
            self.watch.add(pattern.base());
            // That there is nothing yet is no problem.
            let _ = pattern.find(&mut paths);
        }
        for path in paths {
            let Ok(there) = std::fs::metadata(&path) else {
                continue;
            };
            if there.is_dir() {
                continue;
            }
            let id = FileId::of(&there);
            match self.followed.iter_mut().find(|known| known.name.id == id) {
                None => {
                    // Who had the name before is read to its end first.
                    let before = self.followed.iter_mut().filter(|old| old.name.path == path);
                    before.for_each(Followed::leave);
                    self.open(&path)?;
                }
                Some(known) if known.name.path != path && known.has_lost_name() => {
                    known.rename(&path);
                    self.tracker.describe(id, &path, &known.head);
                }
                Some(_) => {}
            }
        }
        if std::mem::take(&mut self.is_first_round) {
            self.find_renamed()?;
        }
        Ok(())
    }

    /// Opens files that came and were renamed before anybody saw them under their first name.
    fn open_renamed(&mut self, wake: &Wake) -> Result<(), Stopped> {
        let mut renamed: Vec<PathBuf> = Vec::new();
        for (from, to) in &wake.renamed {
            if let Some(known) = renamed.iter_mut().find(|known| *known == from) {
                known.clone_from(to);
            } else if self.patterns.iter().any(|pattern| pattern.matches(from)) {
                renamed.push(to.clone());
            }
        }
        for path in renamed {
            let Ok(there) = std::fs::metadata(&path) else {
                continue;
            };
            let id = FileId::of(&there);
            let is_followed = self.followed.iter().any(|known| known.name.id == id);
            if there.is_file() && !is_followed && self.tracker.position(id).is_none() {
                self.open(&path)?;
                if let Some(opened) = self.followed.iter_mut().find(|known| known.name.id == id) {
                    opened.leave();
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, path: &Path) -> Result<(), Stopped> {
        let opened = Followed::open(path, self.is_pipe);
        match opened.and_then(|file| Ok((file.size()?, file))) {
            Ok((size, mut file)) => {
                self.problems.remove(path);
                let offset = self.offset(&file, size);
                file.seek(offset);
                self.follow(file, offset);
                Ok(())
            }
            Err(error) => {
                let text = error.to_string();
                if self.problems.insert(path.to_owned(), text.clone()) == Some(text) {
                    return Ok(());
                }
                let what = format!("follow {}", path.display());
                self.tell(Event::Problem(PluginError::new(what).because(error)))
            }
        }
    }

    fn follow(&mut self, mut file: Followed, offset: u64) {
        let name = &file.name;
        if let Some(folder) = name.path.parent() {
            self.watch.add(folder);
        }
        let life = self.tracker.begin(name.id, &name.path, offset, &file.head);
        file.set_life(life);
        self.followed.push(file);
    }

    /// Where to begin in a file that was just opened.
    fn offset(&self, file: &Followed, size: u64) -> u64 {
        if self.is_pipe {
            return 0;
        }
        let saved = matches!(self.start, Start::SavedOrBeginning | Start::SavedOrEnd);
        match self
            .tracker
            .position(file.name.id)
            .filter(|known| known.live || saved)
        {
            Some(known) if size >= known.offset && file.begins_with(&known.head) => known.offset,
            // Cut short or written anew while nobody looked.
            Some(_) => 0,
            None => match self.start {
                Start::End | Start::SavedOrEnd if self.is_first_round => size,
                _ => 0,
            },
        }
    }

    /// Files that were renamed while nobody looked: the rest of them is read, too.
    fn find_renamed(&mut self) -> Result<(), Stopped> {
        for (id, path) in self.tracker.waiting() {
            let saved = matches!(self.start, Start::SavedOrBeginning | Start::SavedOrEnd);
            let found = if saved { self.renamed(id, &path) } else { None };
            match found {
                Some((mut file, offset)) => {
                    file.seek(offset);
                    file.leave();
                    self.follow(file, offset);
                }
                None => self.tracker.forget(id),
            }
        }
        Ok(())
    }

    fn renamed(&self, id: FileId, path: &Path) -> Option<(Followed, u64)> {
        let known = self.tracker.position(id)?;
        for entry in std::fs::read_dir(path.parent()?).ok()?.flatten() {
            if entry
                .metadata()
                .is_ok_and(|there| there.is_file() && FileId::of(&there) == id)
            {
                let file = Followed::open(&entry.path(), false).ok()?;
                let fits = file.size().ok()? >= known.offset && file.begins_with(&known.head);
                return fits.then_some((file, known.offset));
            }
        }
        None
    }

    /// Reads what there is: first what has left its name to others, then the others in turn.
    fn read(&mut self, wake: &Wake, thread: &BlockingCtx) -> Result<(), Stopped> {
        for index in 0..self.followed.len() {
            while self.followed[index].has_left() && self.read_one(index)? {
                if thread.is_cancelled() {
                    return Err(Stopped);
                }
            }
        }
        let meant = |file: &Followed| wake.look_around || wake.written.contains(&file.name.path);
        let mut busy: Vec<usize> = (0..self.followed.len())
            .filter(|index| meant(&self.followed[*index]))
            .collect();
        while !busy.is_empty() && !thread.is_cancelled() {
            let mut still_busy = Vec::new();
            for index in busy {
                if self.read_one(index)? {
                    still_busy.push(index);
                }
            }
            busy = still_busy;
        }
        Ok(())
    }

    /// Reads a piece of a file; whether there may be more.
    fn read_one(&mut self, index: usize) -> Result<bool, Stopped> {
        let file = &mut self.followed[index];
        let knew = file.head.len();
        match file.next(self.encoding, self.lines) {
            Ok(Next::Piece(piece)) => {
                if file.head.len() != knew {
                    self.tracker
                        .describe(file.name.id, &file.name.path, &file.head);
                }
                self.tell(Event::Piece(piece))?;
                Ok(true)
            }
            Ok(Next::Nothing) => Ok(false),
            Ok(Next::Truncated) => {
                self.restart(index)?;
                Ok(true)
            }
            Err(error) => {
                let what = format!("read {}", file.name.path.display());
                file.leave();
                self.tell(Event::Problem(PluginError::new(what).because(error)))?;
                Ok(false)
            }
        }
    }

    fn restart(&mut self, index: usize) -> Result<(), Stopped> {
        let file = &mut self.followed[index];
        let old = Arc::clone(&file.name);
        let rest = file.restart();
        let life = self.tracker.begin_again(old.id, &old.path, &file.head);
        file.set_life(life);
        if let Some(rest) = rest {
            self.tell(Event::Piece(rest))?;
        }
        self.tell(Event::Ended(old, false))
    }

    /// Notes which files have left their names, and lets go of those that did so long ago.
    fn part(&mut self) -> Result<(), Stopped> {
        for file in &mut self.followed {
            if file.has_lost_name() {
                file.leave();
            }
        }
        let (over, on): (Vec<_>, Vec<_>) = std::mem::take(&mut self.followed)
            .into_iter()
            .partition(Followed::is_over);
        self.followed = on;
        for mut file in over {
            if let Some(rest) = file.finish() {
                self.tell(Event::Piece(rest))?;
            }
            self.tell(Event::Ended(Arc::clone(&file.name), true))?;
        }
        Ok(())
    }
}
