//! A directory as a page or as JSON, written as its entries come in.
//!
//! ```text
//!   Gathering ── all there ──────▶ sort ──▶ Writing ── row by row ──▶ Done
//!       │                                     ▲  │
//!       └── too many to sort ─────────────────┘  └─ next entries ─┐
//!                                             ▲                   │
//!                                             └───────────────────┘
//! ```
//!
//! Sorting needs all names at once. Up to [`MOST`] entries and [`MOST_OCTETS`]
//! of names are held for that; a larger directory is sent as it is read, in no
//! order, and says so. Either way a listing holds no more than that.
//!
//! A name may be any octets but `/` and NUL: in a link it is percent-encoded,
//! in a text it is escaped, and what is not UTF-8 or would not print is shown
//! as U+FFFD. There is no script in the page, and nothing from elsewhere.

use std::io::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::protocol::{Entry, FileKind, Output};

/// The most entries that are sorted.
const MOST: usize = 10_000;
/// The most octets of their names.
const MOST_OCTETS: usize = 1 << 20;

/// How the page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Html,
    Json,
}

/// How its end is told (RFC 9112 §6.1, §6.3): its length is not known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// What is to come before the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Further entries.
    Entries,
    /// Room in the output.
    Room,
    /// Nothing: it is complete.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was written yet.
    Gathering,
    /// The row of this number is next; `more` entries may follow those held.
    Writing {
        next: usize,
        more: bool,
    },
    Done,
}

/// A listing under way.
#[derive(Debug)]
pub(super) struct Listing {
    form: Form,
    end: End,
    order: Order,
    /// Whether names that begin with a dot are shown.
    dotfiles: bool,
    /// The directory, without slashes at its ends; what it is called.
    path: Vec<u8>,
    names: Vec<u8>,
    rows: Vec<Row>,
    stage: Stage,
    sorted: bool,
    /// Rows written.
    written: usize,
    /// Octets of content written.
    octets: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    name: u32,
    name_length: u16,
    kind: FileKind,
    length: u64,
    mtime: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Size,
    Time,
}

impl Key {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Name, "name", "Name"),
        (Self::Size, "size", "Size"),
        (Self::Time, "time", "Modified (UTC)"),
    ];
}

/// `?sort=name|size|time&order=asc|desc`; what else a query says does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    key: Key,
    descending: bool,
}

impl Order {
    fn parse(query: &[u8]) -> Self {
        let mut order = Self {
            key: Key::Name,
            descending: false,
        };
        for pair in query.split(|&byte| matches!(byte, b'&' | b';')) {
            match pair {
                b"order=desc" => order.descending = true,
                b"order=asc" => order.descending = false,
                [b's', b'o', b'r', b't', b'=', word @ ..] => {
                    let known = Key::ALL
                        .iter()
                        .find(|(_, known, _)| known.as_bytes() == word);
                    order.key = known.map_or(order.key, |(key, _, _)| *key);
                }
                [..] => {}
            }
        }
        order
    }
}

impl Listing {
    /// A listing of the directory at `path` for whoever asked with `query`.
    pub(super) fn new(form: Form, end: End, dotfiles: bool, path: &[u8], query: &[u8]) -> Self {
        Self {
            form,
            end,
            order: Order::parse(query),
            dotfiles,
            path: path.to_vec(),
            names: Vec::new(),
            rows: Vec::new(),
            stage: Stage::Gathering,
            sorted: false,
            written: 0,
            octets: 0,
        }
    }

    /// Its media type.
    pub(super) const fn content_type(form: Form) -> &'static str {
        match form {
            Form::Html => "text/html; charset=utf-8",
            Form::Json => "application/json",
        }
    }

    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether something of it is written already.
    pub(super) fn has_begun(&self) -> bool {
        self.stage != Stage::Gathering
    }

    /// Takes entries in; `more` may follow. Answers what is needed next; with
    /// [`Need::Room`] it wants to write.
    pub(super) fn take(&mut self, entries: &mut Vec<Entry>, more: bool) -> Need {
        for entry in entries.drain(..) {
            self.push(&entry);
        }
        match self.stage {
            Stage::Gathering if !more => {
                self.sort();
                self.stage = Stage::Writing { next: 0, more };
            }
            Stage::Gathering if self.is_full() => self.stage = Stage::Writing { next: 0, more },
            Stage::Gathering => return Need::Entries,
            Stage::Writing { .. } => self.stage = Stage::Writing { next: 0, more },
            Stage::Done => return Need::Nothing,
        }
        Need::Room
    }

    fn push(&mut self, entry: &Entry) {
        let name = &entry.name;
        // What the rules for paths hide: see `target::resolve`.
        let in_the_open = self.path.is_empty() && name == b".well-known";
        if name.starts_with(b".") && !self.dotfiles && !in_the_open {
            return;
        }
        if entry.kind == FileKind::Other || name.contains(&b'/') {
            return;
        }
        // `target::resolve` refuses whoever asks for it.
        if name.contains(&b'\n') || name.contains(&b'\r') {
            return;
        }
        let (Ok(start), Ok(name_length)) =
            (u32::try_from(self.names.len()), u16::try_from(name.len()))
        else {
            return;
        };
        self.names.extend_from_slice(name);
        self.rows.push(Row {
            name: start,
            name_length,
            kind: entry.kind,
            length: entry.length,
            mtime: entry.mtime,
        });
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= MOST || self.names.len() >= MOST_OCTETS
    }

    /// Directories come first, whatever the key; ties go by name.
    fn sort(&mut self) {
        let names = std::mem::take(&mut self.names);
        let Order { key, descending } = self.order;
        self.rows.sort_unstable_by(|one, other| {
            let by_key = match key {
                Key::Name => std::cmp::Ordering::Equal,
                Key::Size => one.length.cmp(&other.length),
                Key::Time => one.mtime.cmp(&other.mtime),
            };
            let by_key = by_key.then_with(|| one.name(&names).cmp(other.name(&names)));
            let by_key = if descending { by_key.reverse() } else { by_key };
            other.is_directory().cmp(&one.is_directory()).then(by_key)
        });
        self.names = names;
        self.sorted = true;
    }

    /// Writes on, as one chunk at most, until `output` is long or there are no
    /// rows left; answers what is needed next.
    pub(super) fn write(&mut self, output: &mut Output) -> Need {
        /// What a chunk begins with, its length to be filled in: six digits are
        /// more than [`Output::ENOUGH`] and a row need.
        const HEAD: &[u8] = b"000000\r\n";
        let already = output.len();
        let out = output.tail();
        let start = out.len();
        if self.end == End::Chunked {
            out.extend_from_slice(HEAD);
        }
        let begin = out.len();
        let need = self.write_rows(out, already);
        let count = out.len() - begin;
        self.octets += count as u64;
        if self.end == End::Chunked {
            if count == 0 {
                out.truncate(start);
            } else {
                let digits = format!("{count:06x}");
                out[start..start + digits.len()].copy_from_slice(digits.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            if need == Need::Nothing {
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        need
    }

    fn write_rows(&mut self, out: &mut Vec<u8>, already: usize) -> Need {
        let Stage::Writing { mut next, more } = self.stage else {
            return Need::Nothing;
        };
        let start = out.len();
        if self.written == 0 && self.octets == 0 {
            self.write_beginning(out);
        }
        while let Some(row) = self.rows.get(next) {
            if already + out.len() - start >= Output::ENOUGH {
                self.stage = Stage::Writing { next, more };
                return Need::Room;
            }
            match self.form {
                Form::Html => write_html_row(out, row, &self.names),
                Form::Json => {
                    out.extend_from_slice(if self.written == 0 { b"\n" } else { b",\n" });
                    write_json_row(out, row, &self.names);
                }
            }
            self.written += 1;
            next += 1;
        }
        self.rows.clear();
        self.names.clear();
        if more {
            self.stage = Stage::Writing { next: 0, more };
            return Need::Entries;
        }
        out.extend_from_slice(match self.form {
            Form::Html => b"</tbody>\n</table>\n</html>\n",
            Form::Json => b"\n]}\n",
        });
        self.stage = Stage::Done;
        Need::Nothing
    }

    // Writing to a buffer in memory cannot fail, here and below.

    fn write_beginning(&self, out: &mut Vec<u8>) {
        match self.form {
            Form::Html => self.write_html_beginning(out),
            Form::Json => {
                out.extend_from_slice(b"{\"path\":\"");
                self.write_path(out, json);
                let _ = write!(out, "\",\"sorted\":{},\"entries\":[", self.sorted);
            }
        }
    }

    fn write_html_beginning(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Index of ",
        );
        self.write_path(out, html);
        out.extend_from_slice(STYLE.as_bytes());
        self.write_path(out, html);
        out.extend_from_slice(b"</h1>\n");
        if !self.sorted {
            out.extend_from_slice(b"<p>There are too many entries to sort them.</p>\n");
        }
        out.extend_from_slice(b"<table>\n<thead>\n<tr>");
        for (key, word, title) in Key::ALL {
            let current = self.sorted && key == self.order.key;
            let order = if current && !self.order.descending {
                "desc"
            } else {
                "asc"
            };
            let aria = match (current, self.order.descending) {
                (false, _) => "",
                (true, false) => " aria-sort=\"ascending\"",
                (true, true) => " aria-sort=\"descending\"",
            };
            let _ = write!(
                out,
                "<th scope=\"col\"{aria}><a href=\"?sort={word}&amp;order={order}\">{title}</a></th>"
            );
        }
        out.extend_from_slice(b"</tr>\n</thead>\n<tbody>\n");
        if !self.path.is_empty() {
            out.extend_from_slice(b"<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
    }

    /// `/`, or `/a/b/`, each octet that is not plain seen to by `escape`.
    fn write_path(&self, out: &mut Vec<u8>, escape: fn(&mut Vec<u8>, &[u8])) {
        out.push(b'/');
        if !self.path.is_empty() {
            escape(out, &self.path);
            out.push(b'/');
        }
    }
}

impl Row {
    fn name<'n>(&self, names: &'n [u8]) -> &'n [u8] {
        let start = self.name as usize;
        &names[start..start + usize::from(self.name_length)]
    }

    fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// What follows the name: a slash, for a directory.
    fn slash(&self) -> &'static str {
        if self.is_directory() { "/" } else { "" }
    }
}

/// Dark and light as the reader has it; no colour is set but through that.
const STYLE: &str = "</title>
<meta name=\"viewport\" content=\"width=device-width\">
<meta name=\"color-scheme\" content=\"light dark\">
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 1rem auto; padding: 0 1rem }
h1 { font-size: 1.25rem; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
th, td { padding: .2rem .75rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top }
tbody tr:hover { background: #8882 }
th:first-child, td:first-child { width: 100%; padding-left: .25rem; overflow-wrap: anywhere }
th:nth-child(2), td:nth-child(2) { text-align: right }
th + th, td + td { white-space: nowrap; font-variant-numeric: tabular-nums }
a { text-decoration: none }
a:hover, a:focus-visible { text-decoration: underline }
th a { color: inherit }
th[aria-sort=ascending] a::after { content: \" \\2191\" }
th[aria-sort=descending] a::after { content: \" \\2193\" }
</style>
<h1>Index of ";

fn write_html_row(out: &mut Vec<u8>, row: &Row, names: &[u8]) {
    let (name, slash) = (row.name(names), row.slash());
    let _ = write!(
        out,
        "<tr><td><a href=\"{}{slash}\">",
        percent_encode(name, SEGMENT)
    );
    html(out, name);
    let _ = write!(out, "{slash}</a></td><td>");
    if !row.is_directory() {
        write_size(out, row.length);
    }
    out.extend_from_slice(b"</td><td>");
    write_time(out, row.mtime);
    out.extend_from_slice(b"</td></tr>\n");
}

fn write_json_row(out: &mut Vec<u8>, row: &Row, names: &[u8]) {
    let (name, slash) = (row.name(names), row.slash());
    out.extend_from_slice(b"{\"name\":\"");
    json(out, name);
    let _ = write!(
        out,
        "\",\"href\":\"{}{slash}\",\"type\":\"{}\"",
        percent_encode(name, SEGMENT),
        if row.is_directory() {
            "directory"
        } else {
            "file"
        }
    );
    if !row.is_directory() {
        let _ = write!(out, ",\"size\":{}", row.length);
    }
    let _ = write!(out, ",\"mtime\":{}}}", row.mtime);
}

/// unreserved (RFC 3986 §2.3) stays as it is; a colon would look like a scheme.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Appends a text so that it is one in HTML, in attributes too.
fn html(out: &mut Vec<u8>, text: &[u8]) {
    for letter in letters(text) {
        match letter {
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '&' => out.extend_from_slice(b"&amp;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\'' => out.extend_from_slice(b"&#39;"),
            letter => push(out, letter),
        }
    }
}

/// Appends a text so that it fits between the quotes of a JSON string
/// (RFC 8259 §7). Control characters do not get here.
fn json(out: &mut Vec<u8>, text: &[u8]) {
    for letter in letters(text) {
        match letter {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            letter => push(out, letter),
        }
    }
}

fn push(out: &mut Vec<u8>, letter: char) {
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The letters of a name. Those that do not print, or turn the direction of
/// what follows, are replaced.
fn letters(text: &[u8]) -> impl Iterator<Item = char> {
    text.utf8_chunks().flat_map(|chunk| {
        let odd = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        let shown = |letter: char| match letter {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                char::REPLACEMENT_CHARACTER
            }
            letter if letter.is_control() => char::REPLACEMENT_CHARACTER,
            letter => letter,
        };
        chunk.valid().chars().map(shown).chain(odd)
    })
}

/// `312 B`, `1.5 KiB`, `20 GiB`.
fn write_size(out: &mut Vec<u8>, octets: u64) {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if octets < 1024 {
        let _ = write!(out, "{octets} B");
        return;
    }
    let mut unit = 0;
    let mut tenths = u128::from(octets) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let _ = if tenths < 100 {
        write!(out, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        write!(out, "{} {}", tenths / 10, UNITS[unit])
    };
}

/// `2026-07-01 10:30`, in UTC. Counts in eras of 400 years, which begin with
/// the 1st of March, so that a leap day is the last of its year.
fn write_time(out: &mut Vec<u8>, unix: i64) {
    const DAY: i64 = 86_400;
    const ERA: i64 = 146_097;
    let days = unix.div_euclid(DAY) + 719_468;
    let minutes = unix.rem_euclid(DAY) / 60;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let (hour, minute) = (minutes / 60, minutes % 60);
    let _ = write!(out, "{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
