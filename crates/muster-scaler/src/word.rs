//! Words that nobody can guess.

use std::io;

use muster_options::Secret;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};

use crate::records::hex;

/// A new word of 32 hexadecimal digits, from the system's source of chance.
///
/// # Errors
/// If the system has none.
pub(crate) fn fresh() -> io::Result<Secret> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(Secret::new(hex(&bytes)))
}

/// What is kept of a word.
pub(crate) fn hash(word: &str) -> String {
    hex(&Sha256::digest(word))
}
