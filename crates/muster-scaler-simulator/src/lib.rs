//! Simulates a day of GitLab jobs under the scaler and under other rules.
