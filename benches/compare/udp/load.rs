//! The load: a client that keeps so many datagrams under way.
//!
//! It owes the figures: a datagram counts when it has come back as it was sent.
//! One that does not come back is lost after a while, and another takes its place:
//! it must never wait for ever.

use crate::echo::histogram::Histogram;
use preforkd::sys::datagram::{BATCH, Inbox, Parcel, receive, send};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What is put on a server.
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    /// How many sockets the client has …
    pub(crate) sockets: usize,
    /// … and how many datagrams of each are under way.
    pub(crate) width: usize,
    /// Octets of each.
    pub(crate) length: usize,
    /// Datagrams after which it is over, if the time is not before.
    pub(crate) most: u64,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What came of it.
pub(crate) struct Tally {
    /// Datagrams that came back.
    pub(crate) back: u64,
    /// Datagrams that did not.
    pub(crate) lost: u64,
    pub(crate) elapsed: Duration,
    /// Processor time that the server took.
    pub(crate) processor: Duration,
    /// How long each took that came back: from when its batch was sent.
    pub(crate) times: Histogram,
}

/// After such a silence what is under way is lost.
const SILENCE: Duration = Duration::from_secs(1);

struct Client {
    socket: UdpSocket,
    under_way: usize,
    sent: Instant,
}

impl Load {
    /// Puts the load on the server; `meter` says how much processor time that has
    /// taken so far.
    ///
    /// # Errors
    /// No socket is to be had, or nothing came back at all.
    pub(crate) fn run(&self, meter: &mut dyn FnMut() -> Duration) -> io::Result<Tally> {
        let client = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_read_timeout(Some(SILENCE))?;
            let sent = Instant::now();
            Ok(Client {
                socket,
                under_way: 0,
                sent,
            })
        };
        let clients: io::Result<Vec<Client>> = (0..self.sockets).map(client).collect();
        let mut clients = clients?;
        let mut inbox = Inbox::default();
        self.go_on(&mut clients, &mut inbox, self.warm_up, u64::MAX)?;
        let (begun, before) = (Instant::now(), meter());
        let mut tally = self.go_on(&mut clients, &mut inbox, self.window, self.most)?;
        tally.elapsed = begun.elapsed();
        tally.processor = meter().saturating_sub(before);
        if tally.back == 0 {
            return Err(io::Error::other("nothing came back"));
        }
        Ok(tally)
    }

    fn go_on(
        &self,
        clients: &mut [Client],
        inbox: &mut Inbox,
        span: Duration,
        most: u64,
    ) -> io::Result<Tally> {
        let mut tally = Tally {
            back: 0,
            lost: 0,
            elapsed: Duration::ZERO,
            processor: Duration::ZERO,
            times: Histogram::default(),
        };
        let octets: Vec<u8> = (0..self.length).map(|at| (at % 251) as u8).collect();
        let parcel = Parcel {
            octets: &octets,
            to: self.server,
            from: None,
            interface: 0,
        };
        let parcels = vec![parcel; self.width.min(BATCH)];
        let end = Instant::now() + span;
        // One that is alone is waited for; several are asked in turn.
        let wait = clients.len() == 1;
        while tally.back < most && Instant::now() < end {
            for client in &mut *clients {
                let missing = parcels.len() - client.under_way;
                if missing > 0 {
                    client.sent = Instant::now();
                    client.under_way += send(client.socket.as_fd(), &parcels[..missing])?;
                }
                match receive(client.socket.as_fd(), inbox, BATCH, wait) {
                    Ok(count) => {
                        let took = client.sent.elapsed();
                        for (_, answer) in inbox.arrivals() {
                            if answer != octets {
                                return Err(io::Error::other("other octets came back"));
                            }
                            tally.times.add(took);
                        }
                        tally.back += count as u64;
                        client.under_way = client.under_way.saturating_sub(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if client.under_way > 0 && client.sent.elapsed() >= SILENCE {
                            tally.lost += client.under_way as u64;
                            client.under_way = 0;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(tally)
    }
}
