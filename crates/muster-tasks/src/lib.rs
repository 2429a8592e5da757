//! Task control: groups, keyed tasks, resident jobs, bounded stop with a report, leak checks.
