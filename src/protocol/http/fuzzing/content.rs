//! The chunked coding, both ways.

use super::super::body::{Decoder, Framing};
use super::super::cgi::framing::Body;
use super::super::status::Refusal;
use super::{client, shown};
use crate::protocol::{Input, Output};

/// What the content may have, in octets.
const LIMIT: u64 = 300;
/// Up to so many octets of input cannot have too many of extensions.
const SHORT: usize = 4096;

/// The content, how many octets the message takes, and whether that is all.
type Decoded = Result<(Vec<u8>, usize, bool), Refusal>;

/// Octets that are to be chunked content, and whatever follows it: however
/// they are cut, they come to the same, which is what the grammar says.
pub fn chunked(octets: &[u8]) {
    let whole = decode(octets, octets.len().max(1), LIMIT);
    for size in [1, 2, 3, 7, 16] {
        assert_eq!(decode(octets, size, LIMIT), whole, "{size} at a time");
    }
    if let Ok((content, used, complete)) = &whole {
        assert!(content.len() as u64 <= LIMIT && used + content.len() <= 2 * octets.len());
        assert!(*complete || *used == octets.len());
    }
    if octets.len() <= SHORT {
        let decoded = match &whole {
            Ok((content, used, true)) => Some((content.clone(), *used)),
            Ok((_, _, false)) | Err(_) => None,
        };
        assert_eq!(decoded, read_slowly(octets), "{}", shown(octets));
    }
    assert_round_trip(octets);
}

fn decode(octets: &[u8], size: usize, limit: u64) -> Decoded {
    let mut decoder = Decoder::new(Framing::Chunked, limit)?.expect("chunks have a decoder");
    let (mut content, mut used) = (Vec::new(), 0);
    for segment in octets.chunks(size) {
        let mut rest = segment;
        while !rest.is_empty() {
            let progress = decoder.proceed(rest, limit)?;
            assert!(progress.consumed > 0 || progress.complete, "no progress");
            assert!(progress.content.end <= progress.consumed);
            content.extend_from_slice(&rest[progress.content]);
            used += progress.consumed;
            rest = &rest[progress.consumed..];
            if progress.complete {
                return Ok((content, used, true));
            }
        }
    }
    Ok((content, used, false))
}

/// The same by the grammar of RFC 9112 §7.1, line by line; `None` for all that
/// is not a whole message of at most [`LIMIT`] octets of content.
fn read_slowly(octets: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut content = Vec::new();
    let mut at = 0;
    loop {
        let line = take_line(octets, &mut at)?;
        let mut parts = line.splitn(2, |&byte| byte == b';');
        let size = parts.next()?;
        let extension = parts.next();
        // Bad white space may stand before an extension, and there alone.
        let blank = |byte: &&u8| extension.is_some() && matches!(byte, b' ' | b'\t');
        let size = &size[..size.len() - size.iter().rev().take_while(blank).count()];
        let digits = std::str::from_utf8(size).ok()?;
        if !(1..=16).contains(&digits.len()) || !digits.bytes().all(|one| one.is_ascii_hexdigit()) {
            return None;
        }
        if extension.is_some_and(|extension| !is_text(extension)) {
            return None;
        }
        let size = u64::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            break;
        }
        if size.checked_add(content.len() as u64)? > LIMIT {
            return None;
        }
        let end = at.checked_add(usize::try_from(size).ok()?)?;
        content.extend_from_slice(octets.get(at..end)?);
        if octets.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        at = end + 2;
    }
    loop {
        let line = take_line(octets, &mut at)?;
        if line.is_empty() {
            return Some((content, at));
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if colon == 0 || !line[..colon].iter().all(is_token) || !is_text(&line[colon..]) {
            return None;
        }
    }
}

fn take_line<'a>(octets: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = octets.get(*at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *at += end + 2;
    Some(&rest[..end])
}

fn is_text(octets: &[u8]) -> bool {
    octets
        .iter()
        .all(|&byte| byte == b'\t' || byte > 0x1f && byte != 0x7f)
}

/// What we put into chunks is what everybody takes out of them.
fn assert_round_trip(content: &[u8]) {
    let (mut from, mut to) = (Input::default(), Output::default());
    let mut body = Body::Chunked;
    for part in content.chunks(13) {
        from.push(part);
        assert_eq!(body.forward(&mut from, &mut to), part.len() as u64);
    }
    assert!(body.finish(&mut to));
    let length = to.len();
    let decoded = decode(to.unsent(), usize::MAX, content.len() as u64);
    assert_eq!(decoded, Ok((content.to_vec(), length, true)));
    let mut read = Vec::new();
    assert_eq!(client::read_chunks(to.unsent(), &mut read), Some(&b""[..]));
    assert_eq!(read, content);
}
