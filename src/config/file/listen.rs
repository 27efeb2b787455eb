//! The table of one address that a pool listens on: what can be said of its socket.

use std::time::Duration;

use super::{MINUTE, SECOND, TIMEOUT};
use crate::config::Listen;
use crate::config::endpoint::Tos;
use crate::config::kind::{Flag, Optional};
use crate::config::network::{ClientList, Clients};
use crate::config::number::{Count, Mode, Size, Time};
use crate::config::place::Address;
use crate::config::table::table;
use crate::config::tos::TosKind;

table! {
    /// An item of `[pool.NAME] listen`.
    ListenTable in "[pool.NAME] listen" {
        address: Option<Listen> = Optional(Address, "required"), None,
            "The address: IPv4 or [IPv6] with a port, a port alone, unix:PATH, or fd:NAME for sockets from the service manager; udp: before any of these but unix:PATH is for datagrams.";
        v6only: Option<bool> = Optional(Flag, "true; only for IPv6"), None,
            "Whether an IPv6 socket leaves IPv4 connections alone.";
        mode: Option<u32> = Optional(Mode, "\"0666\"; only for a unix socket"), None,
            "The permission bits of a unix socket.";
        proxy_protocol: Option<bool> = Optional(Flag, "false"), None,
            "Whether every connection begins with a PROXY header, version 1 or 2, that says who the client is; one without it is dropped.";
        proxy_from: Option<Clients> = Optional(ClientList, "127.0.0.0/8, ::1 and unix:; only with proxy_protocol"), None,
            "Who may send that header, by address prefix; unix: is everybody on a unix socket. Others are dropped.";
        proxy_timeout: Option<Duration> = Optional(TIMEOUT, "3s; only with proxy_protocol"), None,
            "How long the whole header may take.";
        backlog: Option<u32> = Optional(Count { min: 1, max: 1 << 20 }, "that of the pool"), None,
            "The accept queue of this socket.";
        defer_accept: Option<Duration> = Optional(Time { min: Duration::ZERO, max: MINUTE }, "that of the pool; only for TCP"), None,
            "How long the kernel keeps a client of this socket to itself that has sent nothing yet (TCP_DEFER_ACCEPT).";
        nodelay: Option<bool> = Optional(Flag, "true; only for TCP"), None,
            "Whether what is sent leaves at once (TCP_NODELAY).";
        keepalive: Option<bool> = Optional(Flag, "false; only for TCP"), None,
            "Whether the kernel asks a silent client's kernel whether it is there (SO_KEEPALIVE).";
        keepalive_idle: Option<Duration> = Optional(Time { min: SECOND, max: Duration::from_secs(32_767) },
                "net.ipv4.tcp_keepalive_time; only with keepalive"), None,
            "How long a client is silent until it is asked the first time (TCP_KEEPIDLE), in seconds, rounded up.";
        keepalive_interval: Option<Duration> = Optional(Time { min: SECOND, max: Duration::from_secs(32_767) },
                "net.ipv4.tcp_keepalive_intvl; only with keepalive"), None,
            "How long until it is asked again (TCP_KEEPINTVL), in seconds, rounded up.";
        keepalive_count: Option<u32> = Optional(Count { min: 1, max: 127 },
                "net.ipv4.tcp_keepalive_probes; only with keepalive"), None,
            "How often it is asked until it is given up (TCP_KEEPCNT).";
        user_timeout: Option<Duration> = Optional(TIMEOUT, "the kernel's own patience; only for TCP"), None,
            "How long what was sent may stay unacknowledged until the connection is given up (TCP_USER_TIMEOUT).";
        fin_timeout: Option<Duration> = Optional(Time { min: SECOND, max: 120 * SECOND },
                "net.ipv4.tcp_fin_timeout; only for TCP"), None,
            "How long the kernel waits for a client to close its side after the server has closed (TCP_LINGER2), in seconds, rounded up.";
        fastopen: Option<u32> = Optional(Count { min: 1, max: 65_535 }, "off; only for TCP"), None,
            "How many clients may have sent with their SYN and not be accepted yet (TCP_FASTOPEN).";
        rcvbuf: Option<u32> = Optional(Size { min: 4096, max: 1 << 30 }, "as the kernel sizes it; only for TCP and UDP"), None,
            "The receive buffer of each connection, or of the socket for datagrams (SO_RCVBUF).";
        sndbuf: Option<u32> = Optional(Size { min: 4096, max: 1 << 30 }, "as the kernel sizes it; only for TCP and UDP"), None,
            "The send buffer of each connection, or of the socket for datagrams (SO_SNDBUF).";
        tos: Option<Tos> = Optional(TosKind, "that of the kernel; only for TCP and UDP"), None,
            "The class of what is sent (IP_TOS, IPV6_TCLASS).";
        mark: Option<u32> = Optional(Count { min: 0, max: u32::MAX }, "none; only for TCP and UDP"), None,
            "The mark of what is sent, for routing and filters (SO_MARK); needs CAP_NET_ADMIN.";
        freebind: Option<bool> = Optional(Flag, "false; only for TCP and UDP"), None,
            "Whether the address need not be there yet (IP_FREEBIND).";
        transparent: Option<bool> = Optional(Flag, "false; only for TCP and UDP"), None,
            "Whether the address may be any, as for redirected connections (IP_TRANSPARENT); needs CAP_NET_ADMIN.";
    }
}
