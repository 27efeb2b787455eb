//! Where content goes.
//!
//! Owes that a file is as it was until an answer is there that takes its place,
//! and that nothing a server sends drives a terminal.

use super::super::screen::Screen;
use crate::client::failure::words;
use crate::client::transfer::Wish;
use crate::client::{Cause, Failure};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where content is to go, before there is any.
pub(super) enum Destination {
    /// Nobody wants it.
    Nowhere,
    /// Standard output.
    Standard,
    /// A file.
    File {
        /// What it is called.
        path: PathBuf,
        /// The file, if it is there.
        file: Option<File>,
        /// Octets of it that are kept; 0 unless it is gone on with.
        held: u64,
    },
}

impl Destination {
    /// Sees whether a file can be written, and changes nothing of it: a request
    /// that cannot be taken in is better not sent.
    pub(super) fn prepare(path: Option<&Path>, resumes: bool) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Standard);
        };
        let name = path.display();
        let (file, held) = match File::options().write(true).open(path) {
            Ok(file) => {
                let length = file
                    .metadata()
                    .map_err(|error| refused("stat", name, &error))?
                    .len();
                (Some(file), if resumes { length } else { 0 })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let directory = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    Some(_) | None => Path::new("."),
                };
                let found = std::fs::metadata(directory);
                let shown = directory.display();
                found.map_err(|error| refused("open", shown, &error))?;
                (None, 0)
            }
            Err(error) => return Err(refused("open", name, &error)),
        };
        let path = path.to_owned();
        Ok(Self::File { path, file, held })
    }

    /// Octets of a file that are kept.
    pub(super) const fn held(&self) -> u64 {
        match self {
            Self::Nowhere | Self::Standard => 0,
            Self::File { held, .. } => *held,
        }
    }

    /// Whether it is a file.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Opens it: a file is cut to the octets that are kept.
    pub(super) fn open(&mut self, keeps: bool) -> Result<Output, Failure> {
        match self {
            Self::Nowhere => Ok(Output::Nothing),
            Self::Standard => {
                let stdout = io::stdout();
                let file = stdout.as_fd().try_clone_to_owned();
                let file = file.map_err(|error| refused("dup", "standard output", &error))?;
                Ok(Output::Standard {
                    file: file.into(),
                    screen: stdout.is_terminal().then(Screen::default),
                })
            }
            Self::File { path, file, held } => {
                let name = path.display();
                let mut file = match file.take() {
                    Some(file) => file,
                    None => File::options()
                        .write(true)
                        .create(true)
                        .truncate(false)
                        .open(&*path)
                        .map_err(|error| refused("open", &name, &error))?,
                };
                let length = if keeps { *held } else { 0 };
                // A device or a pipe has no length.
                if file.metadata().is_ok_and(|found| found.is_file()) {
                    file.set_len(length)
                        .map_err(|error| refused("ftruncate", &name, &error))?;
                    file.seek(SeekFrom::Start(length))
                        .map_err(|error| refused("lseek", &name, &error))?;
                }
                let path = path.clone();
                Ok(Output::File { file, path, length })
            }
        }
    }
}

/// Where content goes.
pub(super) enum Output {
    /// Nowhere.
    Nothing,
    /// Standard output.
    Standard {
        /// Without a buffer in between: what came is shown.
        file: File,
        /// What it goes through, if it is a terminal.
        screen: Option<Screen>,
    },
    /// A file.
    File {
        /// The file.
        file: File,
        /// What it is called.
        path: PathBuf,
        /// Octets it has.
        length: u64,
    },
}

impl Output {
    /// Writes what came. A reader of standard output that has gone has read
    /// enough.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<Wish, Failure> {
        match self {
            Self::Nothing => Ok(Wish::More),
            Self::Standard { file, screen } => {
                let Some(screen) = screen else {
                    return write_all(file, octets);
                };
                let mut shown = Vec::with_capacity(octets.len());
                screen.show(octets, &mut shown);
                write_all(file, &shown)
            }
            Self::File { file, path, length } => {
                file.write_all(octets).map_err(|error| {
                    let failure = refused("write", path.display(), &error);
                    Failure::new(
                        failure.cause,
                        format!("{}, after {length} octets", failure.message),
                    )
                })?;
                *length += octets.len() as u64;
                Ok(Wish::More)
            }
        }
    }

    /// All that is to be written is.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if let Self::Standard {
            file,
            screen: Some(screen),
        } = self
        {
            let mut shown = Vec::new();
            screen.finish(&mut shown);
            write_all(file, &shown)?;
        }
        Ok(())
    }

    /// What is there of a file.
    pub(super) fn left(&self) -> Option<String> {
        match self {
            Self::File { path, length, .. } if *length > 0 => Some(format!(
                "{} has {length} octets, and -C goes on from there",
                path.display()
            )),
            Self::Nothing | Self::Standard { .. } | Self::File { .. } => None,
        }
    }
}

fn write_all(file: &mut File, octets: &[u8]) -> Result<Wish, Failure> {
    match file.write_all(octets) {
        Ok(()) => Ok(Wish::More),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Wish::Enough),
        Err(error) => Err(refused("write", "standard output", &error)),
    }
}

/// A call on something of this machine that failed.
pub(super) fn refused(call: &str, object: impl std::fmt::Display, error: &io::Error) -> Failure {
    let cause = match error.kind() {
        ErrorKind::PermissionDenied => Cause::Denied,
        _ => Cause::System,
    };
    Failure::new(cause, format!("{call} {object}: {}", words(error)))
}
