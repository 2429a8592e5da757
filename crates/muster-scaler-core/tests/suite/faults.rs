//! Metrics that are missing, partial, old or wrong: no server is taken away.
