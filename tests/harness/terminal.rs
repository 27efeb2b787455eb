//! A program at a terminal: what it shows there, what is typed, how it leaves.

use super::{SOON, eventually, uninterrupted};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A pseudo-terminal, with a program that has it as its controlling terminal.
pub(crate) struct Terminal {
    child: Child,
    /// Our end; `None` once it is closed.
    ours: Option<File>,
    path: PathBuf,
    /// How it was before the program came.
    modes: Termios,
    written: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    closed: Arc<AtomicBool>,
}

/// What is to be seen, as far as a program that draws by rows needs it.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    pub(crate) rows: Vec<String>,
    /// Whether the other screen is shown, the one that leaves no trace.
    pub(crate) alternate: bool,
    pub(crate) cursor_hidden: bool,
    /// Sequences that it does not know.
    pub(crate) strange: Vec<String>,
}

impl Picture {
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }
}

impl Terminal {
    /// Starts `command` at a terminal of that size.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        // Nobody but us may have our end: else the window cannot be closed.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let ours = posix_openpt(flags).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = PathBuf::from(ptsname_r(&ours).unwrap());
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(&path)
            .unwrap();
        set_size(&path, columns, rows);
        let modes = tcgetattr(&slave).unwrap();
        let theirs = || Stdio::from(slave.try_clone().unwrap());
        // It takes the terminal as its own and becomes the program.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(theirs())
            .stdout(theirs())
            .stderr(theirs())
            .spawn()
            .unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let ours = File::from(OwnedFd::from(ours));
        let (mut reader, to) = (ours.try_clone().unwrap(), Arc::clone(&written));
        let closed = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&closed);
        let reader = std::thread::spawn(move || {
            let mut room = [0; 4096];
            while !over.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
                if poll(&mut ready, 20u8) != Ok(1) {
                    continue;
                }
                match uninterrupted(|| reader.read(&mut room)) {
                    Ok(count @ 1..) => to.lock().unwrap().extend_from_slice(&room[..count]),
                    // EIO once nobody has the other end.
                    Ok(0) | Err(_) => break,
                }
            }
        });
        Self {
            child,
            ours: Some(ours),
            path,
            modes,
            written,
            reader: Some(reader),
            closed,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that was written so far.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.written.lock().unwrap().clone()
    }

    pub(crate) fn picture(&self) -> Picture {
        picture(&String::from_utf8_lossy(&self.written()))
    }

    /// Waits until the picture is as wanted, and gives it back.
    pub(crate) fn wait_until(&self, what: &str, wanted: impl Fn(&Picture) -> bool) -> Picture {
        let deadline = std::time::Instant::now() + SOON;
        eventually(what, SOON + SOON, || {
            let picture = self.picture();
            let done = wanted(&picture);
            assert!(
                done || std::time::Instant::now() < deadline,
                "{what}: {picture:#?}"
            );
            done.then_some(picture)
        })
    }

    pub(crate) fn wait_for(&self, text: &str) -> Picture {
        self.wait_until(text, |picture| picture.contains(text))
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        let ours = self.ours.as_mut().unwrap();
        ours.write_all(text.as_bytes()).unwrap();
    }

    /// The window gets another size: the kernel says so to the program.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.path, columns, rows);
    }

    /// Whether keys come as they are pressed.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(self.ours.as_ref().unwrap().as_fd()).unwrap();
        !modes.local_flags.contains(LocalFlags::ICANON)
    }

    /// The window is closed: nobody has our end any more.
    pub(crate) fn close(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.ours = None;
    }

    /// Waits for the end of the program.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the program leaves the terminal", SOON, || {
            child.try_wait().unwrap()
        })
    }

    /// That the terminal is as it was.
    pub(crate) fn assert_given_back(&self) {
        let modes = tcgetattr(self.ours.as_ref().unwrap().as_fd()).unwrap();
        assert_eq!(modes.local_flags, self.modes.local_flags);
        assert_eq!(modes.input_flags, self.modes.input_flags);
        assert_eq!(modes.output_flags, self.modes.output_flags);
        // What it wrote last may be on its way.
        self.wait_until("the first screen, and the cursor", |picture| {
            !picture.alternate && !picture.cursor_hidden
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn set_size(terminal: &Path, columns: u16, rows: u16) {
    let (columns, rows) = (columns.to_string(), rows.to_string());
    let status = Command::new("stty")
        .arg("-F")
        .arg(terminal)
        .args(["cols", &columns, "rows", &rows])
        .status()
        .unwrap();
    assert!(status.success());
}

/// What a terminal makes of it: text, and the few sequences that are expected.
fn picture(written: &str) -> Picture {
    let mut picture = Picture::default();
    // A live view draws again and again: signs are put where they belong, and made
    // to text at the end.
    let mut rows: Vec<Vec<char>> = Vec::new();
    let (mut row, mut column) = (0, 0);
    let mut rest = written;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                let end = rest.find(|sign: char| sign != '[' && ('@'..='~').contains(&sign));
                // The end of it is on its way.
                let Some(end) = end else { break };
                let (sequence, behind) = rest.split_at(end + 1);
                rest = behind;
                match sequence {
                    "[?1049h" => picture.alternate = true,
                    "[?1049l" => picture.alternate = false,
                    "[?25l" => picture.cursor_hidden = true,
                    "[?25h" => picture.cursor_hidden = false,
                    "[2J" => rows.clear(),
                    "[K" | "[J" => {
                        if let Some(line) = rows.get_mut(row) {
                            line.truncate(column);
                        }
                        if sequence == "[J" {
                            rows.truncate(row + 1);
                        }
                    }
                    _ if sequence.ends_with('m') => {}
                    _ => match place(sequence).or_else(|| moved(sequence, row, column)) {
                        Some(place) => (row, column) = place,
                        None => picture.strange.push(sequence.to_owned()),
                    },
                }
            }
            char if char.is_control() => picture.strange.push(char.escape_default().to_string()),
            char => {
                if rows.len() <= row {
                    rows.resize(row + 1, Vec::new());
                }
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = char;
                column += 1;
            }
        }
    }
    picture.rows = rows.into_iter().map(String::from_iter).collect();
    picture
}

/// `[2A`: up, down (B), right (C) or left (D), by one where no number is said.
fn moved(sequence: &str, row: usize, column: usize) -> Option<(usize, usize)> {
    let (rest, way) = sequence
        .strip_prefix('[')?
        .split_at_checked(sequence.len() - 2)?;
    let count = match rest {
        "" => 1,
        number => number.parse().ok()?,
    };
    match way {
        "A" => Some((row.saturating_sub(count), column)),
        "B" => Some((row + count, column)),
        "C" => Some((row, column + count)),
        "D" => Some((row, column.saturating_sub(count))),
        _ => None,
    }
}

/// `[3;1H`: to row and column, counted from 1.
fn place(sequence: &str) -> Option<(usize, usize)> {
    let place = sequence.strip_prefix('[')?.strip_suffix('H')?;
    let (row, column) = place.split_once(';')?;
    let number = |text: &str| text.parse::<usize>().ok()?.checked_sub(1);
    Some((number(row)?, number(column)?))
}
