//! Threads that do long work for an event loop, which must not stand still.
//!
//! There are few of them, started when there is work for the first time, and
//! few pieces of work may wait: whoever comes then is told so at once. They
//! touch nothing but the work and its answer, hear no signal, and are not waited
//! for when the worker leaves, for then no connection is open that wants an
//! answer.

use crate::protocol::Work;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// How many threads there are. More would take processors from the loops.
const THREADS: usize = 2;
/// How many pieces of work may wait for one.
const QUEUE: usize = 32;
/// As many threads where they start programs: each stands still until the kernel
/// has made a process of its own (vfork(2)), and uses no processor meanwhile.
const STARTERS: usize = 8;
/// What a thread's stack needs at most.
const STACK: usize = 256 * 1024;

/// Some threads, and what they have to do.
pub(super) struct Helpers {
    shared: Arc<Shared>,
    threads: usize,
    queue: usize,
    running: bool,
}

/// Why work is not done by a thread of these.
pub(super) enum Declined {
    /// There is too much to do already.
    Full,
    /// There is no thread, for this reason.
    Alone(Work, io::Error),
}

struct Shared {
    waiting: Mutex<VecDeque<(u64, Work)>>,
    /// There is work.
    call: Condvar,
    done: Mutex<Vec<(u64, bool)>>,
    /// There are answers.
    bell: EventFd,
}

impl Helpers {
    /// No thread yet.
    ///
    /// # Errors
    /// As eventfd(2).
    pub(super) fn new() -> io::Result<Self> {
        Self::with(THREADS, QUEUE)
    }

    /// As [`Helpers::new`], to start a program for each of so many connections.
    ///
    /// # Errors
    /// As eventfd(2).
    pub(super) fn starters(connections: u32) -> io::Result<Self> {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        Self::with(STARTERS.min(connections), connections)
    }

    fn with(threads: usize, queue: usize) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            shared: Arc::new(Shared {
                waiting: Mutex::new(VecDeque::new()),
                call: Condvar::new(),
                done: Mutex::new(Vec::new()),
                bell: EventFd::from_value_and_flags(0, flags)?,
            }),
            threads,
            queue,
            running: false,
        })
    }

    /// Readable when there are answers to collect.
    pub(super) fn bell(&self) -> &EventFd {
        &self.shared.bell
    }

    /// Has `work` done; its answer will bear `token`.
    ///
    /// # Errors
    /// As [`Declined`].
    pub(super) fn submit(&mut self, token: u64, work: Work) -> Result<(), Declined> {
        if !self.running {
            match self.start() {
                Ok(()) => self.running = true,
                Err(error) => return Err(Declined::Alone(work, error)),
            }
        }
        let mut waiting = lock(&self.shared.waiting);
        if waiting.len() >= self.queue {
            return Err(Declined::Full);
        }
        waiting.push_back((token, work));
        self.shared.call.notify_one();
        Ok(())
    }

    /// The answers since the last call, each with its token.
    pub(super) fn collect(&self) -> Vec<(u64, bool)> {
        // Empty it; whether there are answers is looked up.
        let _ = self.shared.bell.read();
        std::mem::take(&mut lock(&self.shared.done))
    }

    /// Threads inherit the mask: signals of the process are for its loop.
    fn start(&self) -> io::Result<()> {
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let mut started = Ok(());
        for number in 0..self.threads {
            let shared = Arc::clone(&self.shared);
            let thread = Builder::new()
                .name("helper".to_owned())
                .stack_size(STACK)
                .spawn(move || shared.serve());
            // One is enough.
            if number == 0 {
                started = thread.map(drop);
            }
        }
        mask.thread_set_mask()?;
        started
    }
}

impl Shared {
    fn serve(&self) {
        loop {
            let mut waiting = lock(&self.waiting);
            let (token, work) = loop {
                match waiting.pop_front() {
                    Some(next) => break next,
                    None => {
                        waiting = self
                            .call
                            .wait(waiting)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(waiting);
            let answer = catch_unwind(AssertUnwindSafe(|| work.run())).unwrap_or(false);
            lock(&self.done).push((token, answer));
            // It cannot fail: the count is far from its end.
            let _ = self.bell.write(1);
        }
    }
}

/// What a panic could leave half-done is not in there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    use std::sync::mpsc::channel;

    /// The next answers. The bell may ring for one that was collected together
    /// with another's.
    fn wait(helpers: &Helpers) -> Vec<(u64, bool)> {
        loop {
            let mut ready = [PollFd::new(helpers.bell().as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut ready, PollTimeout::from(10_000u16)), Ok(1));
            let answers = helpers.collect();
            if !answers.is_empty() {
                return answers;
            }
        }
    }

    #[test]
    fn answers_come_back_with_their_tokens() {
        let mut helpers = Helpers::new().unwrap();
        for token in 0..10 {
            let even = Work::new(Arc::new(move || token % 2 == 0));
            assert!(helpers.submit(token, even).is_ok());
        }
        let mut answers = Vec::new();
        while answers.len() < 10 {
            answers.extend(wait(&helpers));
        }
        answers.sort_unstable();
        assert!(
            answers
                .iter()
                .all(|(token, even)| (token % 2 == 0) == *even)
        );
    }

    #[test]
    fn what_is_too_much_is_refused_and_a_panic_is_a_no() {
        let mut helpers = Helpers::new().unwrap();
        let panics = Work::new(Arc::new(|| panic!("on purpose")));
        assert!(helpers.submit(7, panics).is_ok());
        assert_eq!(wait(&helpers), [(7, false)]);
        let (finish, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let held = Work::new(Arc::new(move || lock(&gate).recv().is_ok()));
        let taken = (0..100)
            .filter(|token| helpers.submit(*token, held.clone()).is_ok())
            .count();
        assert!((QUEUE..=QUEUE + THREADS).contains(&taken), "{taken}");
        drop(finish);
        let mut answers = 0;
        while answers < taken {
            answers += wait(&helpers).len();
        }
        assert!(helpers.submit(1, Work::new(Arc::new(|| true))).is_ok());
        assert_eq!(wait(&helpers), [(1, true)]);
    }
}
