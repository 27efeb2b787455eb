//! Files compressed as they are sent, and those that were, kept for the next
//! client.
//!
//! What is kept is bounded in octets, an overhead for each entry included; what
//! was not asked for longest goes first. The key is all that tells a version of
//! a file from another. That a file is not worth it is kept as well, so that it
//! is not tried for every client. Who asks sees to it that no file is kept
//! whose time stamp does not tell versions apart yet. A process that serves one
//! connection, as in the model fork, keeps it for that connection alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::protocol::Facts;

/// The largest file that is compressed, in octets: it is read and compressed in
/// one turn, in which an event loop serves nobody else.
pub(super) const LARGEST: u64 = 1 << 20;

/// What an entry costs besides its content, in octets, generously.
const OVERHEAD: usize = 256;

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it must be read and compressed.
    Nothing,
    /// It gets no smaller.
    Useless,
    /// This is it, compressed.
    Compressed(Arc<[u8]>),
}

/// Compressed files, shared by the threads of a worker.
#[derive(Debug)]
pub(super) struct Store {
    /// How much may be kept, in octets.
    bound: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    entries: BTreeMap<Key, Entry>,
    /// When each was asked for, the longest ago first.
    order: BTreeMap<u64, Key>,
    /// Counts what is asked.
    moment: u64,
    octets: usize,
}

/// One version of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    identity: (u64, u64),
    modified: (i64, u32),
    length: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` where it gets no smaller.
    content: Option<Arc<[u8]>>,
    moment: u64,
}

impl Entry {
    fn cost(&self) -> usize {
        self.content.as_ref().map_or(0, |content| content.len()) + OVERHEAD
    }
}

impl Store {
    /// An empty one, for at most `bound` octets.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            shelf: Mutex::default(),
        }
    }

    /// What is known of this version of a file.
    pub(super) fn look_up(&self, facts: &Facts) -> Known {
        let mut shelf = self.lock();
        let shelf = &mut *shelf;
        let key = Key::of(facts);
        let Some(entry) = shelf.entries.get_mut(&key) else {
            return Known::Nothing;
        };
        shelf.moment += 1;
        shelf.order.remove(&entry.moment);
        shelf.order.insert(shelf.moment, key);
        entry.moment = shelf.moment;
        entry
            .content
            .clone()
            .map_or(Known::Useless, Known::Compressed)
    }

    /// Compresses `content`, which is all of this version of a file, and keeps
    /// what comes of it. `None`: it gets no smaller.
    pub(super) fn compress(&self, facts: &Facts, content: &[u8]) -> Option<Arc<[u8]>> {
        let compressed: Option<Arc<[u8]>> = compress(content).map(Arc::from);
        self.keep(Key::of(facts), compressed.clone());
        compressed
    }

    fn keep(&self, key: Key, content: Option<Arc<[u8]>>) {
        let mut shelf = self.lock();
        shelf.moment += 1;
        let moment = shelf.moment;
        let entry = Entry { content, moment };
        if entry.cost() > self.bound {
            return;
        }
        shelf.octets += entry.cost();
        shelf.order.insert(moment, key);
        if let Some(before) = shelf.entries.insert(key, entry) {
            // Another thread had the same thought.
            shelf.octets -= before.cost();
            shelf.order.remove(&before.moment);
        }
        while shelf.octets > self.bound
            && let Some((_, oldest)) = shelf.order.pop_first()
        {
            if let Some(gone) = shelf.entries.remove(&oldest) {
                shelf.octets -= gone.cost();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(facts: &Facts) -> Self {
        Self {
            identity: facts.identity,
            modified: (facts.mtime, facts.mtime_nanoseconds),
            length: facts.length,
        }
    }
}

/// `None` where the result is no smaller. It has no time and no name in it, so
/// that it is the same whenever it is made.
fn compress(content: &[u8]) -> Option<Vec<u8>> {
    let out = Vec::with_capacity(content.len() / 3);
    let mut encoder = GzEncoder::new(out, Compression::default());
    // Writing to memory cannot fail.
    encoder.write_all(content).ok()?;
    let out = encoder.finish().ok()?;
    (out.len() < content.len()).then_some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::protocol::FileKind;

    fn facts(inode: u64, length: usize) -> Facts {
        Facts {
            kind: FileKind::File,
            length: length as u64,
            mtime: 2,
            mtime_nanoseconds: 3,
            identity: (1, inode),
        }
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let store = Store::new(1 << 20);
        let content = b"again and again ".repeat(1000);
        let facts = facts(1, content.len());
        assert_eq!(store.look_up(&facts), Known::Nothing);
        let compressed = store.compress(&facts, &content).unwrap();
        let mut plain = Vec::new();
        let mut reader = flate2::read::GzDecoder::new(&compressed[..]);
        reader.read_to_end(&mut plain).unwrap();
        assert_eq!(plain, content);
        assert_eq!(store.look_up(&facts), Known::Compressed(compressed));
        for other in [
            Facts { length: 1, ..facts },
            Facts { mtime: 1, ..facts },
            Facts {
                mtime_nanoseconds: 4,
                ..facts
            },
            Facts {
                identity: (2, 1),
                ..facts
            },
        ] {
            assert_eq!(store.look_up(&other), Known::Nothing);
        }
    }

    #[test]
    fn what_gets_no_smaller_is_known_for_it() {
        let store = Store::new(1000);
        assert_eq!(store.compress(&facts(1, 2), b"ab"), None);
        assert_eq!(store.look_up(&facts(1, 2)), Known::Useless);
    }

    #[test]
    fn the_bound_holds_and_the_oldest_goes() {
        let content = b"x".repeat(4096);
        let cost = compress(&content).unwrap().len() + OVERHEAD;
        let store = Store::new(3 * cost);
        for inode in 0..3 {
            store.compress(&facts(inode, 4096), &content);
        }
        assert_ne!(store.look_up(&facts(0, 4096)), Known::Nothing);
        store.compress(&facts(3, 4096), &content);
        let known = |inode| store.look_up(&facts(inode, 4096)) != Known::Nothing;
        assert_eq!([0, 1, 2, 3].map(known), [true, false, true, true]);
        for round in 0..1000 {
            store.compress(&facts(round % 7, 4096), &content);
            let shelf = store.lock();
            let sum: usize = shelf.entries.values().map(Entry::cost).sum();
            assert!(sum == shelf.octets && sum <= 3 * cost);
            assert_eq!(shelf.order.len(), shelf.entries.len());
        }
        // One that is larger than all there is room for is made, and not kept.
        let small = Store::new(cost - 1);
        assert!(small.compress(&facts(1, 4096), &content).is_some());
        assert_eq!(small.look_up(&facts(1, 4096)), Known::Nothing);
    }

    /// How long the largest takes: run by hand, in release, with --nocapture.
    #[test]
    #[ignore = "long: a measurement"]
    fn the_largest() {
        let words = [
            "alpha ",
            "beta, ",
            "{\"gamma\": ",
            "delta}\n",
            "<p>",
            "</p>",
        ];
        let mut number = 1u64;
        let mut content = Vec::new();
        while content.len() < LARGEST as usize {
            number = crate::mix::mix(number);
            content.extend_from_slice(words[(number % 6) as usize].as_bytes());
            content.extend_from_slice(format!("{:x}", number % 999).as_bytes());
        }
        let begin = std::time::Instant::now();
        let out = compress(&content).unwrap();
        println!("{} to {}: {:?}", content.len(), out.len(), begin.elapsed());
    }
}
