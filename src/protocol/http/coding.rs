//! Content codings (RFC 9110 §8.4.1), and which of them a client wants
//! (§12.5.3).
//!
//! ```text
//! Accept-Encoding = #( codings [ weight ] )
//! codings         = content-coding / "identity" / "*"
//! weight          = OWS ";" OWS "q=" qvalue
//! qvalue          = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
//! ```
//!
//! The answer is the list of codings to look for, best first; what none of
//! them has is sent as it is. A client that refuses even that is not refused
//! in turn: the field is disregarded (§12.1), for a file that somebody can
//! perhaps read is better than a 406 that nobody wants. A member that is
//! malformed counts as a refusal of its coding.

/// How a representation is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Brotli,
    Zstandard,
}

impl Coding {
    /// The codings that can be chosen, in our order: the smallest result
    /// first, by what they are known for.
    const CHOICE: [Self; 3] = [Self::Zstandard, Self::Brotli, Self::Gzip];

    /// Its name in Content-Encoding; `None` where that is left out.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
            Self::Zstandard => Some("zstd"),
        }
    }

    /// What is put behind the name of a file for the name of its sibling.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => ".gz",
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
        }
    }

    /// A bit of its own, for sets.
    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::Gzip => 1,
            Self::Brotli => 2,
            Self::Zstandard => 4,
        }
    }
}

/// A weight in thousandths, 0..=1000.
type Weight = u16;

/// What the Accept-Encoding fields of a request say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accepted {
    gzip: Option<Weight>,
    brotli: Option<Weight>,
    zstandard: Option<Weight>,
    identity: Option<Weight>,
    /// `*`: every coding that is not named.
    others: Option<Weight>,
}

impl Accepted {
    /// Takes in one field value.
    pub(super) fn add(&mut self, value: &[u8]) {
        for member in value.split(|&byte| byte == b',') {
            let mut parts = member.splitn(2, |&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let weight = parts.next().map_or(1000, parse_weight);
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let place = match name.len() {
                4 if is("gzip") => &mut self.gzip,
                // RFC 9110 §8.4.1.3: the same thing by an old name.
                6 if is("x-gzip") => &mut self.gzip,
                2 if is("br") => &mut self.brotli,
                4 if is("zstd") => &mut self.zstandard,
                8 if is("identity") => &mut self.identity,
                1 if is("*") => &mut self.others,
                _ => continue,
            };
            // Said twice: the lesser counts, so that a refusal is one.
            *place = Some(place.map_or(weight, |before| before.min(weight)));
        }
    }

    /// The codings to look for instead of identity, best first: by weight, then
    /// by our order. A coding that is named comes before an identity of the
    /// same weight; one that only `*` covers does not.
    pub(super) fn codings(&self) -> Codings {
        let identity = self.identity.or(self.others);
        let mut found = [(0, Coding::Identity); 3];
        let mut count = 0;
        for coding in Coding::CHOICE {
            let weight = match self.named(coding) {
                Some(weight) if weight > 0 && weight >= identity.unwrap_or(0) => weight,
                None => match self.others {
                    Some(weight) if weight > identity.unwrap_or(0) => weight,
                    Some(_) | None => continue,
                },
                Some(_) => continue,
            };
            // Behind all of the same weight.
            let place = found[..count].partition_point(|(better, _)| *better >= weight);
            found.copy_within(place..count, place + 1);
            found[place] = (weight, coding);
            count += 1;
        }
        Codings(found.map(|(_, coding)| coding))
    }

    fn named(&self, coding: Coding) -> Option<Weight> {
        match coding {
            Coding::Identity => self.identity,
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstandard => self.zstandard,
        }
    }
}

/// Codings to look for, best first; [`Coding::Identity`] ends the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Codings([Coding; 3]);

impl Codings {
    /// None: the file is sent as it is.
    pub(super) const NONE: Self = Self([Coding::Identity; 3]);

    /// The coding at this place, [`Coding::Identity`] behind the last.
    pub(super) fn get(self, place: u8) -> Coding {
        let found = self.0.get(usize::from(place));
        found.copied().unwrap_or(Coding::Identity)
    }
}

/// What follows the semicolon; 0 for what is no weight.
fn parse_weight(text: &[u8]) -> Weight {
    let text = text.trim_ascii();
    let [b'q' | b'Q', b'=', value @ ..] = text else {
        return 0;
    };
    let (whole, fraction) = match value {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] => (*whole, fraction),
        [..] => return 0,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let mut weight = Weight::from(whole - b'0');
    for place in 0..3 {
        let digit = fraction.get(place).map_or(0, |digit| digit - b'0');
        weight = weight * 10 + Weight::from(digit);
    }
    if weight > 1000 { 0 } else { weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Identity, Zstandard};
    use proptest::prelude::*;

    fn codings(values: &[&str]) -> Vec<Coding> {
        let mut accepted = Accepted::default();
        for value in values {
            accepted.add(value.as_bytes());
        }
        let codings = accepted.codings();
        let list = (0..4).map(|place| codings.get(place));
        list.take_while(|coding| *coding != Identity).collect()
    }

    #[test]
    fn what_clients_say() {
        // Rule 106, and what browsers and tools send.
        for (value, expected) in [
            ("gzip", &[Gzip][..]),
            ("GZip", &[Gzip]),
            ("x-gzip", &[Gzip]),
            ("gzip, deflate, br, zstd", &[Zstandard, Brotli, Gzip]),
            ("deflate", &[]),
            ("", &[]),
            (",, gzip ,", &[Gzip]),
            ("gzip;q=0", &[]),
            ("gzip;q=0.000", &[]),
            ("gzip;q=0, *", &[]),
            ("*;q=0", &[]),
            ("*;q=0, gzip", &[Gzip]),
            ("br;q=0.5, gzip", &[Gzip, Brotli]),
            ("br;q=0.5, gzip;q=0.501", &[Gzip, Brotli]),
            ("gzip;Q=1.000 , br ; q=0.9", &[Gzip, Brotli]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip]),
            ("identity;q=0", &[]),
            ("identity;q=0, *", &[Zstandard, Brotli, Gzip]),
            ("*", &[]),
            ("*;q=0.5, identity;q=0.1", &[Zstandard, Brotli, Gzip]),
            ("gzip, *;q=0.1", &[Gzip]),
            ("gzip, gzip;q=0", &[]),
            ("gzip;q=1.001", &[]),
            ("gzip;q=0.5555", &[]),
            ("gzip;q=", &[]),
            ("gzip;", &[]),
            ("gzip;x=1", &[]),
            ("gzip;q=0.5;x=1", &[]),
            ("gzip q=1", &[]),
            ("xgzip, gzipx, br2", &[]),
        ] {
            assert_eq!(codings(&[value]), expected, "{value:?}");
        }
        assert_eq!(codings(&[]), []);
        assert_eq!(codings(&["br", "gzip;q=0"]), [Brotli]);
    }

    /// Reads a list without a care for speed: what each coding's weights are.
    fn refused(text: &str, name: &str) -> bool {
        text.split(',').any(|member| {
            let lower = member.to_ascii_lowercase();
            let (coding, rest) = lower.split_once(';').unwrap_or((&lower, ""));
            let zero = rest
                .trim()
                .strip_prefix("q=")
                .is_some_and(|q| q.starts_with('0') && q.trim_start_matches(['0', '.']).is_empty());
            coding.trim() == name && zero
        })
    }

    proptest! {
        #[test]
        fn what_is_refused_is_never_chosen(
            text in "((gzip|br|zstd|identity|[*]|x)( ?; ?q=[01](\\.[0-9]{0,4})?)?,? ?){0,6}",
        ) {
            for coding in codings(&[&text]) {
                let name = coding.name().unwrap_or_default();
                prop_assert!(!refused(&text, name), "{text}: {name}");
                let named = text.contains(name);
                prop_assert!(named || text.contains('*'), "{text}: {name}");
            }
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut accepted = Accepted::default();
            accepted.add(&text);
            accepted.codings();
        }
    }
}
