//! A small client of GitLab's API: runners, jobs, pipelines and job webhooks.
