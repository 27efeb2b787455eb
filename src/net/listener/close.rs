//! How a listener is given up: it lets nobody new begin, its queue is emptied by
//! its last owners, and it closes.
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
            Listen::Udp { .. } => sys::datagram::refuse_all(self.socket.as_fd()),
            // There is no handshake to drop: taking the name away does it.
            Listen::Unix { .. } | Listen::Fd { .. } => {
                if let Some(file) = &self.file {
                    file.remove();
                }
                Ok(())
            }
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
    use super::super::tests::{FIVE, loopback};
    use super::*;
    use crate::config::SocketOptions;

    #[test]
    fn a_port_is_free_when_its_listener_is_dropped_whoever_has_a_copy() {
        let listener = Listener::bind(&loopback(), &SocketOptions::default(), FIVE, false).unwrap();
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
    fn a_listener_that_refuses_handshakes_never_waits_again() {
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
}
