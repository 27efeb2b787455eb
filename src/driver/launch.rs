//! Starting a program while others go on: the kernel takes a while to make a
//! process, and the thread that asks for it stands still until then (vfork(2)).
//!
//! Whoever wants a program makes everything ready, and gets a [`Launch`] to keep
//! and [`Work`] to have done, by any thread that lives as long as the program
//! may: the kernel ends the program with the thread that started it.
//!
//! ```text
//!   Ordered ─▶ UnderWay ─▶ Done ─▶ taken
//!      └──────────┴──────────┴───▶ Over      nobody wants it any more
//! ```
//!
//! Owes the system that a program which nobody wants any more is not started, or,
//! where that was under way, is ended before anybody hears of it.

use super::program::end_at_once;
use crate::protocol::Work;
use crate::sys::program::NotRun;
use nix::unistd::Pid;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A program that runs, and that nobody looks after yet.
#[derive(Debug)]
pub(super) struct Fresh(Option<(Pid, OwnedFd)>);

impl Fresh {
    /// The process, and what tells of its end.
    pub(super) fn new((pid, pidfd): (Pid, OwnedFd)) -> Self {
        Self(Some((pid, pidfd)))
    }

    /// From here on its end is another's business.
    pub(super) fn adopt(mut self) -> Option<(Pid, OwnedFd)> {
        self.0.take()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some((pid, _)) = self.0 {
            end_at_once(pid);
        }
    }
}

/// Why a program does not run that was waited for long enough.
pub(super) fn late() -> NotRun {
    NotRun {
        step: "start",
        error: io::Error::other("not in time"),
    }
}

/// A start that was ordered, and what comes of it.
pub(super) struct Launch<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    Ordered(Box<dyn FnOnce() -> T + Send>),
    UnderWay,
    Done(T),
    Over,
}

impl<T: Send + 'static> Launch<T> {
    /// Orders it: the work is to call `start`, once.
    pub(super) fn order(start: impl FnOnce() -> T + Send + 'static) -> (Self, Work) {
        let state = Arc::new(Mutex::new(State::Ordered(Box::new(start))));
        let place = Arc::clone(&state);
        let work = move || {
            let mut state = lock(&place);
            let start = match std::mem::replace(&mut *state, State::UnderWay) {
                State::Ordered(start) => start,
                // Whoever wanted it has left.
                before @ (State::UnderWay | State::Done(_) | State::Over) => {
                    *state = before;
                    return false;
                }
            };
            drop(state);
            let found = start();
            let mut state = lock(&place);
            if matches!(*state, State::Over) {
                // To end a program takes a moment, in which nobody need wait.
                drop(state);
                drop(found);
                return false;
            }
            *state = State::Done(found);
            true
        };
        (Self(state), Work::new(Arc::new(work)))
    }

    /// What came of it; `None` where it was not done, or not to its end.
    pub(super) fn outcome(self) -> Option<T> {
        let state = std::mem::replace(&mut *lock(&self.0), State::Over);
        match state {
            State::Done(found) => Some(found),
            State::Ordered(_) | State::UnderWay | State::Over => None,
        }
    }
}

impl<T> Drop for Launch<T> {
    fn drop(&mut self) {
        // What was there goes when the lock is open again.
        let _gone = std::mem::replace(&mut *lock(&self.0), State::Over);
    }
}

/// Nothing panics while it is held.
fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    /// Counts when it goes.
    struct Gone(Arc<AtomicU32>);

    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_was_ordered_is_done_once() {
        let (launch, work) = Launch::order(|| 7);
        assert!(work.run());
        assert!(!work.run(), "it was done");
        assert_eq!(launch.outcome(), Some(7));
        let (launch, _) = Launch::order(|| 7);
        assert_eq!(launch.outcome(), None);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_done() {
        let done = Arc::new(AtomicU32::new(0));
        let (held, counted) = (Gone(Arc::clone(&done)), Arc::clone(&done));
        let (launch, work) = Launch::order(move || {
            counted.fetch_add(100, Ordering::SeqCst);
            drop(held);
        });
        drop(launch);
        assert_eq!(done.load(Ordering::SeqCst), 1, "what it held is free");
        assert!(!work.run());
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_not_wanted_when_it_is_done_goes_by_itself() {
        let gone = Arc::new(AtomicU32::new(0));
        let (begun, told) = channel();
        let (finish, gate) = channel::<()>();
        let found = Gone(Arc::clone(&gone));
        let (launch, work) = Launch::order(move || {
            begun.send(()).unwrap();
            gate.recv().unwrap();
            found
        });
        let thread = std::thread::spawn(move || work.run());
        told.recv().unwrap();
        drop(launch);
        assert_eq!(gone.load(Ordering::SeqCst), 0);
        finish.send(()).unwrap();
        assert!(!thread.join().unwrap());
        assert_eq!(gone.load(Ordering::SeqCst), 1);
    }
}
