//! What an entry says of its socket: each value where it belongs, each rule broken
//! once.

use super::super::tests::{load, wrong};
use super::*;
use crate::config::{Network, Tos};

fn entry(listen: &str) -> Endpoint {
    let text = format!("[pool.p]\nservice='echo'\nlisten={listen}");
    let mut pools = load(&text).unwrap().config.pools;
    pools.remove(0).listen.remove(0)
}

#[test]
fn values_of_an_entry_arrive() {
    let plain = entry("'127.0.0.1:7'");
    assert_eq!(
        (plain.proxy, plain.options),
        (None, SocketOptions::default())
    );
    let all = entry(
        "{address='7',proxy_protocol=true,proxy_from=['10.0.0.0/8','unix:'],proxy_timeout='5s',\
         backlog=100,defer_accept='2s',nodelay=false,keepalive=true,keepalive_idle='60s',\
         keepalive_interval='10s',keepalive_count=6,user_timeout='30s',fin_timeout='10s',\
         fastopen=16,rcvbuf='64KiB',sndbuf=100000,tos='AF21',mark=0x10,freebind=true,\
         transparent=true}",
    );
    let proxy = all.proxy.unwrap();
    assert_eq!(proxy.from.networks, [Network::parse("10.0.0.0/8").unwrap()]);
    assert!(proxy.from.unix);
    assert_eq!(proxy.timeout, Duration::from_secs(5));
    let seconds = |count| Some(Duration::from_secs(count));
    let expected = SocketOptions {
        backlog: Some(100),
        defer_accept: seconds(2),
        nodelay: false,
        keepalive: Some(Keepalive {
            idle: seconds(60),
            interval: seconds(10),
            count: Some(6),
        }),
        user_timeout: seconds(30),
        fin_timeout: seconds(10),
        fastopen: Some(16),
        rcvbuf: Some(65_536),
        sndbuf: Some(100_000),
        tos: Some(Tos(0x48)),
        mark: Some(16),
        freebind: true,
        transparent: true,
    };
    assert_eq!(all.options, expected);
    let usual = entry("{address='unix:/run/s',proxy_protocol=true,backlog=5}");
    let proxy = usual.proxy.unwrap();
    assert_eq!(
        (proxy.from, proxy.timeout),
        (Clients::local(), PROXY_TIMEOUT)
    );
    assert_eq!(usual.options.backlog, Some(5));
}

#[test]
fn each_wrong_value_is_told_with_its_place() {
    for (listen, expected) in [
        (
            "{address='7',proxy_protocol='v1'}",
            "f:2:36: error: `proxy_protocol` is a string; expected true or false",
        ),
        (
            "{address='7',proxy_from='10.0.0.0/8'}",
            "`proxy_from` has no effect here; only with proxy_protocol = true",
        ),
        (
            "{address='7',proxy_timeout='1s'}",
            "`proxy_timeout` has no effect here",
        ),
        (
            "{address='7',proxy_protocol=true,proxy_from=[]}",
            "`proxy_from` names nobody; expected the addresses",
        ),
        (
            "{address='7',proxy_protocol=true,proxy_from='10.0.0.1/8'}",
            "did you mean \"10.0.0.0/8\"?",
        ),
        (
            "{address='7',proxy_protocol=true,proxy_timeout='0s'}",
            "out of range",
        ),
        ("{address='7',nodelay=1}", "expected true or false"),
        (
            "{address='7',keepalive_idle='60s'}",
            "`keepalive_idle` has no effect here; only with keepalive = true",
        ),
        (
            "{address='7',keepalive=false,keepalive_count=1}",
            "`keepalive_count` has no effect here",
        ),
        (
            "{address='7',keepalive=true,keepalive_count=128}",
            "expected a whole number from 1 to 127",
        ),
        (
            "{address='7',keepalive=true,keepalive_interval='10h'}",
            "from 1s to",
        ),
        ("{address='7',user_timeout=30}", "write \"30s\""),
        ("{address='7',fin_timeout='121s'}", "from 1s to 2m"),
        (
            "{address='7',fastopen=0}",
            "expected a whole number from 1 to 65535",
        ),
        (
            "{address='7',rcvbuf='1KiB'}",
            "expected a size such as \"64KiB\", from 4KiB to 1GiB",
        ),
        (
            "{address='7',tos='AF24'}",
            "expected a class such as \"AF21\"",
        ),
        (
            "{address='7',mark=-1}",
            "expected a whole number from 0 to 4294967295",
        ),
        (
            "{address='unix:/run/s',rcvbuf='64KiB'}",
            "`rcvbuf` has no effect here; only for TCP and UDP",
        ),
        (
            "{address='udp:7',nodelay=true}",
            "`nodelay` has no effect here; only for TCP",
        ),
        (
            "{address='udp:7',backlog=5}",
            "`backlog` has no effect here; only for streams",
        ),
        (
            "{address='unix:/run/s',keepalive=true}",
            "`keepalive` has no effect here; only for TCP",
        ),
        (
            "{address='fd:web',tos='EF'}",
            "`tos` has no effect here; whoever passes the socket decides that",
        ),
        (
            "{address='fd:web',backlog=5}",
            "`backlog` has no effect here; whoever passes",
        ),
        ("{address='7',nodealy=true}", "did you mean `nodelay`?"),
    ] {
        let listen = format!("listen={listen}\nservice='echo'");
        let found = wrong(&listen);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{listen}: {found:?}");
        assert!(found[0].starts_with("f:2:"), "{found:?}");
    }
    let found = wrong("service='daytime'\nlisten={address='7',defer_accept='1s'}");
    assert!(
        found[0].contains("`defer_accept` with a service that speaks first"),
        "{found:?}"
    );
}

#[test]
fn what_the_machine_does_not_do_is_told() {
    let warnings = |listen: &str| {
        let text = format!("[pool.p]\nservice='echo'\nlisten={listen}");
        load(&text)
            .unwrap()
            .warnings
            .lines()
            .collect::<Vec<String>>()
    };
    // The machine made up for tests lets clients use it, and no servers.
    let found = warnings("{address='7',fastopen=16}");
    assert!(
        found[0].contains("`fastopen` has no effect here: net.ipv4.tcp_fastopen is 1"),
        "{found:?}"
    );
    assert!(
        found[0].contains("sysctl net.ipv4.tcp_fastopen=3"),
        "{found:?}"
    );
    let found = warnings("{address='7',backlog=5000}");
    assert!(found[0].contains("`backlog` is cut to 4096"), "{found:?}");
}
