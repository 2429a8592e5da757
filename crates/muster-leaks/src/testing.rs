//! What a leaking Go service shows, for tests: goroutines that `main.ask` starts at `main.go:9` and
//! that wait for a lock at `main.go:12`, beside `main` itself.

/// A dump (`debug=2`) with so many goroutines that wait, and `main`.
pub fn dump(waiting: u64) -> String {
    let mut text = "goroutine 1 [running]:\nmain.main()\n\tmain.go:5 +0x1\n".to_owned();
    for id in 0..waiting {
        text.push_str(&format!(
            "\ngoroutine {} [sync.Mutex.Lock]:\nsync.(*Mutex).Lock(0xc000012345)\n\tmutex.go:90 +0x1d\n\
             main.take(0xc000012345)\n\tmain.go:12 +0x1d\n\
             created by main.ask in goroutine 1\n\tmain.go:9 +0x2a\n",
            id + 100
        ));
    }
    text
}

/// The same goroutines, grouped (`debug=1`).
pub fn grouped(waiting: u64) -> String {
    format!(
        "goroutine profile: total {}\n{}1 @ 0x3\n#\t0x3\tmain.main+0x1\tmain.go:5\n\n",
        waiting + 1,
        lock(waiting)
    )
}

/// A `goroutineleak` profile (`debug=1`) that proves those that wait to leak.
pub fn proved(waiting: u64) -> String {
    let lock = lock(waiting);
    format!("goroutineleak profile: total {waiting}\n{lock}")
}

/// The record of those that wait.
fn lock(waiting: u64) -> String {
    format!(
        "{waiting} @ 0x1 0x2\n#\t0x1\tsync.(*Mutex).Lock+0x1d\tmutex.go:90\n\
         #\t0x2\tmain.take+0x1d\tmain.go:12\n\n"
    )
}
