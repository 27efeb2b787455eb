//! What both ends of an exchange read alike, for the client's end: how content
//! is delimited, and the way through it.
//!
//! The same code reads requests, so a rule is the same for both. What is
//! refused is named by its rule; a status to answer with has no meaning here.

use std::ops::Range;

use super::body::{Decoder, Framing, FramingFields};
use super::request::Version;

/// How the head of an answer delimits what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// Nothing is said.
    None,
    /// So many octets; may be 0.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// What the Content-Length and Transfer-Encoding fields of a message say
/// (RFC 9112 §6). A repeated one, and one beside the other, is refused.
///
/// # Errors
/// The rule that they break.
pub(crate) fn delimiter<'a>(
    is_http10: bool,
    lengths: impl Iterator<Item = &'a [u8]>,
    codings: impl Iterator<Item = &'a [u8]>,
) -> Result<Delimiter, &'static str> {
    let mut fields = FramingFields::default();
    lengths.for_each(|value| fields.add_length(value));
    codings.for_each(|value| fields.add_coding(value));
    let version = if is_http10 {
        Version::Http10
    } else {
        Version::Http11
    };
    match fields.decide(version) {
        Ok(Framing::None) => Ok(Delimiter::None),
        Ok(Framing::Length(length)) => Ok(Delimiter::Length(length)),
        Ok(Framing::Chunked) => Ok(Delimiter::Chunked),
        Err(refusal) => Err(refusal.rule.name()),
    }
}

/// Walks over the chunked coding: resumable at every octet, with a fixed amount
/// of state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks(Decoder);

/// What one step of [`Chunks`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// So many octets of the input are used up.
    pub(crate) consumed: usize,
    /// Which of them are content; may be empty.
    pub(crate) content: Range<usize>,
    /// The last chunk and the trailers are complete.
    pub(crate) complete: bool,
}

impl Chunks {
    /// At the first chunk.
    pub(crate) fn new() -> Self {
        Self(Decoder::Chunked(Default::default()))
    }

    /// Takes a step: up to one run of content, or all of `bytes`. Extensions
    /// and trailers are checked and dropped; they may have 4,096 octets in all.
    ///
    /// # Errors
    /// The rule that the octets break.
    pub(crate) fn proceed(&mut self, bytes: &[u8]) -> Result<Progress, &'static str> {
        let progress = self.0.proceed(bytes, u64::MAX);
        let progress = progress.map_err(|refusal| refusal.rule.name())?;
        Ok(Progress {
            consumed: progress.consumed,
            content: progress.content,
            complete: progress.complete,
        })
    }
}

/// Whether `text` can be a method or the name of a field (RFC 9110 §5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|&byte| super::request::is_token_octet(byte))
}
