//! Shared memory for the scoreboard (memfd_create(2), mmap(2)).

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

/// `count` zeroed words, shared with every process forked from now on, and the
/// file that they are, to be passed on to another program. They are mapped for
/// as long as the process lives; pages nobody touches cost nothing. The memory
/// has a name, so that /proc/PID/maps explains itself.
///
/// # Errors
/// What memfd_create(2), ftruncate(2), fcntl(2) or mmap(2) say; EINVAL for no
/// words.
pub fn shared_words(name: &str, count: usize) -> io::Result<(&'static [AtomicU64], OwnedFd)> {
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let bytes = length(count)?;
    nix::unistd::ftruncate(&file, i64::try_from(bytes.get()).unwrap_or(i64::MAX))?;
    // Whoever maps it may rely on its length.
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let words = map(&file, count)?;
    Ok((words, file))
}

/// The words of a file that another process made with [`shared_words`]; the
/// caller only reads them.
///
/// # Errors
/// What mmap(2) says; EINVAL where the file does not have `count` words, or
/// could lose some.
pub fn words_of(file: &OwnedFd, count: usize) -> io::Result<&'static [AtomicU64]> {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS)?;
    let found = nix::sys::stat::fstat(file)?.st_size;
    let sealed = seals & SealFlag::F_SEAL_SHRINK.bits() != 0;
    if !sealed || usize::try_from(found) != Ok(length(count)?.get()) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    map(file, count)
}

fn length(count: usize) -> io::Result<NonZeroUsize> {
    NonZeroUsize::new(count * size_of::<AtomicU64>())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

fn map(file: &OwnedFd, count: usize) -> io::Result<&'static [AtomicU64]> {
    let bytes = length(count)?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: no address is asked for, so nothing that exists is mapped over;
    // the file is `bytes` long, and sealed against becoming shorter.
    let start = unsafe {
        mmap(
            None,
            bytes,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            flags,
            file,
            0,
        )
    }?;
    // SAFETY: `start` is page-aligned, `count` words long, filled by the kernel
    // and never unmapped; atomics are sound under writers elsewhere.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast::<AtomicU64>(), count) })
}
