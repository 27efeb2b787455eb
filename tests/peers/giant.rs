//! A file of five gibibytes, nearly all of it nothing: offsets and lengths past
//! 32 bits, at the price of a few blocks.

use super::random::Random;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const SIZE: u64 = 5 << 30;
/// There is something every so many octets: an offset that is wrong shows.
const EVERY: u64 = 50_000_017;

pub(crate) fn make(path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(SIZE).unwrap();
    let mut random = Random::new(7);
    let mut at = 0;
    while at < SIZE {
        file.write_all_at(&random.octets(100), at).unwrap();
        at += EVERY;
    }
    file.write_all_at(b"end", SIZE - 3).unwrap();
}

/// Compares what comes with the file from `offset` on; answers how many octets
/// came.
pub(crate) fn compare(path: &Path, offset: u64, mut copy: impl Read) -> u64 {
    let file = File::open(path).unwrap();
    let mut position = offset;
    let (mut theirs, mut ours) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = copy.read(&mut theirs).unwrap();
        if count == 0 {
            return position - offset;
        }
        file.read_exact_at(&mut ours[..count], position).unwrap();
        assert!(theirs[..count] == ours[..count], "near octet {position}");
        position += count as u64;
    }
}
