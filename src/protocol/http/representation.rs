//! A file as it is sent: the one value from which every answer about it is
//! made, 200, 206, 304 and those to HEAD alike.
//!
//! The entity tag is a mixture of inode number, size and time of modification
//! in nanoseconds, and the name of the coding. One more write gives another
//! time, and with all else equal another time gives another tag for certain.
//! The device is left out: it may have another number after a reboot.
//!
//! A tag is weak while two writes could have got the same time stamp. The
//! kernel stamps with the clock of its last tick, 10 ms at most; but there are
//! file systems that keep whole seconds, and FAT keeps two. So a file must be
//! [`SETTLED`] older than the answer before its tag, or its date, is taken for
//! a promise about each octet (RFC 9110 §8.8.1). One that is from the future is
//! no older at all: its clock is not ours.

use std::fmt;

use super::coding::Coding;
use super::mime::Media;
use super::put::{Hex, Put};
use crate::mix::mix;
use crate::protocol::{Facts, Wall};

/// The age, in nanoseconds, from which on a file's time stamp tells versions
/// apart.
const SETTLED: i128 = 2_000_000_000;

/// A file as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Representation {
    /// Its media type.
    pub(super) media: Media,
    /// Its size in octets, coded as it is sent.
    pub(super) length: u64,
    /// Seconds since 1970; `None` where the time stamp means nothing.
    pub(super) last_modified: Option<i64>,
    /// Its entity tag.
    pub(super) tag: Tag,
    /// Other requests may get other codings: Vary.
    pub(super) negotiable: bool,
    /// Whether parts of it can be had: of what is coded on the fly they cannot.
    pub(super) in_parts: bool,
}

impl Representation {
    /// Describes an opened file.
    pub(super) fn of(facts: &Facts, media: Media, coding: Coding, wall: &Wall) -> Self {
        Self {
            media,
            length: facts.length,
            // Reproducible archives and package stores set 0 or 1: no date at all.
            // RFC 9110 §8.8.2.1: never later than the answer itself.
            last_modified: (facts.mtime > 1).then(|| facts.mtime.min(wall.unix)),
            tag: Tag {
                value: mixture(facts),
                coding,
                weak: !is_settled(facts, wall),
            },
            negotiable: false,
            in_parts: true,
        }
    }

    /// Its coding.
    pub(super) fn coding(&self) -> Coding {
        self.tag.coding
    }

    /// Whether tag and date are strong validators (RFC 9110 §8.8.1, §8.8.2.2).
    pub(super) fn is_settled(&self) -> bool {
        !self.tag.weak
    }
}

/// An entity tag of ours (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    value: u64,
    coding: Coding,
    weak: bool,
}

impl Tag {
    /// The longest opaque part, quotes included, in octets.
    const LONGEST: usize = 32;

    /// Whether the opaque part, quotes included, is ours.
    pub(super) fn is_opaque(self, theirs: &[u8]) -> bool {
        let (ours, length) = self.opaque();
        ours[..length] == *theirs
    }

    /// Whether it is equal under the strong comparison (RFC 9110 §8.8.3.2) to
    /// one that has this opaque part, and is `weak` or not.
    pub(super) fn is_strongly(self, weak: bool, theirs: &[u8]) -> bool {
        !self.weak && !weak && self.is_opaque(theirs)
    }

    /// A number that goes with the version of the file, for the boundary of parts.
    pub(super) fn value(self) -> u64 {
        self.value
    }

    /// The tag without the mark of the weak: so many octets.
    fn opaque(self) -> ([u8; Self::LONGEST], usize) {
        let mut text = [b'"'; Self::LONGEST];
        text[1..17].copy_from_slice(&Hex(self.value).digits());
        let mut length = 17;
        if let Some(coding) = self.coding.name() {
            text[length] = b'-';
            text[length + 1..][..coding.len()].copy_from_slice(coding.as_bytes());
            length += 1 + coding.len();
        }
        (text, length + 1)
    }
}

impl Put for Tag {
    fn put(self, out: &mut Vec<u8>) {
        if self.weak {
            "W/".put(out);
        }
        let (text, length) = self.opaque();
        out.extend_from_slice(&text[..length]);
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(Self::LONGEST);
        self.put(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

fn is_settled(facts: &Facts, wall: &Wall) -> bool {
    let nanoseconds =
        |seconds: i64, more: u32| i128::from(seconds) * 1_000_000_000 + i128::from(more);
    nanoseconds(wall.unix, wall.nanoseconds) - nanoseconds(facts.mtime, facts.mtime_nanoseconds)
        >= SETTLED
}

/// The last step is one to one: of two versions with the same inode and size
/// but another time, in any 584 years, no two have the same.
fn mixture(facts: &Facts) -> u64 {
    let (_, inode) = facts.identity;
    let seconds = (facts.mtime as u64).wrapping_mul(1_000_000_000);
    let time = seconds.wrapping_add(u64::from(facts.mtime_nanoseconds));
    mix(mix(mix(inode) ^ facts.length) ^ time)
}

#[cfg(test)]
mod tests {
    use super::super::super::harness::WALL;
    use super::*;
    use crate::protocol::FileKind;

    const FACTS: Facts = Facts {
        kind: FileKind::File,
        length: 3,
        mtime: 1_000_000_000,
        mtime_nanoseconds: 7,
        identity: (1, 2),
    };

    fn of(facts: Facts) -> Representation {
        Representation::of(&facts, Media::UNKNOWN, Coding::Identity, &WALL)
    }

    #[test]
    fn time_stamps_that_mean_nothing_are_left_out() {
        let modified = |mtime| of(Facts { mtime, ..FACTS }).last_modified;
        assert_eq!(modified(1_000_000_000), Some(1_000_000_000));
        assert_eq!(modified(2), Some(2));
        assert_eq!(modified(1), None);
        assert_eq!(modified(0), None);
        assert_eq!(modified(-1), None);
        // Rule 92.
        assert_eq!(modified(WALL.unix + 5), Some(WALL.unix));
    }

    #[test]
    fn another_version_has_another_tag() {
        let (dev, ino) = FACTS.identity;
        let versions = [
            FACTS,
            Facts { length: 4, ..FACTS },
            Facts {
                mtime: 1_000_000_001,
                ..FACTS
            },
            Facts {
                mtime_nanoseconds: 8,
                ..FACTS
            },
            Facts {
                identity: (dev, ino + 1),
                ..FACTS
            },
        ];
        let mut tags: Vec<String> = versions
            .iter()
            .map(|facts| of(*facts).tag.to_string())
            .collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstandard] {
            let file = Representation::of(&FACTS, Media::UNKNOWN, coding, &WALL);
            tags.push(file.tag.to_string());
        }
        assert!(
            tags.iter()
                .all(|tag| tag.starts_with('"') && tag.ends_with('"'))
        );
        let count = tags.len();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), count);
        // After a reboot the device may be called otherwise.
        let moved = of(Facts {
            identity: (dev + 1, ino),
            ..FACTS
        });
        assert_eq!(moved.tag, of(FACTS).tag);
    }

    #[test]
    fn a_tag_is_weak_while_the_file_is_young() {
        let at = |seconds_ago: i64, mtime_nanoseconds| {
            let mtime = WALL.unix - seconds_ago;
            of(Facts {
                mtime,
                mtime_nanoseconds,
                ..FACTS
            })
            .tag
            .to_string()
        };
        // The answer is a quarter of a second past its second.
        assert!(at(0, 0).starts_with("W/\""));
        assert!(at(1, 0).starts_with("W/\""));
        assert!(at(2, 250_000_001).starts_with("W/\""));
        assert!(at(2, 250_000_000).starts_with('"'));
        assert!(at(-3600, 0).starts_with("W/\""));
        // An epoch of 0 is old, and has a tag all the same.
        assert!(at(WALL.unix, 0).starts_with('"'));
    }

    #[test]
    fn tags_are_recognised() {
        let file = Representation::of(&FACTS, Media::UNKNOWN, Coding::Zstandard, &WALL);
        let text = file.tag.to_string();
        assert_eq!(text.len(), 23);
        assert!(file.tag.is_opaque(text.as_bytes()));
        assert!(!file.tag.is_opaque(of(FACTS).tag.to_string().as_bytes()));
        assert!(!file.tag.is_opaque(b"") && !file.tag.is_opaque(&[b'"'; 100]));
        assert!(file.tag.is_strongly(false, text.as_bytes()));
        assert!(!file.tag.is_strongly(true, text.as_bytes()));
    }
}
