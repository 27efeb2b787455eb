//! What must hold for any text of a line: see [`crate::fuzzing`].

use super::batch::ATOM;
use super::line::{Line, Speaker};
use super::sink::{Cut, SYSLOG_LINE};
use crate::calendar::{Civil, Wall};
use crate::escape;
use log::Level;

/// The rooms that a line may have to fit into; the last two are small for the
/// sake of short inputs.
const ROOMS: [usize; 4] = [SYSLOG_LINE, ATOM, 600, 350];

/// Octets that somebody brought into a message: in each form they are one line
/// that does nothing to its reader, JSON gives the text back, and what is
/// shortened stays what it was.
pub fn log_line(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let fields = ("client", &*text);
    let line = Line {
        wall: &Wall {
            unix: 1_782_901_805,
            nanoseconds: 0,
            local: Civil {
                year: 2026,
                month: 7,
                day: 1,
                hour: 12,
                minute: 30,
                second: 5,
                weekday: 3,
                offset_minutes: 120,
            },
        },
        pid: 1,
        speaker: &Speaker::Worker(String::from("web"), 0),
        level: Level::Info,
        text: &text,
        fields: &fields,
    };
    for form in [line.text(), line.message(), line.json()] {
        assert!(!form.chars().any(escape::is_unruly), "{form}");
    }
    let json = line.json();
    assert_eq!(object(json.as_bytes())["message"], *text);
    assert_eq!(object(json.as_bytes())["fields"]["client"], *text);
    for room in ROOMS {
        let short = Cut::Quotations.to(json.as_bytes(), room);
        assert!(short.len() <= room);
        let message = &object(&short)["message"];
        let message = message.as_str().expect("a message");
        let begin = message.strip_suffix("...").unwrap_or(message);
        assert!(text.starts_with(begin) && (begin == text || short.len() < json.len()));
        let plain = line.text() + "\n";
        let short = Cut::Tail.to(plain.as_bytes(), room);
        assert!(short.len() <= room && short.ends_with(b"\n"));
        assert!(std::str::from_utf8(&short).is_ok());
    }
}

fn object(json: &[u8]) -> serde_json::Value {
    serde_json::from_slice(json).expect("an object")
}
