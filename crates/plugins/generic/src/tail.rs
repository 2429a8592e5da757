//! `tail`: follows files and reads the lines that are added to them.
//!
//! A thread finds, reads and cuts the files (`reader`); the input's task makes metrics of the lines
//! and hands them on. How far a file was read and how far it was delivered is kept apart
//! (`tracker`): what is saved never says more than what every output has dealt with, so after a
//! crash lines may come twice, but none is lost. A file that was renamed is read to its end, and a
//! while longer, before it is let go; one that was cut short is read from its beginning again.

mod follow;
mod multiline;
mod reader;
mod tracker;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::{JsonSchema, OptionError};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Options, PluginError, PluginRow, ServiceContext,
    ServiceInput, StartContext,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::encoding::Encoding;
use crate::feed::Feed;
use crate::file::{patterns, tag_rows};
use crate::paths::FilePattern;
use follow::Piece;
use multiline::{Joiner, MultilineOptions, Rules};
use reader::{Event, Reader};
use tracker::{Ticket, Tracker};

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "tail",
    summary: "follows files and reads the lines that are added",
    options: TailOptions::describe,
    format: FormatUse::Parser("influx"),
    build: Build::Service(build),
};

/// Follows files and reads the lines that are added.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TailOptions {
    /// The files, as names or patterns: `*` and `?` stay within a folder, `**` goes through all
    /// folders below. Files that appear later are found and read from their beginning.
    files: Vec<String>,
    /// Reads files from their beginning. The older way to write
    /// `initial_read_offset = "beginning"`.
    from_beginning: bool,
    /// Where to begin in files that are there at the start: at the `beginning` or the `end`, or,
    /// with `saved-or-beginning` and `saved-or-end`, where reading ended last time, if that is
    /// known.
    initial_read_offset: Start,
    /// The files are named pipes.
    pipe: bool,
    /// How changes are noticed: `inotify`, or `poll` for file systems that do not tell.
    watch_method: WatchMethod,
    /// So many lines may be under way to the outputs; then reading waits.
    max_undelivered_lines: u32,
    /// How the text is encoded: `utf-8`, `utf-16le`, `utf-16be`, or nothing to take it as it is.
    character_encoding: Encoding,
    /// The tag that holds the file's path. Nothing adds none.
    path_tag: String,
    /// What is done to the text first: `ansi_color` takes out colours for terminals.
    filters: Vec<Filter>,
    /// How several lines are joined to one.
    multiline: Option<MultilineOptions>,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            from_beginning: false,
            initial_read_offset: Start::SavedOrEnd,
            pipe: false,
            watch_method: WatchMethod::Inotify,
            max_undelivered_lines: 1000,
            character_encoding: Encoding::Raw,
            path_tag: "path".to_owned(),
            filters: Vec::new(),
            multiline: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Start {
    Beginning,
    End,
    SavedOrBeginning,
    SavedOrEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WatchMethod {
    Inotify,
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Filter {
    AnsiColor,
}

struct Tail {
    options: TailOptions,
    patterns: Vec<FilePattern>,
    rules: Option<Rules>,
    feed: Feed,
    tracker: Arc<Tracker>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn ServiceInput>> {
    let mut options = TailOptions::parse(cx.options())?;
    let mut errors = Vec::new();
    let patterns = patterns(&options.files).unwrap_or_else(|more| {
        errors.extend(more);
        Vec::new()
    });
    if options.max_undelivered_lines == 0 {
        errors.push(OptionError::new(
            "max_undelivered_lines",
            "at least one line must be allowed",
        ));
    }
    if options.from_beginning {
        options.initial_read_offset = Start::Beginning;
    }
    let rules = match options.multiline.as_ref().map(Rules::new) {
        Some(Err(error)) => {
            errors.push(error);
            None
        }
        Some(Ok(rules)) => rules,
        None => None,
    };
    let feed = Feed::new(cx.parser()?, "tail");
    if !errors.is_empty() {
        return Err(errors);
    }
    let tracker = Arc::default();
    Ok(Box::new(Tail {
        options,
        patterns,
        rules,
        feed,
        tracker,
    }))
}

/// What is known of a followed file on this side.
struct Source {
    joiner: Joiner,
    file: Arc<follow::FileName>,
}

/// Attached to a batch: when it is dropped, the batch's lines were dealt with.
struct UnderWay {
    tracker: Arc<Tracker>,
    ticket: Ticket,
    _places: OwnedSemaphorePermit,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.tracker.dealt_with(self.ticket);
    }
}

/// One run: the lines of all files on their way.
struct Run<'a> {
    tail: &'a Tail,
    cx: &'a ServiceContext,
    sources: HashMap<u64, Source>,
    places: Arc<Semaphore>,
}

impl Run<'_> {
    async fn take(&mut self, event: Event) {
        match event {
            Event::Problem(error) => self.cx.report(error),
            Event::Piece(piece) => self.piece(&piece).await,
            Event::Ended(file, is_over) => {
                if let Some(mut source) = self.sources.remove(&file.life)
                    && let Some((text, end)) = source.joiner.finish()
                {
                    self.send(&file, &[text], end, 1).await;
                }
                if is_over {
                    self.tail.tracker.forget(file.id);
                }
            }
        }
    }

    async fn piece(&mut self, piece: &Piece) {
        let source = self
            .sources
            .entry(piece.file.life)
            .or_insert_with(|| Source {
                joiner: Joiner::default(),
                file: Arc::clone(&piece.file),
            });
        source.file = Arc::clone(&piece.file);
        let encoding = self.tail.options.character_encoding;
        let (mut rest, mut at) = (&piece.bytes[..], piece.start);
        let (mut texts, mut end, mut lines) = (Vec::new(), None, 0);
        while !rest.is_empty() {
            let (line, more) = rest.split_at(encoding.line_end(rest).unwrap_or(rest.len()));
            (rest, at, lines) = (more, at + line.len() as u64, lines + 1);
            let text = self.tail.clean(line);
            match &self.tail.rules {
                None => {
                    texts.push(text);
                    end = Some(at);
                }
                Some(rules) => {
                    for (text, until) in source.joiner.push(rules, text, at) {
                        texts.push(text);
                        end = Some(until);
                    }
                }
            }
        }
        if let Some(end) = end {
            self.send(&piece.file, &texts, end, lines).await;
        }
    }

    /// Makes metrics of texts and hands them on; `end` is where in the file they end.
    async fn send(&self, file: &follow::FileName, texts: &[Vec<u8>], end: u64, lines: u32) {
        let mut batch = Batch::new();
        for text in texts
            .iter()
            .filter(|text| text.iter().any(|b| !b.is_ascii_whitespace()))
        {
            let path = file.path.display();
            if let Err(error) = self.tail.feed.document(text, &path.to_string(), &mut batch) {
                self.cx.report(error);
            }
        }
        let tracker = &self.tail.tracker;
        if batch.is_empty() {
            let ticket = tracker.send(file.id, file.life, end);
            tracker.dealt_with(ticket);
            tracker.handed_on(ticket);
            return;
        }
        self.tail.tag(&file.path, &mut batch);
        let most = self.tail.options.max_undelivered_lines;
        let places = Arc::clone(&self.places).acquire_many_owned(lines.clamp(1, most));
        let Ok(Ok(places)) = self.cx.tasks().run(places).await else {
            return;
        };
        let ticket = tracker.send(file.id, file.life, end);
        let under_way = UnderWay {
            tracker: Arc::clone(tracker),
            ticket,
            _places: places,
        };
        batch.attach(Arc::new(under_way));
        // Only what the pipeline has taken counts as delivered once it is dropped.
        if self.cx.tasks().run(self.cx.emit(batch)).await.is_ok() {
            tracker.handed_on(ticket);
        }
    }

    /// When the first record that waits for more lines has waited long enough.
    fn next_timeout(&self) -> Option<Instant> {
        let wait = self.tail.rules.as_ref()?.timeout;
        let since = self
            .sources
            .values()
            .filter_map(|source| source.joiner.since())
            .min()?;
        Some(since + wait)
    }

    async fn flush_late(&mut self) {
        let Some(rules) = &self.tail.rules else {
            return;
        };
        let late = |since: Instant| since + rules.timeout <= Instant::now();
        let mut flushed = Vec::new();
        for source in self
            .sources
            .values_mut()
            .filter(|s| s.joiner.since().is_some_and(late))
        {
            if let Some((text, end)) = source.joiner.finish() {
                flushed.push((Arc::clone(&source.file), text, end));
            }
        }
        for (file, text, end) in flushed {
            self.send(&file, &[text], end, 1).await;
        }
    }
}

impl Tail {
    /// A line as text, without its end and what the filters take out.
    fn clean(&self, line: &[u8]) -> Vec<u8> {
        let mut text = self.options.character_encoding.decode(line).into_owned();
        while matches!(text.last(), Some(b'\n' | b'\r')) {
            text.pop();
        }
        if self.options.filters.contains(&Filter::AnsiColor) {
            text = without_colours(&text);
        }
        text
    }

    fn tag(&self, path: &Path, batch: &mut Batch) {
        if !self.options.path_tag.is_empty() {
            tag_rows(batch, 0, &self.options.path_tag, &path.to_string_lossy());
        }
    }
}

/// Takes out the sequences by which terminals are told colours: ESC, `[`, and all up to a letter.
fn without_colours(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"\x1b[") {
        out.extend_from_slice(&rest[..at]);
        let sequence = &rest[at + 2..];
        let length = sequence.iter().position(|b| (0x40..=0x7e).contains(b));
        rest = &sequence[length.map_or(sequence.len(), |length| length + 1)..];
    }
    out.extend_from_slice(rest);
    out
}

#[async_trait]
impl ServiceInput for Tail {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        // The next generation gets the same one, with all that is still under way.
        let name = format!("tail:{}", cx.id().id);
        let make = || Ok::<_, PluginError>(Tracker::default());
        self.tracker = cx.resources().take(cx.id(), &name, make)?;
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let (sender, mut events) = mpsc::channel(4);
        let reader = Reader::new(self, Arc::clone(&self.tracker), sender);
        let thread = cx
            .group()
            .spawn_blocking("tail files", move |thread| reader.run(&thread));
        let thread = thread.map_err(|why| PluginError::new("read files").because(why))?;
        let most = self.options.max_undelivered_lines as usize;
        let places = Arc::new(Semaphore::new(most));
        let mut run = Run {
            tail: self,
            cx,
            sources: HashMap::new(),
            places,
        };
        loop {
            let timeout = run.next_timeout();
            let wait = async {
                match timeout {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cx.cancelled() => break,
                () = self.tracker.changed() => cx.save_state(self.tracker.state()),
                () = wait => run.flush_late().await,
                event = events.recv() => match event {
                    Some(event) => run.take(event).await,
                    // The thread hears of the end, too, and perhaps earlier.
                    None if cx.tasks().is_cancelled() => break,
                    None => return Err(PluginError::new("go on reading files")),
                },
            }
        }
        drop(events);
        thread.cancel();
        let _ = thread.join().await;
        Ok(())
    }

    fn state(&self) -> Option<Value> {
        Some(self.tracker.state())
    }

    fn restore(&mut self, state: Value) {
        self.tracker.restore(&state);
    }
}
