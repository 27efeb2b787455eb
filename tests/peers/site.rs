//! The tree that all servers serve: names, sizes and times that are worth
//! asking about.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// 6 November 1994, 08:49:37 GMT: settled for every clock.
pub(crate) const LONG_AGO: u64 = 784_111_777;

/// A file of the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// Its path below the root, as the file system has it.
    pub(crate) path: &'static str,
    pub(crate) length: usize,
    /// Seconds since 1970.
    pub(crate) modified: u64,
    /// A sibling in gzip lies beside it.
    pub(crate) coded: bool,
    /// What it is made of.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Octets that do not repeat.
    Noise,
    /// Numbered lines.
    Lines,
}

const fn page(path: &'static str, length: usize, kind: Kind) -> Page {
    Page {
        path,
        length,
        modified: LONG_AGO,
        coded: false,
        kind,
    }
}

const fn coded(path: &'static str, length: usize) -> Page {
    Page {
        coded: true,
        ..page(path, length, Kind::Lines)
    }
}

/// The files that everybody may read.
pub(crate) const PAGES: &[Page] = &[
    page("index.html", 1500, Kind::Lines),
    page("a.txt", 26, Kind::Lines),
    page("empty.txt", 0, Kind::Lines),
    page("one.bin", 1, Kind::Noise),
    page("two.bin", 2, Kind::Noise),
    page("noise.bin", 70_000, Kind::Noise),
    page("block.bin", 16_384, Kind::Noise),
    page("block1.bin", 16_385, Kind::Noise),
    page("picture.png", 3_000, Kind::Noise),
    page("no-extension", 500, Kind::Lines),
    page("with space.txt", 40, Kind::Lines),
    page("\u{fc}ml\u{e4}ut \u{2603}.txt", 41, Kind::Lines),
    page("plus+and&so;on=1,2.txt", 42, Kind::Lines),
    page("percent%41.txt", 43, Kind::Lines),
    page("question?.txt", 44, Kind::Lines),
    page("hash#.txt", 45, Kind::Lines),
    page("back\\slash.txt", 46, Kind::Lines),
    page("quotes\"'<>.txt", 47, Kind::Lines),
    page("~tilde(1)!*.txt", 48, Kind::Lines),
    page("a:colon@at.txt", 49, Kind::Lines),
    page("dir/index.html", 600, Kind::Lines),
    page("dir/file.txt", 700, Kind::Lines),
    page("dir/sub dir/deep.txt", 800, Kind::Lines),
    page("bare/file.bin", 900, Kind::Noise),
    page(".well-known/security.txt", 51, Kind::Lines),
    coded("style.css", 5_000),
    coded("words.txt", 100_000),
    coded("dir/page.html", 20_000),
    Page {
        modified: 0,
        ..page("epoch.bin", 60, Kind::Noise)
    },
    Page {
        modified: 1_700_000_000,
        ..page("recent.bin", 600, Kind::Noise)
    },
    Page {
        modified: 951_782_399,
        ..page("leap.bin", 61, Kind::Noise)
    },
];

/// Files that are hidden on all servers.
pub(crate) const HIDDEN: &[&str] = &[".hidden", "...", "dir/.git/config", ".well-known/.x"];

/// Directories, without a slash at the end: with an index or not.
pub(crate) const DIRECTORIES: &[&str] = &["dir", "dir/sub dir", "bare", ".well-known"];

impl Page {
    pub(crate) fn content(&self) -> Vec<u8> {
        match self.kind {
            Kind::Noise => super::random::Random::new(self.length as u64 + 1).octets(self.length),
            Kind::Lines => lines(self.length),
        }
    }
}

fn lines(length: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0.. {
        if text.len() >= length {
            break;
        }
        let _ = writeln!(text, "line {number} of many");
    }
    text.truncate(length);
    text
}

/// Writes the tree below `root`; whoever the servers' workers are may read it.
pub(crate) fn write(root: &Path) {
    for page in PAGES {
        let path = root.join(page.path);
        put(&path, &page.content(), page.modified);
        if page.coded {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&page.content()).unwrap();
            let mut name = path.into_os_string();
            name.push(".gz");
            put(Path::new(&name), &encoder.finish().unwrap(), page.modified);
        }
    }
    for path in HIDDEN {
        put(&root.join(path), b"nobody sees this\n", LONG_AGO);
    }
    let closed = root.join("closed.txt");
    put(&closed, b"nobody may read this\n", LONG_AGO);
    std::fs::set_permissions(closed, PermissionsExt::from_mode(0o000)).unwrap();
}

/// Writes a file with a time.
pub(crate) fn put(path: &Path, content: &[u8], modified: u64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified))
        .unwrap();
}
