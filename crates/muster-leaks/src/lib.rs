//! Reads goroutine profiles and dumps, and finds which line of a service leaks.

pub mod profile;

pub use profile::{Format, Frame, Group, Label, LabelValue, Profile, Stack, WaitClass};
