//! What a line says, in its two forms. Pure: time and process are arguments.
//!
//! ```text
//! 2026-11-21 02:56:17.476 +0000 [30222] web[0] info: …
//! {"time":"2026-11-21T02:56:17.476Z","level":"info","pid":30222,"role":"web[0]","pool":"web","slot":0,"message":"…","fields":{}}
//! ```
//!
//! Owes one line for one event, whatever octets are in it.

use crate::calendar::{Civil, Wall};
use crate::escape;
use log::Level;
use log::kv::{self, Key, Source, Value, VisitSource, VisitValue};
use std::fmt::Write;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The master, and whoever is not a worker yet.
    Master,
    /// A worker, by its pool and slot.
    Worker(String, usize),
}

impl Speaker {
    pub(super) fn is_master(&self) -> bool {
        match self {
            Self::Master => true,
            Self::Worker(..) => false,
        }
    }

    /// `master`, `web[0]`.
    pub(super) fn role(&self) -> String {
        match self {
            Self::Master => String::from("master"),
            Self::Worker(pool, slot) => format!("{pool}[{slot}]"),
        }
    }
}

/// One event.
pub(super) struct Line<'a> {
    pub(super) wall: &'a Wall,
    pub(super) pid: u32,
    pub(super) speaker: &'a Speaker,
    pub(super) level: Level,
    pub(super) text: &'a str,
    pub(super) fields: &'a dyn Source,
}

impl Line<'_> {
    /// Without what syslog says itself: time, process and level.
    pub(super) fn message(&self) -> String {
        let mut out = format!("{}: ", self.speaker.role());
        escape::plain(self.text, &mut out);
        out
    }

    /// As plain text, in local time, without its line feed.
    pub(super) fn text(&self) -> String {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self.wall.local;
        let mut out = format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03} {} [{}] {} {}: ",
            self.wall.nanoseconds / 1_000_000,
            self.wall.local.offset(),
            self.pid,
            self.speaker.role(),
            name(self.level),
        );
        escape::plain(self.text, &mut out);
        out
    }

    /// As an object of JSON, in UTC (RFC 3339), without its line feed.
    pub(super) fn json(&self) -> String {
        let (year, month, day) = self.wall.utc_date();
        let second = self.wall.unix.rem_euclid(86_400);
        let mut out = format!(
            "{{\"time\":\"{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z\",\"level\":\"{}\",\"pid\":{},\"role\":",
            second / 3600,
            second / 60 % 60,
            second % 60,
            self.wall.nanoseconds / 1_000_000,
            name(self.level),
            self.pid,
        );
        escape::json(&self.speaker.role(), &mut out);
        match self.speaker {
            Speaker::Master => out.push_str(",\"pool\":null,\"slot\":null"),
            Speaker::Worker(pool, slot) => {
                out.push_str(",\"pool\":");
                escape::json(pool, &mut out);
                // Writing to a String cannot fail, here and below.
                let _ = write!(out, ",\"slot\":{slot}");
            }
        }
        out.push_str(",\"message\":");
        escape::json(self.text, &mut out);
        out.push_str(",\"fields\":{");
        let mut fields = Fields {
            out: &mut out,
            first: true,
        };
        // Our visitor never fails, and a source that does has said its part.
        let _ = self.fields.visit(&mut fields);
        out.push_str("}}");
        out
    }
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

struct Fields<'o> {
    out: &'o mut String,
    first: bool,
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        escape::json(key.as_str(), self.out);
        self.out.push(':');
        value.visit(Field(self.out))
    }
}

struct Field<'o>(&'o mut String);

impl Field<'_> {
    fn put(&mut self, value: impl std::fmt::Display) -> Result<(), kv::Error> {
        let _ = write!(self.0, "{value}");
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Field<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.visit_str(&value.to_string())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.put("null")
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.put(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.put(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        // JSON has no infinity (RFC 8259 §6).
        if value.is_finite() {
            self.put(value)
        } else {
            self.visit_null()
        }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.put(value)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        escape::json(value, self.0);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-07-01T10:30:05.250Z, in a zone two hours east.
    const WALL: Wall = Wall {
        unix: 1_782_901_805,
        nanoseconds: 250_999_999,
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
    };

    fn line<'a>(speaker: &'a Speaker, text: &'a str, fields: &'a dyn Source) -> Line<'a> {
        Line {
            wall: &WALL,
            pid: 17,
            speaker,
            level: Level::Warn,
            text,
            fields,
        }
    }

    #[test]
    fn both_forms() {
        let worker = Speaker::Worker(String::from("web"), 3);
        let cause = ("cause", "a \"b\"");
        let plain = line(&worker, "x \"y\"\n", &cause);
        assert_eq!(
            plain.text(),
            "2026-07-01 12:30:05.250 +0200 [17] web[3] warn: x \"y\"\\n"
        );
        assert_eq!(plain.message(), "web[3]: x \"y\"\\n");
        assert_eq!(
            plain.json(),
            "{\"time\":\"2026-07-01T10:30:05.250Z\",\"level\":\"warn\",\"pid\":17,\
             \"role\":\"web[3]\",\"pool\":\"web\",\"slot\":3,\"message\":\"x \\\"y\\\"\\u000a\",\
             \"fields\":{\"cause\":\"a \\\"b\\\"\"}}"
        );
        let none: [(&str, u8); 0] = [];
        let json = line(&Speaker::Master, "", &none).json();
        assert!(
            json.ends_with(
                "\"role\":\"master\",\"pool\":null,\"slot\":null,\"message\":\"\",\"fields\":{}}"
            ),
            "{json}"
        );
    }

    #[test]
    fn fields_keep_their_kind() {
        let any = format_args!("any\n").to_string();
        let fields: Vec<(&str, Value<'_>)> = vec![
            ("u", Value::from(u64::MAX)),
            ("i", Value::from(-5)),
            ("f", Value::from(0.5)),
            ("nan", Value::from(f64::NAN)),
            ("b", Value::from(true)),
            ("any", Value::from_display(&any)),
            ("null", Value::null()),
        ];
        let json = line(&Speaker::Master, "x", &fields).json();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "u": u64::MAX, "i": -5, "f": 0.5, "nan": null, "b": true, "any": "any\n", "null": null
        });
        assert_eq!(read["fields"], expected);
    }

    proptest! {
        #[test]
        fn one_line_whatever_is_in_it(
            octets in proptest::collection::vec(any::<u8>(), 0..200),
            letters in any::<String>(),
        ) {
            let text = String::from_utf8_lossy(&octets).into_owned() + &letters;
            let fields = ("client", text.as_str());
            let worker = Speaker::Worker(String::from("web"), 0);
            let line = line(&worker, &text, &fields);
            for form in [line.text(), line.message(), line.json()] {
                prop_assert!(!form.chars().any(escape::is_unruly), "{form}");
            }
            let read: serde_json::Value = serde_json::from_str(&line.json()).unwrap();
            prop_assert_eq!(read["message"].as_str(), Some(text.as_str()));
            prop_assert_eq!(read["fields"]["client"].as_str(), Some(text.as_str()));
        }
    }
}
