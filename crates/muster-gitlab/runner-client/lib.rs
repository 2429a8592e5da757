//! The GitLab double before a runner client that others wrote: see `tests/jobs.rs`.
