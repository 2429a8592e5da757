//! How fast a dump of 100,000 goroutines is read, and in how much memory, beside a plain search
//! for the ends of its lines in the same run: `cargo bench -p muster-leaks`. Times are those on the
//! processor, so other work on the machine tells less.

#![expect(clippy::print_stdout, reason = "a benchmark tells its figures")]

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use muster_leaks::DumpReader;

const GOROUTINES: usize = 100_000;
const ROUNDS: usize = 15;
const MIB: f64 = (1 << 20) as f64;

fn main() {
    let before = resident_mib();
    let mut reader = DumpReader::new();
    let mut piece = String::new();
    let mut total = 0;
    for id in 0..GOROUTINES {
        goroutine(id, &mut piece);
        if piece.len() > 64 << 10 || id + 1 == GOROUTINES {
            total += piece.len();
            reader.feed(piece.as_bytes());
            piece.clear();
        }
    }
    let profile = reader.finish();
    let grown = resident_mib() - before;
    assert_eq!(profile.total, GOROUTINES as u64);
    println!(
        "{} goroutines in {} groups, {:.1} MiB of text: resident memory grew by {grown:.1} MiB",
        profile.total,
        profile.groups.len(),
        total as f64 / MIB,
    );

    let mut dump = String::with_capacity(total);
    (0..GOROUTINES).for_each(|id| goroutine(id, &mut dump));
    let [mut lines, mut reading] = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let start = on_processor();
        black_box(memchr::memchr_iter(b'\n', dump.as_bytes()).count());
        lines = lines.min(on_processor() - start);
        let start = on_processor();
        let mut reader = DumpReader::new();
        dump.as_bytes()
            .chunks(64 << 10)
            .for_each(|piece| reader.feed(piece));
        black_box(reader.finish());
        reading = reading.min(on_processor() - start);
    }
    let rate = |time: Duration| dump.len() as f64 / 1e6 / time.as_secs_f64();
    println!("ends of lines   {:>8.0} MB/s", rate(lines));
    println!(
        "dump            {:>8.0} MB/s   {:.1} times as long",
        rate(reading),
        reading.as_secs_f64() / lines.as_secs_f64()
    );
}

/// One of a few kinds of goroutines, with numbers of its own.
fn goroutine(id: usize, out: &mut String) {
    use std::fmt::Write;
    let (a, b) = (0xc000_0000_u64 + id as u64 * 0x60, id % 97);
    let text = match id % 10 {
        0 => format!(
            "goroutine {id} [select, {b} minutes]:\nnet/http.(*persistConn).writeLoop(0x{a:x})\n\
             \t/go/src/net/http/transport.go:2410 +0xf2\ncreated by net/http.(*Transport).dialConn in goroutine {b}\n\
             \t/go/src/net/http/transport.go:1766 +0x16b4\n\n"
        ),
        1..=3 => format!(
            "goroutine {id} [IO wait, {b} minutes]:\ninternal/poll.runtime_pollWait(0x7f{a:x}, 0x72)\n\
             \t/go/src/runtime/netpoll.go:351 +0x85\ninternal/poll.(*pollDesc).waitRead(...)\n\
             \t/go/src/internal/poll/fd_poll_runtime.go:89\nnet.(*conn).Read(0x{a:x}, {{0x{a:x}, 0x1000, 0x1000}})\n\
             \t/go/src/net/net.go:195 +0x45\nnet/http.(*conn).serve(0x{a:x}, {{0x8d10b8, 0x{a:x}}})\n\
             \t/go/src/net/http/server.go:2050 +0x5e8\ncreated by net/http.(*Server).Serve in goroutine 1\n\
             \t/go/src/net/http/server.go:3360 +0x485\n\n"
        ),
        _ => format!(
            "goroutine {id} [chan send]:\nexample.com/shop/discount.ask(0x{a:x}, 0x{b:x}?)\n\
             \t/src/shop/discount/ask.go:41 +0x2d\ncreated by example.com/shop/discount.Apply in goroutine {b}\n\
             \t/src/shop/discount/apply.go:88 +0x9b\n\n"
        ),
    };
    // Writing to a string does not fail.
    let _ = out.write_str(&text);
}

/// How long this thread has run; of systems that do not tell, the time since the first call.
fn on_processor() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split(' ').next().map(str::parse) {
        Some(Ok(nanos)) => Duration::from_nanos(nanos),
        _ => START.elapsed(),
    }
}

/// What the process has in memory, in MiB; 0 where the system does not tell.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
