//! The client's end of HTTP/1.1, without a socket, a file or a clock.
//!
//! | file | what it knows |
//! |---|---|
//! | `url` | http:// addresses, and how one leads to another |
//! | `request` | what is sent |
//! | `head` | the head of an answer |
//! | `exchange` | every transition of an answer, from its first octet to its last |
//! | `fault` | what can be wrong with one |
//! | `redirect` | where an answer leads, and what goes along |
//! | `resume` | whether a part is the one that was asked for |
//!
//! How content is delimited is read by the code that reads requests
//! ([`crate::protocol::http`]): what is refused of a client is refused of a
//! server.

pub mod exchange;
pub mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod head;
pub mod redirect;
pub mod request;
pub mod resume;
pub mod url;

pub use exchange::{Event, Exchange};
pub use fault::Fault;
pub use head::Head;
pub use request::Request;
pub use url::Url;
