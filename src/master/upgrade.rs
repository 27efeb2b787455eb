//! One master replaces another, which runs the program's file as it is now.
//!
//! ```text
//!   old master                                   new master
//!   ─ listeners, pid file, control socket, ────▶ reads its configuration, opens
//!     scoreboard: open descriptors                what is new, takes over the rest
//!                                                 first generation READY
//!                 ◀──── Serving: what it took ───
//!   lets go of that ─────── Yours ─────────────▶ writes the pid file, answers on
//!   drains its workers, leaves                    the control socket
//! ```
//!
//! Both ends of the conversation are one socket pair; its end tells either of
//! the other's death. Until `Yours` the old master decides about everything that
//! both have, so that a new one which dies, hangs or never was the right program
//! leaves nothing changed. The new master is a child of the old one.

mod predecessor;
mod successor;

pub use predecessor::{Predecessor, Word};
pub use successor::{Origin, Successor};

use crate::net::{Departed, Passed};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// The environment variable that holds the number of the descriptor from which
/// the new master reads its handover.
const VARIABLE: &str = "PREFORKD_UPGRADE";
/// The name of the memory behind it (memfd_create(2)).
const MEMORY: &str = "preforkd-handover";
/// Changes with what the messages mean. One side may be older than the other:
/// fields that are new must have defaults.
const VERSION: u32 = 1;
/// No message is longer: a bit for each socket, and a little more.
const MESSAGE: usize = 256 << 10;

/// Whether this process was started to replace its parent.
pub fn is_under_way() -> bool {
    handover_number().is_some()
}

/// The number of the descriptor with the handover. Further down in a family
/// of processes the variable means nothing, and the number is another's: the
/// name of what is behind it tells.
fn handover_number() -> Option<RawFd> {
    let number: RawFd = std::env::var(VARIABLE).ok()?.parse().ok()?;
    let target = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let name = target.to_str()?;
    name.contains(MEMORY).then_some(number)
}

/// What the new master is given; numbers are those of open descriptors.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    version: u32,
    /// The process id of the old master.
    master: i32,
    /// The generation that serves there.
    generation: u32,
    /// The names of its pools: the program that is started may be older, and
    /// want them.
    pools: Vec<String>,
    listeners: Vec<Passed>,
    pid_file: Option<(PathBuf, RawFd)>,
    control: Option<(PathBuf, RawFd)>,
    scoreboard: RawFd,
    channel: RawFd,
    /// How many descriptors it could have before it raised that.
    #[serde(default)]
    descriptors: Option<u64>,
    /// How its last workers died, the oldest first. What another program says of
    /// that in another way is left out: it is no reason not to serve.
    #[serde(default)]
    deaths: Vec<serde_json::Value>,
}

/// What the new master has taken over, once it serves.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// For each listening socket, in the order in which they were passed on.
    pub listeners: Vec<bool>,
    /// The pid file.
    pub pid_file: bool,
    /// The control socket.
    pub control: bool,
    /// The generation that serves there.
    pub generation: u32,
}

/// What they say to each other.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// The new one: I serve, with this.
    Serving(Taken),
    /// The old one: it is yours.
    Yours,
    /// The old one: these sockets are closed. They were not taken over, but
    /// the kernel counted them; with each goes the number of its group.
    Departed(Vec<(usize, Departed)>),
}

/// What came over the channel.
#[derive(Debug)]
enum Heard<T> {
    Message(T),
    /// Nothing yet.
    Silence,
    /// The other side is gone, or talks nonsense.
    End,
}

fn say(channel: &OwnedFd, message: &Message) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    send(channel.as_raw_fd(), &text, flags)?;
    Ok(())
}

fn hear<T: DeserializeOwned>(channel: &OwnedFd) -> Heard<T> {
    let channel = channel.as_raw_fd();
    // First only its length, which is that of the whole message (recv(2)).
    let look = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let length = match recv(channel, &mut [], look) {
        Ok(length @ 1..=MESSAGE) => length,
        Ok(_) => return Heard::End,
        Err(Errno::EAGAIN | Errno::EINTR) => return Heard::Silence,
        Err(_) => return Heard::End,
    };
    let mut room = vec![0; length];
    let whole = recv(channel, &mut room, MsgFlags::MSG_DONTWAIT) == Ok(length);
    match serde_json::from_slice(&room) {
        Ok(message) if whole => Heard::Message(message),
        Ok(_) | Err(_) => Heard::End,
    }
}
