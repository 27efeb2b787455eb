//! The only room with `unsafe` in it: the system calls that std, nix and
//! socket2 lack, or wrap in a shape that does not fit.
//!
//! Rules of the room: one system call a function, with a safe signature; a
//! descriptor comes in as `OwnedFd` or passes through as `BorrowedFd`; no raw
//! number is kept where it could outlive its descriptor, but in a signal
//! handler, which can have nothing else; each block says in its `SAFETY:`
//! sentence which pointer and which length it vouches for. No policy lives
//! here: what to do about an error is the caller's affair.
#![allow(unsafe_code)]

pub mod clock;
pub mod datagram;
pub mod image;
pub mod memory;
pub mod option;
pub mod process;
pub mod program;
pub mod random;
pub mod signal;
pub mod socket;
pub mod title;

use std::io;

/// Turns the −1 of a libc call into the errno it left.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
