//! What a forked process does to become a program in place: descriptors under
//! the numbers that the program expects, and signals as at login. execve(2)
//! itself is nix's.

use super::check;
use super::program::reset_signals;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Puts `streams` under 0, 1 and 2 and `further` under 3 and on, all of them
/// open over execve(2), and closes every other descriptor from there upward.
///
/// For a fresh fork that is about to become a program: values that own the
/// closed ones must be forgotten, not dropped.
///
/// # Errors
/// EMFILE of fcntl(2) and dup2(2), and EBADF where one of them is not open.
pub fn arrange(streams: [BorrowedFd<'_>; 3], further: &[BorrowedFd<'_>]) -> io::Result<()> {
    let all = || streams.iter().chain(further);
    let count = RawFd::try_from(all().count()).map_err(io::Error::other)?;
    // Out of the way first: one's place may be where another one is now.
    let copies: io::Result<Vec<OwnedFd>> = all().map(|one| above(*one, count)).collect();
    for (copy, number) in copies?.iter().zip(0..) {
        // SAFETY: numbers only; nobody in this process uses what was under
        // `number`, which is the contract of this function.
        check(unsafe { libc::dup2(copy.as_raw_fd(), number) })?;
    }
    let first = libc::c_uint::try_from(count).map_err(io::Error::other)?;
    // SAFETY: no pointer is passed; as above.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    check(closed as libc::c_int).map(drop)
}

/// A copy under a number of at least `least`, closed by execve(2).
fn above(descriptor: BorrowedFd<'_>, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let copy = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    let copy = check(copy)?;
    // SAFETY: the kernel just made this descriptor and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Every signal with its default action, and none blocked: one that waited acts
/// now. For a process that is about to become a program.
pub fn forget_signals() {
    reset_signals();
}

/// Adds to the nice value of this process (nice(2)); more than 19 is 19.
pub fn be_nice(more: u8) {
    // SAFETY: it takes a number; −1 may be a nice value as well, and to be nicer
    // is always granted.
    unsafe { libc::nice(libc::c_int::from(more)) };
}
