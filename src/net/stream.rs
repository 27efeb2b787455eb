//! A connected socket, and the timeouts that the kernel keeps for it.

use crate::sys;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{Shutdown, getsockopt, setsockopt, shutdown, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A client's socket.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    /// Whether O_NONBLOCK is set.
    nonblocking: bool,
    /// See [`Stream::listener`].
    listener: u8,
    /// SO_RCVTIMEO as it was last set; zero where it is to be set anew.
    receive_timeout: Duration,
    /// Whether it was ever set.
    timed: bool,
}

impl Stream {
    /// How much later than asked a blocking receive may give up; what lies
    /// within is not worth a system call.
    const SLACK: Duration = Duration::from_millis(20);

    /// Takes over an accepted socket, which is `nonblocking` or not.
    pub fn new(fd: OwnedFd, nonblocking: bool) -> Self {
        Self {
            fd,
            nonblocking,
            listener: 0,
            receive_timeout: Duration::ZERO,
            timed: false,
        }
    }

    /// Notes by which of the worker's listeners it came; there are at most
    /// [`MAX_LISTENERS`](crate::config::MAX_LISTENERS).
    #[must_use]
    pub fn through(mut self, listener: usize) -> Self {
        self.listener = u8::try_from(listener).unwrap_or(u8::MAX);
        self
    }

    /// By which of the worker's listeners it came.
    pub fn listener(&self) -> usize {
        usize::from(self.listener)
    }

    /// Receives what is there now.
    ///
    /// # Errors
    /// As recv(2); `WouldBlock` where nothing is.
    pub fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        sys::socket::receive(self.fd.as_fd(), room, false)
    }

    /// Receives, waiting up to `patience`.
    ///
    /// SO_RCVTIMEO is set only if the one in force would be too long, so that
    /// a client that keeps its pace costs no call but recv(2) itself, or if that
    /// one has just run out. It may therefore give up *before* `patience`: the
    /// caller looks at its deadline and comes again.
    ///
    /// # Errors
    /// As recv(2); `WouldBlock` where nothing came, `Interrupted` for a signal.
    pub fn receive_within(&mut self, room: &mut [u8], patience: Duration) -> io::Result<usize> {
        self.set_nonblocking(false)?;
        let patience = patience.max(Duration::from_millis(1));
        let current = self.receive_timeout;
        if current.is_zero() || current > patience + Self::SLACK {
            setsockopt(&self.fd, sockopt::ReceiveTimeout, &timeval(patience))?;
            (self.receive_timeout, self.timed) = (patience, true);
        }
        let received = sys::socket::receive(self.fd.as_fd(), room, true);
        let would_wait = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if received.as_ref().is_err_and(would_wait) {
            // It kept nobody's pace: the next wait is as long as it may be.
            self.receive_timeout = Duration::ZERO;
        }
        received
    }

    /// Sends what the kernel takes now; `more` follows at once.
    ///
    /// # Errors
    /// As send(2); `WouldBlock` where it takes nothing.
    pub fn send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        sys::socket::send(self.fd.as_fd(), bytes, more)
    }

    /// Sends from a file what the kernel takes now (sendfile(2)); 0 is the end
    /// of the file. The call has no flag for "now", so the socket gets one: in
    /// a sendfile that waits, a slow reader and a hang would look alike.
    ///
    /// # Errors
    /// As sendfile(2); `WouldBlock` where the kernel takes nothing.
    pub fn send_file(&mut self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.set_nonblocking(true)?;
        let mut offset =
            i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        Ok(sendfile(&self.fd, file, Some(&mut offset), count)?)
    }

    /// How many octets that were sent the peer's kernel has not taken (SIOCOUTQ).
    ///
    /// # Errors
    /// As ioctl(2).
    pub fn unacknowledged(&self) -> io::Result<u32> {
        sys::socket::unacknowledged(self.fd.as_fd())
    }

    /// How many octets wait to be received (SIOCINQ).
    ///
    /// # Errors
    /// As ioctl(2).
    pub fn waiting(&self) -> io::Result<usize> {
        sys::socket::waiting(self.fd.as_fd())
    }

    /// How many octets of memory the kernel may take for what the peer sends and
    /// nobody reads (SO_RCVBUF, socket(7)).
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn receive_buffer(&self) -> io::Result<usize> {
        Ok(getsockopt(&self.fd, sockopt::RcvBuf)?)
    }

    /// Has close(2) drop what the peer has not taken, and say so by RST.
    /// Otherwise the kernel would go on offering it to a peer that does not
    /// take it, and keep its memory.
    pub fn give_up(&self) {
        // Where it fails the kernel gives up later.
        let _ = socket2::SockRef::from(&self.fd).set_linger(Some(Duration::ZERO));
    }

    /// Our own address (getsockname(2)); `None` for a unix socket.
    pub fn local(&self) -> Option<SocketAddr> {
        socket2::SockRef::from(&self.fd)
            .local_addr()
            .ok()?
            .as_socket()
    }

    /// Says that no more will come from us (FIN).
    ///
    /// # Errors
    /// As shutdown(2).
    pub fn finish(&self) -> io::Result<()> {
        Ok(shutdown(self.fd.as_raw_fd(), Shutdown::Write)?)
    }

    /// Makes it as a program wants it: blocking, for as long as it takes.
    ///
    /// # Errors
    /// As fcntl(2) and setsockopt(2).
    pub fn make_patient(&mut self) -> io::Result<()> {
        self.set_nonblocking(false)?;
        if self.timed {
            setsockopt(&self.fd, sockopt::ReceiveTimeout, &timeval(Duration::ZERO))?;
            (self.timed, self.receive_timeout) = (false, Duration::ZERO);
        }
        Ok(())
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> io::Result<()> {
        if self.nonblocking != nonblocking {
            // A fresh socket has no other flag that F_SETFL could change.
            let mut flags = OFlag::O_RDWR;
            flags.set(OFlag::O_NONBLOCK, nonblocking);
            fcntl(&self.fd, FcntlArg::F_SETFL(flags))?;
            self.nonblocking = nonblocking;
        }
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn timeval(duration: Duration) -> TimeVal {
    TimeVal::microseconds(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    #[test]
    fn a_short_wait_does_not_shorten_those_after_it() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut stream = Stream::new(ours.into(), false);
        let mut wait = |milliseconds| {
            let begun = Instant::now();
            let patience = Duration::from_millis(milliseconds);
            let error = stream.receive_within(&mut [0], patience).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            begun.elapsed()
        };
        wait(10);
        let waited = wait(300);
        assert!(waited >= Duration::from_millis(280), "{waited:?}");
    }
}
