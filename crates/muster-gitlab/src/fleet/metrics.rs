//! The metrics of a runner, under the names of GitLab's runner, and of its host, under those of
//! `node_exporter`.

use std::fmt::Write as _;
use std::time::Duration;

use muster_scaler_core::Time;
use muster_tasks::Ctx;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Shared;

/// Bounds of the histogram of waits, in seconds.
const BUCKETS: [u32; 9] = [1, 3, 10, 30, 60, 120, 300, 900, 3600];

/// How long jobs waited, by how many.
#[derive(Debug, Default)]
pub(super) struct Waits {
    within: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Waits {
    pub(super) fn note(&mut self, wait: Duration) {
        for (within, bound) in self.within.iter_mut().zip(BUCKETS) {
            *within += u64::from(wait <= Duration::from_secs(bound.into()));
        }
        self.count += 1;
        self.sum += wait;
    }
}

/// Answers every request with the metrics, one connection after the other.
pub(super) async fn serve(cx: &Ctx, listener: &TcpListener, shared: &Shared) {
    while let Ok(accepted) = cx.run(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            continue;
        };
        let answered = tokio::time::timeout(Duration::from_secs(2), answer(stream, shared));
        if cx.run(answered).await.is_err() {
            return;
        }
    }
}

async fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(&chunk[..read]);
    }
    let body = text(shared);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn text(shared: &Shared) -> String {
    let mut out = String::new();
    let runner = &shared.runner;
    let short: String = runner.token.expose().chars().skip(5).take(9).collect();
    let labels = format!(
        "runner=\"{short}\",runner_name=\"runner-{}\",system_id=\"{}\"",
        shared.id, runner.system_id
    );
    let jobs = shared.running.lock().clone();
    let mut line = |name: &str, kind: &str, labels: &str, value: f64| {
        let head = format!("# TYPE {name} {kind}\n");
        if !out.contains(&head) {
            out.push_str(&head);
        }
        let _ = writeln!(out, "{name}{{{labels}}} {value}");
    };
    let states = |state: &str, stage: &str| {
        format!("{labels},state=\"{state}\",stage=\"{stage}\",executor_stage=\"\"")
    };
    line("gitlab_runner_jobs", "gauge", &states("idle", ""), 0.0);
    if !jobs.is_empty() {
        let running = states("running", "step_script");
        line("gitlab_runner_jobs", "gauge", &running, jobs.len() as f64);
    }
    let done = *shared.done.lock();
    let taken = done.succeeded + done.failed + done.given_up + jobs.len() as u64;
    line("gitlab_runner_jobs_total", "counter", &labels, taken as f64);
    line(
        "gitlab_runner_concurrent",
        "gauge",
        "",
        f64::from(runner.slots),
    );
    line("gitlab_runner_limit", "gauge", &labels, 0.0);
    let requests = f64::from(*shared.requests.borrow());
    line(
        "gitlab_runner_request_concurrency",
        "gauge",
        &labels,
        requests,
    );
    // One request for a job at a time is what it may have, out of four.
    line(
        "gitlab_runner_request_concurrency_hard_limit",
        "gauge",
        &labels,
        4.0,
    );
    line(
        "gitlab_runner_request_concurrency_used_limit",
        "gauge",
        &labels,
        1.0,
    );
    let failed = format!("{labels},failure_reason=\"script_failure\",mode=\"traditional\"");
    line(
        "gitlab_runner_failed_jobs_total",
        "counter",
        &failed,
        done.failed as f64,
    );
    line(
        "gitlab_runner_process_state_info",
        "gauge",
        "state=\"running\"",
        1.0,
    );
    let name = "gitlab_runner_job_queue_duration_seconds";
    let _ = writeln!(out, "# TYPE {name} histogram");
    let labels = format!("{labels},project_jobs_running=\"0\"");
    let waits = shared.waits.lock();
    for (bound, count) in BUCKETS.iter().zip(waits.within) {
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", waits.count);
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", waits.sum.as_secs_f64());
    let _ = writeln!(out, "{name}_count{{{labels}}} {}", waits.count);
    drop(waits);
    if let Some((cpu, memory)) = runner.pressure {
        let now = Time::from_millis(jiff::Timestamp::now().as_millisecond());
        let lived = now.since(shared.began).as_secs_f64();
        for (name, share) in [
            ("node_pressure_cpu_waiting_seconds_total", cpu),
            ("node_pressure_memory_stalled_seconds_total", memory),
        ] {
            let _ = writeln!(out, "# TYPE {name} counter\n{name} {}", lived * share);
        }
    }
    out
}
