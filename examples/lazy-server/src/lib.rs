//! An HTTP server that is quick or takes six seconds, at random, and notices when a client has gone.

pub mod mood;
pub mod server;

pub use mood::{Mood, Moods};
pub use server::{End, Ended, Server};
