//! Catching panics with their message and place.
//!
//! One hook is chained before the hook that was installed when the first group or `catch_panic`
//! was made. A panic inside a catching region is recorded there and not printed; any other panic
//! goes to the earlier hook as if ours were not there.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

thread_local! {
    static CATCHING: Cell<u32> = const { Cell::new(0) };
    static LAST: RefCell<Option<(String, Option<CodeLocation>)>> = const { RefCell::new(None) };
}

/// A place in source code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeLocation {
    /// The file, as the compiler names it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl From<&Location<'_>> for CodeLocation {
    fn from(location: &Location<'_>) -> Self {
        Self {
            file: location.file().into(),
            line: location.line(),
        }
    }
}

impl fmt::Display for CodeLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for CodeLocation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a caught panic said, and where. Dereferences to [`PanicData`].
#[derive(Clone, Debug)]
pub struct PanicInfo(Arc<PanicData>);

/// The parts of a [`PanicInfo`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PanicData {
    /// The panic's message, or a note that it was not text.
    pub message: String,
    /// Where it happened; `None` if another panic hook took our hook's place.
    pub location: Option<CodeLocation>,
}

impl PanicInfo {
    /// A panic that somebody else has caught; its place is not known.
    pub(crate) fn from_payload(payload: Box<dyn std::any::Any + Send>) -> Self {
        let message = text_of(&*payload).to_owned();
        drop_payload(payload);
        Self(Arc::new(PanicData {
            message,
            location: None,
        }))
    }
}

impl Deref for PanicInfo {
    type Target = PanicData;

    fn deref(&self) -> &PanicData {
        &self.0
    }
}

impl fmt::Display for PanicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)?;
        match &self.location {
            Some(location) => write!(f, " at {location}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PanicInfo {}

/// Runs a future; a panic in it ends only it and is returned as a value.
///
/// The panic is logged through `tracing` (level `ERROR`) instead of being printed. Dropping the
/// returned future drops the work. Costs a few nanoseconds per poll.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let caught = muster_tasks::catch_panic(async { panic!("bad input {}", 7) }).await;
/// let info: muster_tasks::PanicInfo = caught.map(|()| ()).unwrap_err();
/// assert_eq!(info.message, "bad input 7");
/// assert!(info.location.as_ref().is_some_and(|at| at.line > 0));
/// # }
/// ```
///
/// # Errors
/// [`PanicInfo`] if the future panicked.
pub async fn catch_panic<F: Future>(fut: F) -> Result<F::Output, PanicInfo> {
    install();
    let result = CatchPanic { fut }.await;
    log(&result);
    result
}

/// Runs a closure; a panic in it is returned as a value. See [`catch_panic`].
///
/// # Errors
/// [`PanicInfo`] if the closure panicked.
pub fn catch_panic_sync<T>(f: impl FnOnce() -> T) -> Result<T, PanicInfo> {
    install();
    let result = guard(f);
    log(&result);
    result
}

fn log<T>(result: &Result<T, PanicInfo>) {
    if let Err(info) = result {
        let at = info
            .location
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(panic = %info.message, at, "caught a panic");
    }
}

pin_project! {
    /// A future whose panic is a value.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        pub(crate) fut: F,
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, PanicInfo>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let fut = self.project().fut;
        match guard(|| fut.poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(info) => Poll::Ready(Err(info)),
        }
    }
}

/// Calls `f` in a catching region. The hook must be installed.
#[inline]
pub(crate) fn guard<T>(f: impl FnOnce() -> T) -> Result<T, PanicInfo> {
    CATCHING.set(CATCHING.get() + 1);
    // Whoever gets the error gets no access to what the closure left half done.
    let result = catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(CATCHING.get() - 1);
    match result {
        Ok(value) => Ok(value),
        Err(payload) => Err(describe(payload)),
    }
}

#[cold]
fn describe(payload: Box<dyn std::any::Any + Send>) -> PanicInfo {
    let recorded = LAST.try_with(RefCell::take).ok().flatten();
    let (message, location) = match recorded {
        Some(recorded) => recorded,
        // Another hook is in ours' place, or the panic was resumed: the payload is what is left.
        None => (text_of(&*payload).to_owned(), None),
    };
    drop_payload(payload);
    PanicInfo(Arc::new(PanicData { message, location }))
}

fn drop_payload(payload: Box<dyn std::any::Any + Send>) {
    // The payload's own destructor may panic; it must not take the catcher down.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(the payload is not text)"
    }
}

/// Chains our hook before the present one, once per process.
pub(crate) fn install() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.try_with(Cell::get).unwrap_or(0) == 0 {
                earlier(info);
            } else {
                record(info);
            }
        }));
    });
}

fn record(info: &PanicHookInfo<'_>) {
    let message = text_of(info.payload()).to_owned();
    let location = info.location().map(CodeLocation::from);
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Some((message, location));
        }
    });
}
