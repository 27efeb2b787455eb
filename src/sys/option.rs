//! Socket options that are a whole number, by level and name: those of socket(7),
//! ip(7), ipv6(7) and tcp(7) that neither nix nor socket2 can both ask for and set.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What an option stands at (getsockopt(2)).
///
/// # Errors
/// As getsockopt(2): ENOPROTOOPT for one that the kernel, or this kind of socket,
/// does not have.
pub fn get(socket: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` is live and `size` long; the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    check(result).map(|_| value)
}

/// Sets an option (setsockopt(2)).
///
/// # Errors
/// As setsockopt(2): EPERM where a capability lacks, EINVAL for a value that the
/// kernel does not take, ENOPROTOOPT as for [`get`].
pub fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer, and the length is its own.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    check(result).map(drop)
}
