//! The variants of a file: what may be sent in its place to a client that
//! accepts a coding.
//!
//! Beside `a.css` there may be `a.css.zst`, `a.css.br` and `a.css.gz`. Only
//! what can gain from it is negotiated: text and its like, and what is of no
//! known type; a picture has no variants. Such a file says `Vary` in each of
//! its answers, whatever lies beside it at the moment: a cache must not be wrong
//! when a sibling appears.
//!
//! A sibling must be a regular file, below the root like any other, and not
//! older than its file, in whole seconds: nginx, Apache and h2o do not look at
//! the time, and go on sending what a file was before it was edited.
//!
//! A sibling is opened below the same root as its file, and so under the same
//! policy for symbolic links. Looking costs an openat2(2) a coding. That there
//! was none is remembered until the second is over, so that a file without
//! siblings costs at most one look a second, and a sibling that appears is found
//! within one. What is remembered is about a path below a root: the same file may
//! have siblings under another name, or below a root with another policy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::coding::Coding;
use super::gzip::{self, Known, Store};
use super::mime::{Media, Types};
use crate::config::Http;
use crate::mix::mix_in;
use crate::protocol::{Facts, FileKind, Wall};

/// What the settings say of variants, and what was learnt of files.
#[derive(Debug)]
pub(super) struct Variants {
    pub(super) types: Types,
    /// Whether siblings are looked for.
    precompressed: bool,
    /// Whether files are compressed on the fly, from which size on, and what
    /// came of it.
    gzip: Option<(u64, Store)>,
    absences: Absences,
}

impl Variants {
    /// With these settings.
    pub(super) fn new(settings: &Http) -> Self {
        Self {
            types: Types::new(settings.mime_types.as_ref(), settings.charset.clone()),
            precompressed: settings.precompressed,
            gzip: settings
                .gzip
                .then(|| (settings.gzip_min_size, Store::new(settings.gzip_cache))),
            absences: Absences::default(),
        }
    }

    /// Whether a file of this type can come in several codings.
    pub(super) fn is_negotiable(&self, media: Media) -> bool {
        let compressible = self.types.is_compressible(media);
        (self.precompressed && (compressible || media == Media::UNKNOWN))
            || (self.gzip.is_some() && compressible)
    }

    /// Whether to look for the sibling in this coding of a file that was found
    /// at `place`, a root's number and a path below it.
    pub(super) fn has_sibling(&self, place: (usize, &[u8]), coding: Coding, wall: &Wall) -> bool {
        self.precompressed && !self.absences.has(place, coding, wall)
    }

    /// There was no such sibling.
    pub(super) fn note_absence(&self, place: (usize, &[u8]), coding: Coding, wall: &Wall) {
        self.absences.add(place, coding, wall);
    }

    /// What to do about compressing an opened file: `None` if it is not to be.
    /// A file that is too young to be told from its next version is not.
    pub(super) fn compressed(&self, facts: &Facts, media: Media, settled: bool) -> Option<Known> {
        let (least, store) = self.gzip.as_ref()?;
        let fits = (*least.max(&1)..=gzip::LARGEST).contains(&facts.length);
        if !fits || !settled || !self.types.is_compressible(media) {
            return None;
        }
        match store.look_up(facts) {
            Known::Useless => None,
            known @ (Known::Nothing | Known::Compressed(_)) => Some(known),
        }
    }

    /// Compresses the whole content of an opened file; `None` where that is no
    /// gain.
    pub(super) fn compress(&self, facts: &Facts, content: &[u8]) -> Option<Arc<[u8]>> {
        let (_, store) = self.gzip.as_ref()?;
        store.compress(facts, content)
    }
}

/// Whether what was found under the sibling's name may be sent for the file.
pub(super) fn is_sibling(file: &Facts, sibling: &Facts) -> bool {
    sibling.kind == FileKind::File && sibling.mtime >= file.mtime
}

/// Siblings that were not there, each for the rest of its second. A slot is
/// shared by many files, and belongs to the one that was noted last:
///
/// ```text
/// │ root and path, 29 bits │ second, 32 bits │ codings, 3 bits │
/// ```
///
/// Two files that are taken for one cost nothing but a sibling that is not
/// looked for, until the second is over.
///
/// A worker that never looks for one has no memory for it.
#[derive(Debug, Default)]
struct Absences(OnceLock<Box<[AtomicU64]>>);

impl Absences {
    const SLOTS: usize = 1024;
    const CODINGS: u64 = 0b111;

    fn has(&self, place: (usize, &[u8]), coding: Coding, wall: &Wall) -> bool {
        let Some(slots) = self.0.get() else {
            return false;
        };
        let (slot, label) = Self::slot(place, wall);
        let found = slots[slot].load(Ordering::Relaxed);
        found & !Self::CODINGS == label && found & u64::from(coding.bit()) != 0
    }

    fn add(&self, place: (usize, &[u8]), coding: Coding, wall: &Wall) {
        let slots = self
            .0
            .get_or_init(|| (0..Self::SLOTS).map(|_| AtomicU64::new(0)).collect());
        let (slot, label) = Self::slot(place, wall);
        let found = slots[slot].load(Ordering::Relaxed);
        let known = if found & !Self::CODINGS == label {
            found
        } else {
            label
        };
        // Two threads at once: one of two absences is looked for again.
        slots[slot].store(known | u64::from(coding.bit()), Ordering::Relaxed);
    }

    /// The slot of a place, and what it holds now if it is about this place.
    fn slot((root, path): (usize, &[u8]), wall: &Wall) -> (usize, u64) {
        let file = mix_in(root as u64, path);
        let second = u64::from(wall.unix as u32);
        let label = (file >> 35) << 35 | second << 3;
        (file as usize % Self::SLOTS, label)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::harness::WALL;
    use super::super::pretend::settings;
    use super::*;

    fn facts(inode: u64) -> Facts {
        Facts {
            kind: FileKind::File,
            length: 5000,
            mtime: 100,
            mtime_nanoseconds: 5,
            identity: (1, inode),
        }
    }

    #[test]
    fn an_absence_is_known_for_a_second() {
        let absences = Absences::default();
        let one = (0, &b"dir/page.html"[..]);
        absences.add(one, Coding::Gzip, &WALL);
        assert!(absences.has(one, Coding::Gzip, &WALL));
        assert!(!absences.has(one, Coding::Brotli, &WALL));
        // Neither a neighbour nor another root's file of this name.
        for other in [(0, &b"dir/page.htm"[..]), (1, one.1), (0, b"")] {
            assert!(!absences.has(other, Coding::Gzip, &WALL));
        }
        absences.add(one, Coding::Brotli, &WALL);
        assert!(absences.has(one, Coding::Gzip, &WALL));
        let mut later = WALL;
        later.unix += 1;
        assert!(!absences.has(one, Coding::Gzip, &later));
    }

    #[test]
    fn what_is_negotiated_depends_on_the_type() {
        let variants = |precompressed, gzip| {
            Variants::new(&Http {
                precompressed,
                gzip,
                ..settings()
            })
        };
        for (precompressed, gzip, text, unknown, picture) in [
            (true, false, true, true, false),
            (false, true, true, false, false),
            (true, true, true, true, false),
            (false, false, false, false, false),
        ] {
            let variants = variants(precompressed, gzip);
            let is_negotiable = |name: &str| {
                let media = variants.types.of(name.as_bytes());
                variants.is_negotiable(media)
            };
            assert_eq!(
                ["a.txt", "a", "a.png"].map(is_negotiable),
                [text, unknown, picture]
            );
        }
    }

    #[test]
    fn only_files_of_a_fitting_size_and_age_are_compressed() {
        let variants = Variants::new(&Http {
            gzip: true,
            gzip_min_size: 1000,
            ..settings()
        });
        let text = variants.types.of(b"a.txt");
        let fits = |length, media, settled| {
            let facts = Facts { length, ..facts(1) };
            variants.compressed(&facts, media, settled).is_some()
        };
        assert!(fits(1000, text, true) && fits(gzip::LARGEST, text, true));
        assert!(!fits(999, text, true) && !fits(gzip::LARGEST + 1, text, true));
        assert!(!fits(1000, text, false));
        assert!(!fits(1000, variants.types.of(b"a.png"), true));
        assert!(!fits(1000, Media::UNKNOWN, true));
    }

    #[test]
    fn a_sibling_is_a_file_and_not_older() {
        let file = facts(1);
        assert!(is_sibling(&file, &facts(2)));
        let same_second = Facts {
            mtime_nanoseconds: 0,
            ..facts(2)
        };
        assert!(is_sibling(&file, &same_second));
        assert!(!is_sibling(
            &file,
            &Facts {
                mtime: 99,
                ..facts(2)
            }
        ));
        let directory = Facts {
            kind: FileKind::Directory,
            ..facts(2)
        };
        assert!(!is_sibling(&file, &directory));
    }
}
