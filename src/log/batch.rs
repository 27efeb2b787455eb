//! Many whole lines at once, for a sink that may take a part of them.
//!
//! Owes: no line is written in two pieces with another of ours between them, or
//! in two files, and every line that did not go out whole is counted. Never
//! waits for a reader.

use super::sink::{Cut, Sink, write_stderr};
use log::Level;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;

/// The rest of a line whose beginning was written, which comes before anything
/// else, and why it was not.
#[derive(Debug, Default)]
pub struct Torn {
    rest: Vec<u8>,
    /// Which file has the beginning; another one may stand under its number by
    /// now, for logs are reopened behind our back.
    beginning: Option<Identity>,
    error: Option<io::Error>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Torn {
    /// Why lines were lost last; `None` where nobody read them.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Before `file` is written to: a rest whose beginning is in another one is
    /// forgotten. Answers how many lines are lost by that.
    fn before(&mut self, file: &File) -> u64 {
        if self.rest.is_empty() || self.beginning == identity(file) {
            return 0;
        }
        self.rest.clear();
        1
    }

    /// After `file` was written to.
    fn after(&mut self, file: &File) {
        if !self.rest.is_empty() {
            self.beginning = identity(file);
        }
    }
}

fn identity(file: &File) -> Option<Identity> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// What is written to a pipe in one piece or not at all: PIPE_BUF of pipe(7).
pub(super) const ATOM: usize = 4096;

impl Sink {
    /// Writes whole lines, each ended by `\n`, as they are; answers how many
    /// of them were lost.
    pub fn batch(&mut self, lines: &[u8], torn: &mut Torn) -> u64 {
        match self {
            Self::Off => 0,
            Self::File { file, .. } => {
                let lost = torn.before(file) + append(file, lines, torn);
                torn.after(file);
                lost
            }
            Self::Stderr => {
                let atoms = Atoms(lines);
                atoms
                    .filter(|atom| !write_stderr(&Cut::Quotations.to(atom, ATOM)))
                    .map(count)
                    .sum::<u64>()
            }
            Self::Syslog { .. } => {
                let mut lost = 0;
                for line in lines
                    .split(|&byte| byte == b'\n')
                    .filter(|line| !line.is_empty())
                {
                    lost += u64::from(!self.datagram(Level::Info, line, Cut::Quotations));
                }
                lost
            }
        }
    }
}

/// Appends to a file, in one call unless the disk is full or the like.
fn append(file: &mut impl Write, lines: &[u8], torn: &mut Torn) -> u64 {
    if let Err((error, at)) = write(file, &torn.rest) {
        torn.rest.drain(..at);
        torn.error = Some(error);
        return count(lines);
    }
    torn.rest.clear();
    let Err((error, at)) = write(file, lines) else {
        return 0;
    };
    torn.error = Some(error);
    let (written, mut unwritten) = lines.split_at(at);
    if written.last().is_some_and(|&byte| byte != b'\n') {
        let end = memchr::memchr(b'\n', unwritten).map_or(unwritten.len(), |at| at + 1);
        torn.rest.extend_from_slice(&unwritten[..end]);
        unwritten = &unwritten[end..];
    }
    count(unwritten)
}

/// Writes all; an error comes with the number of octets before it.
fn write(file: &mut impl Write, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut at = 0;
    while at < bytes.len() {
        match file.write(&bytes[at..]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), at)),
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((error, at)),
        }
    }
    Ok(())
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Lines in pieces of whole lines that a pipe takes at once; a longer line is
/// a piece of its own.
struct Atoms<'l>(&'l [u8]);

impl<'l> Iterator for Atoms<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let fitting = &self.0[..self.0.len().min(ATOM)];
        let end = memchr::memrchr(b'\n', fitting).or_else(|| memchr::memchr(b'\n', self.0));
        let (atom, rest) = self.0.split_at(end.map_or(self.0.len(), |at| at + 1));
        self.0 = rest;
        Some(atom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::LogTarget;

    /// Takes so much, then nothing.
    struct Disk {
        free: usize,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.free);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.free -= count;
            self.held.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_is_finished_before_anything_else() {
        for free in 0..=15 {
            let (held, mut torn) = (Vec::new(), Torn::default());
            let mut disk = Disk { free, held };
            let mut lost = append(&mut disk, b"one\ntwo\nthree\n", &mut torn);
            assert_eq!(torn.error().is_some(), free < 14);
            lost += append(&mut disk, b"four\n", &mut torn);
            disk.free = 100;
            assert_eq!(append(&mut disk, b"five\n", &mut torn), 0);
            let text = String::from_utf8(disk.held).unwrap();
            assert!(text.ends_with("\nfive\n") || text == "five\n", "{text:?}");
            for line in text.lines() {
                assert!(
                    ["one", "two", "three", "four", "five"].contains(&line),
                    "{text:?} with {free}"
                );
            }
            assert_eq!(text.lines().count() as u64 + lost, 5, "{text:?}");
        }
    }

    #[test]
    fn a_torn_line_is_not_finished_in_another_file() {
        let directory = tempfile::tempdir().unwrap();
        for (is_same, lost, held) in [(true, 0, "rest\nnext\n"), (false, 1, "next\n")] {
            let path = directory.path().join(lost.to_string());
            let mut sink = Sink::open(&LogTarget::File(path.clone())).unwrap();
            let mut torn = Torn {
                rest: b"rest\n".to_vec(),
                beginning: identity(&File::open(&path).unwrap()).filter(|_| is_same),
                error: None,
            };
            assert_eq!(sink.batch(b"next\n", &mut torn), lost);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), held);
        }
    }

    #[test]
    fn lines_go_in_pieces_that_a_pipe_takes_whole() {
        let line = |length: usize| [vec![b'x'; length - 1], b"\n".to_vec()].concat();
        let lines = [line(1000).repeat(9), line(5000), line(4096), line(1)].concat();
        let lengths: Vec<usize> = Atoms(&lines).map(<[u8]>::len).collect();
        assert_eq!(lengths, [4000, 4000, 1000, 5000, 4096, 1]);
    }
}
