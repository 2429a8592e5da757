//! Frames and stacks.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// One call on a stack, or the place of a `go` statement.
///
/// Equal texts within one profile are shared, so a clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// The function with its package: `net/http.(*conn).serve`. Empty if only the address is known.
    pub function: Arc<str>,
    /// The source file, as the compiler wrote it: an absolute path or, with `-trimpath`, one that
    /// begins with the module's path. Empty if it is not known.
    pub file: Arc<str>,
    /// The line in the file; 0 if it is not known.
    pub line: u32,
}

impl Frame {
    /// A frame.
    pub fn new(function: impl Into<Arc<str>>, file: impl Into<Arc<str>>, line: u32) -> Self {
        Self {
            function: function.into(),
            file: file.into(),
            line,
        }
    }

    /// The import path of the function's package: `net/http` of `net/http.(*conn).serve`.
    pub fn package(&self) -> &str {
        let name = &*self.function;
        // Type arguments hold paths of their own.
        let plain = name.find('[').map_or(name, |at| &name[..at]);
        let tail = plain.rfind('/').map_or(0, |at| at + 1);
        // The path's last element may hold dots itself (`gopkg.in/yaml.v3.Unmarshal`).
        let last = &plain[tail..];
        // No function is named `go`.
        let version = last
            .find(".v")
            .filter(|at| last[at + 2..].starts_with(|c: char| c.is_ascii_digit()))
            .or_else(|| last.find(".go."));
        let from = version.map_or(tail, |at| tail + at + 1);
        plain[from..]
            .find('.')
            .map_or(plain, |at| &plain[..from + at])
    }
}

/// `main.work main.go:12`, with the whole path.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.function, self.file, self.line)
    }
}

/// A stack, leaf first: the first frame is the innermost call. A clone shares the frames.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    frames: Arc<[Frame]>,
    cut_after: Option<u32>,
}

impl Stack {
    /// A stack of these frames, leaf first.
    pub fn new(frames: impl Into<Arc<[Frame]>>) -> Self {
        Self {
            frames: frames.into(),
            cut_after: None,
        }
    }

    /// The same, where frames are missing after the first `frames` ones.
    #[must_use]
    pub fn cut_after(mut self, frames: u32) -> Self {
        self.cut_after = Some(frames);
        self
    }

    /// Says that frames are missing, and after how many: a dump shows some 100 frames of a deep
    /// stack. How many are missing is not kept, so that a recursion of any depth is one group.
    /// `None` for a stack that was cut at its root, as grouped profiles do: they do not say it.
    pub fn missing_after(&self) -> Option<u32> {
        self.cut_after
    }
}

impl Deref for Stack {
    type Target = [Frame];

    fn deref(&self) -> &[Frame] {
        &self.frames
    }
}

impl FromIterator<Frame> for Stack {
    fn from_iter<I: IntoIterator<Item = Frame>>(frames: I) -> Self {
        Self::new(frames.into_iter().collect::<Arc<[Frame]>>())
    }
}
