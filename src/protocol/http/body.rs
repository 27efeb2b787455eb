//! Where a request's content ends (RFC 9112 §6, §7), and the way through it.
//!
//! [`FramingFields`] decides between no content, a length and chunks; it must
//! never accept what a proxy before us could have read in another way.
//! [`Decoder`] then walks over the octets: it is resumable at every octet,
//! keeps a fixed amount of state, and tells content from framing without
//! copying either.

use std::ops::Range;

use super::clause::Clause;
use super::request::{Version, is_token_octet};
use super::status::{Refusal, Status};
use super::target::hex;

/// How a message delimits its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Neither length nor coding: there is none (RFC 9112 §6.3, case 7).
    None,
    /// So many octets; may be 0.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// The Content-Length and Transfer-Encoding fields of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields<'a> {
    length: Seen<'a>,
    coding: Seen<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Seen<'a> {
    #[default]
    Never,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Seen<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        }
    }
}

impl<'a> FramingFields<'a> {
    /// Takes in a Content-Length field.
    pub(super) fn add_length(&mut self, value: &'a [u8]) {
        self.length.add(value);
    }

    /// Takes in a Transfer-Encoding field.
    pub(super) fn add_coding(&mut self, value: &'a [u8]) {
        self.coding.add(value);
    }

    /// The framing, or the rule that the fields break. Also equal repetitions
    /// are refused: RFC 9110 §8.6 allows it, and nobody honest sends them.
    pub(super) fn decide(self, version: Version) -> Result<Framing, Refusal> {
        match (self.coding, self.length) {
            (Seen::Never, Seen::Never) => Ok(Framing::None),
            (Seen::Never, Seen::Once(value)) => parse_length(value).map(Framing::Length),
            (Seen::Never, Seen::Repeated) => Err(Refusal::bad(Clause::LengthRepeated)),
            (Seen::Repeated, _) => Err(Refusal::bad(Clause::CodingRepeated)),
            (Seen::Once(_), Seen::Once(_) | Seen::Repeated) => {
                Err(Refusal::bad(Clause::LengthBesideCoding))
            }
            (Seen::Once(value), Seen::Never) => match version {
                Version::Http10 => Err(Refusal::bad(Clause::CodingIn10)),
                Version::Http11 => check_coding(value).map(|()| Framing::Chunked),
            },
        }
    }
}

/// Content-Length = 1*DIGIT
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad(Clause::Length));
    }
    value
        .iter()
        .try_fold(0u64, |length, &digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or(too_large())
}

/// Exactly one coding, chunked. Others may stand before it; we know none
/// (RFC 9112 §6.1: 501). Anything after it leaves no end (§6.3: 400).
fn check_coding(value: &[u8]) -> Result<(), Refusal> {
    let codings = || value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let chunked = codings()
        .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .count();
    let last = codings().next_back().unwrap_or_default();
    if chunked != 1 || !last.eq_ignore_ascii_case(b"chunked") {
        return Err(Refusal::bad(Clause::LastCoding));
    }
    if codings().any(<[u8]>::is_empty) {
        return Err(Refusal::bad(Clause::CodingList));
    }
    if codings().count() > 1 {
        return Err(Refusal::new(Status::NotImplemented, Clause::UnknownCoding));
    }
    Ok(())
}

const fn too_large() -> Refusal {
    Refusal::new(Status::ContentTooLarge, Clause::ContentLength)
}

/// Walks over the content of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    /// So many octets are still to come.
    Length(u64),
    /// Somewhere in the chunked coding.
    Chunked(Chunked),
}

/// What one step of a [`Decoder`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// So many octets of the input are used up.
    pub(super) consumed: usize,
    /// Which of them are content; may be empty.
    pub(super) content: Range<usize>,
    /// The message is complete.
    pub(super) complete: bool,
}

impl Decoder {
    /// A decoder for content that is framed like this and may have `limit`
    /// octets; `None` where there is no content to walk over.
    pub(super) fn new(framing: Framing, limit: u64) -> Result<Option<Self>, Refusal> {
        match framing {
            Framing::None | Framing::Length(0) => Ok(None),
            Framing::Length(length) if length > limit => Err(too_large()),
            Framing::Length(length) => Ok(Some(Self::Length(length))),
            Framing::Chunked => Ok(Some(Self::Chunked(Chunked::default()))),
        }
    }

    /// Takes a step: up to one run of content, or all of `bytes`. Call again
    /// with what is left until all is consumed or the message is complete.
    /// `limit` bounds the content of all steps together.
    pub(super) fn proceed(&mut self, bytes: &[u8], limit: u64) -> Result<Progress, Refusal> {
        match self {
            Self::Length(left) => {
                let count = cut(*left, bytes.len());
                *left -= count as u64;
                Ok(Progress {
                    consumed: count,
                    content: 0..count,
                    complete: *left == 0,
                })
            }
            Self::Chunked(chunked) => chunked.proceed(bytes, limit),
        }
    }
}

fn cut(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

/// The chunked coding, octet by octet (RFC 9112 §7.1).
///
/// ```text
/// ┌▶ Size ─┬─▶ SizeEnd ─┬─▶ Data ──▶ DataEnd ──▶ DataFeed ─┐
/// │  Blank ▶ Extension ┘ └─ (0) ▶ Trailer ◀────────┐       │
/// └────────────────────────────────────────────────┼───────┘
///    Trailer ─┬─▶ TrailerName ──▶ TrailerValue ──▶ TrailerEnd
///             └─▶ Final ──▶ complete
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    part: Part,
    /// Hexadecimal digits of this size.
    digits: u8,
    /// The size while it is read, then what of the chunk is still to come.
    left: u64,
    /// Content octets of all chunks so far, this one included.
    total: u64,
    /// Octets of extensions and trailers, all together.
    overhead: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    /// White space that an extension must follow. Nobody may send it, and it
    /// must be taken (RFC 9112 §7.1.1, RFC 9110 §5.6.3).
    Blank,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataFeed,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    Final,
}

impl Chunked {
    /// A size has at most 16 digits: it must not wrap (RFC 9112 §7.1).
    const DIGITS: u8 = 16;
    /// Extensions and trailers are dropped, so they may not be long
    /// (RFC 9112 §7.1.1).
    const OVERHEAD: u16 = 4096;

    fn proceed(&mut self, bytes: &[u8], limit: u64) -> Result<Progress, Refusal> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.part == Part::Data {
                let count = cut(self.left, bytes.len() - at);
                self.left -= count as u64;
                if self.left == 0 {
                    self.part = Part::DataEnd;
                }
                return Ok(Progress {
                    consumed: at + count,
                    content: at..at + count,
                    complete: false,
                });
            }
            at += 1;
            if self.part == Part::Final && byte == b'\n' {
                return Ok(Progress {
                    consumed: at,
                    content: at..at,
                    complete: true,
                });
            }
            self.part = self.step(byte, limit)?;
        }
        Ok(Progress {
            consumed: at,
            content: at..at,
            complete: false,
        })
    }

    /// The part that follows after one octet of framing.
    fn step(&mut self, byte: u8, limit: u64) -> Result<Part, Refusal> {
        match self.part {
            Part::Size => match (byte, hex(byte)) {
                (_, Some(digit)) if self.digits < Self::DIGITS => {
                    self.digits += 1;
                    self.left = self.left << 4 | u64::from(digit);
                    Ok(Part::Size)
                }
                (b';', None) if self.digits > 0 => Ok(Part::Extension),
                (b' ' | b'\t', None) if self.digits > 0 => self.spend_extension(Part::Blank),
                (b'\r', None) if self.digits > 0 => Ok(Part::SizeEnd),
                (_, _) => Err(Refusal::bad(Clause::ChunkSize)),
            },
            Part::Blank => match byte {
                b' ' | b'\t' => self.spend_extension(Part::Blank),
                b';' => Ok(Part::Extension),
                _ => Err(Refusal::bad(Clause::ChunkSize)),
            },
            Part::Extension => match byte {
                b'\r' => Ok(Part::SizeEnd),
                byte if is_field_octet(byte) => self.spend_extension(Part::Extension),
                _ => Err(Refusal::bad(Clause::ChunkExtension)),
            },
            Part::SizeEnd if byte == b'\n' => self.begin_chunk(limit),
            Part::DataEnd if byte == b'\r' => Ok(Part::DataFeed),
            Part::DataFeed if byte == b'\n' => Ok(Part::Size),
            Part::Trailer if byte == b'\r' => Ok(Part::Final),
            Part::Trailer if is_token_octet(byte) => self.spend_trailer(Part::TrailerName),
            Part::TrailerName if byte == b':' => self.spend_trailer(Part::TrailerValue),
            Part::TrailerName if is_token_octet(byte) => self.spend_trailer(Part::TrailerName),
            Part::TrailerValue if byte == b'\r' => Ok(Part::TrailerEnd),
            Part::TrailerValue if is_field_octet(byte) => self.spend_trailer(Part::TrailerValue),
            Part::TrailerEnd if byte == b'\n' => Ok(Part::Trailer),
            Part::Trailer | Part::TrailerName | Part::TrailerValue => {
                Err(Refusal::bad(Clause::Trailer))
            }
            Part::SizeEnd | Part::DataEnd | Part::DataFeed | Part::TrailerEnd | Part::Final => {
                Err(Refusal::bad(Clause::ChunkEnd))
            }
            // Data is taken in runs, not in octets.
            Part::Data => Ok(Part::Data),
        }
    }

    fn begin_chunk(&mut self, limit: u64) -> Result<Part, Refusal> {
        self.digits = 0;
        if self.left == 0 {
            return Ok(Part::Trailer);
        }
        self.total = self
            .total
            .checked_add(self.left)
            .filter(|total| *total <= limit)
            .ok_or(too_large())?;
        Ok(Part::Data)
    }

    fn spend_extension(&mut self, next: Part) -> Result<Part, Refusal> {
        self.spend(next, Refusal::bad(Clause::ChunkExtensionLength))
    }

    fn spend_trailer(&mut self, next: Part) -> Result<Part, Refusal> {
        self.spend(
            next,
            Refusal::new(Status::HeaderTooLarge, Clause::TrailerSize),
        )
    }

    fn spend(&mut self, next: Part, otherwise: Refusal) -> Result<Part, Refusal> {
        self.overhead += 1;
        if self.overhead > Self::OVERHEAD {
            return Err(otherwise);
        }
        Ok(next)
    }
}

/// What a field value, and so a chunk extension, may contain.
fn is_field_octet(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn framing(version: Version, lengths: &[&str], codings: &[&str]) -> Result<Framing, u16> {
        let mut fields = FramingFields::default();
        for value in lengths {
            fields.add_length(value.as_bytes());
        }
        for value in codings {
            fields.add_coding(value.as_bytes());
        }
        fields
            .decide(version)
            .map_err(|refusal| refusal.status.code())
    }

    #[test]
    fn lengths() {
        // Rules 45 to 50.
        for (values, expected) in [
            (&[][..], Ok(Framing::None)),
            (&["5"][..], Ok(Framing::Length(5))),
            (&["0"], Ok(Framing::Length(0))),
            (&["0010"], Ok(Framing::Length(10))),
            (&["18446744073709551615"], Ok(Framing::Length(u64::MAX))),
            (&["18446744073709551616"], Err(413)),
            (&["+5"], Err(400)),
            (&["-1"], Err(400)),
            (&["0x5"], Err(400)),
            (&["1_0"], Err(400)),
            (&["5a"], Err(400)),
            (&["5 5"], Err(400)),
            (&[""], Err(400)),
            (&["5, 6"], Err(400)),
            (&["5, 5"], Err(400)),
            (&["5", "6"], Err(400)),
            (&["5", "5"], Err(400)),
        ] {
            assert_eq!(
                framing(Version::Http11, values, &[]),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn codings() {
        // Rules 38 to 44.
        for (values, expected) in [
            (&["chunked"][..], Ok(Framing::Chunked)),
            (&["Chunked"], Ok(Framing::Chunked)),
            (&["chunked, gzip"], Err(400)),
            (&["gzip"], Err(400)),
            (&["gzip, chunked"], Err(501)),
            (&["foo, chunked"], Err(501)),
            (&["xchunked"], Err(400)),
            (&["chunked;q=1"], Err(400)),
            (&["\x0bchunked"], Err(400)),
            (&["chunked, chunked"], Err(400)),
            (&["chunked", "chunked"], Err(400)),
            (&[",chunked"], Err(400)),
            (&["identity"], Err(400)),
            (&[""], Err(400)),
        ] {
            assert_eq!(
                framing(Version::Http11, &[], values),
                expected,
                "{values:?}"
            );
        }
        assert_eq!(framing(Version::Http10, &[], &["chunked"]), Err(400));
        assert_eq!(framing(Version::Http11, &["5"], &["chunked"]), Err(400));
    }

    /// The content, how many octets of `bytes` are past the message, and
    /// whether it is complete; the same however it is cut.
    fn decode(bytes: &[u8], limit: u64) -> Result<(Vec<u8>, usize, bool), u16> {
        let walk = |size: usize| {
            let mut decoder = Decoder::Chunked(Chunked::default());
            let (mut content, mut used) = (Vec::new(), 0);
            for segment in bytes.chunks(size) {
                let mut rest = segment;
                while !rest.is_empty() {
                    let progress = decoder
                        .proceed(rest, limit)
                        .map_err(|refusal| refusal.status.code())?;
                    content.extend_from_slice(&rest[progress.content]);
                    used += progress.consumed;
                    rest = &rest[progress.consumed..];
                    if progress.complete {
                        return Ok((content, bytes.len() - used, true));
                    }
                }
            }
            Ok((content, bytes.len() - used, false))
        };
        let whole = walk(bytes.len().max(1));
        for size in 1..bytes.len().min(64) {
            assert_eq!(walk(size), whole, "{bytes:?} by {size}");
        }
        whole
    }

    #[test]
    fn chunks_are_joined_and_the_rest_survives() {
        for (bytes, content, left) in [
            ("0\r\n\r\n", "", 0),
            ("5\r\nhello\r\n0\r\n\r\nGET", "hello", 3),
            ("3\r\nhel\r\n02\r\nlo\r\n000\r\n\r\n", "hello", 0),
            ("A;x=y\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
            ("0000000000000001\r\na\r\n0\r\n\r\n", "a", 0),
            ("1\r\na\r\n0;last\r\nHost: b\r\nX:\r\n\r\nrest", "a", 4),
            ("1;\t\"\u{e4}\"\r\n\n\r\n0\r\n\r\n", "\n", 0),
            ("1 ;x\r\na\r\n0 \t; x = y\r\n\r\n", "a", 0),
        ] {
            let expected = Ok((content.as_bytes().to_vec(), left, true));
            assert_eq!(decode(bytes.as_bytes(), 100), expected, "{bytes:?}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        // Rules 52 to 54.
        for bytes in [
            "0x5\r\n",
            "+5\r\n",
            "-5\r\n",
            "5_0\r\n",
            "\r\n",
            " 5\r\n",
            "5 \r\n",
            "5 5\r\n",
            "5 x;y\r\n",
            "5\t\n",
            " ;x\r\n",
            ";x\r\n",
            "00000000000000005\r\n",
            "5\nhello",
            "5\r5",
            "5;\n",
            "5;a\x01\r\n",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r0",
            "0\r\n\n",
            "0\r\n\r\r",
            "0\r\n: x\r\n",
            "0\r\nX\r\n",
            "0\r\nX: 1\n",
            "0\r\n X: 1\r\n",
            "0\r\nX: \0\r\n",
        ] {
            assert_eq!(decode(bytes.as_bytes(), 100), Err(400), "{bytes:?}");
        }
    }

    #[test]
    fn bounds() {
        // Rules 55 and 113.
        assert_eq!(decode(b"64\r\n", 100), Ok((vec![], 0, false)));
        assert_eq!(decode(b"65\r\n", 100), Err(413));
        assert_eq!(decode(b"3\r\nabc\r\n3\r\n", 5), Err(413));
        assert_eq!(decode(b"FFFFFFFFFFFFFFFF\r\n", 100), Err(413));
        let extensions = "1;0123456789\r\na\r\n".repeat(500);
        assert_eq!(decode(extensions.as_bytes(), 1000), Err(400));
        let blanks = format!("1{};x\r\n", " ".repeat(5000));
        assert_eq!(decode(blanks.as_bytes(), 1000), Err(400));
        let trailers = format!("0\r\n{}", "X: 0123456789\r\n".repeat(500));
        assert_eq!(decode(trailers.as_bytes(), 1000), Err(431));
    }

    #[test]
    fn content_of_known_length() {
        let mut decoder = Decoder::new(Framing::Length(5), 5).unwrap().unwrap();
        let step = |decoder: &mut Decoder, bytes: &[u8]| {
            let progress = decoder.proceed(bytes, 5).unwrap();
            (progress.consumed, progress.complete)
        };
        assert_eq!(step(&mut decoder, b"abc"), (3, false));
        assert_eq!(step(&mut decoder, b"deGET"), (2, true));
        assert_eq!(Decoder::new(Framing::Length(0), 5), Ok(None));
        assert!(Decoder::new(Framing::Length(6), 5).is_err());
    }
}
