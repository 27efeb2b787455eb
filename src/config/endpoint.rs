//! A `listen` entry: a place, and what its socket and its clients are like.

use std::time::Duration;

use super::{Clients, Listen};

/// A `listen` entry: a place, and what is to be known of its socket besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub listen: Listen,
    /// Who says who the clients are, where a PROXY header is expected.
    pub proxy: Option<Proxy>,
    /// What the kernel is told of the socket.
    pub options: SocketOptions,
}

impl From<Listen> for Endpoint {
    fn from(listen: Listen) -> Self {
        Self {
            listen,
            proxy: None,
            options: SocketOptions::default(),
        }
    }
}

/// Every connection begins with a PROXY header, of version 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Who may send one; everybody else is dropped.
    pub from: Clients,
    /// How long the whole header may take.
    pub timeout: Duration,
}

/// What the kernel is told of a listening socket; all but the first two, which
/// are about the listener itself, holds for the connections that it accepts. A
/// socket for datagrams is told of it what comes after `fastopen`.
/// What is `None` is left as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// The accept queue, in place of the pool's.
    pub backlog: Option<u32>,
    /// How long a client is not accepted that has sent nothing, in place of the
    /// pool's; zero: it is at once.
    pub defer_accept: Option<Duration>,
    /// TCP_NODELAY: what is sent leaves at once.
    pub nodelay: bool,
    /// SO_KEEPALIVE: a silent peer is asked whether it is there.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT: how long what was sent may stay unacknowledged; whole
    /// milliseconds.
    pub user_timeout: Option<Duration>,
    /// TCP_LINGER2: how long the kernel waits for a peer's FIN after we have
    /// closed; 1 to 120 s, rounded up to whole ones.
    pub fin_timeout: Option<Duration>,
    /// TCP_FASTOPEN: clients that may send with their SYN and wait, at once.
    pub fastopen: Option<u32>,
    /// SO_RCVBUF, in octets; the kernel takes it twice.
    pub rcvbuf: Option<u32>,
    /// SO_SNDBUF, in octets; the kernel takes it twice.
    pub sndbuf: Option<u32>,
    /// IP_TOS or IPV6_TCLASS.
    pub tos: Option<Tos>,
    /// SO_MARK, for routing and filters.
    pub mark: Option<u32>,
    /// IP_FREEBIND: the address need not be there yet.
    pub freebind: bool,
    /// IP_TRANSPARENT: the address may be somebody else's.
    pub transparent: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: None,
            defer_accept: None,
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            fin_timeout: None,
            fastopen: None,
            rcvbuf: None,
            sndbuf: None,
            tos: None,
            mark: None,
            freebind: false,
            transparent: false,
        }
    }
}

/// When a silent peer is asked whether it is there; what is `None` is that of
/// net.ipv4.tcp_keepalive_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE: after so long, in seconds, rounded up.
    pub idle: Option<Duration>,
    /// TCP_KEEPINTVL: and again after so long, in seconds, rounded up.
    pub interval: Option<Duration>,
    /// TCP_KEEPCNT: so many times.
    pub count: Option<u32>,
}

/// The octet of an IP header in which a packet's class stands: the code point of
/// RFC 2474 in its upper six bits, 0 in the others, which are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tos(pub(crate) u8);

impl Tos {
    /// The octet.
    pub const fn octet(self) -> u8 {
        self.0
    }
}
