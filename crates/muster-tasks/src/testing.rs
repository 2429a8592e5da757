//! The runtime behind `#[muster_tasks::test]`. Not meant to be called by hand.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::group::{Group, StopOptions};
use crate::leak::LeakCheck;

/// What the attribute's options say.
#[derive(Clone, Copy, Debug)]
pub struct TestConfig {
    /// The test's name; names the root group.
    pub name: &'static str,
    /// `flavor = "multi_thread"`.
    pub multi_thread: bool,
    /// `worker_threads = n`.
    pub worker_threads: Option<usize>,
    /// `start_paused = true`.
    pub start_paused: bool,
}

/// Runs a test in a runtime and a root group of its own and then looks for leaked tasks.
///
/// With `is_err`, a test that has failed by its own result is not checked for leaks: its result says
/// more.
///
/// # Panics
/// If the runtime cannot be built, or with the list of leaked tasks.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn run<T, F: Future<Output = T>>(
    config: TestConfig,
    test: impl FnOnce(Group) -> F,
    is_err: fn(&T) -> bool,
) -> T {
    let mut builder = if config.multi_thread {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    if let Some(threads) = config.worker_threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().start_paused(config.start_paused);
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("failed to build the test's runtime: {error}"),
    };
    let (result, leaks) = runtime.block_on(async {
        let root = Group::root(config.name);
        let check = LeakCheck::new(&root);
        let result = test(root.clone()).await;
        let leaks = if is_err(&result) {
            Ok(())
        } else {
            check.check().await
        };
        // Whatever is left must not go on while the runtime ends.
        let options = StopOptions {
            grace: Duration::ZERO,
            abort_after: Duration::from_millis(100),
            ..StopOptions::default()
        };
        let _ = root.stop_with(options).await;
        (result, leaks)
    });
    runtime.shutdown_background();
    if let Err(report) = leaks {
        panic!("{report}");
    }
    result
}
