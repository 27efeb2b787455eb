//! The socket on which a program speaks to the master, and whom it hears there.

use super::word;
use crate::sys::socket::{Sent, receive_from_process};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, getsockname, setsockopt, socket, sockopt,
};
use nix::unistd::{Pid, getsid};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A datagram socket under a name that the kernel has chosen, and that name as
/// NOTIFY_SOCKET has it: in the abstract namespace (unix(7)), where no user is
/// kept from it by a directory, and nothing is left behind.
pub(super) fn notify_socket() -> io::Result<(OwnedFd, String)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    setsockopt(&socket, sockopt::PassCred, &true)?;
    bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?;
    let address: UnixAddr = getsockname(socket.as_raw_fd())?;
    let name = address.as_abstract().unwrap_or_default();
    let name = String::from_utf8(name.to_vec()).map_err(io::Error::other)?;
    Ok((socket, format!("@{name}")))
}

/// One datagram, and who has sent it; one that is too long says nothing.
pub(super) fn receive(socket: &OwnedFd) -> io::Result<(Vec<u8>, Sent)> {
    let mut room = [0; word::LONGEST];
    let sent = receive_from_process(socket.as_fd(), &mut room)?;
    let count = if sent.whole { sent.count } else { 0 };
    Ok((room[..count].to_vec(), sent))
}

/// Whether this sender speaks for the program: it is the program, or a process of
/// its session; or it has ended since, as systemd-notify(1) has, and was of the
/// program's user.
pub(super) fn speaks_for(sender: Sent, program: Pid, uid: u32) -> bool {
    let pid = Pid::from_raw(sender.pid);
    if pid.as_raw() <= 0 {
        return false;
    }
    match getsid(Some(pid)) {
        Ok(session) => pid == program || session == program,
        Err(_) => sender.uid == uid,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::sys::socket::{ControlMessage, MsgFlags, sendto};
    use nix::unistd::{pipe2, read};
    use std::io::IoSlice;

    fn send(name: &str, octets: &[u8]) {
        let flags = SockFlag::empty();
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).unwrap();
        let name = name.strip_prefix('@').unwrap();
        let address = UnixAddr::new_abstract(name.as_bytes()).unwrap();
        sendto(socket.as_raw_fd(), octets, &address, MsgFlags::empty()).unwrap();
    }

    #[test]
    fn a_datagram_comes_with_its_sender() {
        let (socket, name) = notify_socket().unwrap();
        assert!(receive(&socket).is_err(), "nothing yet, and no wait");
        send(&name, b"READY=1");
        let (octets, sender) = receive(&socket).unwrap();
        assert_eq!(octets, b"READY=1");
        assert_eq!(sender.pid, std::process::id().cast_signed());
        let own = Pid::this();
        assert!(speaks_for(sender, own, 0));
        let other = Pid::from_raw(1);
        assert!(
            !speaks_for(sender, other, sender.uid),
            "it lives: it is asked"
        );
        send(&name, &[b'x'; word::LONGEST + 1]);
        assert_eq!(receive(&socket).unwrap().0, b"", "too long is nothing");
    }

    #[test]
    fn descriptors_that_come_along_are_dropped() {
        let (ours, name) = notify_socket().unwrap();
        let (kept, passed) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let flags = SockFlag::empty();
        let theirs = socket(AddressFamily::Unix, SockType::Datagram, flags, None).unwrap();
        let address = UnixAddr::new_abstract(&name.as_bytes()[1..]).unwrap();
        let rights = [passed.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        let parts = [IoSlice::new(b"READY=1")];
        let none = MsgFlags::empty();
        let number = theirs.as_raw_fd();
        nix::sys::socket::sendmsg(number, &parts, &control, none, Some(&address)).unwrap();
        drop(passed);
        let (octets, sender) = receive(&ours).unwrap();
        assert_eq!(octets, b"READY=1", "what it says counts all the same");
        assert_eq!(sender.pid, std::process::id().cast_signed());
        // Nobody has the other end any more.
        assert_eq!(read(&kept, &mut [0; 1]), Ok(0));
    }
}
