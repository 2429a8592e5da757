//! Telegraf's TOML dialect to definitions: merging, environment, identifiers, diagnostics.
