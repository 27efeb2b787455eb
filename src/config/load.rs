//! The way in: a path or a text, to a configuration or to what is wrong with it.
//!
//! This is the only place of `config` that opens a file, and the only ones it
//! opens are the one it was told to and those that it names to be read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::mistake::{Mistakes, Severity, position};
use super::system::{System, reason};
use super::{Config, check, file};

/// A configuration is written by hand. What is longer is something else, and
/// may have no end.
const LONGEST: u64 = 1 << 20;

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// It.
    pub config: Config,
    /// What is not as it was written.
    pub warnings: Mistakes,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read.
    Unreadable {
        /// Its path as it was given.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not UTF-8, which TOML demands.
    NotText {
        /// Its path as it was given.
        path: PathBuf,
        /// The line of the first octet that is wrong, from 1.
        line: usize,
        /// The character of that line, from 1.
        column: usize,
    },
    /// The file can be read, and is wrong.
    Mistakes(Mistakes),
}

impl LoadError {
    /// The exit status that says this: 77 for a file we may not read, else 78,
    /// see sysexits(3head).
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => 77,
            Self::Unreadable { .. } | Self::NotText { .. } | Self::Mistakes(_) => 78,
        }
    }

    /// The whole message as an administrator wants it, with colours for a
    /// terminal if `colour`. Ends without a newline.
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Unreadable { path, error } => {
                format!("read {}: {}", path.display(), reason(error))
            }
            Self::NotText { path, line, column } => {
                format!(
                    "{}:{line}:{column}: error: this is not UTF-8",
                    path.display()
                )
            }
            Self::Mistakes(mistakes) => mistakes.render(colour),
        }
    }

    /// The message a line a finding, for a log.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Unreadable { .. } | Self::NotText { .. } => vec![self.render(false)],
            Self::Mistakes(mistakes) => mistakes.lines().collect(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for LoadError {}

/// Reads and checks the file at `path`. Relative paths in it count from its
/// directory.
///
/// # Errors
///
/// The file cannot be read, is larger than 1 MiB, is not UTF-8, or has mistakes;
/// they are reported together unless it is no TOML.
pub fn load(path: &Path, system: &dyn System) -> Result<Loaded, LoadError> {
    load_from(path, File::open(path), system)
}

/// As [`load`], for a reader who must not wait: a FIFO in the place of the
/// file would hold it up until somebody writes.
///
/// # Errors
///
/// As [`load`], and for what is not a regular file.
pub fn load_again(path: &Path, system: &dyn System) -> Result<Loaded, LoadError> {
    load_from(path, open_regular(path), system)
}

fn load_from(
    path: &Path,
    opened: io::Result<File>,
    system: &dyn System,
) -> Result<Loaded, LoadError> {
    let unreadable = |error| LoadError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let octets = opened.and_then(read).map_err(unreadable)?;
    // The daemon changes to / later; the paths must not change their meaning.
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let base = absolute.parent().unwrap_or(Path::new("/"));
    let text = match String::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
            let (line, column) = position(&before, valid);
            return Err(LoadError::NotText {
                path: path.to_owned(),
                line,
                column,
            });
        }
    };
    parse(&text, &path.to_string_lossy(), base, system).map_err(LoadError::Mistakes)
}

/// Checks the text of a configuration. Messages call it `name`; relative paths
/// count from `base`, which is absolute.
///
/// # Errors
///
/// All mistakes of the text, or the first one if it is no TOML.
pub fn parse(text: &str, name: &str, base: &Path, system: &dyn System) -> Result<Loaded, Mistakes> {
    let mut found = Vec::new();
    let file = match file::read(text, &mut found) {
        Ok(file) => file,
        Err(mistake) => return Err(Mistakes::new(name, text, vec![mistake])),
    };
    let config = check::check(&file, base, system, &mut found);
    let fatal = found
        .iter()
        .any(|mistake| mistake.severity == Severity::Error);
    let found = Mistakes::new(name, text, found);
    if fatal {
        return Err(found);
    }
    Ok(Loaded {
        config,
        warnings: found,
    })
}

/// What a regular file of a bearable size holds, without waiting for anybody.
pub(super) fn contents(path: &Path) -> io::Result<Vec<u8>> {
    read(open_regular(path)?)
}

fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    // That a directory cannot be read, read(2) says better.
    if kind.is_file() || kind.is_dir() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(octets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::fuzzing::survive;
    use crate::config::system::Pretend;
    use proptest::prelude::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_errno() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none.toml");
        for (path, reason) in [
            (missing.as_path(), "No such file or directory (ENOENT)"),
            (directory.path(), "Is a directory (EISDIR)"),
        ] {
            let error = load(path, &Pretend::default()).unwrap_err();
            let expected = format!("read {}: {reason}", path.display());
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.exit_status(), 78);
        }
    }

    #[test]
    fn no_permission_has_a_status_of_its_own() {
        let error = LoadError::Unreadable {
            path: "/etc/x".into(),
            error: io::Error::from_raw_os_error(nix::libc::EACCES),
        };
        assert_eq!(error.to_string(), "read /etc/x: Permission denied (EACCES)");
        assert_eq!(error.exit_status(), 77);
    }

    #[test]
    fn octets_that_are_no_text_are_pointed_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.toml");
        std::fs::write(&path, b"# \xc3\xa9\nx = '\xc3\xa9\xc3").unwrap();
        let error = load(&path, &Pretend::default()).unwrap_err();
        let expected = format!("{}:2:7: error: this is not UTF-8", path.display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let error = load(Path::new("/dev/zero"), &Pretend::default()).unwrap_err();
        assert_eq!(error.to_string(), "read /dev/zero: file too large");
    }

    #[test]
    fn a_text_that_is_no_toml_is_shown_where_it_ends() {
        let text = "[master]\nlog = off\n";
        let error = parse(text, "f", Path::new("/"), &Pretend::default());
        let shown = error.unwrap_err().to_string();
        assert!(shown.starts_with("f:2:7: error: "), "{shown}");
        assert!(shown.contains("\n2 | log = off\n  |       ^^^"), "{shown}");
    }

    #[test]
    fn relative_paths_count_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.toml");
        let text = "[pool.p]\nservice='http'\nlisten='1'\nhttp={root='www'}";
        std::fs::write(&path, text).unwrap();
        let error = load(&path, &Pretend::default()).unwrap_err();
        let root = directory.path().join("www").display().to_string();
        assert!(error.lines()[0].contains(&root), "{error}");
    }

    /// Pieces that make a text look enough like a configuration to get far.
    const PIECES: &[&str] = &[
        "[pool.p]\n",
        "[pool.p.http]\n",
        "[master]\n",
        "[pool]\n",
        "[[pool]]\n",
        "listen",
        "service",
        "message",
        "workers",
        "max_workers",
        "log",
        "index",
        "max_body",
        "idle_timeout",
        "user",
        "root",
        "'http'",
        "'echo'",
        "'1m30s'",
        "'64KiB'",
        "'unix:x'",
        "'[::]:80'",
        "'auto'",
        "\"\\u00e9\"",
        "{",
        "}",
        "[",
        "]",
        " = ",
        ",",
        "\n",
        "\r\n",
        ".",
        "1",
        "-5",
        "0o17",
        "1e9",
        "true",
        "é",
        "\t",
        "1979-05-27",
        "#",
        "\"",
        "'''",
        "\u{feff}",
        "\0",
    ];

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            survive(&text);
        }

        #[test]
        fn no_heap_of_pieces_is_too_odd(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)
        ) {
            survive(&pieces.concat());
        }

        #[test]
        fn no_value_is_too_odd(
            key in proptest::sample::select(crate::config::keys()),
            value in "[0-9a-z:.\\[\\]{}'\"= ,-]{0,20}|'[0-9a-zA-Z:./-]{0,20}'|[0-9]{1,20}",
        ) {
            let header = key.table.replace("NAME", "p");
            let (header, rest) = header.split_once(']').unwrap_or_default();
            let name = key.name;
            let line = match rest.trim() {
                "" => format!("{name} = {value}"),
                outer => format!("{outer} = {{ {name} = {value} }}"),
            };
            survive(&format!("[pool.q]\nservice = 'echo'\nlisten = '7'\n{header}]\n{line}\n"));
        }
    }
}
