//! Models of spawn, cancel, finish and abort, run by loom through every interleaving:
//! `RUSTFLAGS="--cfg loom" cargo test -p muster-tasks --release --lib loom`.
//!
//! They run the real lists, entries and signals; only tokio's scheduler is replaced by a few lines
//! that poll once and note whether the task would be polled again.

use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;

use crate::entry::End;
use crate::group::GroupInner;
use crate::shared::Live;
use crate::signal::{CANCEL, HAS_CTX};
use crate::{Cause, Closed, Ctx, Group};

/// Counts wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn register(group: &Arc<GroupInner>, bits: u16) -> Result<Live, Closed> {
    let (live, []) = group.register("task".into(), Location::caller(), bits)?;
    Ok(live)
}

/// A task that waits for ever unless it is dropped; one poll of it. Returns whether it has ended.
fn poll(entry: &Live, waker: &Waker) -> bool {
    let bits = entry.begin_poll(waker);
    if entry.must_drop(bits) {
        entry.finish(End::Cancelled);
        return true;
    }
    entry.end_poll(waker, bits);
    false
}

/// What the scheduler does when a task was woken: polls it once more. It must end then.
fn settle(entry: &Live, wakes: &Arc<Wakes>) {
    assert!(wakes.count() > 0, "nobody woke the task");
    assert!(
        poll(entry, &Waker::from(Arc::clone(wakes))),
        "the task missed the request"
    );
}

#[test]
fn loom_spawn_and_cancel() {
    check(|| {
        let root = Group::root("root");
        let group = Arc::clone(&root.inner);
        let spawner = thread::spawn(move || {
            let Ok(entry) = register(&group, 0) else {
                return None;
            };
            let wakes = Arc::new(Wakes::default());
            let ended = poll(&entry, &Waker::from(Arc::clone(&wakes)));
            (!ended).then_some((entry, wakes))
        });
        root.cancel(Cause::Stop);
        if let Some((entry, wakes)) = spawner.join().unwrap() {
            settle(&entry, &wakes);
        }
        assert_eq!(root.inner.own_live(), 0);
    });
}

#[test]
fn loom_first_poll_cancel_and_abort() {
    check(|| {
        let root = Group::root("root");
        let entry = register(&root.inner, HAS_CTX).unwrap();
        let wakes = Arc::new(Wakes::default());
        let threads = [
            thread::spawn({
                let entry = entry.share();
                move || entry.request(CANCEL)
            }),
            thread::spawn({
                let entry = entry.share();
                move || entry.abort()
            }),
        ];
        let ended = poll(&entry, &Waker::from(Arc::clone(&wakes)));
        for thread in threads {
            thread.join().unwrap();
        }
        if !ended {
            settle(&entry, &wakes);
        }
        assert!(entry.has_ended());
        assert_eq!(root.inner.own_live(), 0);
    });
}

#[test]
fn loom_abort_after_a_cancel_that_was_heard() {
    check(|| {
        let root = Group::root("root");
        let entry = register(&root.inner, HAS_CTX).unwrap();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(!poll(&entry, &waker));
        entry.request(CANCEL);
        let aborter = thread::spawn({
            let entry = entry.share();
            move || entry.abort()
        });
        // The task hears of the cancel and goes on in its grace period.
        let woken_before = wakes.count();
        let ended = poll(&entry, &waker);
        aborter.join().unwrap();
        if !ended {
            assert!(
                wakes.count() > woken_before || wakes.count() > 1,
                "the abort woke nobody"
            );
            assert!(poll(&entry, &waker));
        }
    });
}

#[test]
fn loom_finish_and_cancel() {
    check(|| {
        let root = Group::root("root");
        let entry = register(&root.inner, 0).unwrap();
        let finisher = thread::spawn(move || entry.finish(End::Done));
        root.cancel(Cause::Stop);
        finisher.join().unwrap();
        assert_eq!(root.inner.own_live(), 0);
        assert_eq!(root.summary().done, 1);
    });
}

#[test]
fn loom_waiter_with_a_foreign_waker() {
    check(|| {
        let root = Group::root("root");
        let entry = register(&root.inner, HAS_CTX).unwrap();
        let own = Arc::new(Wakes::default());
        assert!(!poll(&entry, &Waker::from(own)));
        let canceller = thread::spawn({
            let entry = entry.share();
            move || entry.request(CANCEL)
        });
        let foreign = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&foreign));
        let cx = Ctx::new(entry.share());
        let mut cancelled = pin!(cx.cancelled());
        let first = cancelled.as_mut().poll(&mut Context::from_waker(&waker));
        canceller.join().unwrap();
        if first.is_pending() {
            assert_eq!(foreign.count(), 1, "nobody told the waiter");
            let second = cancelled.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(second.is_ready());
        }
        entry.finish(End::Done);
    });
}

#[test]
fn loom_end_and_waiting_for_it() {
    check(|| {
        let root = Group::root("root");
        let entry = register(&root.inner, 0).unwrap();
        let handle = entry.share();
        let finisher = thread::spawn(move || entry.finish(End::Done));
        wait_for(handle.ended(), || finisher.join().unwrap());
    });
}

#[test]
fn loom_drained_and_the_last_task() {
    check(|| {
        let root = Group::root("root");
        let entry = register(&root.inner, 0).unwrap();
        let finisher = thread::spawn(move || entry.finish(End::Done));
        wait_for(root.inner.drained(), || finisher.join().unwrap());
    });
}

/// Polls a future, lets the other side finish, and requires that the future was woken.
fn wait_for(future: impl Future<Output = ()>, other: impl FnOnce()) {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let first = future.as_mut().poll(&mut cx);
    other();
    if first.is_pending() {
        assert!(wakes.count() > 0, "nobody told the waiter");
        assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(()));
    }
}

#[test]
fn loom_last_handle_and_the_last_task() {
    check(|| {
        let root = Group::root("root");
        let child = root.group("child");
        let entry = register(&child.inner, 0).unwrap();
        let finisher = thread::spawn(move || entry.finish(End::Done));
        drop(child);
        finisher.join().unwrap();
        assert!(
            root.inner.children().is_empty(),
            "an empty group stayed in its parent"
        );
        assert_eq!(root.summary().done, 1);
    });
}

#[test]
fn loom_references_and_the_list() {
    check(|| {
        let root = Group::root("root");
        let (live, [handle]) = root
            .inner
            .register("task".into(), Location::caller(), 0)
            .unwrap();
        let freed = Arc::downgrade(&root.inner);
        let threads = [
            // The task ends and lets go of the entry.
            thread::spawn(move || live.finish(End::Done)),
            // Its handle does.
            thread::spawn(move || drop(handle)),
        ];
        // A snapshot takes a reference from the list, or comes too late.
        root.inner
            .each_entry(|entry| assert_eq!(&*entry.name, "task"));
        for thread in threads {
            thread.join().unwrap();
        }
        drop(root);
        assert_eq!(
            freed.strong_count(),
            0,
            "the entry, which holds its group, stayed"
        );
    });
}
