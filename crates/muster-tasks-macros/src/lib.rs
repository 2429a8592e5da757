//! The test attribute of muster-tasks.
