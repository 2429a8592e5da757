//! An input that brings the metrics of a try. It is in no table of the program's plugins.

use async_trait::async_trait;
use muster_config::{Definition, Source};
use muster_metric::Batch;
use muster_metric::line_protocol::{OnError, Parser};
use muster_plugin::{
    Build, ComponentId, FormatUse, GatherContext, Input, Kind, PluginError, PluginRow, Registry,
};
use toml::{Table, Value};

/// No plugin that can be configured has such a name.
const NAME: &str = "(given)";

static ROWS: &[PluginRow] = &[PluginRow {
    name: NAME,
    summary: "brings the metrics of a try",
    options: Vec::new,
    format: FormatUse::None,
    build: Build::Input(|cx| {
        let lines = cx.options().get(LINES).and_then(Value::as_str);
        let lines = lines.unwrap_or_default().to_owned();
        Ok(Box::new(Given { lines }))
    }),
}];

/// The option with the line protocol.
const LINES: &str = "lines";

struct Given {
    lines: String,
}

#[async_trait]
impl Input for Given {
    async fn gather(&mut self, _: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let report = Parser::default().parse(self.lines.as_bytes(), batch);
        report
            .map(drop)
            .map_err(|error| PluginError::new(error.to_string()))
    }
}

/// The plugins of `all`, and the input.
pub(super) fn registry(all: &Registry) -> Registry {
    let one_by_one = all.rows().iter().map(|row| std::slice::from_ref(*row));
    Registry::new(&one_by_one.chain([ROWS]).collect::<Vec<_>>())
}

/// The input that brings these lines.
///
/// # Errors
/// The first line that is none of line protocol, with its place; or that there is no metric.
pub(super) fn input(lines: &str) -> Result<Definition, String> {
    let strict = Parser {
        on_error: OnError::Fail,
        ..Parser::default()
    };
    let report = strict.parse(lines.as_bytes(), &mut Batch::new());
    let metrics = report
        .map_err(|error| format!("`metrics` is wrong: failed to {error}"))?
        .metrics;
    if metrics == 0 {
        return Err("`metrics` has no line of line protocol".to_owned());
    }
    let mut options = Table::new();
    // Definitions may hold environment variables; here a dollar is a dollar.
    options.insert(LINES.into(), lines.replace('$', "$$").into());
    // Times stay as they are.
    options.insert("precision".into(), "1ns".into());
    Ok(Definition {
        id: ComponentId::new(Kind::Input, NAME),
        plugin: NAME.to_owned(),
        options,
        source: Source::Api,
        paused: false,
        position: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_refused_with_their_place() {
        let said = |lines: &str| input(lines).err().unwrap_or_default();
        assert_eq!(said("cpu value=1 10\nmem free=2i\n"), "");
        assert!(
            said("cpu value=1\nmem\n").contains("line 2"),
            "{}",
            said("cpu value=1\nmem\n")
        );
        assert!(said("# nothing\n").contains("no line"));
    }

    #[test]
    fn a_dollar_is_a_dollar() {
        let definition = input("cpu,path=$HOME value=1").unwrap();
        assert_eq!(
            definition.options["lines"].as_str(),
            Some("cpu,path=$$HOME value=1")
        );
    }
}
