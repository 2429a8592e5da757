//! Profiles of processor time and memory.

use super::Response;

#[cfg(not(feature = "profiling"))]
pub(super) const CPU_OFF: Option<&str> =
    Some("this program is built without the feature `profiling`");
#[cfg(feature = "profiling")]
pub(super) const CPU_OFF: Option<&str> = None;

/// Why there is no memory profile, if there is none.
#[cfg(not(feature = "profiling"))]
pub(super) fn heap_off() -> Option<&'static str> {
    CPU_OFF
}

#[cfg(not(feature = "profiling"))]
pub(super) async fn cpu(_seconds: u64) -> Response {
    off()
}

#[cfg(not(feature = "profiling"))]
pub(super) async fn heap() -> Response {
    off()
}

#[cfg(not(feature = "profiling"))]
fn off() -> Response {
    let why = CPU_OFF.unwrap_or_default();
    let what_to_do = "build it with `--features profiling`";
    Response::error(
        501,
        format!("there is no such profile: {why}; {what_to_do}\n"),
    )
}

#[cfg(feature = "profiling")]
pub(super) use on::{cpu, heap, heap_off};

#[cfg(feature = "profiling")]
mod on {
    use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
    use std::time::{Duration, SystemTime};

    use super::Response;
    use crate::debug::pprof::{Frame, ProfileWriter};

    /// Samples a second of processor time: not a round number, so as not to fall in step with
    /// what happens at round times.
    const FREQUENCY: i32 = 99;
    /// Nanoseconds between two samples.
    const PERIOD: u64 = 1_000_000_000 / FREQUENCY as u64;
    /// Longest profile, in seconds.
    const MOST_SECONDS: u64 = 300;

    static TAKING: AtomicBool = AtomicBool::new(false);

    /// The one profile that may be taken at a time.
    struct Turn;

    impl Turn {
        fn take() -> Option<Self> {
            (!TAKING.swap(true, AcqRel)).then_some(Self)
        }
    }

    impl Drop for Turn {
        fn drop(&mut self) {
            TAKING.store(false, Release);
        }
    }

    pub(in crate::debug) async fn cpu(seconds: u64) -> Response {
        if seconds == 0 || seconds > MOST_SECONDS {
            let message = format!("seconds={seconds}: wanted 1 to {MOST_SECONDS}\n");
            return Response::error(400, message);
        }
        let Some(_turn) = Turn::take() else {
            return Response::error(409, "another profile is being taken; try again later\n");
        };
        let guard = pprof::ProfilerGuardBuilder::default()
            .frequency(FREQUENCY)
            .blocklist(&["libc", "libgcc", "pthread", "vdso"])
            .build();
        let guard = match guard {
            Ok(guard) => guard,
            Err(error) => return failed(&error),
        };
        let began = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        match guard.report().build() {
            Ok(report) => Response::file(
                "attachment; filename=\"profile\"",
                encode(&report, began, seconds),
            ),
            Err(error) => failed(&error),
        }
    }

    fn failed(error: &impl std::fmt::Display) -> Response {
        Response::error(500, format!("failed to take the profile: {error}\n"))
    }

    fn encode(report: &pprof::Report, began: Duration, seconds: u64) -> Vec<u8> {
        let types = [("samples", "count"), ("cpu", "nanoseconds")];
        let mut writer = ProfileWriter::new(&types);
        for (frames, count) in &report.data {
            let count = u64::try_from(*count).unwrap_or_default();
            let stack = frames.frames.iter().flatten().map(|symbol| Frame {
                function: symbol.name(),
                file: symbol.filename().into_owned(),
                line: symbol.lineno(),
            });
            let stack = stack.skip_while(|frame| is_profilers_own(&frame.function));
            let labels = [("thread", frames.thread_name.as_str())];
            writer.sample(stack, &[count, count * PERIOD], &labels);
        }
        let time = u64::try_from(began.as_nanos()).unwrap_or_default();
        writer.finish(time, seconds * 1_000_000_000, Some((PERIOD, "nanoseconds")))
    }

    /// The frames that take a sample stand on top of those that are sampled.
    fn is_profilers_own(function: &str) -> bool {
        ["backtrace::", "pprof::", "::trace", "::collect"]
            .iter()
            .any(|own| function.starts_with(own))
    }

    /// Why there is no memory profile, if there is none.
    pub(in crate::debug) fn heap_off() -> Option<&'static str> {
        jemalloc_pprof::PROF_CTL
            .is_none()
            .then_some("the program's allocator is not jemalloc with `prof:true`")
    }

    pub(in crate::debug) async fn heap() -> Response {
        let Some(control) = jemalloc_pprof::PROF_CTL.as_ref() else {
            let why = heap_off().unwrap_or_default();
            return Response::error(501, format!("there is no memory profile: {why}\n"));
        };
        match control.lock().await.dump_pprof() {
            Ok(profile) => Response::file("attachment; filename=\"heap\"", profile),
            Err(error) => failed(&error),
        }
    }
}
