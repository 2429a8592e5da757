//! The decision over whole stories: a random world that answers it, and rules one by one.

mod suite;
