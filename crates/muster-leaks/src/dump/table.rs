//! The groups of a dump while it is read: texts are numbers here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::intern::Interner;
use crate::labels;
use crate::merge::Merger;
use crate::profile::{Frame, Group, Ids, Label, Minutes, Objects, Profile, Stack, classify, names};

use super::line;
use super::{MAX_GROUPS, MAX_TEXT_BYTES, MAX_TOTAL_FRAMES};

type Map<K> = HashMap<Box<[K]>, u32, foldhash::fast::RandomState>;

/// The number of no text.
pub(super) const NONE: u32 = 0;

/// A key begins with the wait reason, the labels, the creator's function and place, and after how
/// many frames some are missing, plus 1. Then come function and place of each frame.
pub(super) const KEY_HEAD: usize = 5;

/// Whatever of goroutines does not tell groups apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Single {
    pub(super) id: u64,
    pub(super) minutes: Option<u64>,
    pub(super) object: Option<u64>,
}

#[derive(Debug, Default)]
struct Members {
    count: u64,
    minutes: Minutes,
    ids: Ids,
    objects: Objects,
}

/// Texts and groups, both bounded.
#[derive(Debug, Default)]
pub(super) struct Table {
    texts: Map<u8>,
    text_bytes: usize,
    groups: Map<u32>,
    members: Vec<Members>,
    frames: usize,
}

impl Table {
    /// The number of a text; `None` if there are too many.
    pub(super) fn text(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(number) = self.texts.get(text) {
            return Some(*number);
        }
        if self.text_bytes + text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let number = u32::try_from(self.texts.len() + 1).ok()?;
        // What an entry takes beside its text counts too.
        self.text_bytes += text.len() + 32;
        self.texts.insert(text.into(), number);
        Some(number)
    }

    /// Counts a goroutine; `false` if there are too many groups.
    pub(super) fn add(&mut self, key: &[u32], single: Single) -> bool {
        let at = match self.groups.get(key) {
            Some(at) => *at as usize,
            None => {
                let frames = self.frames + (key.len() - KEY_HEAD) / 2;
                if self.members.len() >= MAX_GROUPS || frames > MAX_TOTAL_FRAMES {
                    return false;
                }
                self.frames = frames;
                let at = self.members.len();
                self.groups.insert(key.into(), at as u32);
                self.members.push(Members::default());
                at
            }
        };
        let members = &mut self.members[at];
        members.count += 1;
        members.ids.add(single.id);
        if let Some(minutes) = single.minutes {
            members.minutes.absorb(Minutes::one(minutes));
        }
        if let Some(word) = single.object {
            members.objects.add(word, 1);
        }
        true
    }

    /// How many texts with how many bytes, groups, frames, IDs and objects are kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> [usize; 6] {
        let ids = self.members.iter().map(|m| m.ids.as_slice().len()).sum();
        let objects = self.members.iter().map(|m| m.objects.counts.len()).sum();
        [
            self.texts.len(),
            self.text_bytes,
            self.groups.len(),
            self.frames,
            ids,
            objects,
        ]
    }

    /// Writes the groups into the profile, with texts again.
    pub(super) fn finish(self, profile: &mut Profile) {
        let mut texts = vec![String::new(); self.texts.len() + 1];
        for (text, number) in &self.texts {
            texts[*number as usize] = String::from_utf8_lossy(text).into_owned();
        }
        let mut keys: Vec<(Box<[u32]>, u32)> = self.groups.into_iter().collect();
        keys.sort_unstable_by_key(|(_, at)| *at);
        let mut writer = Writer {
            texts,
            labels: HashMap::default(),
            interner: Interner::default(),
        };
        let mut merger = Merger::default();
        for ((key, _), members) in keys.iter().zip(self.members) {
            let mut group = writer.group(key, profile);
            group.count = members.count;
            group.minutes = members.minutes;
            group.ids = members.ids;
            group.objects = members.objects;
            if !merger.add(group) {
                profile.ungrouped += members.count;
            }
        }
        merger.finish(profile);
    }
}

struct Writer {
    texts: Vec<String>,
    /// What the texts of labels say: many groups may have the same ones.
    labels: HashMap<u32, Arc<[Label]>, foldhash::fast::RandomState>,
    interner: Interner,
}

impl Writer {
    fn group(&mut self, key: &[u32], profile: &mut Profile) -> Group {
        let (head, frames) = key.split_at(KEY_HEAD);
        let [word, labels, creator, place, cut] = head.try_into().unwrap_or([NONE; KEY_HEAD]);
        let (reason, leaked) = without_marks(&self.texts[word as usize]);
        let reason = self.interner.get(reason);
        let class = classify::by_reason(
            &reason,
            frames
                .chunks_exact(2)
                .map(|frame| &*self.texts[frame[0] as usize]),
        );
        let hidden = |frame: &&[u32]| names::is_hidden(&self.texts[frame[0] as usize]);
        let all_hidden = frames.chunks_exact(2).all(|frame| hidden(&frame));
        let shown: Vec<(usize, &[u32])> = frames
            .chunks_exact(2)
            .enumerate()
            .filter(|(_, frame)| all_hidden || !hidden(frame))
            .collect();
        let cut_after = (cut != NONE).then(|| {
            shown
                .iter()
                .filter(|(at, _)| *at + 1 < cut as usize)
                .count() as u32
        });
        let mut stack: Stack = shown
            .iter()
            .map(|(_, frame)| self.frame(frame[0], frame[1]))
            .collect();
        if let Some(after) = cut_after {
            stack = stack.cut_after(after);
        }
        let mut group = Group::new(0, stack, class);
        group.reason = Some(reason);
        group.leaked = leaked;
        if creator != NONE {
            group.created_by = Some(self.frame(creator, place));
        }
        if labels != NONE {
            let (texts, interner) = (&self.texts, &mut self.interner);
            let parsed = self.labels.entry(labels).or_insert_with(|| {
                let text = &texts[labels as usize];
                labels::parse(text, interner).unwrap_or_else(|| {
                    profile.note(0, 0, format!("expected labels, found {text:.40?}"));
                    Arc::default()
                })
            });
            group.labels = parsed.clone();
        }
        group
    }

    fn frame(&mut self, function: u32, place: u32) -> Frame {
        let (file, line) = line::split_place(&self.texts[place as usize]);
        Frame {
            function: self
                .interner
                .get(&names::normal(&self.texts[function as usize])),
            file: self.interner.get(file),
            line,
        }
    }
}

/// The wait reason, and whether it is marked as leaked.
fn without_marks(word: &str) -> (&str, bool) {
    let mut leaked = false;
    let mut rest = word;
    loop {
        let marks = [
            (" (leaked)", true),
            (" (scan)", false),
            (" (durable)", false),
        ];
        let mark = marks
            .iter()
            .find_map(|(mark, leak)| Some((rest.strip_suffix(mark)?, *leak)));
        match mark {
            Some((shorter, leak)) => {
                rest = shorter;
                leaked |= leak;
            }
            None => return (rest, leaked),
        }
    }
}
