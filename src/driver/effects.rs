//! What protocols may only ask for: opening a file below a root.

use crate::protocol::{Facts, FileKind, OpenError};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// The directories that a service's files are opened below, held open from
/// the moment the configuration was accepted: a root that is moved away later
/// is still the same root.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    directories: Arc<Vec<OwnedFd>>,
}

impl Roots {
    /// Opens each directory as a place to resolve paths from (O_PATH).
    ///
    /// # Errors
    /// As open(2), for the first that fails.
    pub fn open<'p>(paths: impl IntoIterator<Item = &'p Path>) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let open = |path: &'p Path| Ok(nix::fcntl::open(path, flags, Mode::empty())?);
        let directories: io::Result<Vec<OwnedFd>> = paths.into_iter().map(open).collect();
        Ok(Self {
            directories: Arc::new(directories?),
        })
    }

    /// The descriptors, for a worker that must keep them.
    pub fn directories(&self) -> &[OwnedFd] {
        &self.directories
    }

    /// Opens `path` below root number `root`, and nowhere else: the kernel
    /// itself refuses every way out, `..`, absolute links and links swapped in
    /// while we look included (openat2(2), RESOLVE_BENEATH). O_NONBLOCK keeps
    /// a FIFO from holding us up.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub fn find(&self, root: usize, path: &[u8]) -> Result<(File, Facts), OpenError> {
        let directory = self.directories.get(root).ok_or(OpenError::Failed)?;
        let path = if path.is_empty() { b"." } else { path };
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = loop {
            match openat2(directory, path, how) {
                Ok(fd) => break File::from(fd),
                // EAGAIN: something was renamed while the kernel looked, so it could not be sure.
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(open_error(errno)),
            }
        };
        let facts = fstat(&file).map(|stat| facts(&stat)).map_err(open_error)?;
        Ok((file, facts))
    }
}

fn facts(stat: &FileStat) -> Facts {
    let kind = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => FileKind::File,
        SFlag::S_IFDIR => FileKind::Directory,
        _ => FileKind::Other,
    };
    Facts {
        kind,
        length: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: stat.st_mtime,
        mtime_nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        identity: (stat.st_dev, stat.st_ino),
    }
}

fn open_error(errno: Errno) -> OpenError {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => OpenError::NotFound,
        Errno::EACCES | Errno::EPERM => OpenError::Denied,
        Errno::EXDEV | Errno::ELOOP => OpenError::Escapes,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => OpenError::Exhausted,
        // A socket's file cannot be opened at all; to a client it is as good as not served.
        Errno::ENXIO => OpenError::Denied,
        _ => OpenError::Failed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("inside"), "i").unwrap();
        symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
        symlink("../".repeat(8) + "etc/passwd", root.join("relative")).unwrap();
        symlink("inside", root.join("fine")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let roots = Roots::open([root]).unwrap();
        let find = |path: &str| roots.find(0, path.as_bytes()).map(|(_, facts)| facts.kind);
        assert_eq!(find("inside"), Ok(FileKind::File));
        assert_eq!(find("fine"), Ok(FileKind::File));
        assert_eq!(find(""), Ok(FileKind::Directory));
        for escape in ["absolute", "relative", "..", "../x", "/etc/passwd", "loop"] {
            assert_eq!(find(escape), Err(OpenError::Escapes), "{escape}");
        }
        assert_eq!(find("missing"), Err(OpenError::NotFound));
        assert_eq!(find("inside/x"), Err(OpenError::NotFound));
    }

    #[test]
    fn a_fifo_does_not_hold_us_up_and_is_not_a_file() {
        let directory = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRWXU).unwrap();
        let roots = Roots::open([directory.path()]).unwrap();
        assert_eq!(
            roots.find(0, b"fifo").map(|(_, facts)| facts.kind),
            Ok(FileKind::Other)
        );
    }
}
