//! Sockets for datagrams: how they are made, and what is lost with them.

use crate::sys;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a worker waits in the receiving call, at most: a second after the
/// last datagram it has to say so.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// A bound UDP socket that tells of each datagram to which address it was sent.
///
/// SO_REUSEADDR is not set, for it would let any process of the same user have
/// the address as well (socket(7)); a UDP port has nothing to wait for anyway.
/// `begin` tells it more before it is bound.
pub(super) fn bind<E>(
    (address, v6only): (SocketAddr, bool),
    reuseport: bool,
    begin: impl FnOnce(&Socket) -> Result<(), super::BindError>,
    step: &impl Fn(&'static str) -> E,
) -> Result<Socket, super::BindError>
where
    E: FnOnce(io::Error) -> super::BindError,
{
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(step("socket"))?;
    if reuseport {
        socket.set_reuse_port(true).map_err(step("SO_REUSEPORT"))?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(v6only).map_err(step("IPV6_V6ONLY"))?;
    }
    prepare(&socket, (address, v6only), step)?;
    begin(&socket)?;
    socket.bind(&address.into()).map_err(step("bind"))?;
    Ok(socket)
}

/// Has the kernel tell of each datagram to which address it was sent, and nobody
/// wait for longer than [`PATIENCE`]: what a worker counts on, of every socket.
///
/// # Errors
/// As setsockopt(2), and which option it is.
pub(super) fn prepare<F, E>(
    socket: &Socket,
    (address, v6only): (SocketAddr, bool),
    step: &impl Fn(&'static str) -> F,
) -> Result<(), E>
where
    F: FnOnce(io::Error) -> E,
{
    if address.is_ipv6() {
        sys::datagram::tell_destination6(socket.as_fd()).map_err(step("IPV6_RECVPKTINFO"))?;
    }
    if address.is_ipv4() || !v6only {
        sys::datagram::tell_destination4(socket.as_fd()).map_err(step("IP_PKTINFO"))?;
    }
    socket
        .set_read_timeout(Some(PATIENCE))
        .map_err(step("SO_RCVTIMEO"))
}

/// How many datagrams wait in a socket that is about to be closed: they are
/// taken out, and no more let in, for who sends fast enough would have us count
/// for ever.
pub(super) fn abandoned(socket: &Socket) -> u64 {
    // Where it fails they are counted all the same.
    let _ = sys::datagram::refuse_all(socket.as_fd());
    let mut room = [0; 1];
    let mut next = || sys::socket::receive(socket.as_fd(), &mut room, false);
    let mut count = 0;
    loop {
        match next() {
            Ok(_) => count += 1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return count,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_waits_is_counted_and_nothing_follows() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap();
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        let send = || (0..3).for_each(|_| assert_eq!(theirs.send(b"x").unwrap(), 1));
        send();
        let ours = Socket::from(ours);
        assert_eq!(abandoned(&ours), 3);
        send();
        assert_eq!(abandoned(&ours), 0);
    }
}
