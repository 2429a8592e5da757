//! `processors.override`: gives metrics another name, a prefix, a suffix, or tags.

use muster_options::Options;
use muster_plugin::{Build, FormatUse, PluginRow, ProcessContext, Processor, Selected};

use crate::renaming::Renaming;

pub(crate) const ROW: PluginRow = PluginRow {
    name: "override",
    summary: "sets the name of metrics and adds tags",
    options: Renaming::describe,
    format: FormatUse::None,
    build: Build::Processor(|cx| Ok(Box::new(Override(Renaming::parse(cx.options())?)))),
};

#[derive(Debug)]
struct Override(Renaming);

impl Processor for Override {
    fn apply(&self, metrics: &mut Selected<'_>, _: &ProcessContext) {
        let mut renaming = self.0.prepare(metrics.batch());
        metrics.for_each(|mut metric| renaming.apply(&mut metric));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn overrides() {
        check(
            "override",
            "name_override = 'new'\nname_prefix = 'p_'\nname_suffix = '_s'\n[tags]\nhost = 'b'\nzone = 'z'",
            "old,host=a v=1 1\nother v=2 2",
            "p_new_s,host=b,zone=z v=1 1\np_new_s,host=b,zone=z v=2 2",
        );
        check(
            "override",
            "name_suffix = '_s'",
            "old v=1 1\nx v=1 1",
            "old_s v=1 1\nx_s v=1 1",
        );
        check("override", "", "old v=1 1", "old v=1 1");
    }
}
