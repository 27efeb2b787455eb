//! The new master's side: it takes over what the old one passed on.

use super::{Handover, Heard, Message, Taken, VERSION, handover_number, hear, say};
use crate::master::control::Control;
use crate::master::pidfile::PidFile;
use crate::net::{ListenerSet, Roster};
use crate::scoreboard::Table;
use crate::status::Death;
use crate::sys::process;
use nix::unistd::{Pid, getppid};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The master that this one replaces.
#[derive(Debug)]
pub struct Predecessor {
    pid: Pid,
    generation: u32,
    listeners: ListenerSet,
    /// Those of the groups that were passed on.
    rosters: Vec<Arc<Roster>>,
    pid_file: Option<(PathBuf, OwnedFd)>,
    control: Option<(PathBuf, OwnedFd)>,
    taken: Taken,
    /// What it and its workers write; `None` where they do so in another way.
    table: Option<Table>,
    deaths: Vec<Death>,
    descriptors: Option<u64>,
    channel: OwnedFd,
    /// It has let go.
    gave: bool,
}

/// What came from the predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// What was taken over is ours.
    Yours,
    /// It has closed sockets that were in a group with ours.
    Closed,
    /// It is gone, and with it whatever it still had.
    Gone,
}

impl Predecessor {
    /// Whether this process was started to replace a master, and by which.
    ///
    /// # Errors
    /// What was passed on and cannot be used.
    pub fn find() -> io::Result<Option<Self>> {
        let Some(number) = handover_number() else {
            return Ok(None);
        };
        let mut text = File::from(process::inherit(number)?);
        let mut bytes = Vec::new();
        text.rewind()?;
        text.read_to_end(&mut bytes)?;
        let handover: Handover = serde_json::from_slice(&bytes)?;
        if handover.version != VERSION {
            return Err(io::Error::other(format!(
                "the running master hands over in version {}, this one takes {VERSION}",
                handover.version
            )));
        }
        let pid = Pid::from_raw(handover.master);
        if pid != getppid() {
            return Err(io::Error::other(format!(
                "handed over by process {pid}, which is not the parent"
            )));
        }
        let named = |place: Option<(PathBuf, RawFd)>| match place {
            Some((path, number)) => process::inherit(number).map(|fd| Some((path, fd))),
            None => Ok(None),
        };
        let scoreboard = process::inherit(handover.scoreboard)?;
        let listeners = ListenerSet::inherit(handover.listeners)?;
        Ok(Some(Self {
            pid,
            generation: handover.generation,
            rosters: listeners.rosters(),
            listeners,
            pid_file: named(handover.pid_file)?,
            control: named(handover.control)?,
            taken: Taken::default(),
            table: Table::inherit(&scoreboard).ok(),
            deaths: handover
                .deaths
                .into_iter()
                .flat_map(serde_json::from_value)
                .collect(),
            descriptors: handover.descriptors,
            channel: process::inherit(handover.channel)?,
            gave: false,
        }))
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// How many descriptors it could have before it raised that.
    pub fn descriptors(&self) -> Option<u64> {
        self.descriptors
    }

    /// The generation that serves there.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What it listens on.
    pub fn listeners(&self) -> &ListenerSet {
        &self.listeners
    }

    /// Its pid file, if that is the one at `path`.
    pub fn pid_file(&mut self, path: &Path) -> Option<PidFile> {
        let (_, file) = self.pid_file.take_if(|(held, _)| held == path)?;
        self.taken.pid_file = true;
        Some(PidFile::inherit(path, file))
    }

    /// Its control socket, if that is the one at `path`; nobody is heard on it
    /// before [`Control::open`].
    pub fn control(&mut self, path: &Path, group: Option<u32>) -> Option<Control> {
        let (_, socket) = self.control.take_if(|(held, _)| held == path)?;
        self.taken.control = true;
        Some(Control::inherit(path, UnixListener::from(socket), group))
    }

    /// Tells it that `generation` serves here, on `listeners`. What was passed
    /// on and is not among them is closed.
    ///
    /// # Errors
    /// As send(2): where it has died.
    pub fn announce(&mut self, generation: u32, listeners: &ListenerSet) -> io::Result<()> {
        self.taken.listeners = self.listeners.in_common(listeners);
        self.taken.generation = generation;
        (self.pid_file, self.control) = (None, None);
        self.listeners = self.listeners.select(&self.taken.listeners);
        let taken = std::mem::take(&mut self.taken);
        say(&self.channel, &Message::Serving(taken))
    }

    /// What it has said since the last time.
    pub fn word(&mut self) -> Option<Word> {
        match hear(&self.channel) {
            Heard::Message(Message::Yours) => {
                self.gave = true;
                Some(Word::Yours)
            }
            Heard::Message(Message::Departed(departed)) => {
                for (group, one) in departed {
                    if let Some(roster) = self.rosters.get(group) {
                        roster.note_departed(one);
                    }
                }
                Some(Word::Closed)
            }
            Heard::Message(Message::Serving(_)) | Heard::End => Some(Word::Gone),
            Heard::Silence => None,
        }
    }

    /// Whether it has let go of what was taken over.
    pub fn has_given(&self) -> bool {
        self.gave
    }

    /// How its workers died last when it started this one, the oldest first.
    pub fn deaths(&self) -> &[Death] {
        &self.deaths
    }

    /// Its scoreboard, if it is laid out as ours.
    pub fn table(&self) -> Option<Table> {
        self.table
    }
}

impl AsFd for Predecessor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
