//! A request, and how it is written for each server anew: its conditions are
//! about the tag and the date that this server gave.

use super::site::Page;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// What the target is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Page(&'static Page),
    /// A directory without an index, or without its slash.
    Directory,
    Hidden,
    Closed,
    Missing,
    /// A name that no file system has room for.
    TooLong,
    /// `*`.
    Server,
}

/// What is asked for of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    None,
    /// One that is there, in any form.
    Single,
    /// Several without an octet in common.
    Disjoint,
    /// Several, some octets twice.
    Overlapping,
    /// Several, some of them behind the end.
    PartlyBeyond,
    /// One behind the end.
    Beyond,
    /// `-0`.
    ZeroSuffix,
    /// The last position before the first.
    Reversed,
    /// Another unit.
    OtherUnit,
    /// Two hundred.
    Many,
}

/// A value of a field; what depends on the server is filled in later.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    /// `{tag}` is the server's, `{weak}` the same one with `W/`.
    Tags(&'static str),
    /// The file's date and so many seconds, in this form.
    Date(i64, Form),
}

/// The forms of a date (RFC 9110 §5.6.7).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Imf,
    Rfc850,
    Asctime,
}

/// What a server says of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Validators {
    pub(crate) tag: String,
    /// Seconds since 1970.
    pub(crate) modified: Option<u64>,
    /// The coding that it chose.
    pub(crate) coding: String,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) http_1_0: bool,
    pub(crate) what: What,
    pub(crate) fields: Vec<(&'static str, Value)>,
    pub(crate) content: Vec<u8>,
    pub(crate) ranges: Ranges,
    /// Dot segments lead above the root on the way.
    pub(crate) above: bool,
    /// Its Accept-Encoding.
    pub(crate) codings: Option<&'static str>,
}

impl Request {
    /// Whether it has this field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &Value> {
        let found = self
            .fields
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// As it is sent to a server that said this of the file.
    pub(crate) fn render(&self, known: &Validators) -> Vec<u8> {
        let version = if self.http_1_0 { "1.0" } else { "1.1" };
        let mut text = format!("{} {} HTTP/{version}\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            let value = match value {
                Value::Text(text) => text.clone(),
                Value::Tags(pattern) => {
                    let opaque = known.tag.trim_start_matches("W/");
                    let weak = format!("W/{opaque}");
                    pattern.replace("{tag}", opaque).replace("{weak}", &weak)
                }
                Value::Date(seconds, form) => {
                    let modified = known.modified.unwrap_or(super::site::LONG_AGO);
                    date(modified.saturating_add_signed(*seconds), *form)
                }
            };
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.content);
        bytes
    }
}

fn date(seconds: u64, form: Form) -> String {
    let imf = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let [name, day, month, year, time, _] = imf.split(' ').collect::<Vec<_>>()[..] else {
        unreachable!("an IMF-fixdate has six words");
    };
    let name = name.trim_end_matches(',');
    match form {
        Form::Imf => imf,
        Form::Rfc850 => {
            let names = [
                "Monday",
                "Tuesday",
                "Wednesday",
                "Thursday",
                "Friday",
                "Saturday",
                "Sunday",
            ];
            let name = names.iter().find(|long| long.starts_with(name)).unwrap();
            format!("{name}, {day}-{month}-{} {time} GMT", &year[2..])
        }
        Form::Asctime => {
            let day: u8 = day.parse().unwrap();
            format!("{name} {month} {day:2} {time} {year}")
        }
    }
}
