//! How much is read of what GitLab sends.

/// The longest answer that is read, in bytes.
pub const LONGEST_ANSWER: usize = 16 << 20;

/// How many items a page has; GitLab's most.
pub const PER_PAGE: usize = 100;

/// The most runners that a list may have: GitLab's own bound is 1,000 a group or project.
pub const MOST_RUNNERS: usize = 20_000;

/// The most running jobs of one runner.
pub const MOST_JOBS_OF_A_RUNNER: usize = 10_000;

/// The most jobs of one project.
pub const MOST_JOBS: usize = 20_000;

/// The most past jobs of one project, for an export.
pub const MOST_PAST_JOBS: usize = 1_000_000;

/// The most projects of one group.
pub const MOST_PROJECTS: usize = 2_000;

/// The longest body of a webhook that is worth reading, in bytes. A pipeline hook has all jobs.
pub const LONGEST_HOOK: usize = 8 << 20;

/// The most jobs that a [`JobBook`](crate::JobBook) keeps.
pub const MOST_KEPT: usize = 200_000;
