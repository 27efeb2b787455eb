//! The process title: what `ps` shows.
//!
//! The kernel reads a process's command line out of its memory, between two
//! addresses. We point these at a page of our own (`PR_SET_MM_MAP`, which
//! needs no privilege), or, where the kernel was built without that, write
//! over the bytes of argv. After that a new title is a store to memory: no
//! system call, no cost worth a thought.

use super::check;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// The writable bytes behind /proc/PID/cmdline. Forked processes inherit the
/// place, and the first store gives each its own copy of the page.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    area: &'static [AtomicU8],
}

/// The longest title, in octets, its closing NUL included.
const LENGTH: usize = 256;

impl Title {
    /// A place for titles: call once, early in the master.
    ///
    /// # Errors
    /// Where neither our own page nor argv can be used; run on without titles.
    pub fn new() -> io::Result<Self> {
        let map = ProcessMap::read()?;
        Self::own_page(&map).or_else(|_| Self::over_argv(&map))
    }

    /// Shows `text`, cut to what fits.
    pub fn set(&self, text: &[u8]) {
        let Some((last, area)) = self.area.split_last() else {
            return;
        };
        for (index, byte) in area.iter().enumerate() {
            let new = text.get(index).copied().unwrap_or(0);
            if new == 0 && byte.load(Ordering::Relaxed) == 0 {
                break;
            }
            byte.store(new, Ordering::Relaxed);
        }
        last.store(0, Ordering::Relaxed);
    }

    fn own_page(map: &ProcessMap) -> io::Result<Self> {
        let area: &'static [AtomicU8; LENGTH] =
            Box::leak(Box::new([const { AtomicU8::new(0) }; LENGTH]));
        let start = area.as_ptr().addr() as u64;
        let request = PrctlMmMap {
            arg_start: start,
            arg_end: start + LENGTH as u64,
            ..map.as_prctl()?
        };
        let size = size_of::<PrctlMmMap>();
        // SAFETY: the pointer is to a live, initialised struct of the `size` passed beside it.
        check(unsafe {
            libc::prctl(
                libc::PR_SET_MM,
                libc::PR_SET_MM_MAP,
                &raw const request,
                size,
                0,
            )
        })?;
        Ok(Self { area })
    }

    fn over_argv(map: &ProcessMap) -> io::Result<Self> {
        let length = usize::try_from(map.arg_end.saturating_sub(map.arg_start)).unwrap_or(0);
        if map.arg_start == 0 || length < 2 {
            return Err(io::Error::other("no argv to write over"));
        }
        let start = std::ptr::with_exposed_provenance::<AtomicU8>(map.arg_start as usize);
        // SAFETY: the kernel put argv's strings at [arg_start, arg_end), mapped
        // writable for the life of the process; std copied what it needs, and
        // the bytes are only touched as atomics from here on.
        let area = unsafe { std::slice::from_raw_parts(start, length) };
        Ok(Self { area })
    }
}

/// Field numbers of /proc/PID/stat (proc_pid_stat(5)).
struct ProcessMap {
    start_code: u64,
    end_code: u64,
    start_stack: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
}

impl ProcessMap {
    fn read() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The second field, the name, may hold anything; what follows its last `)` is numbers.
        let after = stat.rfind(')').map_or("", |at| &stat[at + 1..]);
        let fields: Vec<&str> = after.split_whitespace().collect();
        let field = |number: usize| -> io::Result<u64> {
            let text = fields
                .get(number - 3)
                .ok_or_else(|| io::Error::other("short /proc/self/stat"))?;
            text.parse().map_err(io::Error::other)
        };
        Ok(Self {
            start_code: field(26)?,
            end_code: field(27)?,
            start_stack: field(28)?,
            start_data: field(45)?,
            end_data: field(46)?,
            start_brk: field(47)?,
            arg_start: field(48)?,
            arg_end: field(49)?,
            env_start: field(50)?,
            env_end: field(51)?,
        })
    }

    fn as_prctl(&self) -> io::Result<PrctlMmMap> {
        // SAFETY: sbrk(0) only asks where the break is.
        let brk = unsafe { libc::sbrk(0) };
        Ok(PrctlMmMap {
            start_code: self.start_code,
            end_code: self.end_code,
            start_data: self.start_data,
            end_data: self.end_data,
            start_brk: self.start_brk,
            brk: brk.addr() as u64,
            start_stack: self.start_stack,
            arg_start: self.arg_start,
            arg_end: self.arg_end,
            env_start: self.env_start,
            env_end: self.env_end,
            auxv: 0,
            auxv_size: 0,
            exe_fd: u32::MAX,
        })
    }
}

/// `struct prctl_mm_map` of <linux/prctl.h>.
#[repr(C)]
struct PrctlMmMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}
