//! What a configuration asks the machine it will run on.
//!
//! The questions are a trait so that the checks themselves stay pure. They only
//! look: nothing is created, opened or bound for a check.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, Gid, Group, Uid, User};

/// A row of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// The machine, as far as the checks look at it.
pub trait System {
    /// The user of this name, or else of this number.
    ///
    /// # Errors
    ///
    /// The user database could not be read.
    fn account(&self, name: &str) -> io::Result<Option<Account>>;

    /// The id of the group of this name.
    ///
    /// # Errors
    ///
    /// The group database could not be read.
    fn group(&self, name: &str) -> io::Result<Option<u32>>;

    /// All groups of the user called `login` whose primary group is `gid`, that
    /// one included: getgrouplist(3).
    ///
    /// # Errors
    ///
    /// The group database could not be read.
    fn groups_of(&self, login: &str, gid: u32) -> io::Result<Vec<u32>>;

    /// Effective user and group id of this process.
    fn effective_ids(&self) -> (u32, u32);

    /// Whether the path, with its symbolic links followed, is a directory.
    ///
    /// # Errors
    ///
    /// stat(2)'s.
    fn is_directory(&self, path: &Path) -> io::Result<bool>;

    /// Whether the path, with its symbolic links followed, is a regular file that
    /// this process may execute.
    ///
    /// # Errors
    ///
    /// stat(2)'s and access(2)'s; EACCES for what is no regular file.
    fn is_program(&self, path: &Path) -> io::Result<()>;

    /// A variable of this process's environment.
    fn variable(&self, name: &str) -> Option<String>;

    /// What a regular file holds, its symbolic links followed.
    ///
    /// # Errors
    ///
    /// open(2)'s and read(2)'s; and for what is no regular file, or is larger
    /// than a configuration may be.
    fn contents(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// As [`System::contents`], for a file of text.
    ///
    /// # Errors
    ///
    /// Its own, and for what is not UTF-8.
    fn read_text(&self, path: &Path) -> io::Result<String> {
        let octets = self.contents(path)?;
        String::from_utf8(octets).map_err(|_| io::Error::other("this is not UTF-8"))
    }

    /// net.core.somaxconn, the longest accept queue the kernel gives; `None` if
    /// it cannot be read.
    fn somaxconn(&self) -> Option<u32>;

    /// net.ipv4.tcp_fastopen, the bits of who may use TCP Fast Open; `None` if it
    /// cannot be read.
    fn tcp_fastopen(&self) -> Option<u32>;

    /// How many processors this process may run on; at least 1.
    fn processors(&self) -> u32;
}

/// The machine this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl System for ThisMachine {
    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        let mut user = User::from_name(name)?;
        if user.is_none()
            && let Ok(uid) = name.parse()
        {
            user = User::from_uid(Uid::from_raw(uid))?;
        }
        Ok(user.map(|user| Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }

    fn groups_of(&self, login: &str, gid: u32) -> io::Result<Vec<u32>> {
        let login = CString::new(login)?;
        let groups = nix::unistd::getgrouplist(&login, Gid::from_raw(gid))?;
        Ok(groups.into_iter().map(Gid::as_raw).collect())
    }

    fn effective_ids(&self) -> (u32, u32) {
        (Uid::effective().as_raw(), Gid::effective().as_raw())
    }

    fn is_directory(&self, path: &Path) -> io::Result<bool> {
        std::fs::metadata(path).map(|found| found.is_dir())
    }

    fn is_program(&self, path: &Path) -> io::Result<()> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(Errno::EACCES.into());
        }
        Ok(nix::unistd::access(path, AccessFlags::X_OK)?)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        super::load::contents(path)
    }

    fn somaxconn(&self) -> Option<u32> {
        let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
        text.trim().parse().ok()
    }

    fn tcp_fastopen(&self) -> Option<u32> {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen").ok()?;
        text.trim().parse().ok()
    }

    fn processors(&self) -> u32 {
        let found = std::thread::available_parallelism().map_or(1, usize::from);
        u32::try_from(found).unwrap_or(u32::MAX)
    }
}

/// What the system said, with its name for it: `Permission denied (EACCES)`.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => {
            let errno = Errno::from_raw(number);
            format!("{} ({errno:?})", errno.desc())
        }
        None => error.to_string(),
    }
}

/// A machine made up for tests: root runs it, `www` is user 33 of the groups 33
/// and 44, directories are those under `/srv`, `/run` and `/etc`, and programs `/srv/prog`, `/usr/bin/prog` and `/usr/bin/cat`.
#[cfg(any(test, fuzzing))]
#[derive(Clone, Debug)]
pub(crate) struct Pretend {
    pub(crate) ids: (u32, u32),
    pub(crate) somaxconn: Option<u32>,
}

#[cfg(any(test, fuzzing))]
impl Default for Pretend {
    fn default() -> Self {
        Self {
            ids: (0, 0),
            somaxconn: Some(4096),
        }
    }
}

#[cfg(any(test, fuzzing))]
impl System for Pretend {
    fn account(&self, name: &str) -> io::Result<Option<Account>> {
        Ok((name == "www" || name == "33").then(|| Account {
            name: "www".to_owned(),
            uid: 33,
            gid: 33,
        }))
    }

    fn group(&self, name: &str) -> io::Result<Option<u32>> {
        match name {
            "www" => Ok(Some(33)),
            "adm" => Ok(Some(4)),
            "broken" => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(None),
        }
    }

    fn groups_of(&self, login: &str, gid: u32) -> io::Result<Vec<u32>> {
        assert_eq!(login, "www");
        Ok(vec![gid, 44])
    }

    fn effective_ids(&self) -> (u32, u32) {
        self.ids
    }

    fn is_directory(&self, path: &Path) -> io::Result<bool> {
        match path.to_str() {
            Some("/srv/www" | "/srv" | "/run" | "/etc" | "/") => Ok(true),
            Some("/srv/file") => Ok(false),
            Some("/srv/secret") => Err(io::ErrorKind::PermissionDenied.into()),
            Some(_) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_program(&self, path: &Path) -> io::Result<()> {
        match path.to_str() {
            Some("/srv/prog" | "/usr/bin/prog" | "/usr/bin/cat") => Ok(()),
            Some("/srv/file") => Err(io::ErrorKind::PermissionDenied.into()),
            Some(_) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "PATH").then(|| "/bin:/usr/bin".to_owned())
    }

    fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let of = |users: &[&str]| {
            let lines = users
                .iter()
                .map(|user| format!("{user}:$2y$04${}\n", "a".repeat(53)));
            Ok(lines.collect::<String>().into_bytes())
        };
        match path.to_str() {
            Some("/etc/mime.types") => Ok(b"# types\ntext/x-own own o\n".to_vec()),
            Some("/etc/wrong.types") => Ok(b"text/x-own own\n\nhtml text/html\n".to_vec()),
            Some("/etc/htpasswd" | "/srv/htpasswd") => of(&["ada", "bob"]),
            Some("/etc/nobody") => of(&[]),
            Some("/etc/broken") => Ok(b"ada:secret\n".to_vec()),
            Some("/etc/latin1") => Ok(b"ren\xe9:x\n".to_vec()),
            Some(_) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn somaxconn(&self) -> Option<u32> {
        self.somaxconn
    }

    fn tcp_fastopen(&self) -> Option<u32> {
        Some(1)
    }

    fn processors(&self) -> u32 {
        4
    }
}
