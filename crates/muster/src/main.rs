//! A metrics agent that is never restarted and never leaks.
fn main() {}
