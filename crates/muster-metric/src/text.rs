//! Text inside a batch: where it lies, and how new text gets there.

use crate::Batch;

/// A place in a batch's text. Cheap to copy; only meaningful in the batch that made it.
///
/// Text that many metrics of one batch share (a host name, a tag key) is written once with
/// [`Batch::text`] and then used by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Text {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Text {
    pub(crate) const EMPTY: Self = Self { start: 0, len: 0 };

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// Anything that can become text of a batch: a string, which is appended, or a [`Text`] of the
/// same batch, which is used as it is.
pub trait ToText {
    /// Puts the text into `batch` and says where it is.
    fn to_text(self, batch: &mut Batch) -> Text;
}

impl ToText for Text {
    fn to_text(self, _batch: &mut Batch) -> Text {
        self
    }
}

impl ToText for &str {
    fn to_text(self, batch: &mut Batch) -> Text {
        batch.text(self)
    }
}

impl ToText for &String {
    fn to_text(self, batch: &mut Batch) -> Text {
        batch.text(self)
    }
}

impl ToText for String {
    fn to_text(self, batch: &mut Batch) -> Text {
        batch.text(&self)
    }
}

impl ToText for std::borrow::Cow<'_, str> {
    fn to_text(self, batch: &mut Batch) -> Text {
        batch.text(&self)
    }
}
