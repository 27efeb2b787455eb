//! Shared memory for the scoreboard (memfd_create(2), mmap(2)).

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;

/// `count` zeroed words, shared with every process forked from now on. They
/// are mapped for as long as the process lives; pages nobody touches cost
/// nothing. The memory has a name, so that /proc/PID/maps explains itself.
///
/// # Errors
/// What memfd_create(2), ftruncate(2) or mmap(2) say; EINVAL for no words.
pub fn shared_words(name: &str, count: usize) -> io::Result<&'static [AtomicU64]> {
    let bytes = NonZeroUsize::new(count * size_of::<AtomicU64>())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
    nix::unistd::ftruncate(&file, i64::try_from(bytes.get()).unwrap_or(i64::MAX))?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: no address is asked for, so nothing that exists is mapped over;
    // the file is `bytes` long.
    let start = unsafe {
        mmap(
            None,
            bytes,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            flags,
            &file,
            0,
        )
    }?;
    // SAFETY: `start` is page-aligned, `count` words long, zeroed by the
    // kernel and never unmapped; atomics are sound under writers elsewhere.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), count) })
}
