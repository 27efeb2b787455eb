//! Who sends datagrams, and what waits of them.

use super::harness::{SOON, Server, eventually, process};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

/// Where the pool listens, but on this address of the machine.
pub(crate) fn at(server: &Server, pool: &str, ip: &str) -> SocketAddr {
    let place = server.addresses_of(pool)[0].strip_prefix("udp:").unwrap();
    let port = place.parse::<SocketAddr>().unwrap().port();
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// A client on this address, which waits long for an answer.
pub(crate) fn client(ip: &str) -> UdpSocket {
    let client = UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// A client that can be asked at once whether it has an answer.
pub(crate) fn impatient(ip: &str, port: u16) -> std::io::Result<UdpSocket> {
    let client = UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), port))?;
    client.set_nonblocking(true)?;
    client.set_broadcast(true)?;
    Ok(client)
}

/// The answer to one datagram, which must come from where it was sent to.
pub(crate) fn ask(client: &UdpSocket, to: SocketAddr, question: &[u8]) -> Vec<u8> {
    client.send_to(question, to).unwrap();
    let mut room = vec![0; 65_536];
    let (length, from) = client.recv_from(&mut room).unwrap();
    assert_eq!(from, to, "the answer comes from the address that was asked");
    room.truncate(length);
    room
}

pub(crate) fn has_nothing(client: &UdpSocket) -> bool {
    let nothing = client.recv_from(&mut [0; 9]);
    nothing.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// A crowd of questions, each with its number, of which so many wait for their
/// answer at once.
pub(crate) struct Window {
    pub(crate) client: UdpSocket,
    pub(crate) to: SocketAddr,
    next: u32,
    waiting: BTreeSet<u32>,
}

impl Window {
    pub(crate) fn new(to: SocketAddr) -> Self {
        let client = client("127.0.0.1");
        Self {
            client,
            to,
            next: 0,
            waiting: BTreeSet::new(),
        }
    }

    /// Asks until so many wait.
    pub(crate) fn fill(&mut self, width: usize) {
        while self.waiting.len() < width {
            self.client
                .send_to(&self.next.to_be_bytes(), self.to)
                .unwrap();
            self.waiting.insert(self.next);
            self.next += 1;
        }
    }

    /// Takes one answer; it must come soon.
    pub(crate) fn take(&mut self) {
        let mut octets = [0; 4];
        let taken = self.client.recv_from(&mut octets);
        let (length, _) = taken.unwrap_or_else(|error| {
            panic!("{error}: no answer to {:?}", self.waiting);
        });
        assert_eq!(length, 4);
        let number = u32::from_be_bytes(octets);
        assert!(self.waiting.remove(&number), "{number} is answered twice");
    }

    /// Waits for what is still owed.
    pub(crate) fn settle(&mut self) {
        while !self.waiting.is_empty() {
            self.take();
        }
    }
}

/// The octets that wait on a port, as /proc/net/udp has them.
pub(crate) fn queued(to: SocketAddr) -> u64 {
    sum(to, |fields| {
        let (_, waiting) = fields.get(4)?.split_once(':')?;
        u64::from_str_radix(waiting, 16).ok()
    })
}

/// The datagrams that the sockets of a port had no room for, as /proc/net/udp has
/// them.
pub(crate) fn dropped(to: SocketAddr) -> u64 {
    sum(to, |fields| fields.last()?.parse().ok())
}

/// The sum of a field of all sockets of a port that have no peer.
fn sum(to: SocketAddr, field: impl Fn(&[&str]) -> Option<u64>) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let port = format!(":{:04X} 00000000:0000", to.port());
    let lines = table.lines().filter(|line| line.contains(&port));
    let each = lines.filter_map(|line| field(&line.split_whitespace().collect::<Vec<_>>()));
    each.sum()
}

pub(crate) fn pause(pid: u32) {
    process::signal(pid, Signal::SIGSTOP);
    eventually("it is stopped", SOON, || {
        // Who is traced stands still at each call, too: the signal must have come.
        let waiting = process::status(pid, "ShdPnd");
        let waiting = u64::from_str_radix(&waiting, 16).unwrap();
        let has_come = waiting >> (Signal::SIGSTOP as u32 - 1) & 1 == 0;
        (has_come && matches!(process::state(pid), Some('T' | 't'))).then_some(())
    });
}
