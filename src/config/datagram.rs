//! What a pool that listens for datagrams can be, and what it cannot.
//!
//! Owes one wording for the file, for `preforkd serve` and for pools that a
//! program makes itself.

use super::{Listen, Model, Pool, Service};

/// The most octets that an answer over UDP can have: what IPv4 leaves of 65,535
/// for data (RFC 768, RFC 791 §3.1).
const MOST_OCTETS: usize = 65_507;

/// Keys of a pool of datagrams that somebody might count on in vain, and why.
pub(crate) const MEANINGLESS: &[(&str, &str)] = &[
    (
        "denied",
        "a datagram that may not come is dropped without an answer",
    ),
    (
        "limits",
        "they count connections; use `rate` and `burst` of [pool.NAME.udp]",
    ),
];

impl Pool {
    /// Whether it listens for datagrams.
    pub fn is_datagram(&self) -> bool {
        self.listen.iter().any(|one| one.listen.is_datagram())
    }

    /// Why it cannot be as it is, where it listens for datagrams; `None` where it
    /// can.
    pub fn datagram_fault(&self) -> Option<String> {
        if !self.is_datagram() {
            return None;
        }
        let stream = self.listen.iter().find(|one| !one.listen.is_datagram());
        stream
            .map(|one| mixed(&one.listen))
            .or_else(|| not_served(&self.service))
            .or_else(|| not_on(self.model).map(str::to_owned))
    }
}

/// Why this address cannot stand beside one for datagrams.
pub(crate) fn mixed(other: &Listen) -> String {
    format!("a pool has either datagrams or connections: {other} wants a pool of its own")
}

/// Why a service cannot be had over UDP.
pub(crate) fn not_served(service: &Service) -> Option<String> {
    let why = match service {
        Service::Echo | Service::Discard | Service::Daytime | Service::Time | Service::Chargen => {
            return None;
        }
        Service::Message(text) if text.len() <= MOST_OCTETS => return None,
        Service::Message(text) => {
            let octets = text.len();
            return Some(format!(
                "the message has {octets} octets, and a datagram holds {MOST_OCTETS}"
            ));
        }
        Service::Http(_) => "HTTP wants a connection",
        Service::App(_) => "its programs accept connections",
        Service::Exec(_) => "its programs have a connection each",
        Service::Custom => "a Protocol wants a connection",
    };
    let name = service.name();
    Some(format!("the service {name} cannot be had over UDP: {why}"))
}

/// Why a model does not go with datagrams.
pub(crate) fn not_on(model: Model) -> Option<&'static str> {
    match model {
        Model::Prefork | Model::Event => None,
        Model::Threads => Some(
            "the model threads has no use for datagrams: nobody is waited for, so one thread a worker does",
        ),
        Model::Fork => Some(
            "the model fork has no use for datagrams: a process for each would be how to be flooded",
        ),
    }
}
