//! HTTP/1.1 and 1.0: an origin server for files below one root or several.
//!
//! One piece of grammar a file. From the outside in:
//!
//! | file | what it knows |
//! |---|---|
//! | `session` | a connection, at rest or with a request under way; what talks to the driver |
//! | `state` | every transition of the request cycle |
//! | `exchange` | what a request decides about its answer, and what may follow it |
//! | `scan`, `request` | where a head ends, and what it says: the strict layer over httparse |
//! | `target`, `host` | request target to relative path; authorities |
//! | `persistence`, `body` | whether another request may follow; where a message ends |
//! | `site`, `route` | hosts and the rule for each path; from a request to its rule and what to do |
//! | `trust`, `accept`, `redirect` | who the client is behind proxies; HTML or JSON; Location |
//! | `auth`, `listing` | names and passwords; directories as HTML and JSON |
//! | `cgi` | programs: their environment, and what their output means |
//! | `report` | the paths under which the server says how it is |
//! | `files` | from a path to the objects to open, and what each answer means |
//! | `representation`, `mime`, `coding`, `variants`, `gzip` | a file as it is sent: tag and date; type; coding; its siblings; what is compressed here |
//! | `delivery`, `criteria`, `conditional`, `range`, `multipart` | which part of it is sent, and on what condition |
//! | `response`, `put`, `status`, `clause` | heads and short bodies; values as heads have them; the codes; the rules that a refusal names |
//! | `notes`, `access` | what is kept of a request while it is answered; its log line |
//! | `recent` | requests that come again, and what was worked out for them |
//! | `wire` | what a client reads as we do: where content ends |
//!
//! The strict layer refuses what two implementations could read in two ways.
//! A refusal names its rule (`rfc9112-5.1 field-name`), is answered with
//! `Connection: close` and ends the connection in stages, so that the answer
//! arrives. This module must never guess what a client meant, and never let a
//! byte of a request reach a header, a log or a path unchecked.

mod accept;
mod access;
mod auth;
mod body;
mod cgi;
mod clause;
mod coding;
mod conditional;
mod criteria;
mod delivery;
mod exchange;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod host;
mod listing;
mod mime;
mod multipart;
mod notes;
mod persistence;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code))]
mod pretend;
mod put;
mod range;
mod recent;
mod redirect;
mod report;
mod representation;
mod request;
mod response;
mod route;
#[cfg(test)]
mod rules;
mod scan;
mod session;
mod site;
#[cfg(test)]
mod splits;
mod state;
mod status;
mod target;
mod trust;
mod variants;
pub(crate) mod wire;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::{Floor, Peer, Protocol, Service};
use crate::config::{Http, LineFormat, LogTarget, Trust};
use auth::Memory;
use cgi::Cgi;
use recent::Recent;
use request::Limits;
use session::{Machines, Session};
use site::Map;
use variants::Variants;

/// The HTTP service. The number of a root in
/// [`Action::Open`](super::Action::Open) is its place in
/// [`Http::roots`](crate::config::Http::roots).
#[derive(Clone, Debug)]
pub struct HttpService {
    machines: Arc<Machines>,
}

impl HttpService {
    /// A service with these settings. The directories themselves are the
    /// driver's to open. `max_header` counts at most [`Input::LIMIT`](super::Input::LIMIT)
    /// octets, `max_fields` at most 256.
    pub fn new(settings: Http) -> Self {
        Self::with_variables(settings, |_| None)
    }

    /// As [`HttpService::new`], for programs that get variables of the server's
    /// own environment, which `variable` looks up.
    pub fn with_variables(settings: Http, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let limits = Limits::new(&settings);
        let variants = Variants::new(&settings);
        Self {
            machines: Arc::new(Machines::new(Site {
                map: Map::new(&settings),
                cgi: Cgi::new(&settings, variable),
                trust: settings.trust,
                memory: Memory::new(),
                recent: Recent::default(),
                log: (settings.access_log != LogTarget::Off).then_some(settings.access_log_format),
                request_id: settings.request_id,
                header_timeout: settings.header_timeout,
                body: Floor {
                    span: settings.body_timeout,
                    rate: settings.body_min_rate,
                },
                keepalive_timeout: settings.keepalive_timeout,
                keepalive_requests: settings.keepalive_requests,
                limits,
                variants,
            })),
        }
    }
}

impl Service for HttpService {
    fn connection(&self, _peer: &Peer) -> Box<dyn Protocol> {
        Box::new(Session::new(Arc::clone(&self.machines)))
    }

    fn wants_local(&self) -> bool {
        self.machines.site.map.any_programs()
    }
}

/// The settings as the state machine uses them, shared by all connections.
#[derive(Debug)]
struct Site {
    /// Hosts and rules.
    map: Map,
    /// What programs get and may do.
    cgi: Cgi,
    /// Whom we believe about who the client is.
    trust: Trust,
    /// Whose password was right lately.
    memory: Memory,
    /// What was asked lately.
    recent: Recent,
    /// The form of access-log lines; `None`: nobody reads them.
    log: Option<LineFormat>,
    /// Whether answers say under which name the logs know the request.
    request_id: bool,
    header_timeout: Duration,
    /// How content of requests must come.
    body: Floor,
    keepalive_timeout: Duration,
    /// 0 is no limit.
    keepalive_requests: u64,
    limits: Limits,
    /// What may be sent in place of a file.
    variants: Variants,
}
