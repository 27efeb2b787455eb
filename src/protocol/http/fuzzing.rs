//! What must hold for any octets, piece of grammar by piece of grammar: see
//! [`crate::fuzzing`].
//!
//! Not to panic is the least of it. Where a rule can be said again in another
//! way, without a care for speed, the two must agree; where it cannot, what
//! holds for every input is asserted. Nothing here may know how the code under
//! test comes to its answer.

mod client;
mod connection;
mod content;
mod fields;
mod names;
mod selection;

pub use connection::{cgi_output, request};
pub use content::chunked;
pub use fields::{accept_encoding, authorization, forwarded};
pub use names::{escape, listing, target};
pub use selection::{conditional, range};

#[cfg(test)]
pub(super) use connection::{assert_cuts_agree, everything};

/// The first line, and what follows it.
fn first_line(octets: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', octets) {
        Some(end) => (&octets[..end], &octets[end + 1..]),
        None => (octets, b""),
    }
}

/// Octets for a message.
fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
