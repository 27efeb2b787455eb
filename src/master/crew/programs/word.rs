//! What a program says of itself, in the words of sd_notify(3). Pure.
//!
//! The octets come from somebody else's program: whatever they are, the answer
//! is what could be understood, and no more than that.

use std::time::Duration;

/// The longest datagram that is read; a longer one is none.
pub(super) const LONGEST: usize = 4096;
/// What a program may ask to be watched with, at least and at most.
const WATCH: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));

/// One datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// READY=1.
    pub(super) ready: bool,
    /// STOPPING=1.
    pub(super) stopping: bool,
    /// STATUS=…
    pub(super) status: Option<String>,
    /// WATCHDOG=…
    pub(super) watchdog: Option<Watchdog>,
    /// WATCHDOG_USEC=…
    pub(super) patience: Option<Duration>,
}

/// What WATCHDOG= says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watchdog {
    /// A sign of life.
    Alive,
    /// The program itself says that it is at its end.
    Trigger,
}

impl Message {
    /// Reads the lines of a datagram; of two with one name the later counts.
    /// Unknown ones, MAINPID= among them, are passed over.
    pub(super) fn parse(octets: &[u8]) -> Self {
        let mut message = Self::default();
        for line in octets.split(|&octet| octet == b'\n') {
            let Some(at) = memchr::memchr(b'=', line) else {
                continue;
            };
            let (name, value) = (&line[..at], &line[at + 1..]);
            match name {
                b"READY" => message.ready |= value == b"1",
                b"STOPPING" => message.stopping |= value == b"1",
                b"STATUS" => {
                    message.status = Some(String::from_utf8_lossy(value).into_owned());
                }
                b"WATCHDOG" => match value {
                    b"1" => message.watchdog = Some(Watchdog::Alive),
                    b"trigger" => message.watchdog = Some(Watchdog::Trigger),
                    _ => {}
                },
                b"WATCHDOG_USEC" => message.patience = patience(value).or(message.patience),
                _ => {}
            }
        }
        message
    }
}

fn patience(value: &[u8]) -> Option<Duration> {
    let number = std::str::from_utf8(value).ok()?.parse().ok()?;
    let time = Duration::from_micros(number);
    (WATCH.0..=WATCH.1).contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let message = Message::parse(
            b"READY=1\nSTATUS=so far so good\nMAINPID=1\nWATCHDOG=1\nWATCHDOG_USEC=200000\n",
        );
        let expected = Message {
            ready: true,
            stopping: false,
            status: Some("so far so good".to_owned()),
            watchdog: Some(Watchdog::Alive),
            patience: Some(Duration::from_millis(200)),
        };
        assert_eq!(message, expected);
        assert!(Message::parse(b"STOPPING=1").stopping);
        let trigger = Message::parse(b"WATCHDOG=1\nWATCHDOG=trigger");
        assert_eq!(trigger.watchdog, Some(Watchdog::Trigger));
    }

    #[test]
    fn garbage_says_nothing() {
        for octets in [
            &b""[..],
            b"\n\n\n",
            b"READY",
            b"READY=",
            b"READY=11",
            b"READY= 1",
            b"ready=1",
            b"=1",
            b"WATCHDOG=2",
            b"WATCHDOG_USEC=-1",
            b"WATCHDOG_USEC=99999999999999999999999",
            b"WATCHDOG_USEC=1",
            b"\0\xff=\xff",
            &[b'='; LONGEST],
        ] {
            assert_eq!(Message::parse(octets), Message::default(), "{octets:?}");
        }
        let status = Message::parse(b"STATUS=\xff=\0").status;
        assert_eq!(status.as_deref(), Some("\u{fffd}=\0"));
    }
}
