//! Aggregators: summarize metrics over a window.
