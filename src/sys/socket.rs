//! Socket calls that nix and socket2 lack, or that they give in a form which
//! costs a second call.

use super::check;
use socket2::{SockAddr, SockAddrStorage};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Takes one connection off the queue (accept4(2)), close-on-exec, and
/// non-blocking if asked. The address is `None` for a unix socket.
///
/// # Errors
/// As accept4(2): EAGAIN, ECONNABORTED, EMFILE …, and EINVAL where the socket
/// does not listen (any more).
pub fn accept(
    listener: BorrowedFd<'_>,
    nonblocking: bool,
) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut storage = SockAddrStorage::zeroed();
    let mut length = storage.size_of();
    let flags = libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: the address pointer is to `length` bytes of live, aligned storage.
    let raw = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            (&raw mut storage).cast(),
            &mut length,
            flags,
        )
    };
    let raw = check(raw)?;
    // SAFETY: the kernel just made this descriptor and nobody else knows its number.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: accept4 filled the first `length` bytes with an address of its family.
    let address = unsafe { SockAddr::new(storage, length) };
    Ok((fd, address.as_socket()))
}

/// Receives into `room`; 0 is the peer's end of file. With `wait`, for as long
/// as SO_RCVTIMEO grants; without, not at all.
///
/// # Errors
/// As recv(2); EAGAIN where nothing came in time.
pub fn receive(socket: BorrowedFd<'_>, room: &mut [u8], wait: bool) -> io::Result<usize> {
    let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: pointer and length are those of the one live slice.
    let count = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            room.as_mut_ptr().cast(),
            room.len(),
            flags,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends what the kernel takes now; never waits, never raises SIGPIPE.
/// `more` says that more follows at once (MSG_MORE).
///
/// # Errors
/// As send(2); EAGAIN where the kernel's buffer is full.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: pointer and length are those of the one live slice.
    let count = unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// How many octets the kernel has taken from us and the peer's has not
/// acknowledged (tcp(7), SIOCOUTQ). On a unix socket: the memory of what the
/// peer has not read, which is somewhat more (unix(7)).
///
/// # Errors
/// As ioctl(2).
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the kernel writes one int to the live one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    check(result)?;
    Ok(u32::try_from(octets).unwrap_or(0))
}

/// How many octets wait to be received (tcp(7), SIOCINQ).
///
/// # Errors
/// As ioctl(2).
pub fn waiting(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the kernel writes one int to the live one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut octets) };
    check(result)?;
    Ok(usize::try_from(octets).unwrap_or(0))
}

/// The number by which the kernel tells a socket from all others that there
/// were since it started (SO_COOKIE, socket(7)).
///
/// # Errors
/// As getsockopt(2).
pub fn cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie: u64 = 0;
    let mut size = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: `cookie` is live and `size` octets long; the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut size,
        )
    };
    check(result)?;
    Ok(cookie)
}

/// A datagram, and which process has sent it, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its octets, as many as had room.
    pub count: usize,
    /// Whether that is all of it.
    pub whole: bool,
    /// The sender; 0 where this process cannot see it.
    pub pid: libc::pid_t,
    /// Whom it runs as.
    pub uid: libc::uid_t,
}

/// Takes a datagram off a unix socket with SO_PASSCRED (unix(7)), and does not
/// wait for one. Descriptors that come along have no room, so that the kernel
/// drops them.
///
/// # Errors
/// As recvmsg(2); `InvalidData` where the kernel does not say who sent it.
pub fn receive_from_process(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<Sent> {
    /// A header and credentials, and not an octet more (cmsg(3)).
    #[repr(C)]
    struct Control {
        head: libc::cmsghdr,
        sender: libc::ucred,
    }
    let mut part = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    // SAFETY: all-zero bytes are a valid value of these plain numbers.
    let mut control: Control = unsafe { std::mem::zeroed() };
    // SAFETY: all-zero bytes are a valid, empty message header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to the live buffers above, with their lengths.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let Ok(count) = usize::try_from(count) else {
        return Err(io::Error::last_os_error());
    };
    if (control.head.cmsg_level, control.head.cmsg_type)
        != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS)
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Sent {
        count,
        whole: message.msg_flags & libc::MSG_TRUNC == 0,
        pid: control.sender.pid,
        uid: control.sender.uid,
    })
}

/// Takes one message off `channel` that carries a number, and a descriptor or
/// none for each of two places; `None` where there is no (whole) message. For
/// a signal handler: it allocates nothing and leaves errno alone.
pub(super) fn receive_descriptors(channel: RawFd) -> Option<(u64, [Option<RawFd>; 2])> {
    let mut words = [0u64; 2];
    let mut control = [0u64; 8];
    let mut part = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: size_of_val(&words),
    };
    // SAFETY: all-zero bytes are a valid, empty message header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: errno's location is this thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; the pointer is valid for the thread's life.
    let kept = unsafe { *errno };
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to the live buffers above, with their lengths.
    let count = unsafe { libc::recvmsg(channel, &raw mut message, flags) };
    // SAFETY: as above.
    unsafe { *errno = kept };
    if count != size_of_val(&words) as isize {
        return None;
    }
    // SAFETY: the kernel filled the header; its control part lies in `control`.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    let mut descriptors = [None; 2];
    // SAFETY: `header` is null or points to a header within `control`.
    let Some(head) = (unsafe { header.as_ref() }) else {
        return Some((words[0], descriptors));
    };
    // SAFETY: the data of a header lies behind it, in `control`.
    let data = unsafe { libc::CMSG_DATA(header) };
    if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_RIGHTS {
        let mut at = data.cast::<RawFd>();
        let end = data.addr() + head.cmsg_len.saturating_sub(data.addr() - header.addr());
        for (place, slot) in descriptors.iter_mut().enumerate() {
            if words[1] >> place & 1 == 1 && at.addr() + size_of::<RawFd>() <= end {
                // SAFETY: `at` is within the descriptors that the kernel wrote.
                *slot = Some(unsafe { at.read_unaligned() });
                at = at.wrapping_add(1);
            }
        }
    }
    Some((words[0], descriptors))
}

/// Puts a duplicate of `parked` under the number of `listener` (dup3(2)). Who
/// owns the number goes on owning it, with another socket behind it.
///
/// # Errors
/// As dup3(2).
pub fn put_under(parked: BorrowedFd<'_>, listener: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: numbers only; the replaced descriptor stays open, and owned by
    // the same owner, so that no number dangles.
    check(unsafe { libc::dup3(parked.as_raw_fd(), listener.as_raw_fd(), libc::O_CLOEXEC) })
        .map(drop)
}

/// Refuses new handshakes on a listener and leaves its queue alone: a classic
/// BPF filter that drops segments with SYN and without ACK (socket(7),
/// SO_ATTACH_FILTER). The client's kernel retransmits; once the socket is
/// closed it learns that the connection is refused.
///
/// # Errors
/// As setsockopt(2).
pub fn refuse_handshakes(listener: BorrowedFd<'_>) -> io::Result<()> {
    // The filter sees the TCP header at offset 0; octet 13 holds the flags.
    let program = [
        libc::sock_filter {
            code: 0x30,
            jt: 0,
            jf: 0,
            k: 13,
        }, // load byte 13
        libc::sock_filter {
            code: 0x54,
            jt: 0,
            jf: 0,
            k: 0x12,
        }, // keep SYN and ACK
        libc::sock_filter {
            code: 0x15,
            jt: 0,
            jf: 1,
            k: 0x02,
        }, // SYN alone?
        libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: 0,
        }, // drop
        libc::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: 0x0004_0000,
        }, // keep all of it
    ];
    attach(listener, libc::SO_ATTACH_FILTER, &program)
}

/// Leaves clients that have sent nothing yet in the handshake for so many
/// seconds, 0 for none (TCP_DEFER_ACCEPT, tcp(7)): after that they are accepted
/// all the same.
///
/// # Errors
/// As setsockopt(2).
pub fn defer_accept(listener: BorrowedFd<'_>, seconds: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer, and the length is its own.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes back what [`refuse_handshakes`] did (SO_DETACH_FILTER). Where nothing
/// was refused, nothing happens.
///
/// # Errors
/// As setsockopt(2).
pub fn admit_handshakes(listener: BorrowedFd<'_>) -> io::Result<()> {
    detach(listener, libc::SO_DETACH_FILTER)
}

/// Steers the new connections of a SO_REUSEPORT group to the members whose
/// numbers are in `members`, in rising order, each its share by chance
/// (SO_ATTACH_REUSEPORT_CBPF, socket(7)). The others get none.
///
/// The flow hash would not do: a program is shown the one that the network
/// card left in the packet, and many leave none, so that all would come to one
/// member. Chance is asked once a connection, for what follows its first
/// segment is found without it.
///
/// # Errors
/// As setsockopt(2): EINVAL where the socket is in no group, or for nobody.
pub fn steer(member: BorrowedFd<'_>, members: &[Range<u32>]) -> io::Result<()> {
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let count: u32 = members.iter().map(|run| run.end - run.start).sum();
    // Any number, modulo their count: the place among those that are wanted.
    let mut program = vec![step(0x20, 0, SKF_AD_RANDOM), step(0x94, 0, count)];
    let mut before = 0;
    for run in members {
        let behind = before + (run.end - run.start);
        program.push(step(0x35, 2, behind)); // not in this run: skip two
        program.push(step(0x04, 0, run.start.wrapping_sub(before))); // its number …
        program.push(step(0x16, 0, 0)); // … is the answer
        before = behind;
    }
    // Never reached, but a program must end with an answer.
    program.push(step(0x16, 0, 0));
    attach(member, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// How many clients wait in the accept queue of a TCP listener, and how many
/// it may hold (tcp(7), TCP_INFO: in a listener these two stand in the place
/// of the segments that are under way).
///
/// # Errors
/// As getsockopt(2); EOPNOTSUPP for a socket that is not TCP.
pub fn queue(listener: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    // SAFETY: all-zero bytes are a valid value of these plain numbers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` is live and `size` long; the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    check(result)?;
    Ok((info.tcpi_unacked, info.tcpi_sacked))
}

/// The supplementary groups that the peer of a unix stream socket had when it
/// connected (SO_PEERGROUPS, since Linux 4.13; unix(7) tells only of the primary
/// one).
///
/// # Errors
/// As getsockopt(2); ENODATA for a peer of whom nothing was noted.
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // Nobody has more (NGROUPS_MAX), and hardly anybody more than a few.
    const MOST: usize = 1 << 16;
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut size = (groups.len() * size_of::<libc::gid_t>()) as libc::socklen_t;
        // SAFETY: `groups` is live and `size` octets long; the kernel writes no
        // more, and says in `size` how many it has.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        let count = size as usize / size_of::<libc::gid_t>();
        match check(result) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // Too little room: now it is known how much there must be.
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && count <= MOST => {
                groups.resize(count.max(2 * groups.len()), 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Takes back what [`steer`] did: all members get their share
/// (SO_DETACH_REUSEPORT_BPF). Where nothing was steered, nothing happens.
///
/// # Errors
/// As setsockopt(2).
pub fn steer_no_more(member: BorrowedFd<'_>) -> io::Result<()> {
    detach(member, libc::SO_DETACH_REUSEPORT_BPF)
}

/// `SKF_AD_OFF + SKF_AD_RANDOM` of <linux/filter.h>.
const SKF_AD_RANDOM: u32 = (-0x1000i32 + 56) as u32;

pub(super) fn attach(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    program: &[libc::sock_filter],
) -> io::Result<()> {
    let request = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    let size = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: `request` is live, `size` long, and points to `len` instructions
    // that outlive the call; the kernel copies them and writes nothing.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const request).cast(),
            size,
        )
    };
    check(result).map(drop)
}

/// Takes a program away; none is none the less.
fn detach(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<()> {
    let none: libc::c_int = 0;
    let size = size_of_val(&none) as libc::socklen_t;
    // SAFETY: `none` is live and `size` long; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const none).cast(),
            size,
        )
    };
    match check(result) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other.map(drop),
    }
}
