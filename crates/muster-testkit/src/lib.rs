//! For tests only: real servers on loopback, fakes with faults.
