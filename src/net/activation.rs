//! Sockets from the service manager (sd_listen_fds(3)).
//!
//! Owes each of them to the `listen` entry that names it, for as long as the
//! master lives: one that a reload gave up can be had back by another. They are
//! the manager's as much as ours. What it does with them (how long their queues
//! are, when their files go, who is served after us) is not decided here, so
//! nothing may be done to them that it would see: no filter, no shutdown(2), no
//! unlink(2).

use super::datagram;
use super::listener::{BindError, Listener};
use crate::config::{Listen, SocketKind};
use crate::escape;
use crate::sys::process;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

/// The first descriptor that is passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// Nobody passes more.
const MOST: usize = 4096;
/// The name of one that has none (sd_listen_fds_with_names(3)).
const NAMELESS: &str = "unknown";
const PID: &str = "LISTEN_PID";
const COUNT: &str = "LISTEN_FDS";
const NAMES: &str = "LISTEN_FDNAMES";
/// All of them; the second says more exactly what the first says.
const VARIABLES: [&str; 4] = [PID, "LISTEN_PIDFDID", COUNT, NAMES];

/// What was passed.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    sockets: Vec<Activated>,
}

#[derive(Clone, Debug)]
struct Activated {
    number: RawFd,
    name: String,
    /// Or why it cannot be listened on.
    listener: Result<Arc<Listener>, String>,
}

impl Activation {
    /// Takes what was passed to this process, and takes the variables out of the
    /// environment, so that no program which it starts takes them for its own.
    /// To be called once, before anything else is opened: what the variables
    /// speak of must be open already.
    pub fn take() -> Self {
        let own = std::env::var(PID).is_ok_and(|pid| pid == std::process::id().to_string());
        let count = std::env::var(COUNT).ok().and_then(|text| text.parse().ok());
        let names = std::env::var(NAMES).ok();
        for variable in VARIABLES {
            if std::env::var_os(variable).is_some()
                && let Err(error) = process::forget_variable(OsStr::new(variable))
            {
                log::warn!("{variable}: {error}");
            }
        }
        let count = count.filter(|_| own).unwrap_or(0).min(MOST);
        let names = names_of(count, names.as_deref());
        let sockets = (FIRST..).zip(names).map(|(number, name)| Activated {
            number,
            name,
            listener: process::inherit(number)
                .map_err(|error| error.to_string())
                .and_then(Listener::passed)
                .map(Arc::new),
        });
        Self {
            sockets: sockets.collect(),
        }
    }

    /// The sockets of this name, or the one of this number: those of this kind, for a
    /// unit gives one name to all that it has.
    ///
    /// # Errors
    /// Where there is none, or one of them is no socket to be served.
    pub(super) fn find(
        &self,
        name: &str,
        kind: SocketKind,
    ) -> Result<Vec<Arc<Listener>>, BindError> {
        let listen = |kind| Listen::Fd {
            name: name.to_owned(),
            kind,
        };
        let failed =
            |why: String| BindError::new("LISTEN_FDS", &listen(kind), io::Error::other(why));
        let named = self.sockets.iter().filter(|one| one.is(name));
        let mut found = Vec::new();
        let mut other = None;
        for Activated {
            number, listener, ..
        } in named
        {
            let listener = listener
                .as_ref()
                .map_err(|why| failed(format!("descriptor {number}: {why}")))?;
            if listener.local().kind() == kind {
                found.push(Arc::clone(listener));
            } else {
                other = Some((number, listener));
            }
        }
        match other {
            _ if !found.is_empty() => Ok(found),
            Some((number, listener)) => {
                let kind = listener.local().kind();
                let what = match kind {
                    SocketKind::Stream => "a socket for connections",
                    SocketKind::Datagram => "a socket for datagrams",
                };
                let right = listen(kind);
                Err(failed(format!(
                    "descriptor {number}: {what}: write \"{right}\""
                )))
            }
            None => Err(failed(format!(
                "the service manager passed {}",
                self.list()
            ))),
        }
    }

    /// Keeps only those that `used` names; answers a line for each other one.
    pub(super) fn keep(&mut self, used: impl Fn(&Arc<Listener>) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        self.sockets.retain(|one| {
            let Activated { number, name, .. } = one;
            match &one.listener {
                Ok(listener) if used(listener) => return true,
                // The line on which tests rely.
                Ok(listener) => lines.push(format!(
                    "LISTEN_FDS: descriptor {number} ({name}, {}) is in no `listen`: closed",
                    listener.local()
                )),
                Err(why) => lines.push(format!(
                    "LISTEN_FDS: descriptor {number} ({name}): {why}: closed"
                )),
            }
            false
        });
        lines
    }

    /// The number and the name of a socket.
    pub(super) fn label(&self, listener: &Arc<Listener>) -> Option<(RawFd, String)> {
        let is_it = |one: &&Activated| {
            let own = one.listener.as_ref();
            own.is_ok_and(|own| Arc::ptr_eq(own, listener))
        };
        let found = self.sockets.iter().find(is_it)?;
        Some((found.number, found.name.clone()))
    }

    /// Every socket that can be listened on.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.sockets
            .iter()
            .filter_map(|one| one.listener.as_ref().ok())
    }

    /// Another master had this one as `number` and `name`.
    pub(super) fn add(&mut self, number: RawFd, name: String, listener: &Arc<Listener>) {
        self.sockets.push(Activated {
            number,
            name,
            listener: Ok(Arc::clone(listener)),
        });
    }

    fn list(&self) -> String {
        if self.sockets.is_empty() {
            return String::from("nothing");
        }
        let each = self.sockets.iter();
        let each = each.map(|one| {
            let prefix = match &one.listener {
                Ok(listener) if listener.local().is_datagram() => "udp:",
                Ok(_) | Err(_) => "",
            };
            format!("{prefix}fd:{} ({})", one.name, one.number)
        });
        let list = each.collect::<Vec<_>>().join(", ");
        // Whoever started us made the names; this one goes to a terminal.
        let mut text = String::new();
        escape::plain(&list, &mut text);
        text
    }
}

impl Activated {
    fn is(&self, name: &str) -> bool {
        match name.parse::<RawFd>() {
            Ok(number) => self.number == number,
            Err(_) => self.name == name,
        }
    }
}

/// The names of `count` descriptors, from what LISTEN_FDNAMES says.
fn names_of(count: usize, names: Option<&str>) -> Vec<String> {
    let mut given = names.into_iter().flat_map(|names| names.split(':'));
    let mut next = || given.next().filter(|name| !name.is_empty());
    (0..count)
        .map(|_| next().unwrap_or(NAMELESS).to_owned())
        .collect()
}

impl Listener {
    /// A socket that the service manager listens on, or has bound for datagrams, and
    /// has passed to us.
    ///
    /// # Errors
    /// Why nobody can be served on it, in words.
    pub(super) fn passed(socket: OwnedFd) -> Result<Self, String> {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::from(socket);
        let said = |error: io::Error| match error.raw_os_error() {
            Some(nix::libc::ENOTSOCK) => String::from("not a socket"),
            Some(_) | None => error.to_string(),
        };
        let domain = socket.domain().map_err(said)?;
        let kind = socket.r#type().map_err(said)?;
        if ![Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain) {
            return Err(String::from("not an IPv4, IPv6 or unix socket"));
        }
        if kind == Type::DGRAM && domain != Domain::UNIX {
            return passed_for_datagrams(socket, domain);
        }
        if kind != Type::STREAM {
            return Err(String::from(
                "neither a stream socket nor one of UDP: the unit needs ListenStream=, or ListenDatagram= with a port",
            ));
        }
        if !socket.is_listener().map_err(said)? {
            return Err(String::from(match socket.peer_addr() {
                Ok(_) => "a client's connection: the unit needs Accept=no",
                Err(_) => "a socket that does not listen",
            }));
        }
        if domain != Domain::UNIX {
            // Accepted sockets inherit it; see Listener::bind.
            socket.set_tcp_nodelay(true).map_err(said)?;
        }
        let local = place(&socket, domain).map_err(said)?;
        Ok(Self::foreign(socket, local))
    }
}

/// A socket of UDP, or what else there is in the internet for datagrams.
fn passed_for_datagrams(
    socket: socket2::Socket,
    domain: socket2::Domain,
) -> Result<Listener, String> {
    let said = |error: io::Error| error.to_string();
    if socket.protocol().map_err(said)? != Some(socket2::Protocol::UDP) {
        return Err(String::from("a socket for datagrams that is not UDP"));
    }
    if let Ok(peer) = socket.peer_addr() {
        let peer = peer.as_socket().map(|peer| peer.to_string());
        let peer = peer.unwrap_or_default();
        return Err(format!("connected to {peer}: nobody else could ask"));
    }
    let address = socket.local_addr().map_err(said)?.as_socket();
    let Some(address) = address.filter(|address| address.port() != 0) else {
        return Err(String::from("a socket for datagrams that is not bound"));
    };
    let v6only = domain == socket2::Domain::IPV6 && socket.only_v6().map_err(said)?;
    let step = |name| move |error: io::Error| format!("{name}: {error}");
    datagram::prepare(&socket, (address, v6only), &step)?;
    Ok(Listener::foreign(socket, Listen::Udp { address, v6only }))
}

/// Where a socket listens.
fn place(socket: &socket2::Socket, domain: socket2::Domain) -> io::Result<Listen> {
    let address = socket.local_addr()?;
    if let Some(address) = address.as_socket() {
        let v6only = domain == socket2::Domain::IPV6 && socket.only_v6()?;
        return Ok(Listen::Tcp { address, v6only });
    }
    let path = match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)).into(),
        (None, None) => "?".into(),
    };
    Ok(Listen::Unix { path, mode: 0 })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn who_has_no_name_is_unknown() {
        for (count, names, expected) in [
            (0, Some("web"), &[][..]),
            (2, None, &["unknown", "unknown"]),
            (2, Some("web"), &["web", "unknown"]),
            (3, Some("web::web"), &["web", "unknown", "web"]),
            (1, Some("web:more"), &["web"]),
            (1, Some(""), &["unknown"]),
        ] {
            assert_eq!(names_of(count, names), expected, "{names:?}");
        }
    }

    #[test]
    fn what_nobody_can_be_accepted_on_is_refused() {
        let why = |fd: OwnedFd| Listener::passed(fd).unwrap_err();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(why(client.into()).contains("Accept=no"));
        let (unix, _) = UnixDatagram::pair().unwrap();
        assert!(why(unix.into()).contains("ListenStream=, or ListenDatagram= with a port"));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect("127.0.0.1:9").unwrap();
        assert_eq!(
            why(udp.into()),
            "connected to 127.0.0.1:9: nobody else could ask"
        );
        let unbound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
        assert!(why(unbound.unwrap().into()).contains("is not bound"));
        let file = tempfile::tempfile().unwrap();
        assert_eq!(why(file.into()), "not a socket");
        let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        assert!(why(bound.unwrap().into()).contains("does not listen"));
        let netlink = socket2::Socket::new(16.into(), socket2::Type::DGRAM, None);
        assert!(why(netlink.unwrap().into()).contains("IPv4, IPv6 or unix"));
    }

    #[test]
    fn a_passed_socket_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let managers = UnixListener::bind(&path).unwrap();
        let passed = Listener::passed(managers.try_clone().unwrap().into()).unwrap();
        assert_eq!(
            passed.local().to_string(),
            format!("unix:{}", path.display())
        );
        passed.refuse_handshakes().unwrap();
        drop(passed);
        assert!(path.exists(), "whose file it is decides that");
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(managers.accept().is_ok());
        // As it is with datagrams: neither filtered nor emptied.
        let managers = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let passed = Listener::passed(managers.try_clone().unwrap().into()).unwrap();
        client
            .send_to(b"one", managers.local_addr().unwrap())
            .unwrap();
        passed.refuse_handshakes().unwrap();
        client
            .send_to(b"two", managers.local_addr().unwrap())
            .unwrap();
        drop(passed);
        for expected in [b"one", b"two"] {
            let mut room = [0; 3];
            assert_eq!(managers.recv(&mut room).unwrap(), 3);
            assert_eq!(&room, expected);
        }
        // As it is with TCP: neither filtered nor shut.
        let managers = TcpListener::bind("127.0.0.1:0").unwrap();
        let passed = Listener::passed(managers.try_clone().unwrap().into()).unwrap();
        passed.refuse_handshakes().unwrap();
        drop(passed);
        let _client = TcpStream::connect(managers.local_addr().unwrap()).unwrap();
        assert!(managers.accept().is_ok());
    }

    #[test]
    fn sockets_are_found_by_name_or_number() {
        let mut activation = Activation::default();
        let stream = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let datagram = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        for (number, name, socket) in [
            (3, "web", stream()),
            (4, "web", stream()),
            (5, "echo", stream()),
            (6, "echo", datagram()),
            (7, "dns", datagram()),
        ] {
            let listener = Arc::new(Listener::passed(socket).unwrap());
            activation.add(number, name.to_owned(), &listener);
        }
        let all: Vec<_> = activation.all().cloned().collect();
        let (streams, datagrams) = (SocketKind::Stream, SocketKind::Datagram);
        for (name, kind, expected) in [
            ("web", streams, &all[..2]),
            ("4", streams, &all[1..2]),
            ("echo", streams, &all[2..3]),
            ("echo", datagrams, &all[3..4]),
            ("7", datagrams, &all[4..]),
        ] {
            let found = activation.find(name, kind).unwrap();
            let same = found.iter().zip(expected).all(|(a, b)| Arc::ptr_eq(a, b));
            assert!(same && found.len() == expected.len(), "{name}");
        }
        for (name, kind, expected) in [
            (
                "mail",
                streams,
                "LISTEN_FDS fd:mail: the service manager passed fd:web (3), fd:web (4), fd:echo (5), udp:fd:echo (6), udp:fd:dns (7)",
            ),
            (
                "dns",
                streams,
                "LISTEN_FDS fd:dns: descriptor 7: a socket for datagrams: write \"udp:fd:dns\"",
            ),
            (
                "4",
                datagrams,
                "LISTEN_FDS udp:fd:4: descriptor 4: a socket for connections: write \"fd:4\"",
            ),
        ] {
            let error = activation.find(name, kind).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        let lines = activation.keep(|one| Arc::ptr_eq(one, &all[2]));
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(activation.find("web", streams).is_err());
        assert_eq!(activation.label(&all[2]), Some((5, String::from("echo"))));
    }
}
