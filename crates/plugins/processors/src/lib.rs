//! Processors: edit, drop or copy metrics between inputs and outputs.
