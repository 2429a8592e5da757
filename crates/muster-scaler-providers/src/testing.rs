//! Doubles of the providers and the suite that all of them pass.
