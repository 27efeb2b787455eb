//! Whom and what a line of the log is about: a client, and a request of its.
//!
//! Data alone. What stands here was judged by the protocol; a driver only
//! writes it down, so that the error log, the access log and a program speak
//! of the same request by the same name.

use std::fmt;
use std::net::IpAddr;

/// The name of a request: no other request of the server has it, on any worker
/// and for as long as anybody keeps logs. Sixteen hexadecimal digits.
///
/// It is no secret: those of one worker follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

impl RequestId {
    /// The name of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A client, as far as it is believed to be known, and the request of it that
/// is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The client's address, behind the proxies that are trusted; `None` is one
    /// on a unix socket.
    pub client: Option<IpAddr>,
    /// The request under way, or the last one.
    pub request: RequestId,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Some(address) => write!(f, "{address} {}", self.request),
            None => write!(f, "unix: {}", self.request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_sixteen_digits() {
        let mut subject = Subject {
            client: None,
            request: RequestId::new(0xab),
        };
        assert_eq!(subject.to_string(), "unix: 00000000000000ab");
        subject.client = Some([192, 0, 2, 1].into());
        subject.request = RequestId::new(u64::MAX);
        assert_eq!(subject.to_string(), "192.0.2.1 ffffffffffffffff");
    }
}
