//! What the kernel is told of a TCP listener, or of a socket for datagrams, by its
//! `listen` entry.
//!
//! All of it is set on the listener, before bind(2), where every accepted socket
//! inherits it, so that it costs no call a connection; those that wait in the
//! queue already keep what they came with. Datagrams know nothing of what is TCP's. Owes that nothing is ignored: what the
//! kernel refuses, or cuts without a word, is an error with the option's name. A
//! kept listener is brought to what a new configuration says, which includes what
//! it says no more: then it is as a fresh socket has it.

use crate::config::{Listen, SocketOptions};
use crate::sys::option;
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The name of an option, and why it cannot be had.
pub(super) type Refusal = (&'static str, io::Error);

/// linux/in6.h; libc has it not for every target.
const IPV6_FREEBIND: i32 = 78;
/// asm-generic/socket.h: the sizes that are not the kernel's own to change, a bit
/// each; since Linux 5.14.
const SO_BUF_LOCK: i32 = 72;

/// What kind of socket it is, which decides what it can be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    v6: bool,
    /// An IPv6 one that takes IPv4 as well.
    dual: bool,
    datagrams: bool,
}

impl Nature {
    /// That of a socket for this; `None` for what has no options.
    pub(super) fn of(listen: &Listen) -> Option<Self> {
        let (address, v6only, datagrams) = match listen {
            Listen::Tcp { address, v6only } => (address, *v6only, false),
            Listen::Udp { address, v6only } => (address, *v6only, true),
            Listen::Unix { .. } | Listen::Fd { .. } => return None,
        };
        let v6 = address.is_ipv6();
        Some(Self {
            v6,
            dual: v6 && !v6only,
            datagrams,
        })
    }
}

/// An option, and the value it shall have; `None` is the kernel's default.
struct Wish {
    name: &'static str,
    level: i32,
    number: i32,
    value: Option<i32>,
}

/// A buffer's size, which has a lock and a limit.
struct Buffer {
    name: &'static str,
    number: i32,
    /// For those who may exceed the limit.
    force: i32,
    limit: &'static str,
    /// Its bit of SO_BUF_LOCK.
    lock: i32,
    octets: Option<u32>,
}

/// Tells a new socket, before it is bound.
///
/// # Errors
/// The first option that setsockopt(2) refused.
pub(super) fn begin(
    options: &SocketOptions,
    socket: &Socket,
    nature: Nature,
) -> Result<(), Refusal> {
    let fd = socket.as_fd();
    for wish in wishes(options, nature) {
        if let Some(value) = wish.value {
            option::set(fd, wish.level, wish.number, value).map_err(|error| (wish.name, error))?;
        }
    }
    for buffer in buffers(options) {
        if let Some(octets) = buffer.octets {
            buffer.set(fd, octets)?;
        }
    }
    Ok(())
}

/// As [`begin`], for a socket that is bound already and may have been told
/// something else. An address that it has cannot get lost, so of `freebind` and
/// `transparent` only a later bind(2) would notice.
///
/// # Errors
/// As there; what came before is changed.
pub(super) fn change(
    options: &SocketOptions,
    socket: &Socket,
    nature: Nature,
) -> Result<(), Refusal> {
    let fresh = fresh(nature)?;
    let fd = socket.as_fd();
    for wish in wishes(options, nature) {
        let refused = |error| (wish.name, error);
        let is_left = wish.number == libc::TCP_FASTOPEN && wish.value.is_none();
        if is_left && has_every_listener_fastopen() {
            continue;
        }
        let wanted = match wish.value {
            Some(value) => value,
            None => wish.get(fresh.as_fd()).map_err(refused)?,
        };
        if wish.get(fd).map_err(refused)? != wanted {
            option::set(fd, wish.level, wish.number, wanted).map_err(refused)?;
        }
    }
    for buffer in buffers(options) {
        match buffer.octets {
            Some(octets) if buffer.get(fd)? == doubled(octets) => {}
            Some(octets) => buffer.set(fd, octets)?,
            None => buffer.release(fd, fresh.as_fd())?,
        }
    }
    Ok(())
}

/// Whether these options could be had, shown by a socket that is never bound.
///
/// # Errors
/// As [`begin`].
pub(super) fn rehearse(options: &SocketOptions, nature: Nature) -> Result<(), Refusal> {
    if *options == SocketOptions::default() {
        return Ok(());
    }
    begin(options, &fresh(nature)?, nature)
}

/// Whether the kernel gives it to every socket that begins to listen (ip-sysctl,
/// tcp_fastopen, 0x400): what it is then, no fresh socket tells.
fn has_every_listener_fastopen() -> bool {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen");
    let modes = text.ok().and_then(|text| text.trim().parse::<u32>().ok());
    modes.is_some_and(|modes| modes & 0x400 != 0)
}

fn fresh(nature: Nature) -> Result<Socket, Refusal> {
    let domain = if nature.v6 {
        Domain::IPV6
    } else {
        Domain::IPV4
    };
    let (kind, protocol) = if nature.datagrams {
        (Type::DGRAM, Protocol::UDP)
    } else {
        (Type::STREAM, Protocol::TCP)
    };
    Socket::new(domain, kind, Some(protocol)).map_err(|error| ("socket", error))
}

impl Wish {
    fn get(&self, socket: BorrowedFd<'_>) -> io::Result<i32> {
        option::get(socket, self.level, self.number)
    }
}

impl Buffer {
    fn get(&self, socket: BorrowedFd<'_>) -> Result<i32, Refusal> {
        option::get(socket, libc::SOL_SOCKET, self.number).map_err(|error| (self.name, error))
    }

    /// The kernel cuts what is over its limit without a word (socket(7)); whoever
    /// has CAP_NET_ADMIN may force it.
    fn set(&self, socket: BorrowedFd<'_>, octets: u32) -> Result<(), Refusal> {
        let value = i32::try_from(octets).unwrap_or(i32::MAX);
        option::set(socket, libc::SOL_SOCKET, self.number, value)
            .map_err(|error| (self.name, error))?;
        if self.get(socket)? >= doubled(octets) {
            return Ok(());
        }
        option::set(socket, libc::SOL_SOCKET, self.force, value).map_err(|error| {
            let text = format!("{octets} octets are more than {} allows", self.limit);
            (self.name, io::Error::new(error.kind(), text))
        })
    }

    /// Lets the kernel choose the size again.
    fn release(&self, socket: BorrowedFd<'_>, fresh: BorrowedFd<'_>) -> Result<(), Refusal> {
        let locks = match option::get(socket, libc::SOL_SOCKET, SO_BUF_LOCK) {
            Ok(locks) if locks & self.lock == 0 => return Ok(()),
            // Such a kernel can say no more than what the size is.
            Err(_) if self.get(socket)? == self.get(fresh)? => return Ok(()),
            Ok(locks) => locks,
            Err(error) => return Err((self.name, error)),
        };
        let refused = |error| (self.name, error);
        let usual = self.get(fresh)? / 2;
        option::set(socket, libc::SOL_SOCKET, self.number, usual).map_err(refused)?;
        let locks = locks & !self.lock;
        option::set(socket, libc::SOL_SOCKET, SO_BUF_LOCK, locks).map_err(refused)
    }
}

/// The kernel takes a size twice, for what it needs itself (socket(7)).
fn doubled(octets: u32) -> i32 {
    i32::try_from(octets.saturating_mul(2)).unwrap_or(i32::MAX)
}

fn buffers(options: &SocketOptions) -> [Buffer; 2] {
    [
        Buffer {
            name: "SO_RCVBUF",
            number: libc::SO_RCVBUF,
            force: libc::SO_RCVBUFFORCE,
            limit: "net.core.rmem_max",
            lock: 2,
            octets: options.rcvbuf,
        },
        Buffer {
            name: "SO_SNDBUF",
            number: libc::SO_SNDBUF,
            force: libc::SO_SNDBUFFORCE,
            limit: "net.core.wmem_max",
            lock: 1,
            octets: options.sndbuf,
        },
    ]
}

/// The buffers apart, everything: also what is left to the kernel.
fn wishes(options: &SocketOptions, nature: Nature) -> Vec<Wish> {
    let mut wishes = wishes_of_ip(options, nature);
    if !nature.datagrams {
        wishes.extend(wishes_of_tcp(options));
    }
    wishes
}

fn wish(name: &'static str, level: i32, number: i32, value: Option<i32>) -> Wish {
    Wish {
        name,
        level,
        number,
        value,
    }
}

fn flag(on: bool) -> Option<i32> {
    on.then_some(1)
}

fn wishes_of_tcp(options: &SocketOptions) -> [Wish; 8] {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let milliseconds = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let seconds = |time| milliseconds(time).saturating_add(999) / 1000;
    let keepalive = options.keepalive;
    let tcp = libc::IPPROTO_TCP;
    [
        wish("TCP_NODELAY", tcp, libc::TCP_NODELAY, flag(options.nodelay)),
        wish(
            "SO_KEEPALIVE",
            libc::SOL_SOCKET,
            libc::SO_KEEPALIVE,
            flag(keepalive.is_some()),
        ),
        wish(
            "TCP_KEEPIDLE",
            tcp,
            libc::TCP_KEEPIDLE,
            keepalive.and_then(|one| one.idle).map(seconds),
        ),
        wish(
            "TCP_KEEPINTVL",
            tcp,
            libc::TCP_KEEPINTVL,
            keepalive.and_then(|one| one.interval).map(seconds),
        ),
        wish(
            "TCP_KEEPCNT",
            tcp,
            libc::TCP_KEEPCNT,
            keepalive.and_then(|one| one.count).map(number),
        ),
        wish(
            "TCP_USER_TIMEOUT",
            tcp,
            libc::TCP_USER_TIMEOUT,
            options.user_timeout.map(milliseconds),
        ),
        wish(
            "TCP_LINGER2",
            tcp,
            libc::TCP_LINGER2,
            options.fin_timeout.map(seconds),
        ),
        wish(
            "TCP_FASTOPEN",
            tcp,
            libc::TCP_FASTOPEN,
            options.fastopen.map(number),
        ),
    ]
}

fn wishes_of_ip(options: &SocketOptions, nature: Nature) -> Vec<Wish> {
    let Nature { v6, dual, .. } = nature;
    let tos = options.tos.map(|tos| i32::from(tos.octet()));
    let mut wishes = vec![wish(
        "SO_MARK",
        libc::SOL_SOCKET,
        libc::SO_MARK,
        // Any 32 bits; the kernel's number is as wide.
        options.mark.map(u32::cast_signed),
    )];
    if v6 {
        let level = libc::IPPROTO_IPV6;
        let (free, transparent) = (flag(options.freebind), flag(options.transparent));
        wishes.push(wish("IPV6_TCLASS", level, libc::IPV6_TCLASS, tos));
        wishes.push(wish("IPV6_FREEBIND", level, IPV6_FREEBIND, free));
        wishes.push(wish(
            "IPV6_TRANSPARENT",
            level,
            libc::IPV6_TRANSPARENT,
            transparent,
        ));
    }
    if !v6 || dual {
        let level = libc::IPPROTO_IP;
        wishes.push(wish("IP_TOS", level, libc::IP_TOS, tos));
    }
    if !v6 {
        let level = libc::IPPROTO_IP;
        let (free, transparent) = (flag(options.freebind), flag(options.transparent));
        wishes.push(wish("IP_FREEBIND", level, libc::IP_FREEBIND, free));
        wishes.push(wish(
            "IP_TRANSPARENT",
            level,
            libc::IP_TRANSPARENT,
            transparent,
        ));
    }
    wishes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
