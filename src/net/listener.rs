//! One listening socket: made once, by the master, and inherited by workers.
//!
//! Here is what it is and whose, and what it takes over when it stays; how it is
//! made is in `bind`, how it is given up in `close`, whose the file of a unix socket
//! is in `file`.

mod bind;
mod close;
mod file;

pub use bind::BindError;

use super::drops::Drops;
use super::options::{self, Nature};
use super::queue::Queue;
use super::roster::{Member, Roster};
use crate::config::{Listen, SocketKind, SocketOptions};
use crate::sys;
use file::SocketFile;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Socket, Type};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A bound socket that listens. Dropping it closes this process's share of it,
/// counts the clients that are lost with it, and removes the file of a unix
/// socket that is still ours.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local: Listen,
    file: Option<SocketFile>,
    /// Nobody is to come any more, and its last owners empty the queue: it must not
    /// block.
    refusing: AtomicBool,
    /// Another master has it as well, and decides about it: see
    /// [`Listener::entrust`].
    entrusted: AtomicBool,
    /// Programs have it as well, which may have made it wait or not: see
    /// [`Listener::lend`].
    lent: AtomicBool,
    /// The service manager has it as well, and it is the manager's.
    foreign: bool,
    /// A worker has been READY on it: clients may be led to it.
    open: AtomicBool,
    /// Its place in a SO_REUSEPORT group, once it is in one.
    membership: OnceLock<(Arc<Roster>, Member)>,
    /// Where clients are counted that are lost with it.
    lost: Arc<AtomicU64>,
    /// What the kernel drops of its datagrams.
    drops: Drops,
    /// How long its queue is, for listen(2).
    length: AtomicI32,
}

/// The longest queue that the kernel would give, for a socket that somebody else
/// has made.
const LONGEST: i32 = i32::MAX;

impl Listener {
    /// A socket that the service manager listens on at `local`.
    pub(super) fn foreign(socket: Socket, local: Listen) -> Self {
        let mut listener = Self::of(socket, local, None);
        listener.foreign = true;
        // What was dropped before it was passed is nothing of ours.
        listener.drops.begin(&listener.socket);
        listener
    }

    fn of(socket: Socket, local: Listen, file: Option<SocketFile>) -> Self {
        Self {
            socket,
            local,
            file,
            refusing: AtomicBool::new(false),
            entrusted: AtomicBool::new(false),
            lent: AtomicBool::new(false),
            foreign: false,
            open: AtomicBool::new(false),
            membership: OnceLock::new(),
            lost: Arc::default(),
            drops: Drops::default(),
            length: AtomicI32::new(LONGEST),
        }
    }

    /// Whether the service manager has it as well. Whoever waits in its queue
    /// when we leave is served by whom the manager starts next.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// A socket that another master bound for `listen` and passed on; it decides
    /// about it until [`Listener::claim`].
    ///
    /// # Errors
    /// EINVAL for a descriptor that is no listening socket; or as stat(2) says
    /// of a unix socket's file.
    pub fn inherit(socket: OwnedFd, listen: &Listen) -> io::Result<Self> {
        if let Listen::Fd { .. } = listen {
            return Self::passed(socket).map_err(io::Error::other);
        }
        let socket = Socket::from(socket);
        let fits = match listen {
            Listen::Udp { .. } => socket.r#type()? == Type::DGRAM,
            Listen::Tcp { .. } | Listen::Unix { .. } | Listen::Fd { .. } => socket.is_listener()?,
        };
        if !fits {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        let file = match listen {
            Listen::Tcp { .. } | Listen::Udp { .. } | Listen::Fd { .. } => None,
            Listen::Unix { path, .. } => Some(SocketFile::at(path)?),
        };
        let local = local(&socket, listen)?;
        let listener = Self::of(socket, local, file);
        listener.entrust();
        // What was dropped under another master was told by that one.
        listener.drops.begin(&listener.socket);
        Ok(listener)
    }

    /// Leaves to another master, which has the same socket, what concerns both:
    /// it is never made blocking again, for those who wait on the other side
    /// may not expect that; and when it is dropped it stays open there, so
    /// nobody is lost, and its file is not removed.
    pub fn entrust(&self) {
        self.entrusted.store(true, Ordering::Relaxed);
    }

    /// It is ours alone.
    pub fn claim(&self) {
        self.entrusted.store(false, Ordering::Relaxed);
    }

    fn is_entrusted(&self) -> bool {
        self.entrusted.load(Ordering::Relaxed)
    }

    /// Whether programs accept on it that are not ours. Whether their accept(2)
    /// waits is between them and the socket: while they have it, nothing is made
    /// to wait, and nothing stops waiting because it is refused.
    pub fn lend(&self, lent: bool) {
        self.lent.store(lent, Ordering::Relaxed);
    }

    fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Relaxed)
    }

    /// Whether somebody waits in its queue, of whatever kind it is.
    pub fn is_wanted(&self) -> bool {
        let mut look = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut look, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Has it listen again where it does not any more: shutdown(2) of a TCP socket that
    /// listens ends that for all who have it, for good. Answers whether it was so. Who
    /// waited in its queue is lost. A unix socket cannot be had back.
    ///
    /// # Errors
    /// As bind(2) and listen(2): somebody else may have the port by now.
    pub fn revive(&self) -> io::Result<bool> {
        let Listen::Tcp { address, .. } = self.local else {
            return Ok(false);
        };
        // Nobody is to come any more to one that refuses.
        if self.refusing.load(Ordering::Relaxed) || self.socket.is_listener()? {
            return Ok(false);
        }
        // One that was bound to port 0 has lost its port, though it still names it, and
        // would get another; who has it yet cannot be bound again.
        match self.socket.bind(&address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINVAL) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.socket.listen(self.length.load(Ordering::Relaxed))?;
        Ok(true)
    }

    /// Adds to `lost` the clients that wait in its queue when it is dropped.
    #[must_use]
    pub(super) fn counting(mut self, lost: &Arc<AtomicU64>) -> Self {
        self.lost = Arc::clone(lost);
        self
    }

    /// It is in the group of `roster` from now on: the last one, unless it was
    /// in a group before.
    pub(super) fn join(&self, roster: &Arc<Roster>) {
        self.membership
            .get_or_init(|| (Arc::clone(roster), roster.join()));
    }

    /// It is in the group of `roster`, as this member.
    pub(super) fn be(&self, roster: &Arc<Roster>, member: Member) {
        roster.take(member);
        self.membership.get_or_init(|| (Arc::clone(roster), member));
    }

    /// Who it is in its group.
    pub(super) fn member(&self) -> Option<Member> {
        self.membership.get().map(|(_, member)| *member)
    }

    /// A worker serves on it: clients may be led to it from now on.
    pub fn set_open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Whether a worker has ever served on it.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// How many clients wait in the accept queue, and how many may; `None` for
    /// a unix socket, of which the kernel does not tell, and for datagrams, whose
    /// queue is measured in octets.
    pub fn queue(&self) -> Option<(u32, u32)> {
        match self.local {
            Listen::Tcp { .. } => sys::socket::queue(self.socket.as_fd()).ok(),
            Listen::Udp { .. } | Listen::Unix { .. } | Listen::Fd { .. } => None,
        }
    }

    /// How many datagrams the kernel has dropped because nobody took those before
    /// them in time, since the last time this was asked.
    pub fn newly_dropped(&self) -> u64 {
        match self.local.kind() {
            SocketKind::Datagram => self.drops.take(&self.socket),
            SocketKind::Stream => 0,
        }
    }

    /// How many octets of memory the datagrams take that wait in its queue, and how
    /// many they may; `None` where there are none.
    pub fn inbox(&self) -> Option<(u32, u32)> {
        match self.local.kind() {
            SocketKind::Datagram => {
                let memory = sys::datagram::memory(self.socket.as_fd()).ok()?;
                Some((memory.waiting, memory.room))
            }
            SocketKind::Stream => None,
        }
    }

    /// Where it listens: with the port that the kernel chose.
    pub fn local(&self) -> &Listen {
        &self.local
    }

    /// Whether accept4(2) on it returns EAGAIN instead of waiting. The flag
    /// belongs to the socket, not to a process: all its workers see it. One
    /// that refuses handshakes never waits.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        let flags = OFlag::from_bits_retain(fcntl(&self.socket, FcntlArg::F_GETFL)?);
        let empties = self.refusing.load(Ordering::Relaxed) && !self.is_lent();
        let nonblocking = nonblocking || empties;
        let mut wanted = flags;
        wanted.set(OFlag::O_NONBLOCK, nonblocking);
        if wanted != flags && (nonblocking || !(self.is_entrusted() || self.is_lent())) {
            fcntl(&self.socket, FcntlArg::F_SETFL(wanted))?;
        }
        Ok(())
    }

    /// Fails if the options could not be had by [`Listener::adopt`], before
    /// anything is changed.
    ///
    /// # Errors
    /// The first option that setsockopt(2) refused, and why.
    pub fn rehearse(&self, options: &SocketOptions) -> Result<(), BindError> {
        match Nature::of(&self.local) {
            Some(nature) if !self.foreign => options::rehearse(options, nature)
                .map_err(|(name, error)| BindError::new(name, &self.local, error)),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes over what a new configuration says of a listener that stays: its
    /// options, the length of its queue, and the mode of a unix socket's file. One
    /// that refused handshakes refuses them no more, whatever else cannot be had. Of
    /// one that was passed to us none of this is ours to say.
    ///
    /// # Errors
    /// Which of listen(2), setsockopt(2) and chmod(2) refused, and why.
    pub fn adopt(
        &self,
        listen: &Listen,
        options: &SocketOptions,
        queue: Queue,
    ) -> Result<(), BindError> {
        if self.foreign {
            return Ok(());
        }
        let step = |call| move |error| BindError::new(call, listen, error);
        // First, for clients are led to it even if something else fails.
        self.admit().map_err(step("SO_DETACH_FILTER"))?;
        if let Some(nature) = Nature::of(listen) {
            options::change(options, &self.socket, nature)
                .map_err(|(name, error)| BindError::new(name, listen, error))?;
        }
        if let Listen::Tcp { .. } = listen {
            queue
                .change(&self.socket)
                .map_err(step("TCP_DEFER_ACCEPT"))?;
        }
        if !listen.is_datagram() {
            self.socket.listen(queue.length()).map_err(step("listen"))?;
            self.length.store(queue.length(), Ordering::Relaxed);
        }
        match listen {
            Listen::Tcp { .. } | Listen::Udp { .. } | Listen::Fd { .. } => Ok(()),
            Listen::Unix { path, mode } => {
                let mode = std::fs::Permissions::from_mode(*mode);
                std::fs::set_permissions(path, mode).map_err(step("chmod"))
            }
        }
    }

    /// Lets others join the address, or no more.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_reuseport(&self, shared: bool) -> io::Result<()> {
        self.socket.set_reuse_port(shared)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where a socket for `listen` is: with the port that the kernel chose.
fn local(socket: &Socket, listen: &Listen) -> io::Result<Listen> {
    Ok(match listen {
        Listen::Tcp { address, v6only } => Listen::Tcp {
            address: socket.local_addr()?.as_socket().unwrap_or(*address),
            v6only: *v6only,
        },
        Listen::Udp { address, v6only } => Listen::Udp {
            address: socket.local_addr()?.as_socket().unwrap_or(*address),
            v6only: *v6only,
        },
        Listen::Unix { .. } | Listen::Fd { .. } => listen.clone(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub(super) fn loopback() -> Listen {
        of_its_own(1)
    }

    /// At 127.0.0.`host`: a port that is free again is taken by no other test.
    pub(super) fn of_its_own(host: u8) -> Listen {
        Listen::Tcp {
            address: std::net::SocketAddr::from(([127, 0, 0, host], 0)),
            v6only: true,
        }
    }

    pub(super) const FIVE: Queue = Queue {
        backlog: 5,
        defer: std::time::Duration::ZERO,
    };

    #[test]
    fn who_is_shut_down_listens_again_where_it_was() {
        let any = Listener::bind(&of_its_own(82), &SocketOptions::default(), FIVE, false).unwrap();
        assert!(!any.revive().unwrap());
        let Listen::Tcp { address, .. } = *any.local() else {
            panic!("{any:?}");
        };
        for listener in [any, {
            let free =
                Listener::bind(&of_its_own(82), &SocketOptions::default(), FIVE, false).unwrap();
            let local = free.local().clone();
            drop(free);
            Listener::bind(&local, &SocketOptions::default(), FIVE, false).unwrap()
        }] {
            let Listen::Tcp { address, .. } = *listener.local() else {
                panic!("{listener:?}");
            };
            let both = std::net::Shutdown::Both;
            listener.socket.shutdown(both).unwrap();
            std::net::TcpStream::connect(address).unwrap_err();
            assert!(listener.revive().unwrap());
            std::net::TcpStream::connect(address).unwrap();
            assert!(!listener.revive().unwrap());
            // Nobody is to come to one that refuses.
            listener.refuse_handshakes().unwrap();
            listener.socket.shutdown(both).unwrap();
            assert!(!listener.revive().unwrap());
        }
        std::net::TcpStream::connect(address).unwrap_err();
    }
}
