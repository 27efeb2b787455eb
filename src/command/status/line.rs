//! Lines of text with what is said in colour, and the words for numbers.
//!
//! Owes that nothing but printable ASCII reaches a terminal: what clients sent
//! stands in the status, and a terminal obeys what it reads.

use crossterm::Command;
use crossterm::style::{Attribute, Color, SetAttribute, SetForegroundColor};
use std::fmt::Write;

/// What a piece of text is to be seen as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// As everything.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// Of little interest.
    Faint,
    /// All is well, and something goes on.
    Good,
    /// Worth a look.
    Notable,
    /// Wrong.
    Serious,
}

impl Style {
    /// What switches it on; nothing for plain text.
    fn begin(self, to: &mut String) {
        // To write into a string cannot fail.
        let _ = match self {
            Self::Plain => Ok(()),
            Self::Heading => SetAttribute(Attribute::Bold).write_ansi(to),
            Self::Faint => SetForegroundColor(Color::DarkGrey).write_ansi(to),
            Self::Good => SetForegroundColor(Color::DarkGreen).write_ansi(to),
            Self::Notable => SetForegroundColor(Color::DarkYellow).write_ansi(to),
            Self::Serious => SetAttribute(Attribute::Bold)
                .write_ansi(to)
                .and_then(|()| SetForegroundColor(Color::DarkRed).write_ansi(to)),
        };
    }
}

/// One line, without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    /// One that begins with this.
    pub(super) fn new(style: Style, text: &str) -> Self {
        let mut line = Self::default();
        line.push(style, text);
        line
    }

    /// Adds text, in which whatever a terminal could obey is escaped.
    pub(super) fn push(&mut self, style: Style, text: &str) {
        let text = clean(text);
        match self.0.last_mut() {
            Some((last, before)) if *last == style => before.push_str(&text),
            Some(_) | None => self.0.push((style, text)),
        }
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.len()).sum()
    }

    /// The text, with colours if `colour`.
    pub(super) fn text(&self, colour: bool) -> String {
        let mut whole = String::new();
        for (style, text) in &self.0 {
            let coloured = colour && *style != Style::Plain && !text.is_empty();
            if coloured {
                style.begin(&mut whole);
            }
            whole.push_str(text);
            if coloured {
                let _ = SetAttribute(Attribute::Reset).write_ansi(&mut whole);
            }
        }
        whole
    }

    /// No longer than `width` columns.
    #[must_use]
    pub(super) fn cut(mut self, width: usize) -> Self {
        let mut left = width;
        for (_, text) in &mut self.0 {
            // Each character is one octet and one column: see `clean`.
            text.truncate(left);
            left -= text.len();
        }
        self
    }

    /// As many lines as it needs at this width, broken at spaces.
    pub(super) fn wrapped(self, width: usize) -> Vec<Self> {
        if self.width() <= width || width == 0 {
            return vec![self];
        }
        let mut lines = vec![Self::default()];
        for (style, text) in self.0 {
            for word in text.split_inclusive(' ') {
                let mut room = width - lines.last().map_or(0, Self::width).min(width);
                let mut word = word;
                if word.trim_end().len() > room && room < width {
                    lines.push(Self::default());
                    room = width;
                }
                while word.len() > room {
                    let (now, rest) = word.split_at(room);
                    push_last(&mut lines, style, now);
                    word = rest.trim_start();
                    if !word.is_empty() {
                        lines.push(Self::default());
                    }
                    room = width;
                }
                push_last(&mut lines, style, word);
            }
        }
        lines
    }
}

fn push_last(lines: &mut [Line], style: Style, text: &str) {
    if let Some(last) = lines.last_mut()
        && !text.is_empty()
    {
        last.0.push((style, text.to_owned()));
    }
}

/// The text with everything escaped that is not printable ASCII: controls, and
/// what turns the direction of writing or takes no room.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            ' '..='~' => clean.push(char),
            _ => clean.extend(char.escape_default()),
        }
    }
    clean
}

/// A line of JSON that says the same in printable ASCII.
pub(in crate::command) fn clean_json(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    for char in line.chars() {
        match char {
            ' '..='~' => clean.push(char),
            // JSON has these between its words alone (RFC 8259 §2 and §7).
            '\0'..='\u{1f}' => clean.push(' '),
            _ => {
                let mut units = [0; 2];
                for unit in char.encode_utf16(&mut units) {
                    let _ = write!(clean, "\\u{unit:04x}");
                }
            }
        }
    }
    clean
}

/// A time in seconds: `0.3s`, `12s`, `4m05s`, `3h12m`, `5d03h`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let pair = |unit: u64, first, part: u64, second| {
        format!("{}{first}{:02}{second}", whole / unit, whole % unit / part)
    };
    match whole {
        0..10 => format!("{:.1}s", seconds.max(0.0)),
        10..60 => format!("{whole}s"),
        60..3600 => pair(60, 'm', 1, 's'),
        3600..86_400 => pair(3600, 'h', 60, 'm'),
        _ => pair(86_400, 'd', 3600, 'h'),
    }
}

/// The same for what is counted in whole seconds: `7s`.
pub(super) fn seconds(count: u64) -> String {
    match count {
        0..60 => format!("{count}s"),
        _ => duration(count as f64),
    }
}

/// A number of octets: `512`, `1.5K`, `23M`; K is 1024.
pub(super) fn octets(count: f64) -> String {
    if count < 1000.0 {
        return format!("{count:.0}");
    }
    let mut count = count;
    let mut unit = ' ';
    for next in ['K', 'M', 'G', 'T', 'P', 'E'] {
        if count < 1000.0 {
            break;
        }
        count /= 1024.0;
        unit = next;
    }
    if count < 9.95 {
        format!("{count:.1}{unit}")
    } else {
        format!("{count:.0}{unit}")
    }
}

/// Times a second: `0.0`, `12.3`, `12345`.
pub(super) fn rate(rate: f64) -> String {
    if rate < 999.95 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// `1 client`, `2 clients`.
pub(super) fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let wild = "a\x1b]0;owned\x07\r\n\u{9b}31m\u{202e}\x7fé";
        let mut line = Line::new(Style::Plain, wild);
        line.push(Style::Serious, wild);
        let text = line.text(false);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(text.starts_with("a\\u{1b}]0;owned\\u{7}\\r\\n\\u{9b}31m\\u{202e}\\u{7f}\\u{e9}"));
        let coloured = line.text(true);
        // What it says in colour itself is all that there is.
        assert!(coloured.matches('\x1b').count() <= 4, "{coloured:?}");
        assert!(!coloured.contains("\x1b]"));
    }

    #[test]
    fn json_says_the_same_in_ascii() {
        let line = "{\"a\": \"\u{9b}\u{202e}\u{1f980}\\u001b\",\t\"\x7f\": 1}";
        let clean = clean_json(line);
        assert!(clean.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        assert!(parse(line).is_some());
        assert_eq!(parse(&clean), parse(line));
    }

    #[test]
    fn a_line_is_cut_and_wrapped_by_columns() {
        let mut line = Line::new(Style::Plain, "one two ");
        line.push(Style::Serious, "three");
        assert_eq!(line.clone().cut(9).text(false), "one two t");
        assert_eq!(line.clone().cut(99).text(false), "one two three");
        for width in 1..20 {
            let lines = line.clone().wrapped(width);
            assert!(
                lines
                    .iter()
                    .all(|line| line.text(false).trim_end().len() <= width)
            );
            let words: String = lines.iter().map(|line| line.text(false)).collect();
            assert_eq!(words.replace(' ', ""), "onetwothree", "{width}");
        }
    }

    #[test]
    fn numbers_have_words() {
        let times = [-1.0, 0.25, 9.9, 59.9, 245.0, 11_520.0, 442_800.0].map(duration);
        assert_eq!(
            times,
            ["0.0s", "0.2s", "9.9s", "59s", "4m05s", "3h12m", "5d03h"]
        );
        assert_eq!([0, 59, 60].map(seconds), ["0s", "59s", "1m00s"]);
        let sizes = [0.0, 999.0, 1000.0, 1536.0, 10_240.0, 1e15].map(octets);
        assert_eq!(sizes, ["0", "999", "1.0K", "1.5K", "10K", "909T"]);
        assert_eq!([0.04, 999.9, 1000.2].map(rate), ["0.0", "999.9", "1000"]);
    }
}
