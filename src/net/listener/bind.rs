//! How a new listener is made: the steps from socket(2) to listen(2), in their
//! order, and what is said of the one that fails.
//!
//! Owes an error that names call, address and reason. Must never touch what is
//! bound already, but for the file of a unix socket that nobody listens on any more.

use super::file::SocketFile;
use super::{Listener, local};
use crate::config::{Listen, SocketOptions};
use crate::net::datagram;
use crate::net::options::{self, Nature};
use crate::net::queue::Queue;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;

/// Why an address cannot be listened on: the call, the address, the errno.
#[derive(Debug)]
pub struct BindError {
    call: &'static str,
    listen: Listen,
    /// What the kernel said.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.error.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::AddrNotAvailable => "no such address on this machine".to_owned(),
            io::ErrorKind::PermissionDenied => match self.error.raw_os_error() {
                Some(nix::libc::EPERM) => "operation not permitted".to_owned(),
                Some(_) => "permission denied".to_owned(),
                None => self.error.to_string(),
            },
            _ => self.error.to_string(),
        };
        write!(f, "{} {}: {reason}", self.call, self.listen)
    }
}

impl std::error::Error for BindError {}

impl BindError {
    pub(in crate::net) fn new(call: &'static str, listen: &Listen, error: io::Error) -> Self {
        let listen = listen.clone();
        Self {
            call,
            listen,
            error,
        }
    }

    /// Whether it is about a socket that somebody else should have passed.
    pub fn is_missing(&self) -> bool {
        matches!(self.listen, Listen::Fd { .. })
    }
}

impl Listener {
    /// Binds and listens. With `reuseport` the socket joins the group of its
    /// address (socket(7), SO_REUSEPORT).
    ///
    /// The `options` are set here, where every accepted socket inherits them, so
    /// that they cost no call a connection.
    ///
    /// # Errors
    /// Which of socket(2), setsockopt(2), bind(2) or listen(2) refused, and why.
    pub fn bind(
        listen: &Listen,
        options: &SocketOptions,
        queue: Queue,
        reuseport: bool,
    ) -> Result<Self, BindError> {
        let step = |call| {
            move |error| BindError {
                call,
                listen: listen.clone(),
                error,
            }
        };
        let (socket, file) = match listen {
            Listen::Tcp { .. } => (tcp(listen, options, reuseport, &step)?, None),
            Listen::Udp { address, v6only } => {
                let place = (*address, *v6only);
                let begin = |socket: &Socket| begin(listen, options, socket);
                let socket = datagram::bind(place, reuseport, begin, &step)?;
                let local = local(&socket, listen).map_err(step("getsockname"))?;
                return Ok(Self::of(socket, local, None));
            }
            Listen::Unix { path, mode } => {
                let socket =
                    Socket::new(Domain::UNIX, Type::STREAM, None).map_err(step("socket"))?;
                let file = SocketFile::bind(&socket, path, *mode).map_err(step("bind"))?;
                (socket, Some(file))
            }
            Listen::Fd { .. } => {
                let why = io::Error::other("somebody else binds it");
                return Err(BindError::new("bind", listen, why));
            }
        };
        if let Listen::Tcp { .. } = listen {
            queue.begin(&socket).map_err(step("TCP_DEFER_ACCEPT"))?;
        }
        socket.listen(queue.length()).map_err(step("listen"))?;
        let local = local(&socket, listen).map_err(step("getsockname"))?;
        let listener = Self::of(socket, local, file);
        listener.length.store(queue.length(), Ordering::Relaxed);
        Ok(listener)
    }

    /// Fails if the address is taken, by a SO_REUSEPORT group too: such a
    /// group lets any process of the same user join, and would share our
    /// clients with a second instance without a word.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn probe(listen: &Listen, options: &SocketOptions) -> Result<(), BindError> {
        let step = |call| {
            move |error| BindError {
                call,
                listen: listen.clone(),
                error,
            }
        };
        match listen {
            Listen::Tcp { .. } => tcp(listen, options, false, &step).map(drop),
            Listen::Udp { address, v6only } => {
                let begin = |socket: &Socket| begin(listen, options, socket);
                datagram::bind((*address, *v6only), false, begin, &step).map(drop)
            }
            Listen::Unix { .. } | Listen::Fd { .. } => Ok(()),
        }
    }
}

fn tcp<E>(
    listen: &Listen,
    options: &SocketOptions,
    reuseport: bool,
    step: &impl Fn(&'static str) -> E,
) -> Result<Socket, BindError>
where
    E: FnOnce(io::Error) -> BindError,
{
    let Listen::Tcp { address, v6only } = *listen else {
        return Err(step("bind")(io::Error::other("not an address of TCP")));
    };
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(step("socket"))?;
    socket
        .set_reuse_address(true)
        .map_err(step("SO_REUSEADDR"))?;
    if reuseport {
        socket.set_reuse_port(true).map_err(step("SO_REUSEPORT"))?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(v6only).map_err(step("IPV6_V6ONLY"))?;
    }
    begin(listen, options, &socket)?;
    socket.bind(&address.into()).map_err(step("bind"))?;
    Ok(socket)
}

/// Tells a new socket what is to be told before it is bound.
fn begin(listen: &Listen, options: &SocketOptions, socket: &Socket) -> Result<(), BindError> {
    let Some(nature) = Nature::of(listen) else {
        return Ok(());
    };
    options::begin(options, socket, nature)
        .map_err(|(name, error)| BindError::new(name, listen, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{FIVE, loopback};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn port_zero_becomes_a_port() {
        let listener = Listener::bind(&loopback(), &SocketOptions::default(), FIVE, false).unwrap();
        assert!(matches!(listener.local(), Listen::Tcp { address, .. } if address.port() != 0));
    }

    #[test]
    fn a_taken_address_is_refused_by_name_even_in_a_reuseport_group() {
        let first = Listener::bind(&loopback(), &SocketOptions::default(), FIVE, true).unwrap();
        let error = Listener::probe(first.local(), &SocketOptions::default())
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!("bind {}: address already in use", first.local())
        );
        Listener::bind(first.local(), &SocketOptions::default(), FIVE, true).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listen = Listen::Unix {
            path: path.clone(),
            mode: 0o600,
        };
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file: now it is stale");
        // A program that another test starts may have a copy for a moment.
        while std::os::unix::net::UnixStream::connect(&path).is_ok() {}
        let listener = Listener::bind(&listen, &SocketOptions::default(), FIVE, false).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(Listener::bind(&listen, &SocketOptions::default(), FIVE, false).is_err());
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        assert!(
            Listener::bind(
                &Listen::Unix {
                    path: path.clone(),
                    mode: 0o600
                },
                &SocketOptions::default(),
                FIVE,
                false
            )
            .is_err()
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
    }
}
