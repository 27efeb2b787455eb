//! How long nothing has passed on a TCP connection whose socket somebody else
//! has, as the kernel tells it of any (sock_diag(7)).
//!
//! A descriptor of our own would tell as much, and would keep the connection
//! open when its owner has closed it: then its client would wait for an end
//! that does not come. The socket's cookie tells it from a later one between the
//! same two ends.

use crate::sys;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use nix::sys::socket::{recv, send, socket};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

/// A TCP connection by what it is known to the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    local: SocketAddr,
    remote: SocketAddr,
    cookie: u64,
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// For so long no octet has come or gone.
    Since(Duration),
    /// It is gone: closed by both ends, or reset.
    Gone,
}

/// SOCK_DIAG_BY_FAMILY of <linux/sock_diag.h>.
const BY_FAMILY: u16 = 20;
/// INET_DIAG_INFO of <linux/inet_diag.h>.
const INFO: u16 = 2;
/// A `nlmsghdr`.
const HEADER: usize = 16;
/// An `inet_diag_msg`.
const MESSAGE: usize = 72;

impl Line {
    /// That of a connected socket; `None` where it is no TCP, or not connected
    /// any more.
    pub fn of(socket: BorrowedFd<'_>) -> Option<Self> {
        let socket_of = socket2::SockRef::from(&socket);
        Some(Self {
            remote: socket_of.peer_addr().ok()?.as_socket()?,
            local: socket_of.local_addr().ok()?.as_socket()?,
            cookie: sys::socket::cookie(socket).ok()?,
        })
    }

    /// How long it has been silent.
    ///
    /// # Errors
    /// As socket(2), and where the kernel does not tell.
    pub fn silence(&self) -> io::Result<Silence> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkSockDiag;
        let channel = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
        send(channel.as_raw_fd(), &self.request(), MsgFlags::empty())?;
        let mut room = [0; 4096];
        // The answer is there when send(2) returns.
        let length = recv(
            channel.as_fd().as_raw_fd(),
            &mut room,
            MsgFlags::MSG_DONTWAIT,
        )?;
        read(room.get(..length).unwrap_or_default())
    }

    /// A `nlmsghdr` and an `inet_diag_req_v2`.
    fn request(&self) -> Vec<u8> {
        let family = match self.local {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        };
        let mut text = Vec::with_capacity(HEADER + 56);
        text.extend_from_slice(&(HEADER as u32 + 56).to_ne_bytes());
        text.extend_from_slice(&BY_FAMILY.to_ne_bytes());
        text.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        text.extend_from_slice(&[0; 8]);
        let extensions = 1 << (INFO - 1);
        text.extend_from_slice(&[family as u8, libc::IPPROTO_TCP as u8, extensions, 0]);
        text.extend_from_slice(&u32::MAX.to_ne_bytes());
        text.extend_from_slice(&self.local.port().to_be_bytes());
        text.extend_from_slice(&self.remote.port().to_be_bytes());
        for end in [self.local, self.remote] {
            let mut octets = [0; 16];
            match end.ip() {
                IpAddr::V4(address) => octets[..4].copy_from_slice(&address.octets()),
                IpAddr::V6(address) => octets = address.octets(),
            }
            text.extend_from_slice(&octets);
        }
        // The interface: that of a link-local address.
        let interface = match self.local {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        text.extend_from_slice(&interface.to_ne_bytes());
        text.extend_from_slice(&(self.cookie as u32).to_ne_bytes());
        text.extend_from_slice(&((self.cookie >> 32) as u32).to_ne_bytes());
        text
    }
}

/// Reads the kernel's answer.
fn read(answer: &[u8]) -> io::Result<Silence> {
    let strange = || io::Error::other("an answer of sock_diag that is not understood");
    let kind = number16(answer, 4).ok_or_else(strange)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let errno = number32(answer, HEADER).ok_or_else(strange)?.cast_signed();
        return match -errno {
            libc::ENOENT | libc::ESTALE => Ok(Silence::Gone),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
    }
    let mut at = HEADER + MESSAGE;
    while let (Some(length), Some(kind)) = (number16(answer, at), number16(answer, at + 2)) {
        if kind == INFO {
            let field = |offset: usize| number32(answer, at + 4 + offset).ok_or_else(strange);
            let sent = field(std::mem::offset_of!(libc::tcp_info, tcpi_last_data_sent))?;
            let received = field(std::mem::offset_of!(libc::tcp_info, tcpi_last_data_recv))?;
            let silence = Duration::from_millis(u64::from(sent.min(received)));
            return Ok(Silence::Since(silence));
        }
        at += usize::from(length).next_multiple_of(4).max(4);
    }
    // One that both ends have closed is kept without its figures (TIME-WAIT).
    Ok(Silence::Gone)
}

fn number16(text: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(text.get(at..at + 2)?.try_into().ok()?))
}

fn number32(text: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(text.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, theirs)
    }

    fn since(line: &Line) -> Duration {
        match line.silence().unwrap() {
            Silence::Since(silence) => silence,
            Silence::Gone => panic!("it is there"),
        }
    }

    #[test]
    fn silence_is_told_without_a_descriptor() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (ours, mut theirs) = pair(address);
            let line = Line::of(ours.as_fd()).unwrap();
            let begin = Instant::now();
            while since(&line) < Duration::from_millis(100) {
                assert!(begin.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
            }
            let written = Instant::now();
            theirs.write_all(b"x").unwrap();
            // However late we look: the kernel counts in ticks of some milliseconds.
            while since(&line) >= written.elapsed() + Duration::from_millis(50) {
                assert!(begin.elapsed() < Duration::from_secs(10));
            }
            drop(theirs);
            drop(ours);
            while line.silence().unwrap() != Silence::Gone {
                assert!(begin.elapsed() < Duration::from_secs(10));
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_mapped_address_and_a_unix_socket() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _theirs = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (ours, _) = listener.accept().unwrap();
        since(&Line::of(ours.as_fd()).unwrap());
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Line::of(one.as_fd()).is_none());
    }

    #[test]
    fn an_answer_cut_short_is_no_panic() {
        let whole: Vec<u8> = (0..=255).collect();
        for end in 0..whole.len() {
            let _ = read(&whole[..end]);
        }
    }
}
