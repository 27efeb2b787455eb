//! What a forked process does to become a program in place: descriptors under
//! the numbers that the program expects, signals as at login, and the call itself.

use super::check;
use super::program::reset_signals;
use std::ffi::{CStr, CString};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// A program that is about to be executed: all that needs memory is done, and a
/// limit of it may be set before the call.
#[derive(Debug)]
pub struct Call<'a> {
    file: &'a CStr,
    /// Pointers to the texts, and a null.
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    texts: PhantomData<&'a [CString]>,
}

impl<'a> Call<'a> {
    /// The program in this file.
    pub fn new(file: &'a CStr, arguments: &'a [CString], environment: &'a [CString]) -> Self {
        let pointers = |texts: &[CString]| {
            let texts = texts.iter().map(|text| text.as_ptr());
            texts.chain([ptr::null()]).collect()
        };
        Self {
            file,
            arguments: pointers(arguments),
            environment: pointers(environment),
            texts: PhantomData,
        }
    }

    /// Becomes it, and comes back only with the reason why not (execve(2)).
    pub fn execute(self) -> io::Error {
        let (arguments, environment) = (self.arguments.as_ptr(), self.environment.as_ptr());
        // SAFETY: both lists are live and end with a null; what they point to lives
        // as long as `self` and ends with NUL, as does the path.
        unsafe { libc::execve(self.file.as_ptr(), arguments, environment) };
        io::Error::last_os_error()
    }
}

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
