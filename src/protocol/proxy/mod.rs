//! The PROXY protocol: who the client is, is what the first octets of a
//! connection say.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod header;
