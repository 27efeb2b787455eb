//! How a listener is given up: it lets nobody new begin, its queue is emptied by
//! its last owners, and it closes; or it is taken back before that.
//!
//! Owes that nobody waits in vain without being counted, and that no member of its
//! group gets clients who were not meant for it. Must never shut down what somebody
//! else decides about: the service manager, or another master.

use super::Listener;
use crate::config::Listen;
use crate::net::datagram;
use crate::net::roster::Plan;
use crate::sys;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

impl Listener {
    /// Lets no new client begin, and keeps those in the queue, for its last
    /// owners to empty without waiting for more. One that was passed to us is left
    /// alone: whoever comes is for those who are started after us.
    ///
    /// # Errors
    /// As setsockopt(2) and fcntl(2).
    pub fn refuse_handshakes(&self) -> io::Result<()> {
        if self.foreign {
            return Ok(());
        }
        self.refusing.store(true, Ordering::Relaxed);
        if !self.is_lent() {
            self.set_nonblocking(true)?;
        }
        match self.local {
            Listen::Tcp { .. } => {
                // Who was left to the kernel because it sent nothing joins the
                // queue when its handshake is repeated.
                let _ = sys::socket::defer_accept(self.socket.as_fd(), 0);
                sys::socket::refuse_handshakes(self.socket.as_fd()).or_else(
                    // Some kernels keep socket filters for root. A queue without
                    // room drops handshakes too, as long as somebody waits in it.
                    |_| self.socket.listen(0),
                )
            }
            // What is led past it already may still be on its way to it, and nobody
            // would send a datagram again.
            Listen::Udp { .. } if self.is_passed_by() => Ok(()),
            Listen::Udp { .. } => {
                self.drops.end(&self.socket);
                sys::datagram::refuse_all(self.socket.as_fd())
            }
            // There is no handshake to drop: taking the name away does it.
            Listen::Unix { .. } | Listen::Fd { .. } => {
                if let Some(file) = &self.file {
                    file.remove();
                }
                Ok(())
            }
        }
    }

    /// Takes that back: a slot may have gone, and with it who empties this queue, while
    /// the generation that has it again was about to prove itself. The name of a unix
    /// socket cannot be had back.
    pub(super) fn admit(&self) -> io::Result<()> {
        if !self.refusing.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.local {
            Listen::Tcp { .. } | Listen::Udp { .. } => {
                sys::socket::admit_handshakes(self.socket.as_fd())?;
                self.refusing.store(false, Ordering::Relaxed);
                self.drops.resume(&self.socket);
                Ok(())
            }
            Listen::Unix { .. } | Listen::Fd { .. } => Ok(()),
        }
    }

    /// Whether clients are led to others of its group.
    fn is_passed_by(&self) -> bool {
        let membership = self.membership.get();
        membership.is_some_and(|(roster, member)| roster.is_passed_by(*member))
    }

    /// How many clients are lost if it is closed now. Those of a unix socket, and
    /// datagrams, can only be counted by taking them out.
    fn abandoned(&self) -> u64 {
        match self.local {
            Listen::Tcp { .. } => self.queue().map_or(0, |(length, _)| u64::from(length)),
            Listen::Udp { .. } => datagram::abandoned(&self.socket),
            Listen::Unix { .. } | Listen::Fd { .. } => {
                let accept = || sys::socket::accept(self.socket.as_fd(), false).ok();
                match self.socket.set_nonblocking(true) {
                    Ok(()) => std::iter::from_fn(accept).count() as u64,
                    Err(_) => 0,
                }
            }
        }
    }

    /// Leads nobody to who takes its number when it closes: until the master leads
    /// clients anew, they would come to whom the program means no more.
    fn step_aside(&self) {
        let Some((roster, member)) = self.membership.get() else {
            return;
        };
        if let Some(numbers) = roster.aside(*member)
            && sys::socket::steer(self.socket.as_fd(), &numbers).is_ok()
        {
            roster.note(Plan::Attach(numbers));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.foreign {
            return;
        }
        if self.is_entrusted() {
            if let Some((roster, member)) = self.membership.get() {
                roster.give(*member);
            }
            return;
        }
        if let Some(file) = &self.file {
            file.remove();
        }
        self.step_aside();
        // Nobody can serve them any more: the workers that had it are gone.
        let abandoned = self.abandoned();
        if abandoned > 0 {
            self.lost.fetch_add(abandoned, Ordering::Relaxed);
            log::warn!("{}: clients lost in its queue: {abandoned}", self.local);
        }
        // Whoever else may still have it open, a stranger that a program of ours
        // has started, must not keep the port.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        if let Some((roster, member)) = self.membership.get() {
            roster.leave(*member);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{FIVE, loopback, of_its_own};
    use super::*;
    use crate::config::{Keepalive, SocketOptions};
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    #[test]
    fn a_port_is_free_when_its_listener_is_dropped_whoever_has_a_copy() {
        let listener =
            Listener::bind(&of_its_own(81), &SocketOptions::default(), FIVE, false).unwrap();
        let local = listener.local().clone();
        let copy = listener.as_fd().try_clone_to_owned().unwrap();
        drop(listener);
        Listener::bind(&local, &SocketOptions::default(), FIVE, false).unwrap();
        // One that was left to another master is that one's to close.
        let listener = Listener::bind(&local, &SocketOptions::default(), FIVE, false).unwrap();
        let other = listener.as_fd().try_clone_to_owned().unwrap();
        listener.entrust();
        drop(listener);
        assert!(Listener::bind(&local, &SocketOptions::default(), FIVE, false).is_err());
        drop((copy, other));
    }

    #[test]
    fn a_listener_that_refuses_handshakes_never_waits() {
        let listener = Listener::bind(&loopback(), &SocketOptions::default(), FIVE, false).unwrap();
        let Listen::Tcp { address, .. } = *listener.local() else {
            panic!()
        };
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.refuse_handshakes().unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(
            sys::socket::accept(listener.as_fd(), false).is_ok(),
            "the queue stays"
        );
        let empty = sys::socket::accept(listener.as_fd(), false).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn one_that_is_taken_back_is_as_it_was() {
        let listener = Listener::bind(&loopback(), &SocketOptions::default(), FIVE, false).unwrap();
        let Listen::Tcp { address, .. } = *listener.local() else {
            panic!()
        };
        listener.refuse_handshakes().unwrap();
        let adopted = listener.adopt(listener.local(), &SocketOptions::default(), FIVE);
        adopted.unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert!(sys::socket::accept(listener.as_fd(), false).is_ok());
        // It waits where it did …
        listener.set_nonblocking(false).unwrap();
        let flags = fcntl(&listener.socket, FcntlArg::F_GETFL).unwrap();
        assert!(!OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
        // … and is had back when a program shuts it down.
        listener.socket.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(listener.revive().unwrap());
    }

    #[test]
    fn one_that_is_taken_back_lets_clients_in_whatever_else_is_refused() {
        let listener = Listener::bind(&loopback(), &SocketOptions::default(), FIVE, false).unwrap();
        let Listen::Tcp { address, .. } = *listener.local() else {
            panic!()
        };
        listener.refuse_handshakes().unwrap();
        // tcp(7): 127 is the most.
        let keepalive = Keepalive {
            count: Some(200),
            ..Keepalive::default()
        };
        let impossible = SocketOptions {
            keepalive: Some(keepalive),
            ..SocketOptions::default()
        };
        let refused = listener.adopt(listener.local(), &impossible, FIVE);
        refused.unwrap_err();
        let patience = std::time::Duration::from_secs(10);
        std::net::TcpStream::connect_timeout(&address, patience).unwrap();
    }

    #[test]
    fn what_was_dropped_on_purpose_is_not_told_but_what_is_lost_after_it() {
        let any = Listen::Udp {
            address: "127.0.0.1:0".parse().unwrap(),
            v6only: true,
        };
        let small = SocketOptions {
            rcvbuf: Some(4096),
            ..SocketOptions::default()
        };
        let listener = Listener::bind(&any, &small, FIVE, false).unwrap();
        let Listen::Udp { address, .. } = *listener.local() else {
            panic!()
        };
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |count: usize| {
            (0..count).for_each(|_| assert_eq!(client.send_to(&[0; 1000], address).unwrap(), 1000));
        };
        listener.refuse_handshakes().unwrap();
        send(3);
        listener.adopt(listener.local(), &small, FIVE).unwrap();
        assert_eq!(listener.newly_dropped(), 0);
        // More than there is room for.
        send(100);
        assert!(listener.newly_dropped() > 0);
    }
}
