//! What processes use.

use std::time::{Duration, Instant};

use crate::measure::Failure;

/// Processor time of this process.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// Processor time of this process while `work` runs.
pub(crate) fn cpu_of(work: impl FnOnce()) -> Duration {
    let begin = cpu_time();
    work();
    cpu_time() - begin
}

/// Processor time of all threads that a process has.
pub(crate) fn cpu_time_of(process: u32) -> Result<Duration, Failure> {
    let mut time = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // One that ends meanwhile is left out.
        let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        time += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(time))
}

/// Sees to it that this process and those that it starts may open so many files.
pub(crate) fn allow_open_files(count: u64) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < count) {
        return Err(format!("{count} open files are needed: ulimit -Hn {count}").into());
    }
    if limit.current.is_some_and(|now| now < count) {
        let current = Some(count);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    }
    Ok(())
}

/// Time on the clock while `work` runs.
pub(crate) fn clock_of<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let value = work();
    (begin.elapsed(), value)
}

/// Resident memory of a process in bytes: now, and the most it ever was. `who` is a process ID or
/// `self`.
pub(crate) fn resident(who: &str) -> Result<(f64, f64), Failure> {
    let status = std::fs::read_to_string(format!("/proc/{who}/status"))?;
    let field = |name: &str| -> Result<f64, Failure> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        let number = number.ok_or_else(|| format!("/proc/{who}/status lacks {name}"))?;
        Ok(number.parse::<f64>()? * 1024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
