//! Opened files, and the few that a worker keeps open for the next client.
//!
//! A file that is kept is asked with fstat(2) whether it still is what it was,
//! once for each turn of the driver: what was written to, replaced, renamed,
//! unlinked or had its permissions changed has another change time, and is
//! opened anew. What fstat cannot see shows after 0.1 s, when the
//! path is walked anew and the content read again: that a directory above the
//! file became another one, and what was written through a shared mapping, which
//! leaves the times alone until it is written back (mmap(2)). A path with a
//! symbolic link in it may lead elsewhere at any moment, and is never kept.
//!
//! The content of small files is kept too, from the second time that it was
//! asked for, so that whoever reads a whole site once does not push out what
//! others come for. It is kept only if the file's times tell this version from
//! the next one.
//!
//! All of it is bounded: so many files, none larger than 1 MiB, so that a
//! deleted one does not hold much of the disk, and 16 KiB of content each. A
//! worker that runs out of descriptors gives these up first.

use super::effects::{Roots, Stamp};
use crate::calendar::Wall;
use crate::mix::mix_in;
use crate::protocol::{Facts, FileKind, OpenError};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The largest file that is kept open, in octets.
pub const LARGEST: u64 = 1 << 20;
/// The largest file whose content is kept, in octets.
pub const SMALL: u64 = 16 * 1024;
/// How old a change must be for the next one to have another time, in seconds:
/// the coarsest time stamps in use count in two.
const SETTLED: i64 = 3;
/// Places that a path may be kept at.
const WAYS: usize = 4;

/// What a worker opens files through.
#[derive(Debug)]
pub struct Files {
    roots: Roots,
    /// `None` where no file is kept.
    kept: Option<Kept>,
}

/// A file, directory or other object that is open.
#[derive(Debug)]
pub struct Opened {
    /// The object.
    pub file: File,
    stamp: Stamp,
    /// It was asked for before.
    again: AtomicBool,
    content: OnceLock<Box<[u8]>>,
}

/// The files that are kept, in a table of sets of [`WAYS`] places: whatever
/// paths come, looking one up costs the same.
#[derive(Debug)]
struct Kept {
    /// Not known to anybody, so that nobody can choose paths that share a set.
    seed: u64,
    /// Empty until the first is kept: a worker that serves nobody has no use for it.
    places: Mutex<Box<[Option<Place>]>>,
    sets: usize,
}

#[derive(Debug)]
struct Place {
    root: usize,
    path: Box<[u8]>,
    opened: Arc<Opened>,
    /// When the path is to be walked anew …
    stale: Instant,
    /// … and when the file was last asked what it is.
    checked: Instant,
}

impl Files {
    /// Opens below `roots`, and keeps at most `most` files open, rounded up to
    /// full sets; 0 keeps none.
    pub fn new(roots: Roots, most: usize) -> Self {
        let sets = most.div_ceil(WAYS);
        let kept = (sets > 0).then(|| Kept {
            seed: RandomState::new().hash_one(most),
            places: Mutex::default(),
            sets,
        });
        Self { roots, kept }
    }

    /// What files are opened below.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// What [`Files::open`] would open, if it is kept; `now` is when this turn
    /// of the driver began. This does not wait for a disk or a network.
    pub fn kept(&self, root: usize, path: &[u8], now: Instant) -> Option<Arc<Opened>> {
        self.kept.as_ref()?.look_up(root, path, now)
    }

    /// As [`Roots::find`], and perhaps keeps what it found.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub fn open(&self, root: usize, path: &[u8], now: Instant) -> Result<Arc<Opened>, OpenError> {
        let (opened, lasting) = match self.find(root, path) {
            Err(OpenError::Exhausted) if self.give_up() => self.find(root, path)?,
            found => found?,
        };
        let facts = opened.facts();
        if let Some(kept) = &self.kept
            && lasting
            && facts.kind == FileKind::File
            && facts.length <= LARGEST
        {
            kept.keep(root, path, &opened, now);
        }
        Ok(opened)
    }

    /// Closes what is kept; whether there was anything.
    pub fn give_up(&self) -> bool {
        let Some(kept) = &self.kept else { return false };
        let mut places = kept.lock();
        let any = places.iter().any(Option::is_some);
        places.fill_with(|| None);
        any
    }

    /// What is at a path, and whether the way there is sure to last a moment.
    fn find(&self, root: usize, path: &[u8]) -> Result<(Arc<Opened>, bool), OpenError> {
        let found = self.roots.find(root, path)?;
        let opened = Opened {
            file: found.file,
            stamp: found.stamp,
            again: AtomicBool::new(false),
            content: OnceLock::new(),
        };
        Ok((Arc::new(opened), !found.linked))
    }
}

impl Opened {
    /// What it was when it was opened.
    pub fn facts(&self) -> Facts {
        self.stamp.facts
    }

    /// Whether reading does not wait for a disk or a network.
    pub fn is_in_memory(&self) -> bool {
        self.content.get().is_some()
    }

    /// So many octets from `offset` on, if they are in memory.
    pub fn held(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let begin = usize::try_from(offset).ok()?;
        let length = usize::try_from(length).ok()?;
        self.content.get()?.get(begin..)?.get(..length)
    }

    /// Fills `into` with what is at `offset`; `None` where the file is shorter
    /// than it was. `wall` says whether the content may be kept.
    pub fn read(&self, into: &mut [u8], offset: u64, wall: &Wall) -> Option<()> {
        if self.is_in_memory() {
            into.copy_from_slice(self.held(offset, into.len() as u64)?);
            return Some(());
        }
        self.file.read_exact_at(into, offset).ok()?;
        let whole = offset == 0 && into.len() as u64 == self.stamp.facts.length;
        if whole
            && into.len() as u64 <= SMALL
            && self.again.load(Ordering::Relaxed)
            && self.stamp.latest() + SETTLED <= wall.unix
            // Nothing happened to it while it was read.
            && Stamp::of(&self.file).is_ok_and(|stamp| stamp == self.stamp)
        {
            // Two threads at once have read the same.
            let _ = self.content.set(Box::from(&*into));
        }
        Some(())
    }
}

impl Place {
    /// How long a path is taken to lead where it led.
    const FRESH: Duration = Duration::from_millis(100);

    fn is(&self, root: usize, path: &[u8]) -> bool {
        self.root == root && *self.path == *path
    }
}

impl Kept {
    /// The file at this path, if it is kept and still what it was.
    fn look_up(&self, root: usize, path: &[u8], now: Instant) -> Option<Arc<Opened>> {
        let mut places = self.lock();
        if places.is_empty() {
            return None;
        }
        let mut set = self.set(&mut places, root, path).iter_mut();
        let place = set.find(|place| place.as_ref().is_some_and(|place| place.is(root, path)))?;
        let kept = place.as_mut()?;
        if now >= kept.stale {
            // Its place says that it was asked for before.
            return None;
        }
        if kept.checked != now {
            if !Stamp::of(&kept.opened.file).is_ok_and(|stamp| stamp == kept.opened.stamp) {
                *place = None;
                return None;
            }
            kept.checked = now;
        }
        kept.opened.again.store(true, Ordering::Relaxed);
        Some(Arc::clone(&kept.opened))
    }

    /// Keeps what was opened, in the place of what was kept under this path.
    fn keep(&self, root: usize, path: &[u8], opened: &Arc<Opened>, now: Instant) {
        let mut places = self.lock();
        if places.is_empty() {
            *places = (0..self.sets * WAYS).map(|_| None).collect();
        }
        // Its own place, else one that is free, else the one not used longest.
        let set = self.set(&mut places, root, path);
        let victim = set.iter_mut().min_by_key(|place| match place {
            Some(place) if place.is(root, path) => (0, None),
            None => (1, None),
            Some(place) => (2, Some(place.checked)),
        });
        let Some(victim) = victim else { return };
        let again = matches!(victim, Some(place) if place.is(root, path));
        opened.again.store(again, Ordering::Relaxed);
        *victim = Some(Place {
            root,
            path: path.into(),
            opened: Arc::clone(opened),
            stale: now + Place::FRESH,
            checked: now,
        });
    }

    fn set<'p>(
        &self,
        places: &'p mut [Option<Place>],
        root: usize,
        path: &[u8],
    ) -> &'p mut [Option<Place>] {
        let number = mix_in(self.seed ^ root as u64, path) as usize % self.sets;
        &mut places[number * WAYS..][..WAYS]
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Option<Place>]>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::effects::Links;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    /// A root with a file `a`, and time that is moved by hand.
    struct Site {
        directory: tempfile::TempDir,
        files: Files,
        now: Instant,
    }

    impl Site {
        fn new(most: usize) -> Self {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("a"), "one").unwrap();
            let roots = Roots::open([(directory.path(), Links::Beneath)]).unwrap();
            Self {
                files: Files::new(roots, most),
                directory,
                now: Instant::now(),
            }
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join(name)
        }

        /// What the next turn of a driver finds.
        fn find(&mut self, name: &str) -> Result<Arc<Opened>, OpenError> {
            self.now += Duration::from_millis(1);
            let path = name.as_bytes();
            match self.files.kept(0, path, self.now) {
                Some(opened) => Ok(opened),
                None => self.files.open(0, path, self.now),
            }
        }

        fn text(&mut self, name: &str) -> String {
            let opened = self.find(name).unwrap();
            let mut text = vec![0; opened.facts().length as usize];
            opened.read(&mut text, 0, &late()).unwrap();
            String::from_utf8(text).unwrap()
        }

        fn kept(&self) -> usize {
            let kept = self.files.kept.as_ref().unwrap();
            let places = kept.lock();
            places.iter().flatten().count()
        }
    }

    /// A time at which whatever the test wrote is settled.
    fn late() -> Wall {
        let mut wall = crate::sys::clock::wall();
        wall.unix += 60;
        wall
    }

    #[test]
    fn a_file_is_opened_once() {
        let mut site = Site::new(8);
        let first = site.find("a").unwrap();
        assert!(Arc::ptr_eq(&first, &site.find("a").unwrap()));
        assert_eq!(site.text("a"), "one");
        assert!(first.is_in_memory());
        // The path is walked anew, and the content read again at once.
        site.now += Place::FRESH;
        assert!(!Arc::ptr_eq(&first, &site.find("a").unwrap()));
        assert_eq!(site.text("a"), "one");
        assert!(site.find("a").unwrap().is_in_memory());
        assert!(site.files.give_up());
        assert_eq!(site.text("a"), "one");
        assert!(!site.find("a").unwrap().is_in_memory());
        assert!(site.files.give_up() && !site.files.give_up());
    }

    #[test]
    fn what_was_changed_is_seen_at_once() {
        type Change = fn(&Path);
        let changes: [(Change, &str); 6] = [
            (|a| std::fs::write(a, "two").unwrap(), "two"),
            (|a| std::fs::write(a, "longer").unwrap(), "longer"),
            (
                |a| {
                    std::fs::write(a.with_file_name("b"), "new").unwrap();
                    std::fs::rename(a.with_file_name("b"), a).unwrap();
                },
                "new",
            ),
            (
                |a| {
                    std::fs::rename(a, a.with_file_name("b")).unwrap();
                    std::fs::write(a, "other").unwrap();
                },
                "other",
            ),
            (
                |a| {
                    std::fs::remove_file(a).unwrap();
                    symlink("b", a).unwrap();
                    std::fs::write(a.with_file_name("b"), "linked").unwrap();
                },
                "linked",
            ),
            (
                |a| std::fs::set_permissions(a, std::fs::Permissions::from_mode(0o600)).unwrap(),
                "one",
            ),
        ];
        for (number, (change, expected)) in changes.into_iter().enumerate() {
            let mut site = Site::new(8);
            let before = site.find("a").unwrap();
            for _ in 0..2 {
                assert_eq!(site.text("a"), "one");
            }
            assert!(before.content.get().is_some());
            // Until the clock of the file system has moved on, two changes have one time.
            let written = before.stamp;
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                std::fs::write(site.path("clock"), "").unwrap();
                let clock = File::open(site.path("clock")).unwrap();
                if Stamp::of(&clock).unwrap().changed() > written.changed() {
                    break;
                }
            }
            change(&site.path("a"));
            assert_eq!(site.text("a"), expected, "change {number}");
            assert!(!Arc::ptr_eq(&before, &site.find("a").unwrap()));
        }
        let mut site = Site::new(8);
        site.find("a").unwrap();
        std::fs::remove_file(site.path("a")).unwrap();
        assert_eq!(site.find("a").unwrap_err(), OpenError::NotFound);
    }

    #[test]
    fn a_directory_that_became_another_is_seen_soon() {
        let mut site = Site::new(8);
        for (name, text) in [("d", "old"), ("e", "new")] {
            std::fs::create_dir(site.path(name)).unwrap();
            std::fs::write(site.path(name).join("f"), text).unwrap();
        }
        assert_eq!(site.text("d/f"), "old");
        std::fs::rename(site.path("d"), site.path("gone")).unwrap();
        std::fs::rename(site.path("e"), site.path("d")).unwrap();
        assert_eq!(site.text("d/f"), "old");
        site.now += Place::FRESH;
        assert_eq!(site.text("d/f"), "new");
        assert_eq!(site.kept(), 1);
    }

    #[test]
    fn a_path_over_a_link_is_never_kept() {
        let mut site = Site::new(8);
        std::fs::create_dir(site.path("d")).unwrap();
        std::fs::write(site.path("d/f"), "text").unwrap();
        symlink("d", site.path("link")).unwrap();
        symlink("a", site.path("file")).unwrap();
        for path in ["link/f", "file", "d", "missing"] {
            let _ = site.find(path);
        }
        assert_eq!(site.kept(), 0);
        assert_eq!(site.text("link/f"), "text");
        std::fs::remove_file(site.path("link")).unwrap();
        symlink("../..", site.path("link")).unwrap();
        assert_eq!(site.find("link/f").unwrap_err(), OpenError::Escapes);
    }

    #[test]
    fn content_is_kept_from_the_second_time_and_if_settled() {
        let mut site = Site::new(8);
        let young = Wall {
            unix: site.find("a").unwrap().stamp.latest() + SETTLED - 1,
            ..late()
        };
        let mut room = [0; 3];
        let opened = site.find("a").unwrap();
        opened.read(&mut room, 0, &young).unwrap();
        assert!(opened.content.get().is_none(), "young");
        site.files.give_up();
        let opened = site.find("a").unwrap();
        opened.read(&mut room, 0, &late()).unwrap();
        assert!(opened.content.get().is_none(), "the first time");
        let opened = site.find("a").unwrap();
        opened.read(&mut room[..2], 1, &late()).unwrap();
        assert!(opened.content.get().is_none(), "a part");
        opened.read(&mut room, 0, &late()).unwrap();
        assert_eq!(**opened.content.get().unwrap(), *b"one");
        assert_eq!(opened.read(&mut room[..2], 1, &late()), Some(()));
        assert_eq!(&room, b"nee");
        // Past its end is past its end, in memory as well.
        for (offset, length) in [(0, 4), (2, 2), (9, 1)] {
            let mut room = vec![0; length];
            assert_eq!(opened.read(&mut room, offset, &late()), None);
        }
    }

    #[test]
    fn names_that_differ_at_their_end_do_not_share_a_set() {
        let mut site = Site::new(4096);
        for number in 0..10 {
            let name = format!("page-0{number}");
            std::fs::write(site.path(&name), &name).unwrap();
            assert_eq!(site.text(&name), name);
        }
        assert_eq!(site.kept(), 10);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut site = Site::new(6);
        for number in 0..100 {
            let name = format!("f{number}");
            std::fs::write(site.path(&name), &name).unwrap();
            assert_eq!(site.text(&name), name);
        }
        // Full sets of four.
        assert!((4..=8).contains(&site.kept()), "{}", site.kept());
        let large = File::create(site.path("large")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        site.files.give_up();
        site.find("large").unwrap();
        assert_eq!(site.kept(), 0);
        large.set_len(LARGEST).unwrap();
        site.find("large").unwrap();
        assert_eq!(site.kept(), 1);
        let mut none = Site::new(0);
        assert!(!Arc::ptr_eq(
            &none.find("a").unwrap(),
            &none.find("a").unwrap()
        ));
        assert!(!none.files.give_up());
    }
}
