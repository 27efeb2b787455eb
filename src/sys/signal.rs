//! What a signal handler may do beyond setting a flag.
//!
//! Registration goes through signal-hook, for every signal and in every
//! process: it always sets SA_RESTART, and a handler once installed stays.

use signal_hook::SigId;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

/// What the handler of a retiring worker works with.
#[derive(Debug)]
pub struct Retirement<'fd> {
    /// Set once; never cleared.
    pub asked: Arc<AtomicBool>,
    /// The numbers under which the worker accepts.
    pub listeners: Vec<RawFd>,
    /// A socket that does not listen, to put under these numbers.
    pub parked: BorrowedFd<'fd>,
    /// An eventfd to ring.
    pub wake: BorrowedFd<'fd>,
    /// alarm(2) after this many seconds: what is not finished then is cut.
    pub patience: u32,
    /// The same where neither the parent nor the master is left.
    pub orphan_patience: u32,
    /// The parent; for a child of a worker another one than for the worker.
    pub parent: Arc<AtomicI32>,
    /// The master, who adopts the children of a worker that died.
    pub master: i32,
}

/// Registers the handler that retires a worker, without a wake-up that could
/// be lost.
///
/// A worker that blocks in accept4(2) cannot look at a flag first: the signal
/// could come between the look and the call. So the handler puts another
/// socket under the listener's number (dup3(2)): an accept4 that is under way
/// restarts, and an accept4 that comes later starts, on a socket that does not
/// listen, and both return EINVAL. poll(2) on it returns at once.
///
/// # Errors
/// What sigaction(2) says.
pub fn retire_on(signal: i32, retirement: &Retirement<'_>) -> io::Result<SigId> {
    let asked = Arc::clone(&retirement.asked);
    let listeners = retirement.listeners.clone();
    let parked = retirement.parked.as_raw_fd();
    let wake = retirement.wake.as_raw_fd();
    let (patience, orphan_patience) = (retirement.patience, retirement.orphan_patience);
    let parent = Arc::clone(&retirement.parent);
    let master = retirement.master;
    let handler = move || {
        let now = nix::unistd::getppid().as_raw();
        let orphaned = now != master && now != parent.load(Ordering::Relaxed);
        let again = asked.swap(true, Ordering::SeqCst);
        // Who was told already by a master that lives has its time; without
        // one there is less of it.
        if again && !orphaned {
            return;
        }
        for &listener in &listeners {
            // SAFETY: numbers only; the worker owns all of them until it exits.
            unsafe { libc::dup3(parked, listener, libc::O_CLOEXEC) };
        }
        ring(wake);
        super::process::alarm(if orphaned {
            orphan_patience.min(patience)
        } else {
            patience
        });
    };
    // SAFETY: the handler calls dup3, write, getppid and alarm and touches
    // atomics, all async-signal-safe (signal-safety(7)); it allocates nothing,
    // and the worker never unregisters it, so its captures are never freed
    // under it.
    unsafe { signal_hook::low_level::register(signal, handler) }
}

/// Registers a handler that writes 1 to the eventfd `wake`.
///
/// # Errors
/// What sigaction(2) says.
pub fn ring_on(signal: i32, wake: BorrowedFd<'_>) -> io::Result<SigId> {
    let wake = wake.as_raw_fd();
    // SAFETY: write(2) is async-signal-safe, and errno is kept by `ring`.
    unsafe { signal_hook::low_level::register(signal, move || ring(wake)) }
}

/// What the handler of a worker whose logs are reopened works with.
#[derive(Debug)]
pub struct Reopening<'fd> {
    /// The socket on which the master sends open files: a message has the
    /// number of the reopening in 8 octets, then a descriptor or none for each
    /// place, as told by the bits of 8 more octets.
    pub channel: BorrowedFd<'fd>,
    /// The numbers under which the worker writes: place 0 and place 1.
    pub places: [Option<RawFd>; 2],
    /// Where the number of the reopening is noted when it is done, …
    pub done: &'static AtomicU64,
    /// … and whom to ring then.
    pub bell: BorrowedFd<'fd>,
}

/// Registers the handler that puts new log files in the place of the old ones.
///
/// A worker may have no right to open them, and it may sit in accept4(2), so
/// the master opens them and sends them, and the handler puts each under the
/// number of the old one (dup3(2)): from that moment every write goes to the
/// new file, and that is when the worker says so.
///
/// # Errors
/// What sigaction(2) says.
pub fn reopen_on(signal: i32, reopening: &Reopening<'_>) -> io::Result<SigId> {
    let channel = reopening.channel.as_raw_fd();
    let bell = reopening.bell.as_raw_fd();
    let (places, done) = (reopening.places, reopening.done);
    let handler = move || {
        while let Some((number, descriptors)) = super::socket::receive_descriptors(channel) {
            for (new, place) in descriptors.into_iter().zip(places) {
                let Some(new) = new else { continue };
                if let Some(place) = place {
                    // SAFETY: numbers only; the worker owns both.
                    unsafe { libc::dup3(new, place, libc::O_CLOEXEC) };
                }
                // SAFETY: the number came with this message and is nobody else's.
                unsafe { libc::close(new) };
            }
            done.store(number, Ordering::SeqCst);
            ring(bell);
        }
    };
    // SAFETY: the handler calls recvmsg, dup3, close and write and touches an
    // atomic, all async-signal-safe (signal-safety(7)); it allocates nothing
    // and is never unregistered.
    unsafe { signal_hook::low_level::register(signal, handler) }
}

/// Registers a handler that does nothing, which is not the same as SIG_IGN: a
/// program that is started later gets the default action back (execve(2)).
///
/// # Errors
/// What sigaction(2) says.
pub fn ignore(signal: i32) -> io::Result<SigId> {
    // SAFETY: the handler does nothing.
    unsafe { signal_hook::low_level::register(signal, || {}) }
}

/// Adds 1 to an eventfd. A full counter is as good as a rung bell.
fn ring(eventfd: RawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: errno's location is this thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; the pointer is valid for the thread's life.
    let kept = unsafe { *errno };
    // SAFETY: the pointer is to 8 live bytes, which is what an eventfd takes.
    unsafe { libc::write(eventfd, one.as_ptr().cast(), one.len()) };
    // SAFETY: as above.
    unsafe { *errno = kept };
}
