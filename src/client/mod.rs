//! The client side: from the name of a place to a connected socket, or to the
//! reason why not.
//!
//! ```no_run
//! use preforkd::client::{Options, Target, dial};
//!
//! let target = Target::parse("localhost:7777")?;
//! let dialled = dial(&target, &Options::default())?;
//! println!("connected to {} in {:?}", dialled.name, dialled.timing.connect);
//! # Ok::<(), preforkd::client::Failure>(())
//! ```
//!
//! - [`target`]: where to, as it is written.
//! - [`resolve`]: a host's addresses, within a time.
//! - [`race`]: which address is tried when (pure).
//! - [`mod@dial`]: the sockets.
//! - [`failure`]: why not, and the exit status that says so.
//! - [`http`]: the client's end of HTTP/1.1 (pure).
//! - [`transfer`]: one request and its answer, over a connection.
//! - [`mod@visit`]: one connection of a probe ([`crate::probe`]).
//!
//! Owes that nothing waits without a deadline. Never prints; never installs a
//! signal handler.

pub mod dial;
pub mod failure;
pub mod http;
pub mod race;
pub mod resolve;
pub mod target;
pub mod transfer;
pub mod visit;

pub use dial::{Attempt, Dialled, Timing, connect, dial};
pub use failure::{Cause, Failure};
pub use target::Target;

use std::net::IpAddr;
use std::time::Duration;

/// Which addresses of a host come into question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether an address is one of them.
    pub fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// How to get there.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which addresses come into question.
    pub family: Family,
    /// Where to connect from; a port of 0 is any. Addresses of the other family
    /// are not tried.
    pub source: Option<std::net::SocketAddr>,
    /// How long it may take in all: the lookup, and all addresses together.
    pub timeout: Duration,
}

impl Options {
    /// How long it may take where nothing else is said.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// Whether an address comes into question.
    fn takes(&self, address: IpAddr) -> bool {
        let as_source = |source: std::net::SocketAddr| source.is_ipv4() == address.is_ipv4();
        self.family.takes(address) && self.source.is_none_or(as_source)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            family: Family::Any,
            source: None,
            timeout: Self::TIMEOUT,
        }
    }
}
