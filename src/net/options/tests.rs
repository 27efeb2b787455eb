//! What an accepted socket has of what its listener was told: each option, on a
//! real connection over loopback.

use super::*;
use crate::config::{Keepalive, Listen, parse_listen};
use crate::net::{Listener, Queue};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

const QUEUE: Queue = Queue {
    backlog: 5,
    defer: Duration::ZERO,
};

fn everything() -> SocketOptions {
    SocketOptions {
        nodelay: false,
        keepalive: Some(Keepalive {
            idle: Some(Duration::from_secs(61)),
            interval: Some(Duration::from_millis(6_500)),
            count: Some(4),
        }),
        user_timeout: Some(Duration::from_millis(12_345)),
        fin_timeout: Some(Duration::from_secs(9)),
        fastopen: Some(17),
        rcvbuf: Some(20_000),
        sndbuf: Some(30_000),
        tos: Some(crate::config::Tos(0x48)),
        ..SocketOptions::default()
    }
}

/// A client's connection, as the listener accepts it.
fn accepted(listener: &Listener) -> (OwnedFd, TcpStream) {
    let client = TcpStream::connect(address(listener)).unwrap();
    let (socket, _) = crate::sys::socket::accept(listener.as_fd(), false).unwrap();
    (socket, client)
}

fn address(listener: &Listener) -> SocketAddr {
    match *listener.local() {
        Listen::Tcp { address, .. } => address,
        Listen::Udp { .. } | Listen::Unix { .. } | Listen::Fd { .. } => panic!("not TCP"),
    }
}

/// Every option of a socket, by its name.
fn all(socket: BorrowedFd<'_>, v6: bool, dual: bool) -> Vec<(&'static str, i32)> {
    let nature = Nature {
        v6,
        dual,
        datagrams: false,
    };
    every(socket, nature)
}

fn every(socket: BorrowedFd<'_>, nature: Nature) -> Vec<(&'static str, i32)> {
    let options = SocketOptions::default();
    let wishes = wishes(&options, nature).into_iter();
    let mut all: Vec<_> = wishes
        .map(|wish| (wish.name, wish.get(socket).unwrap()))
        .collect();
    for buffer in buffers(&options) {
        all.push((buffer.name, buffer.get(socket).unwrap()));
    }
    all
}

fn value(all: &[(&'static str, i32)], name: &str) -> i32 {
    all.iter().find(|(one, _)| *one == name).unwrap().1
}

const TOLD: [(&str, i32); 9] = [
    ("TCP_NODELAY", 0),
    ("SO_KEEPALIVE", 1),
    ("TCP_KEEPIDLE", 61),
    ("TCP_KEEPINTVL", 7),
    ("TCP_KEEPCNT", 4),
    ("TCP_USER_TIMEOUT", 12_345),
    ("TCP_LINGER2", 9),
    ("SO_RCVBUF", 40_000),
    ("SO_SNDBUF", 60_000),
];

#[test]
fn what_a_listener_is_told_its_connections_have() {
    for place in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
        let (v6, dual) = (place.starts_with('['), place.starts_with("[::]"));
        let listen = match parse_listen(place).unwrap() {
            Listen::Tcp { address, .. } => Listen::Tcp {
                address,
                v6only: !dual,
            },
            Listen::Udp { .. } | Listen::Unix { .. } | Listen::Fd { .. } => {
                panic!("{place} is TCP")
            }
        };
        let listener = Listener::bind(&listen, &everything(), QUEUE, false).unwrap();
        let told = all(listener.as_fd(), v6, dual);
        assert_eq!(value(&told, "TCP_FASTOPEN"), 17, "{place}");
        let (socket, _client) = accepted(&listener);
        let found = all(socket.as_fd(), v6, dual);
        for (name, expected) in TOLD {
            assert_eq!(value(&told, name), expected, "{place} {name}");
            assert_eq!(value(&found, name), expected, "{place} {name}");
        }
        let classes = ["IP_TOS", "IPV6_TCLASS"];
        let classes: Vec<_> = found
            .iter()
            .filter(|(name, _)| classes.contains(name))
            .collect();
        assert_eq!(classes.len(), 1 + usize::from(dual), "{place}");
        assert!(
            classes.iter().all(|(_, value)| *value == 0x48),
            "{place} {classes:?}"
        );
    }
}

#[test]
fn a_kept_listener_is_told_and_told_no_more() {
    for place in ["127.0.0.1:0", "[::1]:0"] {
        let v6 = place.starts_with('[');
        let plain = SocketOptions::default();
        let listen = parse_listen(place).unwrap();
        let listener = Listener::bind(&listen, &plain, QUEUE, false).unwrap();
        let before = all(listener.as_fd(), v6, false);
        listener.adopt(&listen, &everything(), QUEUE).unwrap();
        let (socket, _client) = accepted(&listener);
        let found = all(socket.as_fd(), v6, false);
        for (name, expected) in TOLD {
            assert_eq!(value(&found, name), expected, "{place} {name}");
        }
        listener.adopt(&listen, &plain, QUEUE).unwrap();
        assert_eq!(all(listener.as_fd(), v6, false), before, "{place}");
        let locks = option::get(listener.as_fd(), libc::SOL_SOCKET, SO_BUF_LOCK);
        // Kernels before 5.14 do not tell.
        assert!(
            locks.is_ok_and(|locks| locks == 0),
            "the kernel may size it again"
        );
        assert_eq!(value(&before, "TCP_NODELAY"), 1);
    }
}

#[test]
fn a_socket_for_datagrams_is_told_and_told_no_more() {
    for place in ["udp:127.0.0.1:0", "udp:[::1]:0"] {
        let listen = parse_listen(place).unwrap();
        let (plain, told) = (SocketOptions::default(), everything());
        let nature = Nature::of(&listen).unwrap();
        let class = if nature.v6 { "IPV6_TCLASS" } else { "IP_TOS" };
        let has = [("SO_RCVBUF", 40_000), ("SO_SNDBUF", 60_000), (class, 0x48)];
        let begun = Listener::bind(&listen, &told, QUEUE, false).unwrap();
        let listener = Listener::bind(&listen, &plain, QUEUE, false).unwrap();
        let before = every(listener.as_fd(), nature);
        listener.rehearse(&told).unwrap();
        listener.adopt(&listen, &told, QUEUE).unwrap();
        for socket in [&begun, &listener] {
            let found = every(socket.as_fd(), nature);
            for (name, expected) in has {
                assert_eq!(value(&found, name), expected, "{place} {name}");
            }
        }
        listener.adopt(&listen, &plain, QUEUE).unwrap();
        assert_eq!(every(listener.as_fd(), nature), before, "{place}");
    }
}

#[test]
fn a_unix_socket_hands_nothing_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    for buffer in buffers(&everything()) {
        buffer.set(listener.as_fd(), 20_000).unwrap();
    }
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let (socket, _) = listener.accept().unwrap();
    for buffer in buffers(&everything()) {
        assert_ne!(
            buffer.get(socket.as_fd()).unwrap(),
            40_000,
            "{}",
            buffer.name
        );
    }
}

#[test]
fn what_needs_a_privilege_is_refused_by_name_or_handed_on() {
    let cases: [(&str, SocketOptions); 2] = [
        (
            "SO_MARK",
            SocketOptions {
                mark: Some(0xffff_fff0),
                ..SocketOptions::default()
            },
        ),
        (
            "IP_TRANSPARENT",
            SocketOptions {
                transparent: true,
                ..SocketOptions::default()
            },
        ),
    ];
    let listen = parse_listen("127.0.0.1:0").unwrap();
    for (name, options) in cases {
        match Listener::bind(&listen, &options, QUEUE, false) {
            Ok(listener) => {
                let (socket, _client) = accepted(&listener);
                let found = value(&all(socket.as_fd(), false, false), name);
                let expected = options.mark.map_or(1, u32::cast_signed);
                assert_eq!(found, expected, "{name}");
            }
            Err(error) => {
                let expected = format!("{name} 127.0.0.1:0: operation not permitted");
                assert_eq!(error.to_string(), expected);
            }
        }
    }
}

#[test]
fn an_address_that_is_not_there_yet_is_bound_freely() {
    // RFC 5737 and RFC 3849: nobody's.
    for place in [
        "192.0.2.77:0",
        "[2001:db8::77]:0",
        "udp:192.0.2.77:0",
        "udp:[2001:db8::77]:0",
    ] {
        let listen = parse_listen(place).unwrap();
        let mut options = SocketOptions::default();
        let error = Listener::bind(&listen, &options, QUEUE, false).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("no such address on this machine")
        );
        options.freebind = true;
        Listener::bind(&listen, &options, QUEUE, false).unwrap();
        Listener::probe(&listen, &options).unwrap();
    }
}

#[test]
fn what_the_kernel_would_cut_is_an_error() {
    let limit = |name: &str| -> u32 {
        let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}")).unwrap();
        text.trim().parse().unwrap()
    };
    let options = SocketOptions {
        rcvbuf: Some(limit("rmem_max") + 4096),
        ..SocketOptions::default()
    };
    let listen = parse_listen("127.0.0.1:0").unwrap();
    match Listener::bind(&listen, &options, QUEUE, false) {
        // With CAP_NET_ADMIN it is forced.
        Ok(listener) => {
            let found = value(&all(listener.as_fd(), false, false), "SO_RCVBUF");
            assert_eq!(found, doubled(options.rcvbuf.unwrap()));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("SO_RCVBUF 127.0.0.1:0: "), "{text}");
            assert!(
                text.ends_with("are more than net.core.rmem_max allows"),
                "{text}"
            );
        }
    }
}
