//! One datagram of a probe, and what comes for it.
//!
//! Owes that replies from wherever they come are heard: the sockets are not
//! connected. Judges nothing.

use super::super::dial::{associate, until};
use super::super::failure::{Cause, Failure};
use super::super::{Options, dial};
use crate::probe::datagrams::{Heard, Reply};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long more is waited for than should come.
const QUIET: Duration = Duration::from_millis(200);

/// The first of a host's addresses that does not say that nobody is there.
///
/// # Errors
/// [`Cause::Resolve`], [`Cause::Timeout`]; [`Cause::Refused`] where all say so.
pub fn find(host: &str, port: u16, options: &Options) -> Result<SocketAddr, Failure> {
    let mut refused = None;
    for address in dial::addresses(host, port, options)? {
        match is_refused(address, options) {
            Ok(None) => return Ok(address),
            Ok(Some(failure)) | Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::new(Cause::Resolve, "there is no address")))
}

/// Whether ICMP says so.
fn is_refused(address: SocketAddr, options: &Options) -> Result<Option<Failure>, Failure> {
    let socket: UdpSocket = associate(address, options)?.into();
    socket
        .send(b"\n")
        .map_err(|error| Failure::of("send to", address, &error))?;
    let end = Instant::now() + QUIET;
    wait(&socket, address, end)?;
    match socket.recv(&mut [0; 1]) {
        Err(error) if Cause::of(&error) == Cause::Refused => Ok(Some(Failure::new(
            Cause::Refused,
            format!("{address}: refused: nobody has that port (ICMP)"),
        ))),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Sends `octets` to `asked` and hears what comes. A server may be silent for
/// `patience`.
///
/// # Errors
/// Which call failed on this side; [`Cause::Denied`] where the port to send from
/// wants a right that we do not have.
pub fn send(
    asked: SocketAddr,
    source: Option<SocketAddr>,
    octets: &[u8],
    reply: &Reply,
    patience: Duration,
) -> Result<Heard, Failure> {
    let port = match reply {
        Reply::NoneTo(port) => Some(*port),
        Reply::Once(_) | Reply::None => None,
    };
    let socket = socket(asked, source, port)?;
    let mut heard = Heard {
        sent: octets.to_vec(),
        ..Heard::default()
    };
    let say = |socket: &UdpSocket| {
        let sent = socket.send_to(octets, asked);
        sent.map_err(|error| Failure::of("send to", asked, &error))
    };
    say(&socket)?;
    let end = Instant::now() + patience;
    match reply {
        Reply::Once(_) => hear(&socket, asked, end, Some(1), &mut heard.replies)?,
        Reply::None => hear(&socket, asked, end, None, &mut heard.replies)?,
        Reply::NoneTo(_) => {
            let other = self::socket(asked, source, None)?;
            let mut replies = Vec::new();
            say(&other)?;
            hear(&other, asked, end, Some(1), &mut replies)?;
            heard.answers_others = !replies.is_empty();
        }
    }
    let end = Instant::now() + QUIET.min(patience);
    hear(&socket, asked, end, None, &mut heard.replies)?;
    Ok(heard)
}

/// A socket that hears of everybody.
fn socket(
    asked: SocketAddr,
    source: Option<SocketAddr>,
    port: Option<u16>,
) -> Result<UdpSocket, Failure> {
    let mut from = source.unwrap_or(match asked {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    });
    if let Some(port) = port {
        from.set_port(port);
    }
    let refused = |error| Failure::of("bind", from, &error);
    let socket = UdpSocket::bind(from).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    Ok(socket)
}

/// Takes what comes until `end`, or until `enough` has come.
fn hear(
    socket: &UdpSocket,
    asked: SocketAddr,
    end: Instant,
    enough: Option<usize>,
    replies: &mut Vec<(SocketAddr, Vec<u8>)>,
) -> Result<(), Failure> {
    let mut room = vec![0; 65_536];
    while enough.is_none_or(|enough| replies.len() < enough) && wait(socket, asked, end)? {
        match socket.recv_from(&mut room) {
            Ok((count, from)) => replies.push((from, room[..count].to_vec())),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(Failure::of("receive from", asked, &error)),
        }
    }
    Ok(())
}

/// Waits for a datagram; says whether there is time left.
fn wait(socket: &UdpSocket, asked: SocketAddr, end: Instant) -> Result<bool, Failure> {
    let mut watched = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut watched, until(end)) {
        Ok(_) | Err(Errno::EINTR) => Ok(Instant::now() < end),
        Err(errno) => Err(Failure::of("poll", asked, &errno.into())),
    }
}
