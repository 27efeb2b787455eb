//! A host's addresses and a service's port.
//!
//! Owes an answer within the time given: getaddrinfo(3) can be bounded by
//! nothing, so it runs in a thread of its own, which is left behind where it is
//! too late. An address as it is written costs neither.

use super::failure::{Cause, Failure};
use nix::net::if_::if_nametoindex;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Instant;

/// Where the names of services stand (services(5)).
const SERVICES: &str = "/etc/services";

/// The services that this program speaks itself, for a system without that file.
const OURS: &[(&str, u16)] = &[
    ("echo", 7),
    ("discard", 9),
    ("daytime", 13),
    ("chargen", 19),
    ("time", 37),
    ("http", 80),
];

/// The addresses of `host` with `port`, as getaddrinfo(3) sorts them (RFC 6724),
/// each once; at least one.
///
/// # Errors
/// [`Cause::Resolve`] with what the resolver says, [`Cause::Timeout`] where
/// nothing is known by `deadline`.
pub fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    if let Some(address) = literal(host, port) {
        return Ok(vec![address]);
    }
    // A zone that does not exist is no reason to ask a name server.
    if host.contains(['%', ':']) {
        let message = format!("resolve {host}: no such address, or no such interface");
        return Err(Failure::new(Cause::Resolve, message));
    }
    let (answer, answers) = sync_channel(1);
    let asked = host.to_owned();
    let lookup = move || {
        let found = (asked.as_str(), port).to_socket_addrs();
        // Nobody may be left to hear it.
        let _ = answer.send(found.map(|found| found.collect::<Vec<_>>()));
    };
    thread::Builder::new()
        .name(String::from("resolve"))
        .spawn(lookup)
        .map_err(|error| Failure::of("start a thread to resolve", host, &error))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let found = match answers.recv_timeout(left) {
        Ok(found) => found,
        Err(RecvTimeoutError::Timeout) => {
            let message = format!("resolve {host}: no answer in time");
            return Err(Failure::new(Cause::Timeout, message));
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the resolver ended")),
    };
    let found = found.map_err(|error| {
        let message = format!("resolve {host}: {}", said(&error));
        Failure::new(Cause::Resolve, message)
    })?;
    let mut addresses = Vec::with_capacity(found.len());
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let message = format!("resolve {host}: it has no address");
        return Err(Failure::new(Cause::Resolve, message));
    }
    Ok(addresses)
}

/// An address as it is written, an IPv6 one perhaps with a zone (RFC 4007 §11):
/// `fe80::1%eth0` or `fe80::1%2`.
pub fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let Some((ip, zone)) = host.split_once('%') else {
        let ip: IpAddr = host.parse().ok()?;
        return Some(SocketAddr::new(ip, port));
    };
    let ip: Ipv6Addr = ip.parse().ok()?;
    let scope = match zone.parse::<u32>() {
        Ok(index) => index,
        Err(_) => if_nametoindex(zone).ok()?,
    };
    Some(SocketAddrV6::new(ip, port, 0, scope).into())
}

/// A port, 1 to 65535, by number or by the name of its service over TCP.
///
/// # Errors
/// [`Cause::Usage`].
pub fn port(text: &str) -> Result<u16, Failure> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let found = if is_number {
        text.parse().ok().filter(|port| *port > 0)
    } else {
        let table = fs::read_to_string(SERVICES).unwrap_or_default();
        let ours = || OURS.iter().find(|(name, _)| *name == text);
        service(&table, text).or_else(|| ours().map(|(_, port)| *port))
    };
    found.ok_or_else(|| {
        let message =
            format!("{text:?} is not a port: a port is 1 to 65535, or a name in {SERVICES}");
        Failure::new(Cause::Usage, message)
    })
}

/// Looks a name, or an alias, up in a text such as services(5) tells of:
/// `http 80/tcp www # WorldWideWeb`.
fn service(table: &str, name: &str) -> Option<u16> {
    table.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let official = words.next()?;
        let number = words.next()?.strip_suffix("/tcp")?;
        let is_it = official == name || words.any(|alias| alias == name);
        number.parse().ok().filter(|port| is_it && *port > 0)
    })
}

/// What the resolver says, without what std puts before it.
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    let before = "failed to lookup address information: ";
    text.strip_prefix(before).unwrap_or(&text).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn an_address_is_its_own_answer() {
        // The deadline is over, and there is nobody to wait for.
        let now = Instant::now();
        for (host, shown) in [
            ("127.0.0.1", "127.0.0.1:7"),
            ("::1", "[::1]:7"),
            ("fe80::1%1", "[fe80::1%1]:7"),
            ("fe80::1%lo", "[fe80::1%1]:7"),
        ] {
            let found = resolve(host, 7, now).unwrap();
            assert_eq!(found[0].to_string(), shown);
        }
        let failure = resolve("fe80::1%none", 7, now).unwrap_err();
        assert_eq!(failure.cause, Cause::Resolve);
    }

    #[test]
    fn a_name_is_looked_up_within_its_time() {
        let found = resolve("localhost", 7, soon()).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(200);
        let failure = resolve("no-such-host.invalid", 7, deadline).unwrap_err();
        // Without a network the resolver may know at once that it knows nothing.
        assert!(matches!(failure.cause, Cause::Resolve | Cause::Timeout));
        assert!(begun.elapsed() < Duration::from_secs(10), "{failure}");
    }

    #[test]
    fn a_service_has_a_port() {
        let table = "# services\necho 7/tcp\nprinter 515/tcp spooler # lp\nsyslog 514/udp\nbad\n";
        assert_eq!(service(table, "echo"), Some(7));
        assert_eq!(service(table, "spooler"), Some(515));
        assert_eq!(service(table, "syslog"), None);
        assert_eq!(service(table, "bad"), None);
        assert_eq!(service(table, "lp"), None);
        assert_eq!(port("http").unwrap(), 80);
        assert_eq!(port("65535").unwrap(), 65535);
    }
}
