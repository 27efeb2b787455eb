//! How many connections each source has, in the table of an event loop: sets of eight
//! words, a tag and a number in each, and two sets where a tag may be.
//!
//! The worker's own thread alone writes there; anybody reads.

use super::{LINE, SAID, TAG, tag};
use crate::mix::mix;
use std::sync::atomic::{AtomicU64, Ordering};

/// The two sets of a source.
fn sets_of(words: &[AtomicU64], sets: usize, source: u64) -> [&[AtomicU64]; 2] {
    let spread = mix(source);
    [spread as usize, (spread >> 32) as usize].map(|place| {
        let start = LINE + (place & (sets - 1)) * LINE;
        &words[start..start + LINE]
    })
}

/// How many connections of this source a table has.
pub(super) fn number(words: &[AtomicU64], sets: usize, source: u64) -> u32 {
    if source == 0 {
        return 0;
    }
    // It is in one place at a time.
    let found = find(sets_of(words, sets, source), source);
    found.map_or(0, |word| (word.load(Ordering::Relaxed) & SAID) as u32)
}

fn find(sets: [&[AtomicU64]; 2], source: u64) -> Option<&AtomicU64> {
    let is_of = |word: &&AtomicU64| {
        let word = word.load(Ordering::Relaxed);
        word >> TAG == tag(source) && word & SAID != 0
    };
    sets.into_iter().flatten().find(is_of)
}

/// One connection more; false where both sets are full of others. The worker's own
/// thread alone writes there.
pub(super) fn put_in(words: &[AtomicU64], sets: usize, source: u64) -> bool {
    let both = sets_of(words, sets, source);
    if let Some(word) = find(both, source) {
        let next = word.load(Ordering::Relaxed) + 1;
        let has_room = next & SAID != 0;
        if has_room {
            word.store(next, Ordering::Release);
        }
        return has_room;
    }
    let is_free = |word: &&AtomicU64| word.load(Ordering::Relaxed) & SAID == 0;
    let free = |set: &[AtomicU64]| set.iter().filter(is_free).count();
    let [one, other] = both;
    let roomier = if free(other) > free(one) { other } else { one };
    match roomier.iter().find(is_free) {
        Some(word) => {
            word.store(tag(source) << TAG | 1, Ordering::Release);
            true
        }
        None => false,
    }
}

/// One connection less.
pub(super) fn take_out(words: &[AtomicU64], sets: usize, source: u64) {
    if source != 0
        && let Some(word) = find(sets_of(words, sets, source), source)
    {
        let number = word.load(Ordering::Relaxed);
        word.store(number - 1, Ordering::Release);
    }
}
