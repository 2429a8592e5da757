//! Reads goroutine profiles and dumps, and finds which line of a service leaks.
