//! The pid file: locked for as long as the master lives, so that a stale one
//! is no obstacle and a second start is refused.
//!
//! The lock belongs to the open file, not to the process (flock(2)), so a
//! master that is replaced hands over the descriptor and with it the lock:
//! there is no moment in which a stranger could take it.
//!
//! Whoever only wants to know holds it shared for the moment of the question; a
//! master that starts just then sees the difference, and tries again.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For how long those who only look may be in the way of a start.
const LOOKERS: Duration = Duration::from_secs(1);

/// A locked pid file. Dropping it removes the file, where that is ours to do.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
    /// Not that of a master which is about to be replaced, or was.
    ours: bool,
}

/// What a pid file tells those who only look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// There is no such file.
    Absent,
    /// Nobody has it: its master is dead. The process id is that master's, where
    /// the file tells, and by now perhaps another process's.
    Stale(Option<u32>),
    /// A master has it; its process id, where the file tells and the process is
    /// one that has it open, as far as that may be seen.
    Alive(Option<u32>),
}

/// Looks who has the pid file at `path`, which is left as it is.
///
/// # Errors
/// As open(2), and for what is no regular file.
pub fn look(path: &Path) -> io::Result<Holder> {
    loop {
        let mut options = File::options();
        // What waits for somebody at its other end must not hold us up.
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Absent),
            Err(error) => return Err(error),
        };
        ensure_regular(&file)?;
        let free = is_free(&file)?;
        // A master that stops removes the file, and another may have made one.
        if !is_at(&file, path)? {
            continue;
        }
        let pid = pid_in(&file);
        return Ok(if free {
            Holder::Stale(pid)
        } else {
            Holder::Alive(pid.filter(|&pid| may_have(pid, &file)))
        });
    }
}

fn ensure_regular(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        return Ok(());
    }
    Err(io::Error::other("this is no regular file"))
}

/// Whether nobody has locked the file for himself alone.
fn is_free(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the process exists and has the file open, or does not show what it
/// has. A master that starts holds the file with the last one's id in it.
fn may_have(pid: u32, file: &File) -> bool {
    let Ok(held) = file.metadata() else {
        return true;
    };
    let directory = format!("/proc/{pid}/fd");
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return error.kind() == io::ErrorKind::PermissionDenied,
    };
    entries.filter_map(Result::ok).any(|entry| {
        let open = std::fs::metadata(entry.path());
        open.is_ok_and(|open| (open.dev(), open.ino()) == (held.dev(), held.ino()))
    })
}

/// Why there is no pid file.
#[derive(Debug)]
pub enum PidFileError {
    /// Another master holds it; its process id, where the file tells.
    Running(Option<u32>),
    /// The call that failed.
    Io(io::Error),
}

impl PidFile {
    /// Opens and locks the file; what an earlier master left in it stays until
    /// [`PidFile::write`].
    ///
    /// # Errors
    /// Where another process holds the lock, or the file cannot be opened.
    pub fn lock(path: &Path) -> Result<Self, PidFileError> {
        let deadline = Instant::now() + LOOKERS;
        loop {
            let mut options = File::options();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .custom_flags(libc::O_NONBLOCK)
                .mode(0o644);
            let file = options.open(path).map_err(PidFileError::Io)?;
            // A device or a FIFO has no place for the number, and is not ours to
            // remove.
            ensure_regular(&file).map_err(PidFileError::Io)?;
            match file.try_lock() {
                Ok(()) => {}
                // Two that start at once see each other as lookers here, and one
                // of them gets it at the next try.
                Err(TryLockError::WouldBlock)
                    if Instant::now() < deadline && is_free(&file).map_err(PidFileError::Io)? =>
                {
                    std::thread::yield_now();
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(PidFileError::Running(pid_in(&file))),
                Err(TryLockError::Error(error)) => return Err(PidFileError::Io(error)),
            }
            // The master before us may have removed the file between our open
            // and our lock: then we hold a lock on nothing.
            if is_at(&file, path).map_err(PidFileError::Io)? {
                return Ok(Self {
                    path: path.to_owned(),
                    file,
                    ours: true,
                });
            }
        }
    }

    /// The locked file of the master that this one is to replace; it stays
    /// that one's until [`PidFile::write`].
    pub fn inherit(path: &Path, file: OwnedFd) -> Self {
        Self {
            path: path.to_owned(),
            file: File::from(file),
            ours: false,
        }
    }

    /// Writes this process's id, and makes the file ours to remove. Whoever
    /// reads it meanwhile finds the id of the master before or of this one:
    /// the new line goes over the old one before anything is cut off.
    ///
    /// # Errors
    /// As pwrite(2) and ftruncate(2).
    pub fn write(&mut self) -> io::Result<()> {
        self.ours = true;
        self.write_id(std::process::id())
    }

    /// Another master has taken it over: writes its id, for this process may
    /// leave before that one gets to it, and is not ours to remove any more.
    ///
    /// # Errors
    /// As [`PidFile::write`].
    pub fn hand_over(&mut self, to: u32) -> io::Result<()> {
        self.ours = false;
        self.write_id(to)
    }

    fn write_id(&self, id: u32) -> io::Result<()> {
        let line = format!("{id}\n");
        self.file.write_all_at(line.as_bytes(), 0)?;
        self.file.set_len(line.len() as u64)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PidFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Still locked, so nobody else has written into it. But another may have
        // made one of his own, where somebody had removed ours.
        if self.ours && is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` is the name of `file`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    let named = std::fs::metadata(path);
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())))
}

fn pid_in(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn holder_of(path: &Path) -> Option<u32> {
        match PidFile::lock(path) {
            Err(PidFileError::Running(holder)) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stale_file_is_no_obstacle_and_a_held_one_names_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        std::fs::write(&path, "9999999999\n").unwrap();
        let mut held = PidFile::lock(&path).unwrap();
        held.write().unwrap();
        let pid = std::process::id();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{pid}\n"));
        assert_eq!(holder_of(&path), Some(pid));
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_another_master_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let first = PidFile::lock(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = PidFile::lock(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_look_tells_the_dead_from_the_living() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        assert_eq!(look(&path).unwrap(), Holder::Absent);
        // A number that is somebody's by now tells nothing.
        let me = std::process::id();
        std::fs::write(&path, format!("{me}\n")).unwrap();
        assert_eq!(look(&path).unwrap(), Holder::Stale(Some(me)));
        std::fs::write(&path, "1\n").unwrap();
        let mut held = PidFile::lock(&path).unwrap();
        let alive = look(&path).unwrap();
        if nix::unistd::geteuid().is_root() {
            assert_eq!(alive, Holder::Alive(None), "process 1 does not have it");
        }
        held.write().unwrap();
        assert_eq!(look(&path).unwrap(), Holder::Alive(Some(me)));
        assert!(look(directory.path()).is_err());
        drop(held);
        assert_eq!(look(&path).unwrap(), Holder::Absent);
    }

    #[test]
    fn what_is_no_regular_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(PidFile::lock(&path), Err(PidFileError::Io(_))));
        assert!(path.exists());
    }

    #[test]
    fn those_who_look_keep_no_master_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        std::fs::write(&path, "7\n").unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        look(&path).unwrap();
                    }
                });
            }
            let locked: Vec<_> = (0..2000).map(|_| PidFile::lock(&path).map(drop)).collect();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(locked.iter().all(Result::is_ok), "{locked:?}");
        });
    }

    #[test]
    fn the_lock_and_the_file_outlive_the_master_that_hands_them_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut first = PidFile::lock(&path).unwrap();
        first.write().unwrap();
        let inherited = || first.as_fd().try_clone_to_owned().unwrap();
        // One that never takes over leaves everything as it was.
        drop(PidFile::inherit(&path, inherited()));
        assert!(holder_of(&path).is_some());
        let mut second = PidFile::inherit(&path, inherited());
        first.hand_over(4711).unwrap();
        assert_eq!(holder_of(&path), Some(4711));
        second.write().unwrap();
        drop(first);
        assert_eq!(holder_of(&path), Some(std::process::id()));
        drop(second);
        assert!(!path.exists());
    }
}
