//! Text in a line that somebody reads: what a character must not be able to do
//! there.
//!
//! Owes that a line stays one line, whatever splits it, and shows what it
//! holds: no character of it drives a terminal or puts others out of their
//! order. Decides nothing about whose text it is; all of it is escaped.

/// Whether a character could end a line, drive a terminal, or change the order
/// in which others are shown: C0, DEL and C1; the separators of lines and
/// paragraphs, which many readers split at; and those that set the direction of
/// text (Unicode Standard Annex #9, §2).
pub const fn is_unruly(letter: char) -> bool {
    matches!(
        letter,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Appends `text` as plain text: what is unruly as `\n`, `\t`, `\r` or
/// `\u{1b}`.
pub fn plain(text: &str, out: &mut String) {
    for letter in text.chars() {
        if is_unruly(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
}

/// Appends `text` as a string of JSON, in quotes (RFC 8259 §7): what is unruly
/// as `\u001b`.
pub fn json(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if is_unruly(letter) => {
                out.push_str("\\u");
                let code = u32::from(letter);
                let digit = |place: u32| char::from_digit(code >> (4 * place) & 15, 16);
                out.extend((0..4).rev().filter_map(digit));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// What a reader's quotation is shortened to the first time, and at least.
const QUOTED: usize = 4096;
const LEAST: usize = 16;

/// A line that is no longer than `room` octets, its end included: in place of
/// the whole of its long quotations stands what they begin with, and `...`.
///
/// For lines in which `"` stands only around quotations, and in them nothing
/// but as a part of `\"`, `\\`, `\xHH` or `\uHHHH`, as in both forms of the
/// access log and in JSON: their quotes still pair, and JSON is JSON.
pub fn shortened(line: &[u8], room: usize) -> Vec<u8> {
    let mut most = QUOTED;
    loop {
        let shorter = with_quotations_of(line, most);
        if shorter.len() <= room || most <= LEAST {
            return shorter;
        }
        most /= 2;
    }
}

fn with_quotations_of(line: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len().min(16 * most));
    let mut rest = line;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        let (before, inside) = rest.split_at(quote + 1);
        out.extend_from_slice(before);
        let (mut at, mut cut) = (0, None);
        while let Some(unit) = unit(&inside[at..]) {
            if at + unit > most {
                cut = cut.or(Some(at));
            }
            at += unit;
        }
        out.extend_from_slice(&inside[..cut.unwrap_or(at)]);
        if cut.is_some() {
            out.extend_from_slice(b"...");
        }
        let end = (at + 1).min(inside.len());
        out.extend_from_slice(&inside[at..end]);
        rest = &inside[end..];
    }
    out.extend_from_slice(rest);
    out
}

/// How many octets the next character of a quotation has as it is written;
/// `None` at its end.
fn unit(text: &[u8]) -> Option<usize> {
    let length = match text {
        [] | [b'"', ..] => return None,
        // What a backslash of the client's, or an octet, is in the access log.
        [b'\\', b'\\', b'x', high, low, ..] if is_hex(*high) && is_hex(*low) => 5,
        [b'\\', b'u', ..] => 6,
        [b'\\', b'x', ..] => 4,
        [b'\\', ..] => 2,
        [first, ..] => match first.leading_ones() {
            length @ 2..=4 => length as usize,
            _ => 1,
        },
    };
    Some(length.min(text.len()))
}

const fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn escaped(text: &str, how: fn(&str, &mut String)) -> String {
        let mut out = String::new();
        how(text, &mut out);
        out
    }

    #[test]
    fn what_is_unruly_is_escaped() {
        assert_eq!(
            escaped("a\nb\x1b[31m é\u{2028}\u{202e}\u{85}", plain),
            "a\\nb\\u{1b}[31m é\\u{2028}\\u{202e}\\u{85}"
        );
        assert_eq!(
            escaped("a\n\"\\\x7fé\u{2028}", json),
            "\"a\\u000a\\\"\\\\\\u007fé\\u2028\""
        );
    }

    #[test]
    fn long_quotations_are_shortened_and_pair() {
        let line = format!(
            "a - \"{}\" 200 \"-\" \"{}\"\n",
            "x".repeat(9000),
            "\\xE4".repeat(3000)
        );
        for room in [8000, 4096, 1000, 200] {
            let short = String::from_utf8(shortened(line.as_bytes(), room)).unwrap();
            assert!(short.len() <= room, "{} of {room}", short.len());
            assert!(
                short.len() > room / 4 && short.ends_with("...\"\n"),
                "{short}"
            );
            assert!(short.starts_with("a - \"xxx") && short.contains("...\" 200 \"-\" \"\\xE4"));
            assert!(
                !short.contains("\\x.") && !short.contains("\\xE."),
                "{short}"
            );
        }
        assert_eq!(shortened(b"plain \"text\"\n", 8000), b"plain \"text\"\n");
    }

    proptest! {
        #[test]
        fn json_is_read_back(text in any::<String>()) {
            let written = escaped(&text, json);
            prop_assert!(!written.chars().any(is_unruly), "{written}");
            let read: String = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn plain_text_is_one_line(text in any::<String>()) {
            prop_assert!(!escaped(&text, plain).chars().any(is_unruly));
        }

        #[test]
        fn shortened_json_is_json(texts in proptest::collection::vec("\\PC{0,80}|[\"\\\\\u{0}-\u{1f}é\u{1f600}x5C]{0,80}", 1..6)) {
            let mut line = String::from("{");
            for (number, text) in texts.iter().enumerate() {
                line.push_str(&format!("\"{number}\":"));
                json(text, &mut line);
                line.push(',');
            }
            line.push_str("\"last\":1}\n");
            for room in [60, 150, 300] {
                let short = shortened(line.as_bytes(), room);
                let read: Value = serde_json::from_slice(&short).unwrap();
                prop_assert_eq!(&read["last"], 1);
                for (number, text) in texts.iter().enumerate() {
                    let shown = read[number.to_string()].as_str().unwrap();
                    let begin = shown.strip_suffix("...").unwrap_or(shown);
                    prop_assert!(text.starts_with(begin), "{begin:?} of {text:?}");
                }
            }
        }
    }
}
