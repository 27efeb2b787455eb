//! The addresses of pools: each of its own, each one that the kernel will take.

use std::path::Path;
use std::time::Duration;

use super::{Checker, is_first_to_speak};
use crate::config::file::listen::ListenTable;
use crate::config::file::{MasterTable, PoolTable};
use crate::config::kind::At;
use crate::config::mistake::{Mistake, Span};
use crate::config::table::Entry;
use crate::config::{
    Clients, Endpoint, Keepalive, Listen, MAX_LISTENERS, Master, Proxy, SocketKind, SocketOptions,
    address, datagram,
};

/// The longest path of a unix socket: sun_path of unix(7) without its NUL.
const LONGEST_SOCKET_PATH: usize = 107;

/// How long a PROXY header may take: as long as a segment that was lost once, which
/// the specification asks for at least (§2).
const PROXY_TIMEOUT: Duration = Duration::from_secs(3);

/// Of net.ipv4.tcp_fastopen, that servers may.
const FASTOPEN_SERVER: u32 = 2;

impl Checker<'_> {
    pub(super) fn listeners(&mut self, table: &PoolTable, header: &Span) -> Vec<Endpoint> {
        if table.listen.given.is_none() {
            let expected = "add listen = \"127.0.0.1:8080\"";
            self.error(header, "`listen` is missing", expected);
        }
        if let Some(item) = table.listen.value.get(MAX_LISTENERS) {
            let message = format!("a pool listens in {MAX_LISTENERS} places at most");
            self.error(&item.span, message, "use another pool for the rest");
        }
        let mut listeners = Vec::new();
        for item in &table.listen.value {
            let Some(listen) = self.listener(item) else {
                continue;
            };
            if let Listen::Unix { path, .. } = &listen {
                self.socket_path(path, &item.span);
                self.can_hold(path, &item.span);
            }
            if let Some(what) = listen.unfit_for(table.accept.value) {
                let message = format!("{what} cannot be accepted on with \"reuseport\"");
                let expected = "use accept = \"shared\", or a pool of its own";
                self.error(&item.span, message, expected);
            }
            let first = listeners.first().map(|one: &Endpoint| &one.listen);
            if let Some(first) = first.filter(|one| one.is_datagram() != listen.is_datagram()) {
                let message = datagram::mixed(&listen);
                let expected = format!("expected more of {first}'s kind alone");
                self.error(&item.span, message, expected);
            }
            self.take(&listen, &item.span);
            listeners.push(Endpoint {
                proxy: self.proxy(&item.value, &item.span),
                options: self.options(&item.value, &item.span, table),
                listen,
            });
        }
        listeners
    }

    /// The control socket and the sockets of pools must not replace each other.
    pub(super) fn control_socket_apart(&mut self, table: &MasterTable, master: &Master) {
        let Some(path) = &master.control_socket else {
            return;
        };
        let at = table.control_socket.span(&(0..0));
        self.socket_path(path, &at);
        if master.pid_file.as_ref() == Some(path) {
            let message = "`control_socket` and `pid_file` are one path";
            let mistake = Mistake::error(at.clone(), message, "expected a path of its own");
            let pid_file = table.pid_file.span(&(0..0));
            self.found.push(mistake.with(pid_file, "the pid file"));
        }
        for (listen, span) in &self.taken {
            if let Listen::Unix { path: other, .. } = listen
                && other == path
            {
                let message = format!("{listen} is the control socket");
                let mistake = Mistake::error(span.clone(), message, "expected a path of its own");
                self.found.push(mistake.with(at.clone(), "taken here"));
            }
        }
    }

    fn listener(&mut self, item: &At<ListenTable>) -> Option<Listen> {
        let At { value: table, span } = item;
        let Some(listen) = &table.address.value else {
            if table.address.given.is_none() {
                let expected = "add address = \"127.0.0.1:8080\"";
                self.error(span, "`address` is missing", expected);
            }
            return None;
        };
        match listen {
            Listen::Tcp { address, v6only } => {
                self.misplaced(&table.mode, "mode", "only for a unix socket");
                if address.is_ipv4() {
                    self.misplaced(&table.v6only, "v6only", "only for an IPv6 address");
                }
                Some(Listen::Tcp {
                    address: *address,
                    v6only: table.v6only.value.unwrap_or(*v6only),
                })
            }
            Listen::Udp { address, v6only } => {
                self.misplaced(&table.mode, "mode", "only for a unix socket");
                if address.is_ipv4() {
                    self.misplaced(&table.v6only, "v6only", "only for an IPv6 address");
                }
                self.misplaced(&table.proxy_protocol, "proxy_protocol", "only for streams");
                self.misplaced(&table.backlog, "backlog", "only for streams");
                self.only_for_tcp(table, "only for TCP");
                Some(Listen::Udp {
                    address: *address,
                    v6only: table.v6only.value.unwrap_or(*v6only),
                })
            }
            Listen::Unix { path, mode } => {
                self.misplaced(&table.v6only, "v6only", "only for an IPv6 address");
                self.only_for_tcp(table, "only for TCP");
                self.only_for_ip(table, "only for TCP and UDP");
                Some(Listen::Unix {
                    path: self.resolve(path),
                    mode: table.mode.value.unwrap_or(*mode),
                })
            }
            Listen::Fd { kind, .. } => {
                let why = "whoever passes the socket decides that";
                match kind {
                    SocketKind::Datagram => {
                        self.misplaced(&table.proxy_protocol, "proxy_protocol", "only for streams");
                    }
                    SocketKind::Stream => {}
                }
                self.misplaced(&table.mode, "mode", why);
                self.misplaced(&table.v6only, "v6only", why);
                self.misplaced(&table.backlog, "backlog", why);
                self.only_for_tcp(table, why);
                self.only_for_ip(table, why);
                Some(listen.clone())
            }
        }
    }

    /// Who says who the clients are.
    fn proxy(&mut self, table: &ListenTable, at: &Span) -> Option<Proxy> {
        if table.proxy_protocol.value != Some(true) {
            if table.proxy_protocol.is_sound() {
                let why = "only with proxy_protocol = true";
                self.misplaced(&table.proxy_from, "proxy_from", why);
                self.misplaced(&table.proxy_timeout, "proxy_timeout", why);
            }
            return None;
        }
        let from = table.proxy_from.value.clone();
        let from = from.unwrap_or_else(Clients::local);
        if from.is_empty() && table.proxy_from.is_sound() {
            let expected = "expected the addresses of the proxies, such as \"10.0.0.0/8\"";
            let at = table.proxy_from.span(at);
            self.error(&at, "`proxy_from` names nobody", expected);
        }
        let timeout = table.proxy_timeout.value;
        Some(Proxy {
            from,
            timeout: timeout.unwrap_or(PROXY_TIMEOUT),
        })
    }

    /// What the kernel is told; whether it is for this kind of listener has been
    /// looked at.
    fn options(&mut self, table: &ListenTable, at: &Span, pool: &PoolTable) -> SocketOptions {
        let deferred = table.defer_accept.value.filter(|time| !time.is_zero());
        if deferred.is_some() && is_first_to_speak(pool.service.value) {
            let message = "`defer_accept` with a service that speaks first";
            let expected = "remove it: the client would wait for the server, and the server for it";
            self.error(&table.defer_accept.span(at), message, expected);
        }
        let keepalive = table.keepalive.value == Some(true);
        if !keepalive && table.keepalive.is_sound() {
            let why = "only with keepalive = true";
            self.misplaced(&table.keepalive_idle, "keepalive_idle", why);
            self.misplaced(&table.keepalive_interval, "keepalive_interval", why);
            self.misplaced(&table.keepalive_count, "keepalive_count", why);
        }
        if let (Some(_), Some(modes)) = (table.fastopen.value, self.system.tcp_fastopen())
            && modes & FASTOPEN_SERVER == 0
        {
            let message =
                format!("`fastopen` has no effect here: net.ipv4.tcp_fastopen is {modes}");
            let both = modes | FASTOPEN_SERVER;
            let expected = format!("allow it: sysctl net.ipv4.tcp_fastopen={both}");
            let at = table.fastopen.span(at);
            self.found.push(Mistake::warning(at, message, expected));
        }
        SocketOptions {
            backlog: self.own_queue("backlog", &table.backlog),
            defer_accept: table.defer_accept.value,
            nodelay: table.nodelay.value.unwrap_or(true),
            keepalive: keepalive.then_some(Keepalive {
                idle: table.keepalive_idle.value,
                interval: table.keepalive_interval.value,
                count: table.keepalive_count.value,
            }),
            user_timeout: table.user_timeout.value,
            fin_timeout: table.fin_timeout.value,
            fastopen: self.own_queue("fastopen", &table.fastopen),
            rcvbuf: table.rcvbuf.value,
            sndbuf: table.sndbuf.value,
            tos: table.tos.value,
            mark: table.mark.value,
            freebind: table.freebind.value.unwrap_or(false),
            transparent: table.transparent.value.unwrap_or(false),
        }
    }

    fn own_queue(&mut self, name: &str, entry: &Entry<Option<u32>>) -> Option<u32> {
        let given = entry.given.clone();
        entry
            .value
            .map(|value| self.queue(name, &Entry { value, given }))
    }

    /// The options of TCP have no effect on another kind of socket: one accepted
    /// on a unix socket inherits nothing.
    fn only_for_tcp(&mut self, table: &ListenTable, why: &str) {
        self.misplaced(&table.defer_accept, "defer_accept", why);
        self.misplaced(&table.nodelay, "nodelay", why);
        self.misplaced(&table.keepalive, "keepalive", why);
        self.misplaced(&table.user_timeout, "user_timeout", why);
        self.misplaced(&table.fin_timeout, "fin_timeout", why);
        self.misplaced(&table.fastopen, "fastopen", why);
    }

    fn only_for_ip(&mut self, table: &ListenTable, why: &str) {
        self.misplaced(&table.rcvbuf, "rcvbuf", why);
        self.misplaced(&table.sndbuf, "sndbuf", why);
        self.misplaced(&table.tos, "tos", why);
        self.misplaced(&table.mark, "mark", why);
        self.misplaced(&table.freebind, "freebind", why);
        self.misplaced(&table.transparent, "transparent", why);
    }

    /// Notes an address as taken, and says so if it was already.
    fn take(&mut self, listen: &Listen, at: &Span) {
        let clash = |(other, _): &&(Listen, Span)| address::clash(listen, other);
        if let Some((other, span)) = self.taken.iter().find(clash) {
            let message = if other.to_string() == listen.to_string() {
                format!("{listen} is listened on twice")
            } else {
                format!("{listen} overlaps with {other}")
            };
            let expected = "expected an address or a port of its own";
            let mistake = Mistake::error(at.clone(), message, expected);
            self.found.push(mistake.with(span.clone(), "taken here"));
        }
        self.taken.push((listen.clone(), at.clone()));
    }

    fn socket_path(&mut self, path: &Path, at: &Span) {
        let octets = path.as_os_str().len();
        if octets > LONGEST_SOCKET_PATH {
            let message = format!("the path of this unix socket has {octets} octets");
            let expected = format!("expected at most {LONGEST_SOCKET_PATH}, see unix(7)");
            self.error(at, message, expected);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
