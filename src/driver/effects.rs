//! What protocols may only ask for: opening a file below a root, reading what
//! is in a directory there, and the place of a program.

use crate::protocol::{Entry, Facts, FileKind, OpenError};
use nix::dir::{Dir, OwningIter};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The directories that a service's files are opened below, held open from
/// the moment the configuration was accepted: a root that is moved away later
/// is still the same root.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    roots: Arc<Vec<Root>>,
}

/// A directory, and what symbolic links may do below it.
#[derive(Debug)]
struct Root {
    directory: Arc<OwnedFd>,
    links: Links,
}

/// What symbolic links may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Lead to anything below the root.
    Beneath,
    /// Nothing: a path with one in it is refused.
    Never,
}

/// What was found at a path.
#[derive(Debug)]
pub struct Found {
    /// The object, open.
    pub file: File,
    /// What it is.
    pub stamp: Stamp,
    /// The way there went over a symbolic link.
    pub linked: bool,
}

/// A version of an object: it changes with the content, the name, the owner
/// and the permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What it is.
    pub facts: Facts,
    /// The change time, in seconds and nanoseconds (inode(7)).
    changed: (i64, i64),
}

impl Stamp {
    /// Asks what an open object is.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn of(file: &File) -> Result<Self, Errno> {
        let stat = fstat(file)?;
        Ok(Self {
            facts: facts(&stat),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    /// The change time, in seconds and nanoseconds.
    #[cfg(test)]
    pub(super) fn changed(&self) -> (i64, i64) {
        self.changed
    }

    /// The second of the last change to it, of whatever kind.
    pub fn latest(&self) -> i64 {
        self.facts.mtime.max(self.changed.0)
    }
}

impl Roots {
    /// Opens each directory as a place to resolve paths from (O_PATH); one that
    /// stands there several times is opened once.
    ///
    /// # Errors
    /// As open(2), for the first that fails, which is named.
    pub fn open<'p>(
        wanted: impl IntoIterator<Item = (&'p Path, Links)>,
    ) -> Result<Self, (&'p Path, io::Error)> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut opened: Vec<(&Path, Arc<OwnedFd>)> = Vec::new();
        let mut roots = Vec::new();
        for (path, links) in wanted {
            let directory = match opened.iter().find(|(known, _)| *known == path) {
                Some((_, directory)) => Arc::clone(directory),
                None => {
                    let directory = nix::fcntl::open(path, flags, Mode::empty())
                        .map_err(|errno| (path, errno.into()))?;
                    let directory = Arc::new(directory);
                    opened.push((path, Arc::clone(&directory)));
                    directory
                }
            };
            roots.push(Root { directory, links });
        }
        Ok(Self {
            roots: Arc::new(roots),
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The descriptors, for a worker that must keep them; some several times.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.roots.iter().map(|root| root.directory.as_fd())
    }

    /// Opens `path` below root number `root`, and nowhere else: the kernel
    /// itself refuses every way out, `..`, absolute links and links swapped in
    /// while we look included (openat2(2), RESOLVE_BENEATH). O_NONBLOCK keeps
    /// a FIFO from holding us up.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub fn find(&self, root: usize, path: &[u8]) -> Result<Found, OpenError> {
        let root = self.roots.get(root).ok_or(OpenError::Failed)?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let (opened, linked) = match root.open(path, flags, Links::Never) {
            Err(Errno::ELOOP) if root.links != Links::Never => {
                (root.open(path, flags, root.links), true)
            }
            opened => (opened, false),
        };
        let file = opened.map(File::from).map_err(open_error)?;
        let stamp = Stamp::of(&file).map_err(open_error)?;
        Ok(Found {
            file,
            stamp,
            linked,
        })
    }

    /// What `path` is, as [`Roots::find`] would open it; opens nothing.
    fn look(&self, root: usize, path: &[u8]) -> Result<Facts, OpenError> {
        let root = self.roots.get(root).ok_or(OpenError::Failed)?;
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let object = root.open(path, flags, root.links).map_err(open_error)?;
        fstat(&object).map(|stat| facts(&stat)).map_err(open_error)
    }

    /// As [`Roots::find`], but only the place is wanted (O_PATH), to run a
    /// program or to run one in: it need not be readable. With `directory`
    /// anything else is not found.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub fn locate(&self, root: usize, path: &[u8], directory: bool) -> Result<OwnedFd, OpenError> {
        let root = self.roots.get(root).ok_or(OpenError::Failed)?;
        let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        flags.set(OFlag::O_DIRECTORY, directory);
        root.open(path, flags, root.links).map_err(open_error)
    }
}

impl Root {
    fn open(&self, path: &[u8], flags: OFlag, links: Links) -> Result<OwnedFd, Errno> {
        let mut resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        resolve.set(ResolveFlag::RESOLVE_NO_SYMLINKS, links == Links::Never);
        let how = OpenHow::new().flags(flags).resolve(resolve);
        let whole = if path.is_empty() { b"." } else { path };
        let mut tries = 0;
        loop {
            match openat2(&self.directory, whole, how) {
                Err(Errno::EINTR) => {}
                // Something was renamed while the kernel looked, so it could not be
                // sure. Or it is a lease, which its holder may keep for a while.
                Err(Errno::EAGAIN) if tries < TRIES => tries += 1,
                // Too old a kernel, or a filter of system calls that does not
                // know it; no file answers so, unless O_NOATIME is asked for.
                Err(Errno::ENOSYS | Errno::EPERM) => {
                    return walk(self.directory.as_fd(), path, flags);
                }
                opened => return opened,
            }
        }
    }
}

/// How often a path is looked up again because something moved meanwhile.
const TRIES: u32 = 100;

/// Opens `path` a name at a time and follows no symbolic link at all, where the
/// kernel cannot be asked to follow only those that stay inside. Names swapped
/// meanwhile do not matter: each step holds the directory of the last.
fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let step = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut names = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .peekable();
    let mut held: Option<OwnedFd> = None;
    loop {
        let at = held.as_ref().map_or(root, AsFd::as_fd);
        let Some(name) = names.next() else {
            return openat(at, ".", flags, Mode::empty());
        };
        if name == b".." {
            return Err(Errno::EXDEV);
        }
        if names.peek().is_none() {
            return openat(at, name, flags | OFlag::O_NOFOLLOW, Mode::empty());
        }
        let next = openat(at, name, step, Mode::empty());
        // With O_DIRECTORY a link says the same as a file: ask which it is.
        let is_link = matches!(next, Err(Errno::ENOTDIR))
            && fstatat(at, name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits());
        held = Some(if is_link { Err(Errno::ELOOP) } else { next }?);
    }
}

/// A directory that is being read.
pub struct Directory {
    entries: OwningIter,
    /// The same directory, to ask about its entries.
    at: File,
}

/// How many entries are read in one go.
const BATCH: usize = 128;

impl Directory {
    /// Begins to read the directory that was opened as `file`.
    ///
    /// # Errors
    /// As dup(2) and fdopendir(3).
    pub fn new(file: &File) -> Result<Self, OpenError> {
        let again = || file.try_clone().map_err(|error| io_error(&error));
        Ok(Self {
            entries: Dir::from_fd(again()?.into())
                .map_err(open_error)?
                .into_iter(),
            at: again()?,
        })
    }

    /// Adds the next few entries of the directory at `path` below root number
    /// `root`; answers whether there may be more. What is gone by now, and a
    /// symbolic link that may not be followed or leads nowhere, is left out.
    ///
    /// # Errors
    /// As readdir(3).
    pub fn read(
        &mut self,
        roots: &Roots,
        root: usize,
        path: &[u8],
        entries: &mut Vec<Entry>,
    ) -> Result<bool, OpenError> {
        for _ in 0..BATCH {
            let Some(found) = self.entries.next() else {
                return Ok(false);
            };
            let found = found.map_err(open_error)?;
            let name = found.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // Nothing is mounted for the sake of a listing.
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_NO_AUTOMOUNT;
            let Ok(stat) = fstatat(&self.at, name, flags) else {
                continue;
            };
            let mut facts = facts(&stat);
            if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() {
                let mut whole = path.to_vec();
                if !whole.is_empty() {
                    whole.push(b'/');
                }
                whole.extend_from_slice(name.to_bytes());
                match roots.look(root, &whole) {
                    Ok(target) => facts = target,
                    Err(_) => continue,
                }
            }
            entries.push(Entry {
                name: name.to_bytes().to_vec(),
                kind: facts.kind,
                length: facts.length,
                mtime: facts.mtime,
            });
        }
        Ok(true)
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

fn io_error(error: &io::Error) -> OpenError {
    open_error(Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn open_error(errno: Errno) -> OpenError {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => OpenError::NotFound,
        Errno::EACCES | Errno::EPERM => OpenError::Denied,
        Errno::EXDEV | Errno::ELOOP => OpenError::Escapes,
        // EAGAIN: somebody has a lease on it (F_SETLEASE of fcntl(2)), who was told.
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => OpenError::Exhausted,
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
        let roots = Roots::open([(root, Links::Beneath), (root, Links::Never)]).unwrap();
        let find = |path: &str| {
            roots
                .find(0, path.as_bytes())
                .map(|found| found.stamp.facts.kind)
        };
        assert_eq!(find("inside"), Ok(FileKind::File));
        assert_eq!(find("fine"), Ok(FileKind::File));
        assert_eq!(find(""), Ok(FileKind::Directory));
        for escape in ["absolute", "relative", "..", "../x", "/etc/passwd", "loop"] {
            assert_eq!(find(escape), Err(OpenError::Escapes), "{escape}");
        }
        assert_eq!(find("missing"), Err(OpenError::NotFound));
        assert_eq!(find("inside/x"), Err(OpenError::NotFound));
        let never = |path: &str| {
            roots
                .find(1, path.as_bytes())
                .map(|found| found.stamp.facts.kind)
        };
        assert_eq!(never("inside"), Ok(FileKind::File));
        assert_eq!(never("fine"), Err(OpenError::Escapes));
        assert_eq!(never("absolute"), Err(OpenError::Escapes));
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "i").unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("/etc", root.join("out")).unwrap();
        symlink("file", root.join("a/b/fine")).unwrap();
        let held = File::open(root).unwrap();
        let open = |path: &str| {
            walk(held.as_fd(), path.as_bytes(), OFlag::O_RDONLY)
                .map(|_| ())
                .map_err(open_error)
        };
        for path in ["", "a", "a/b", "a/b/file", "a//b/./file"] {
            assert_eq!(open(path), Ok(()), "{path}");
        }
        for path in [
            "link",
            "link/b/file",
            "out/passwd",
            "a/b/fine",
            "..",
            "a/../a",
            "../x",
        ] {
            assert_eq!(open(path), Err(OpenError::Escapes), "{path}");
        }
        for path in ["x", "a/x", "a/b/file/x", "x/y"] {
            assert_eq!(open(path), Err(OpenError::NotFound), "{path}");
        }
    }

    #[test]
    fn a_directory_is_read_in_pieces_and_leads_nowhere_else() {
        // Rule 111.
        let site = tempfile::tempdir().unwrap();
        let root = site.path().join("root");
        std::fs::create_dir_all(root.join("sub/inner")).unwrap();
        std::fs::write(root.join("outside-sub"), "12345").unwrap();
        std::fs::write(site.path().join("secret"), "s").unwrap();
        symlink("../outside-sub", root.join("sub/fine")).unwrap();
        symlink("../../secret", root.join("sub/escape")).unwrap();
        symlink("nowhere", root.join("sub/dangling")).unwrap();
        for at in 0..300 {
            std::fs::write(root.join(format!("sub/file-{at}")), "").unwrap();
        }
        let roots = Roots::open([(&*root, Links::Beneath), (&*root, Links::Never)]).unwrap();
        let read = |number: usize| {
            let found = roots.find(number, b"sub").unwrap();
            let mut directory = Directory::new(&found.file).unwrap();
            let (mut entries, mut pieces) = (Vec::new(), 0);
            while directory
                .read(&roots, number, b"sub", &mut entries)
                .unwrap()
            {
                pieces += 1;
            }
            assert!(pieces >= 2, "{pieces} pieces");
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            entries
        };
        let entries = read(0);
        assert_eq!(entries.len(), 302);
        let of = |name: &[u8]| entries.iter().find(|entry| entry.name == name);
        assert_eq!(of(b"fine").unwrap().length, 5);
        assert_eq!(of(b"inner").unwrap().kind, FileKind::Directory);
        assert!(of(b"escape").is_none() && of(b"dangling").is_none());
        assert_eq!(read(1).len(), 301, "without the link that is fine");
    }

    #[test]
    fn a_fifo_does_not_hold_us_up_and_is_not_a_file() {
        let directory = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRWXU).unwrap();
        let roots = Roots::open([(directory.path(), Links::Beneath)]).unwrap();
        assert_eq!(
            roots.find(0, b"fifo").map(|found| found.stamp.facts.kind),
            Ok(FileKind::Other)
        );
    }
}
