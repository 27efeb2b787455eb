//! Numbers made of numbers and octets, so that every bit counts: for tables, for
//! tags, and for what is to be spread. Nothing here keeps a secret.

/// Turns a number into another, no two into the same: each step can be undone
/// (splitmix64). Numbers that follow each other come out far apart.
pub const fn mix(number: u64) -> u64 {
    let mut number = number.wrapping_add(ODD);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Mixes octets into a number, a word at a time: for tables in which who finds
/// two texts of one number gains nothing.
pub fn mix_in(number: u64, octets: &[u8]) -> u64 {
    let (words, rest) = octets.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let begin = number ^ (octets.len() as u64).wrapping_mul(ODD);
    // Without the last step the low bits would know the first octets of the last
    // word alone.
    mix(words.iter().chain([&last]).fold(begin, |sum, word| {
        let mixed = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        mixed ^ (mixed >> 29)
    }))
}

/// 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn texts_that_differ_in_one_octet_spread_wherever_that_is() {
        for length in 1..20 {
            for at in 0..length {
                let mut text = vec![b'x'; length];
                let mut places = BTreeSet::new();
                for octet in 0..64 {
                    text[at] = octet;
                    places.insert(mix_in(7, &text) % 64);
                }
                assert!(places.len() > 28, "octet {at} of {length}: {places:?}");
            }
        }
    }

    #[test]
    fn what_ends_with_zeros_is_another_text() {
        let texts: [&[u8]; 4] = [b"", b"\0", b"\0\0\0\0\0\0\0\0", b"\0\0\0\0\0\0\0\0\0"];
        let numbers: BTreeSet<u64> = texts.iter().map(|text| mix_in(0, text)).collect();
        assert_eq!(numbers.len(), texts.len());
    }
}
