//! The contract of services that answer datagrams, and nothing else.
//!
//! A datagram is answered by one datagram at most, and nobody remembers it: so
//! there is no machine for each client, as [`Protocol`](super::Protocol) is one,
//! but a [`Responder`] for all of them.
//!
//! ```text
//!            begin(time)                   once a batch
//!   driver ──────────────▶ Responder
//!     │      request                       once a datagram
//!     ├──────────────────▶ Responder::answer ──▶ octets, or none
//!     └── sends these to whoever asked
//! ```
//!
//! An answer is lent, not written: echo lends the request itself, the others what
//! they made when the batch began. So nothing is copied, and every answer of a
//! batch can be on its way at once.
//!
//! Who sends a datagram can say to be anybody. A service must not keep anything
//! of it, and should answer with no more than it was asked with; the driver limits
//! how many answers one address gets.

use super::Wall;

/// The most octets of an answer over UDP: what IPv4 leaves of 65,535 for data
/// (RFC 768, RFC 791 §3.1).
pub const MOST: usize = 65_507;

/// Answers datagrams.
pub trait Responder: Send {
    /// Datagrams have come, and it is this time of day.
    fn begin(&mut self, wall: &Wall) {
        let _ = wall;
    }

    /// The answer to a datagram, at most [`MOST`] octets, or `None` where there is
    /// none to give. No octets at all are an answer too.
    fn answer<'a>(&'a self, request: &'a [u8]) -> Option<&'a [u8]>;
}
