//! A text in shared memory: a version, a length, and the octets.
//!
//! The version is odd while the text is being written, so that a reader never
//! takes half of one text and half of another for a third.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Words before the octets.
pub(super) const HEAD: usize = 2;
/// Where they stand.
const VERSION: usize = 0;
const LENGTH: usize = 1;
/// The bit in the length that says that the text is over.
const ASIDE: u64 = 1 << 63;
/// How often a reader looks again while the text is being written.
const TRIES: usize = 64;

/// Writes a text, cut at the octets that `words` has room for. One writer at a
/// time.
#[inline]
pub(super) fn write(words: &[AtomicU64], text: &[u8]) {
    let version = words[VERSION].load(Ordering::Relaxed);
    words[VERSION].store(version.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    let text = &text[..text.len().min((words.len() - HEAD) * 8)];
    let (whole, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&last);
    for (index, octets) in whole.iter().chain(last).enumerate() {
        words[HEAD + index].store(u64::from_ne_bytes(*octets), Ordering::Relaxed);
    }
    words[LENGTH].store(text.len() as u64, Ordering::Relaxed);
    words[VERSION].store(version.wrapping_add(2), Ordering::Release);
}

/// Notes that the text is over, and stays for whoever asks for it. For its writer.
#[inline]
pub(super) fn set_aside(words: &[AtomicU64]) {
    words[LENGTH].store(
        words[LENGTH].load(Ordering::Relaxed) | ASIDE,
        Ordering::Relaxed,
    );
}

/// Whether the text is over.
pub(super) fn is_aside(words: &[AtomicU64]) -> bool {
    words[LENGTH].load(Ordering::Relaxed) & ASIDE != 0
}

/// Reads a text, over or not; `None` where it is just being written, or was left half-written
/// by a death.
pub(super) fn read(words: &[AtomicU64]) -> Option<Vec<u8>> {
    let before = words[VERSION].load(Ordering::Acquire);
    let room = (words.len() - HEAD) * 8;
    let length = ((words[LENGTH].load(Ordering::Relaxed) & !ASIDE) as usize).min(room);
    let octets = words[HEAD..HEAD + length.div_ceil(8)].iter();
    let octets = octets.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes());
    let octets = octets.take(length).collect();
    fence(Ordering::Acquire);
    let whole = before.is_multiple_of(2) && words[VERSION].load(Ordering::Relaxed) == before;
    whole.then_some(octets)
}

/// Reads a text that is written seldom: while it is, the reader looks again, but
/// not for ever.
pub(super) fn read_patiently(words: &[AtomicU64]) -> String {
    let found = (0..TRIES).find_map(|_| read(words));
    String::from_utf8_lossy(&found.unwrap_or_default()).into_owned()
}
