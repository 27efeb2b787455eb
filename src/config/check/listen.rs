//! The addresses of pools: each of its own, each one that the kernel will take.

use std::path::Path;

use super::Checker;
use crate::config::file::{ListenTable, MasterTable, PoolTable};
use crate::config::kind::At;
use crate::config::mistake::{Mistake, Span};
use crate::config::{Accept, Endpoint, Listen, MAX_LISTENERS, Master, address};

/// The longest path of a unix socket: sun_path of unix(7) without its NUL.
const LONGEST_SOCKET_PATH: usize = 107;

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
                if table.accept.value == Accept::Reuseport {
                    let message = "a unix socket cannot be accepted on with \"reuseport\"";
                    let expected = "use accept = \"shared\", or a pool of its own";
                    self.error(&item.span, message, expected);
                }
            }
            if let Listen::Fd { .. } = &listen
                && table.accept.value == Accept::Reuseport
            {
                let message = "what is passed cannot be accepted on with \"reuseport\"";
                let expected = "use accept = \"shared\", or a pool of its own";
                self.error(&item.span, message, expected);
            }
            self.take(&listen, &item.span);
            listeners.push(listen.into());
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
            Listen::Unix { path, mode } => {
                self.misplaced(&table.v6only, "v6only", "only for an IPv6 address");
                Some(Listen::Unix {
                    path: self.resolve(path),
                    mode: table.mode.value.unwrap_or(*mode),
                })
            }
            Listen::Fd { .. } => {
                let why = "whoever passes the socket decides that";
                self.misplaced(&table.mode, "mode", why);
                self.misplaced(&table.v6only, "v6only", why);
                Some(listen.clone())
            }
        }
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
