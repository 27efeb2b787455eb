//! Rows 129 to 133, and what RFC 864 and 868 want besides: the small services.

use super::super::Level::{Must, Own};
use super::super::{Case, Need, Octets, Row, Step, doing};
use super::{rule, unseen};

/// A small service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every octet back (RFC 862).
    Echo,
    /// Nothing (RFC 863).
    Discard,
    /// Date and time as text (RFC 867).
    Daytime,
    /// Seconds since 1900 (RFC 868).
    Time,
    /// Characters without end (RFC 864).
    Chargen,
    /// A fixed text.
    Message,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Echo,
        Self::Discard,
        Self::Daytime,
        Self::Time,
        Self::Chargen,
        Self::Message,
    ];
}

/// So many octets are more than the buffers on the way hold.
const MUCH: usize = 1 << 20;
/// So many lines of characters are looked at.
const LINES: usize = 200;
/// 72 characters, CR and LF.
const LINE: usize = 74;

/// What a client says to one that does not listen.
const NOISE: [&str; 2] = ["", "what time is it?\n"];

pub(super) fn rows(kind: Kind) -> Vec<Row> {
    match kind {
        Kind::Echo => ECHO.to_vec(),
        Kind::Discard => vec![rule(132, "discard: no octet back", "RFC 863", Must, |_| {
            sends(|_, came| match came.len() {
                0 => Ok(()),
                count => Err(format!("{count} octets")),
            })
        })],
        Kind::Daytime => vec![rule(
            133,
            "daytime: a line, and the end",
            "RFC 867",
            Own,
            |_| {
                says(|_, came| {
                    let text = came.strip_suffix(b"\r\n").unwrap_or_default();
                    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
                    let right = !text.is_empty() && text.iter().all(is_text);
                    right
                        .then_some(())
                        .ok_or("it is no line of ASCII".to_owned())
                })
            },
        )],
        Kind::Time => vec![rule(
            133,
            "time: four octets, and the end",
            "RFC 868",
            Own,
            |_| {
                says(|_, came| match came.len() {
                    4 => Ok(()),
                    count => Err(format!("{count} octets")),
                })
            },
        )],
        Kind::Message => vec![rule(133, "a text, and the end", "RFC 865", Own, |_| {
            let mut all =
                says(|_, came| (!came.is_empty()).then_some(()).ok_or("no text".to_owned()));
            let noise = vec![Step::Send(vec![b'x'; MUCH])];
            let text: Octets =
                |_, came| (!came.is_empty()).then_some(()).ok_or("no text".to_owned());
            all.push(doing(noise).octets(None, text));
            all
        })],
        Kind::Chargen => vec![rule(
            0,
            "chargen: lines of 72 characters",
            "RFC 864",
            Own,
            |_| vec![doing(Vec::new()).octets(Some(LINES * LINE), |_, came| pattern(came))],
        )],
    }
}

const ECHO: [Row; 3] = [
    rule(
        129,
        "echo: every octet back, then the end",
        "RFC 862",
        Must,
        |_| {
            sends(|sent, came| {
                if sent == came {
                    return Ok(());
                }
                let same = sent.iter().zip(came).take_while(|(a, b)| a == b).count();
                let (sent, came) = (sent.len(), came.len());
                Err(format!("{came} octets for {sent}, the first {same} right"))
            })
        },
    ),
    unseen(
        130,
        "echo of datagrams",
        "RFC 862",
        Must,
        &[Need::Datagrams],
    ),
    unseen(
        131,
        "no echo to reflectors",
        "CVE-1999-0103",
        Must,
        &[Need::Datagrams],
    ),
];

/// Little, nothing and much, then FIN.
fn sends(judge: Octets) -> Vec<Case> {
    let much = (0..MUCH)
        .map(|at| u8::try_from(at / 7 % 251).unwrap_or(0))
        .collect();
    [b"one\ntwo\n".to_vec(), Vec::new(), much]
        .into_iter()
        .map(|octets| doing(vec![Step::Send(octets), Step::Finish]).octets(None, judge))
        .collect()
}

/// Says something to who does not listen, and hears it to its end, which no RST
/// may cut short (RFC 9112 §9.6 tells how).
fn says(judge: Octets) -> Vec<Case> {
    let noise = NOISE.iter().filter(|noise| !noise.is_empty());
    let noise = noise.map(|noise| vec![Step::Send(noise.as_bytes().to_vec())]);
    let all = noise.chain([Vec::new()]);
    all.map(|steps| doing(steps).octets(None, judge)).collect()
}

/// RFC 864: 72 printable characters a line, each line one further on.
fn pattern(came: &[u8]) -> Result<(), String> {
    let mut before: Option<&[u8]> = None;
    for line in came[..LINES * LINE].chunks(LINE) {
        let text = line
            .strip_suffix(b"\r\n")
            .ok_or("a line is not of 72 characters")?;
        if !text
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        {
            return Err("a character that is none of ASCII".to_owned());
        }
        if before.is_some_and(|before| before[1..] != text[..text.len() - 1]) {
            return Err("a line is not the one before, one further on".to_owned());
        }
        before = Some(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_known() {
        let ring: Vec<u8> = (b' '..=b'~').collect();
        let line = |number: usize| {
            let mut line: Vec<u8> = (0..72).map(|at| ring[(number + at) % ring.len()]).collect();
            line.extend_from_slice(b"\r\n");
            line
        };
        let mut all: Vec<u8> = (0..LINES).flat_map(line).collect();
        assert_eq!(pattern(&all), Ok(()));
        all[LINE + 5] ^= 1;
        assert!(pattern(&all).is_err());
    }
}
