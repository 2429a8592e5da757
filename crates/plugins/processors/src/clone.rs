//! `processors.clone`: adds a copy of each metric, with another name or more tags.
//!
//! The copy comes after all metrics of the batch, as the originals keep their places.

use muster_options::Options;
use muster_plugin::{Build, FormatUse, PluginRow, ProcessContext, Processor, Selected};

use crate::renaming::Renaming;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "clone",
    summary: "adds a copy of each metric under another name or with more tags",
    options: Renaming::describe,
    format: FormatUse::None,
    build: Build::Processor(|cx| Ok(Box::new(Clone(Renaming::parse(cx.options())?)))),
};

#[derive(Debug)]
struct Clone(Renaming);

impl Processor for Clone {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let mut renaming = self.0.prepare(metrics.batch());
        metrics.for_each_row(|batch, row| {
            if let Some(copy) = batch.duplicate(row)
                && let Some(mut copy) = batch.get_mut(copy)
            {
                renaming.apply(&mut copy);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn copies() {
        check(
            "clone",
            "name_override = 'copy'\n[tags]\nkind = 'copy'",
            "m,a=1 v=1 1\nm,a=2 v=2 2",
            "m,a=1 v=1 1\nm,a=2 v=2 2\ncopy,a=1,kind=copy v=1 1\ncopy,a=2,kind=copy v=2 2",
        );
    }
}
