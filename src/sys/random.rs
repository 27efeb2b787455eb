//! getrandom(2).

use std::io;

/// A number that nobody can guess, and that no forked sibling has.
///
/// # Errors
/// ENOSYS where a filter of system calls does not know it; EINTR, before the
/// kernel has gathered anything to draw from.
pub fn number() -> io::Result<u64> {
    let mut room = [0u8; 8];
    // SAFETY: the pointer is to a live local of that length, which is written to.
    let count = unsafe { libc::getrandom(room.as_mut_ptr().cast(), room.len(), 0) };
    // Up to 256 octets are given whole or not at all.
    if usize::try_from(count) == Ok(room.len()) {
        Ok(u64::from_ne_bytes(room))
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn two_numbers_differ() {
        assert_ne!(super::number().unwrap(), super::number().unwrap());
    }
}
