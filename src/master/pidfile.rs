//! The pid file: locked for as long as the master lives, so that a stale one
//! is no obstacle and a second start is refused.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A pid file that is ours. Dropping it removes the file.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: Flock<File>,
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
    /// Opens and locks the file (flock(2)); what an earlier master left in it
    /// stays until [`PidFile::write`].
    ///
    /// # Errors
    /// Where another process holds the lock, or the file cannot be opened.
    pub fn lock(path: &Path) -> Result<Self, PidFileError> {
        loop {
            let mut options = File::options();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644);
            let file = options.open(path).map_err(PidFileError::Io)?;
            let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((file, Errno::EWOULDBLOCK)) => {
                    return Err(PidFileError::Running(pid_in(&file)));
                }
                Err((_, errno)) => return Err(PidFileError::Io(errno.into())),
            };
            // The master before us may have removed the file between our open
            // and our lock: then we hold a lock on nothing.
            let ours = file.metadata().map_err(PidFileError::Io)?;
            let named = std::fs::metadata(path);
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Self {
                    path: path.to_owned(),
                    file,
                });
            }
        }
    }

    /// Writes this process's id.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Still locked, so it is ours to remove.
        let _ = std::fs::remove_file(&self.path);
    }
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

    #[test]
    fn a_stale_file_is_no_obstacle_and_a_held_one_names_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        std::fs::write(&path, "999999\n").unwrap();
        let mut held = PidFile::lock(&path).unwrap();
        held.write().unwrap();
        let pid = std::process::id();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{pid}\n"));
        match PidFile::lock(&path) {
            Err(PidFileError::Running(Some(holder))) => assert_eq!(holder, pid),
            other => panic!("{other:?}"),
        }
        drop(held);
        assert!(!path.exists());
    }
}
