//! Datagrams by the batch: recvmmsg(2) and sendmmsg(2), and the options that go
//! with them.
//!
//! The kernel is given room for a batch and fills as much of it as there is; it
//! tells of each datagram who sent it, and to which of our addresses (ip(7),
//! IP_PKTINFO; ipv6(7), IPV6_PKTINFO), and sends an answer from the address that
//! it is told.

use super::{check, socket};
use std::io;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

/// How many datagrams are received or sent by one call, at most.
pub const BATCH: usize = 64;
/// So many are asked for where hardly any are expected: what is told of the room for
/// each costs more than a tenth of a call that finds one.
pub const FEW: usize = 8;
/// Room for the largest datagram, in octets.
const ROOM: usize = 65_536;
/// From the beginning of one datagram to that of the next: not a power of two, for
/// then all of them would fall into the same few lines of the processor's caches.
const STRIDE: usize = ROOM + 17 * 64;
/// Room for what the kernel tells of a datagram: both kinds of packet
/// information, where IPv4 comes by a socket of IPv6. (40 + 32 octets.)
const CONTROL: usize = 12;

type Control = [u64; CONTROL];
/// Room for an address of either family.
type Name = libc::sockaddr_in6;

/// Room for a batch. Pages of it that no datagram has needed take no memory.
pub struct Inbox {
    octets: Vec<u8>,
    arrivals: Vec<Arrival>,
    names: Box<[Name; BATCH]>,
    controls: Box<[Control; BATCH]>,
}

/// What the kernel tells of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who says to have sent it; on a socket of IPv6 an IPv4 address is a mapped
    /// one (RFC 4291 §2.5.5.2).
    pub from: Option<SocketAddr>,
    /// Where it was sent to; `None` where the kernel does not say.
    pub to: Option<Destination>,
    /// How many octets it has.
    pub length: usize,
    /// There were more of them than there was room.
    pub cut: bool,
}

/// Where a datagram was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The address in it.
    pub address: IpAddr,
    /// Whether it is one of ours alone, and not that of a group or a network.
    pub unicast: bool,
    /// The number of the interface that it came by.
    pub interface: u32,
}

/// A datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// What is in it.
    pub octets: &'a [u8],
    /// To whom, as [`Arrival::from`] says it.
    pub to: SocketAddr,
    /// From which of our addresses; `None` leaves that to the kernel.
    pub from: Option<IpAddr>,
    /// By which interface; 0 leaves that to the routing table.
    pub interface: u32,
}

impl Default for Inbox {
    fn default() -> Self {
        // SAFETY: all-zero bytes are a valid value of these plain numbers.
        let nobody: Name = unsafe { zeroed() };
        Self {
            octets: vec![0; STRIDE * BATCH],
            arrivals: Vec::with_capacity(BATCH),
            names: Box::new([nobody; BATCH]),
            controls: Box::new([[0; CONTROL]; BATCH]),
        }
    }
}

impl Inbox {
    /// What has come last, each with its octets.
    pub fn arrivals(&self) -> impl Iterator<Item = (&Arrival, &[u8])> {
        let slots = self.octets.chunks_exact(STRIDE);
        let each = self.arrivals.iter().zip(slots);
        each.map(|(arrival, slot)| (arrival, &slot[..arrival.length]))
    }
}

/// Receives what there is, `most` datagrams at most (1 to [`BATCH`]); answers how
/// many. With `wait`, for the first one as long as SO_RCVTIMEO grants; without,
/// not at all.
///
/// # Errors
/// As recvmmsg(2); EAGAIN where nothing came in time.
pub fn receive(
    socket: BorrowedFd<'_>,
    inbox: &mut Inbox,
    most: usize,
    wait: bool,
) -> io::Result<usize> {
    match most {
        0..=FEW => receive_some::<FEW>(socket, inbox, most, wait),
        _ => receive_some::<BATCH>(socket, inbox, most, wait),
    }
}

/// As [`receive`], `N` datagrams at most.
fn receive_some<const N: usize>(
    socket: BorrowedFd<'_>,
    inbox: &mut Inbox,
    most: usize,
    wait: bool,
) -> io::Result<usize> {
    const { assert!(N <= BATCH) };
    // SAFETY: all-zero bytes are valid, empty headers and vectors.
    let mut vectors: [libc::iovec; N] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; N] = unsafe { zeroed() };
    let most = most.clamp(1, N);
    inbox.arrivals.clear();
    let slots = inbox.octets.chunks_exact_mut(STRIDE);
    let rooms = slots.zip(inbox.names.iter_mut().zip(inbox.controls.iter_mut()));
    let parts = headers.iter_mut().zip(vectors.iter_mut());
    for ((header, vector), (slot, (name, control))) in parts.zip(rooms).take(most) {
        vector.iov_base = slot.as_mut_ptr().cast();
        vector.iov_len = ROOM;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
        header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = size_of::<Control>();
    }
    let flags = if wait {
        libc::MSG_WAITFORONE
    } else {
        libc::MSG_DONTWAIT
    };
    // SAFETY: `most` headers point to the live buffers of `inbox`, each with its
    // own length; nothing else borrows these during the call.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            most as libc::c_uint,
            flags as _,
            std::ptr::null_mut(),
        )
    };
    let count = usize::try_from(check(count)?).unwrap_or(0);
    for (header, name) in headers.iter().zip(inbox.names.iter()).take(count) {
        inbox.arrivals.push(Arrival {
            from: read_name(name, header.msg_hdr.msg_namelen),
            to: destination(&header.msg_hdr),
            length: (header.msg_len as usize).min(ROOM),
            cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        });
    }
    Ok(count)
}

/// Sends the first of `parcels`, [`BATCH`] at most; never waits. Answers how many
/// were taken: where it is not all, the next call says why not the next one.
///
/// # Errors
/// As sendmmsg(2), of the first one; EAGAIN where the socket's buffer is full.
pub fn send(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    // What is not needed need not be cleared either.
    match parcels.len() {
        0 | 1 => send_some::<1>(socket, parcels),
        2..=8 => send_some::<8>(socket, parcels),
        _ => send_some::<BATCH>(socket, parcels),
    }
}

/// As [`send`], of `N` parcels at most.
fn send_some<const N: usize>(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    // SAFETY: all-zero bytes are valid, empty headers and vectors.
    let mut vectors: [libc::iovec; N] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; N] = unsafe { zeroed() };
    let mut controls: [Control; N] = [[0; CONTROL]; N];
    // SAFETY: as above.
    let mut names: [Name; N] = unsafe { zeroed() };
    let parts = headers.iter_mut().zip(vectors.iter_mut());
    let rooms = names.iter_mut().zip(controls.iter_mut());
    for (((header, vector), (name, control)), parcel) in parts.zip(rooms).zip(parcels) {
        vector.iov_base = parcel.octets.as_ptr().cast_mut().cast();
        vector.iov_len = parcel.octets.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_namelen = write_name(name, parcel.to);
        header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
        if let Some(from) = parcel.from {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = write_origin(control, from, parcel.interface);
        }
    }
    let most = parcels.len().min(N);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `most` headers point to live buffers with their lengths; the kernel
    // writes to none of them but `msg_len`.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            most as libc::c_uint,
            flags as _,
        )
    };
    Ok(usize::try_from(check(count)?).unwrap_or(0))
}

/// Has the kernel say of each datagram of IPv4 where it was sent to.
///
/// # Errors
/// As setsockopt(2).
pub fn tell_destination4(socket: BorrowedFd<'_>) -> io::Result<()> {
    switch_on(socket, libc::IPPROTO_IP, libc::IP_PKTINFO)
}

/// Has the kernel say of each datagram of IPv6 where it was sent to.
///
/// # Errors
/// As setsockopt(2).
pub fn tell_destination6(socket: BorrowedFd<'_>) -> io::Result<()> {
    switch_on(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
}

/// Lets no new datagram into the queue, and leaves the queue alone: a filter that
/// drops all (socket(7), SO_ATTACH_FILTER). [`socket::admit_handshakes`] takes it
/// back.
///
/// # Errors
/// As setsockopt(2).
pub fn refuse_all(socket: BorrowedFd<'_>) -> io::Result<()> {
    let drop = libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0,
    };
    socket::attach(socket, libc::SO_ATTACH_FILTER, &[drop])
}

/// What the kernel tells of a socket's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Octets of memory that the datagrams in it take, the kernel's own included;
    /// somewhat more for a moment after they were taken out.
    pub waiting: u32,
    /// How many they may take.
    pub room: u32,
    /// Datagrams dropped for want of room since the socket was made, modulo 2^32.
    /// Those that a filter has dropped are among them.
    pub dropped: u32,
}

/// How full the queue of a socket is (SO_MEMINFO, whose numbers are those of
/// <linux/sock_diag.h>).
///
/// # Errors
/// As getsockopt(2).
pub fn memory(socket: BorrowedFd<'_>) -> io::Result<Memory> {
    const RMEM_ALLOC: usize = 0;
    const RCVBUF: usize = 1;
    const DROPS: usize = 8;
    let mut numbers = [0u32; DROPS + 1];
    let mut size = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: `numbers` is live and `size` long; the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    check(result)?;
    Ok(Memory {
        waiting: numbers[RMEM_ALLOC],
        room: numbers[RCVBUF],
        dropped: numbers[DROPS],
    })
}

fn switch_on(socket: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: `on` is live and `size` long; the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
    check(result).map(drop)
}

/// The address that the kernel has written to the first `length` octets of `name`.
fn read_name(name: &Name, length: libc::socklen_t) -> Option<SocketAddr> {
    let length = length as usize;
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            let short = std::ptr::from_ref(name).cast::<libc::sockaddr_in>();
            // SAFETY: the family is the first word of both, and the storage is
            // live, aligned and larger than this one.
            let short = unsafe { short.read() };
            let ip = Ipv4Addr::from(u32::from_be(short.sin_addr.s_addr));
            Some((ip, u16::from_be(short.sin_port)).into())
        }
        libc::AF_INET6 if length >= size_of::<Name>() => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            Some(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address into `name`; answers how long it is.
fn write_name(name: &mut Name, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(address) => {
            let short = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*address.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            let room = std::ptr::from_mut(name).cast::<libc::sockaddr_in>();
            // SAFETY: the room is live, aligned and larger than what is written.
            unsafe { room.write(short) };
            size_of_val(&short) as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_port = address.port().to_be();
            name.sin6_addr.s6_addr = address.ip().octets();
            name.sin6_scope_id = address.scope_id();
            size_of::<Name>() as libc::socklen_t
        }
    }
}

/// What the kernel has written to the control part of `message`.
fn destination(message: &libc::msghdr) -> Option<Destination> {
    let mut found = None;
    // SAFETY: the header's control part is live, and as long as the kernel says.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: `next` is null or a header within that part.
    while let Some(header) = unsafe { next.as_ref() } {
        // SAFETY: the data of a header lies behind it, where `next` may point as
        // well, and a reference to the header alone may not.
        let data = unsafe { libc::CMSG_DATA(next) };
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: of this type the kernel writes a whole one of these.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                let address = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                // The address to answer from is another one for a broadcast or a
                // group (ip(7)).
                let unicast = info.ipi_spec_dst.s_addr == info.ipi_addr.s_addr;
                return Some(Destination {
                    address: address.into(),
                    unicast: unicast && !address.is_multicast() && !address.is_broadcast(),
                    interface: info.ipi_ifindex.unsigned_abs(),
                });
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: as above.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical();
                found = Some(Destination {
                    address,
                    unicast: !address.is_multicast(),
                    interface: info.ipi6_ifindex,
                });
            }
            _ => {}
        }
        // SAFETY: both are within the live control part.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    found
}

/// Writes into `control` from where a datagram shall leave; answers how many
/// octets that takes.
fn write_origin(control: &mut Control, from: IpAddr, interface: u32) -> usize {
    match from {
        IpAddr::V4(address) => {
            // SAFETY: all-zero bytes are a valid value of these plain numbers.
            let mut info: libc::in_pktinfo = unsafe { zeroed() };
            info.ipi_ifindex = libc::c_int::try_from(interface).unwrap_or(0);
            info.ipi_spec_dst.s_addr = u32::from(address).to_be();
            write_control(control, (libc::IPPROTO_IP, libc::IP_PKTINFO), info)
        }
        IpAddr::V6(address) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: interface,
            };
            write_control(control, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), info)
        }
    }
}

/// Writes one control message; answers how long the control part is with it.
fn write_control<T: Copy>(
    control: &mut Control,
    (level, kind): (libc::c_int, libc::c_int),
    value: T,
) -> usize {
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<T>() <= size_of::<Control>()) };
    let size = size_of::<T>() as libc::c_uint;
    let header = control.as_mut_ptr().cast::<libc::cmsghdr>();
    // SAFETY: it only adds up.
    let length = unsafe { libc::CMSG_LEN(size) } as usize;
    // SAFETY: `control` is live, aligned for a header, and long enough for it.
    unsafe {
        header.write(libc::cmsghdr {
            cmsg_len: length,
            cmsg_level: level,
            cmsg_type: kind,
        });
    }
    // SAFETY: the data of a header lies behind it.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: `control` is long enough for header and value, as asserted above.
    unsafe { data.cast::<T>().write_unaligned(value) };
    // SAFETY: it only adds up.
    (unsafe { libc::CMSG_SPACE(size) }) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    /// A server on `address` and a client, with what the kernel told of what the
    /// client sent to `to`.
    fn told(address: &str, to: &str, octets: &[u8]) -> (UdpSocket, UdpSocket, Inbox, SocketAddr) {
        let server = UdpSocket::bind(address).unwrap();
        if server.local_addr().unwrap().is_ipv6() {
            tell_destination6(server.as_fd()).unwrap();
        }
        tell_destination4(server.as_fd()).unwrap();
        let to: IpAddr = to.parse().unwrap();
        let to = SocketAddr::new(to, server.local_addr().unwrap().port());
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.set_broadcast(true).unwrap();
        client.send_to(octets, to).unwrap();
        let mut inbox = Inbox::default();
        assert_eq!(receive(server.as_fd(), &mut inbox, BATCH, true).unwrap(), 1);
        (server, client, inbox, to)
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        // A socket of IPv6 takes IPv4 as well, unless it is told not to.
        for (address, to) in [
            ("0.0.0.0:0", "127.0.0.2"),
            ("[::]:0", "127.0.0.2"),
            ("[::]:0", "::1"),
            ("127.0.0.1:0", "127.0.0.1"),
        ] {
            let (server, client, inbox, to) = told(address, to, b"hello");
            let (arrival, octets) = inbox.arrivals().next().unwrap();
            assert_eq!((octets, arrival.cut), (&b"hello"[..], false));
            let destination = arrival.to.unwrap();
            assert_eq!(destination.address, to.ip());
            assert!(destination.unicast && destination.interface > 0);
            let from = arrival.from.unwrap();
            assert_eq!(from.ip().to_canonical().is_ipv4(), to.is_ipv4());
            let parcel = Parcel {
                octets,
                to: from,
                from: Some(destination.address),
                interface: 0,
            };
            assert_eq!(send(server.as_fd(), &[parcel, parcel]).unwrap(), 2);
            for _ in 0..2 {
                let mut room = [0; 9];
                let (length, from) = client.recv_from(&mut room).unwrap();
                assert_eq!((&room[..length], from), (&b"hello"[..], to));
            }
        }
    }

    #[test]
    fn a_broadcast_is_none_of_our_own_addresses() {
        let (_server, _client, inbox, to) = told("0.0.0.0:0", "127.255.255.255", b"");
        let (arrival, octets) = inbox.arrivals().next().unwrap();
        let destination = arrival.to.unwrap();
        assert_eq!(destination.address, to.ip());
        assert!(!destination.unicast && octets.is_empty());
    }

    #[test]
    fn the_largest_datagram_fits_and_an_empty_queue_says_so() {
        let large = vec![7; 65_507];
        let (server, _client, mut inbox, _) = told("127.0.0.1:0", "127.0.0.1", &large);
        let (arrival, octets) = inbox.arrivals().next().unwrap();
        assert!(octets == large && !arrival.cut);
        let nothing = receive(server.as_fd(), &mut inbox, BATCH, false).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(inbox.arrivals().count(), 0);
    }

    #[test]
    fn who_refuses_all_keeps_what_waits() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let mut inbox = Inbox::default();
        let mut take = || receive(server.as_fd(), &mut inbox, BATCH, false).unwrap_or(0);
        client.send_to(b"before", to).unwrap();
        refuse_all(server.as_fd()).unwrap();
        client.send_to(b"after", to).unwrap();
        assert_eq!((take(), take()), (1, 0));
        let memory = memory(server.as_fd()).unwrap();
        assert_eq!(memory.dropped, 1);
        assert!(memory.waiting < memory.room, "{memory:?}");
        socket::admit_handshakes(server.as_fd()).unwrap();
        client.send_to(b"again", to).unwrap();
        assert_eq!(take(), 1);
    }
}
