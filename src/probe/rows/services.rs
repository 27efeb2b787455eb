//! Rows 129 to 133, and what RFC 864 and 868 want besides: the small services.

use super::super::Level::{Must, Own};
use super::super::datagrams::Reply;
use super::super::{Case, Need, Octets, Row, Step, doing};
use super::rule;

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

/// Those over TCP first.
pub(super) fn rows(kind: Kind) -> Vec<Row> {
    match kind {
        Kind::Echo => ECHO.to_vec(),
        Kind::Discard => DISCARD.to_vec(),
        Kind::Daytime => DAYTIME.to_vec(),
        Kind::Time => TIME.to_vec(),
        Kind::Message => MESSAGE.to_vec(),
        Kind::Chargen => CHARGEN.to_vec(),
    }
}

const DATAGRAMS: &[Need] = &[Need::Datagrams];

const ECHO: [Row; 3] = [
    rule(
        129,
        "echo: every octet back, then the end",
        "RFC 862",
        Must,
        |_| sends(same),
    ),
    rule(
        130,
        "echo: each datagram back, once, from where it went",
        "RFC 862",
        Must,
        |_| {
            let all = [Vec::new(), b"one".to_vec(), vec![b'x'; 1400], largest()];
            all.into_iter()
                .map(|octets| datagram(octets, Reply::Once(same)))
                .collect()
        },
    )
    .needs(DATAGRAMS),
    rule(
        131,
        "no echo to ports that would answer it",
        "CVE-1999-0103",
        Must,
        |_| {
            REFLECTORS
                .into_iter()
                .map(|port| datagram(b"to and fro".to_vec(), Reply::NoneTo(port)))
                .collect()
        },
    )
    .needs(&[Need::Datagrams, Need::Ports]),
];

const DISCARD: [Row; 2] = [
    rule(132, "discard: no octet back", "RFC 863", Must, |_| {
        sends(|_, came| match came.len() {
            0 => Ok(()),
            count => Err(format!("{count} octets")),
        })
    }),
    rule(132, "discard: no datagram back", "RFC 863", Must, |_| {
        vec![datagram(b"anybody?".to_vec(), Reply::None)]
    })
    .needs(DATAGRAMS),
];

const DAYTIME: [Row; 2] = [
    rule(133, "daytime: a line, and the end", "RFC 867", Own, |_| {
        says(line)
    }),
    rule(
        133,
        "daytime: a line for each datagram",
        "RFC 867",
        Own,
        |_| asks(line),
    )
    .needs(DATAGRAMS),
];

const TIME: [Row; 2] = [
    rule(
        133,
        "time: four octets, and the end",
        "RFC 868",
        Own,
        |_| says(four),
    ),
    rule(
        133,
        "time: four octets for each datagram",
        "RFC 868",
        Own,
        |_| asks(four),
    )
    .needs(DATAGRAMS),
];

const MESSAGE: [Row; 2] = [
    rule(133, "a text, and the end", "RFC 865", Own, |_| {
        let mut all = says(text);
        let noise = vec![Step::Send(vec![b'x'; MUCH])];
        all.push(doing(noise).octets(None, text));
        all
    }),
    rule(133, "a text for each datagram", "RFC 865", Own, |_| {
        asks(text)
    })
    .needs(DATAGRAMS),
];

const CHARGEN: [Row; 2] = [
    rule(0, "chargen: lines of 72 characters", "RFC 864", Own, |_| {
        vec![doing(Vec::new()).octets(Some(LINES * LINE), |_, came| pattern(came))]
    }),
    rule(
        0,
        "chargen: 512 characters at most for each datagram",
        "RFC 864",
        Own,
        |_| {
            [0, 100, 1000]
                .map(|length| datagram(vec![b'x'; length], Reply::Once(few)))
                .into()
        },
    )
    .needs(DATAGRAMS),
];

/// Ports behind which something may answer an answer: echo, daytime, qotd,
/// chargen and time.
const REFLECTORS: [u16; 5] = [7, 13, 17, 19, 37];

/// The largest datagram that IPv4 has.
fn largest() -> Vec<u8> {
    (0..65_507_u32).map(|at| (at / 7 % 251) as u8).collect()
}

fn datagram(octets: Vec<u8>, reply: Reply) -> Case {
    doing(vec![Step::Send(octets)]).datagram(reply)
}

/// A datagram with nothing in it, and one with something.
fn asks(judge: Octets) -> Vec<Case> {
    NOISE
        .map(|noise| datagram(noise.into(), Reply::Once(judge)))
        .into()
}

fn same(sent: &[u8], came: &[u8]) -> Result<(), String> {
    if sent == came {
        return Ok(());
    }
    let same = sent.iter().zip(came).take_while(|(a, b)| a == b).count();
    let (sent, came) = (sent.len(), came.len());
    Err(format!("{came} octets for {sent}, the first {same} right"))
}

fn line(_: &[u8], came: &[u8]) -> Result<(), String> {
    let text = came.strip_suffix(b"\r\n").unwrap_or_default();
    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let right = !text.is_empty() && text.iter().all(is_text);
    right
        .then_some(())
        .ok_or("it is no line of ASCII".to_owned())
}

fn four(_: &[u8], came: &[u8]) -> Result<(), String> {
    match came.len() {
        4 => Ok(()),
        count => Err(format!("{count} octets")),
    }
}

fn text(_: &[u8], came: &[u8]) -> Result<(), String> {
    (!came.is_empty()).then_some(()).ok_or("no text".to_owned())
}

fn few(_: &[u8], came: &[u8]) -> Result<(), String> {
    match came.len() {
        0..=512 => Ok(()),
        count => Err(format!("{count} octets")),
    }
}

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
