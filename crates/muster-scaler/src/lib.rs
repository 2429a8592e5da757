//! Watches whether the GitLab runners can bear their jobs, and brings servers when they cannot.
