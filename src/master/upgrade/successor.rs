//! The old master's side: it starts the new one and waits for its word.

use super::{Handover, Heard, MEMORY, Message, Taken, VARIABLE, VERSION, hear, say};
use crate::master::control::Control;
use crate::master::generation::Generation;
use crate::master::pidfile::PidFile;
use crate::net::Roster;
use crate::status::Death;
use crate::sys::process;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, dup};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// How this process was started, to be started so again.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    arguments: Vec<OsString>,
    directory: PathBuf,
}

/// A new master that has been started.
#[derive(Debug)]
pub struct Successor {
    pid: Pid,
    channel: OwnedFd,
    /// It says nothing more.
    silent: bool,
    /// We have ended it.
    killed: bool,
    /// What it writes to standard error, where nobody would read it else.
    complaints: Option<File>,
    /// Those of the groups that were passed on.
    rosters: Vec<Arc<Roster>>,
}

/// The octets of complaints that are worth reading.
const COMPLAINTS: usize = 4096;

impl Origin {
    /// As it is now: to be asked before the working directory is left.
    pub fn here() -> Self {
        Self {
            arguments: env::args_os().collect(),
            directory: env::current_dir().unwrap_or_default(),
        }
    }

    /// The program's file, by the name under which it was called: also a link
    /// that points elsewhere by now is followed anew, and a name without a
    /// slash is looked for as a shell does (execvp(3)).
    fn program(&self) -> io::Result<PathBuf> {
        let Some(name) = self.arguments.first() else {
            return env::current_exe();
        };
        let name = Path::new(name);
        if name.components().count() > 1 || name.is_absolute() {
            return Ok(self.directory.join(name));
        }
        let is_program = |path: &PathBuf| {
            std::fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let directories = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&directories)
            .map(|directory| self.directory.join(directory).join(name))
            .find(is_program);
        found.map_or_else(env::current_exe, Ok)
    }
}

impl Successor {
    /// Starts the program anew, and passes on what `generation` listens on, the
    /// pid file, the control socket, the scoreboard and what is known of `deaths`.
    /// With `mute` nobody would read its standard error, so it is kept, for the
    /// log.
    ///
    /// # Errors
    /// What cannot be done, in words.
    pub fn start(
        origin: &Origin,
        generation: &Generation,
        pid_file: Option<&PidFile>,
        control: Option<&Control>,
        scoreboard: BorrowedFd<'_>,
        deaths: &[Death],
        mute: bool,
    ) -> io::Result<Self> {
        if nix::unistd::getpid() == Pid::from_raw(1) {
            return Err(io::Error::other(
                "process 1 cannot leave to another one: its end would be everybody's",
            ));
        }
        let program = origin.program()?;
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        // These survive the change of program; here they close at the end.
        let mut open: Vec<OwnedFd> = Vec::new();
        let listeners = generation.listeners.pass_on(&mut open)?;
        let mut pass = |fd: BorrowedFd<'_>| -> io::Result<RawFd> {
            let copy = dup(fd)?;
            let number = copy.as_raw_fd();
            open.push(copy);
            Ok(number)
        };
        let handover = Handover {
            version: VERSION,
            master: nix::unistd::getpid().as_raw(),
            generation: generation.number,
            pools: generation
                .config
                .pools
                .iter()
                .map(|pool| pool.name.clone())
                .collect(),
            listeners,
            pid_file: match pid_file {
                Some(file) => Some((file.path().to_owned(), pass(file.as_fd())?)),
                None => None,
            },
            control: match control.and_then(Control::listener) {
                Some((path, socket)) => Some((path.to_owned(), pass(socket)?)),
                None => None,
            },
            scoreboard: pass(scoreboard)?,
            channel: pass(theirs.as_fd())?,
            descriptors: process::descriptors_at_start(),
            deaths: deaths.iter().flat_map(serde_json::to_value).collect(),
        };
        let mut text = File::from(memfd_create(MEMORY, MFdFlags::empty())?);
        text.write_all(&serde_json::to_vec(&handover)?)?;
        let complaints = match mute {
            true => Some(File::from(memfd_create(
                "preforkd-complaints",
                MFdFlags::MFD_CLOEXEC,
            )?)),
            false => None,
        };
        let mut command = Command::new(&program);
        command
            .args(origin.arguments.iter().skip(1))
            .current_dir(&origin.directory)
            .env(VARIABLE, text.as_raw_fd().to_string())
            // The watchdog is to be fed by whoever is the master.
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null());
        if let Some(name) = origin.arguments.first() {
            command.arg0(name);
        }
        if let Some(file) = &complaints {
            command.stderr(file.try_clone()?);
        }
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", program.display()))
        })?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(-1));
        log::info!("upgrade: pid {pid} is {}", program.display());
        Ok(Self {
            pid,
            channel: ours,
            silent: false,
            killed: false,
            complaints,
            rosters: generation.listeners.rosters(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What it has taken over, once it serves.
    pub fn taken(&mut self) -> Option<Taken> {
        match hear(&self.channel) {
            Heard::Message(Message::Serving(taken)) => Some(taken),
            Heard::Silence => None,
            // Its end comes as that of a child.
            Heard::Message(Message::Yours | Message::Departed(_)) | Heard::End => {
                self.silent = true;
                None
            }
        }
    }

    /// Whether there may be something to hear: else a wait for it would end at
    /// once, again and again.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Lets it have what it has taken over.
    ///
    /// # Errors
    /// As send(2): where it has died in this moment.
    pub fn give(&self) -> io::Result<()> {
        say(&self.channel, &Message::Yours)
    }

    /// Tells it which sockets were closed that it has not taken over.
    pub fn tell_departed(&self) {
        let of_group = |(number, roster): (usize, &Arc<Roster>)| {
            let departed = roster.departed().into_iter();
            departed.map(|one| (number, one)).collect::<Vec<_>>()
        };
        let departed: Vec<_> = self.rosters.iter().enumerate().flat_map(of_group).collect();
        if !departed.is_empty() {
            // If it is gone nobody counts on.
            let _ = say(&self.channel, &Message::Departed(departed));
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.killed = true;
        // Not reaped yet, so the number is still its own.
        if let Err(errno) = kill(self.pid, Signal::SIGKILL) {
            log::error!("kill {}: {errno}", self.pid);
        }
    }

    /// Why it never served, as an exit status of ours and in words, its own
    /// first.
    pub fn epitaph(&self, status: WaitStatus) -> (u8, Vec<String>) {
        let (code, cause) = match status {
            _ if self.killed => (75, String::from("was ended")),
            WaitStatus::Exited(_, code @ (69..=71 | 75 | 77 | 78)) => {
                (code as u8, format!("exited with status {code}"))
            }
            WaitStatus::Exited(_, code) => (75, format!("exited with status {code}")),
            WaitStatus::Signaled(_, signal, _) => (75, format!("was killed by {signal}")),
            other => (75, format!("ended: {other:?}")),
        };
        let mut lines = self.complaints();
        lines.push(format!("pid {} {cause} before it served", self.pid));
        (code, lines)
    }

    /// What it said on standard error; the beginning, if it was much.
    fn complaints(&self) -> Vec<String> {
        let mut room = vec![0; COMPLAINTS];
        let length = self
            .complaints
            .as_ref()
            .and_then(|file| file.read_at(&mut room, 0).ok())
            .unwrap_or(0);
        String::from_utf8_lossy(&room[..length])
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl AsFd for Successor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
