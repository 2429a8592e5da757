//! Metrics in one arena: batches, views, types, time, line protocol.
