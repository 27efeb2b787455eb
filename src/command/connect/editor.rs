//! A line that somebody types, and what stands above it: keys and text in, what
//! the terminal is to be told out.
//!
//! Owes that what comes never mixes with what is typed: the line is taken away,
//! the text written, and the line drawn again below it. Where the text has no
//! end yet (`login: `) the line stands behind it, as it would without an editor.
//! The lines before are kept in memory alone: what is typed may be a password.
//!
//! The line takes one row, whatever its length: the part around the cursor is
//! shown. How wide a letter is only the terminal knows, so it is told to write
//! up to the cursor a second time, and is there.

use super::keys::Key;

/// How many lines are remembered.
const REMEMBERED: usize = 1000;

/// To the row's begin, and nothing is in it.
const ERASE: &[u8] = b"\r\x1b[K";

/// What came of a key, for others than the editor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line, without its end.
    Line(String),
    /// No more lines come.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Ctrl-Z.
    Suspend,
}

/// The line, and what the terminal is to be told.
#[derive(Debug)]
pub(super) struct Editor {
    line: Vec<char>,
    /// Before which letter the cursor stands: `0 <= cursor <= line.len()`.
    cursor: usize,
    /// What was cut last.
    cut: Vec<char>,
    history: Vec<String>,
    /// Which of them is shown; their number for a new line.
    place: usize,
    /// The new line, while another is shown.
    draft: Vec<char>,
    /// Text that came and has no end yet: it stands before the line.
    before: String,
    /// Such text that is too long to be drawn again is in the rows, and the
    /// cursor behind it; then `before` is empty, and no line is drawn.
    open: bool,
    /// Whether the row is not as it should be.
    stale: bool,
    columns: usize,
    out: Vec<u8>,
}

impl Editor {
    pub(super) const fn new() -> Self {
        Self {
            line: Vec::new(),
            cursor: 0,
            cut: Vec::new(),
            history: Vec::new(),
            place: 0,
            draft: Vec::new(),
            before: String::new(),
            open: false,
            stale: false,
            columns: 80,
            out: Vec::new(),
        }
    }

    /// How wide the terminal is now.
    pub(super) fn set_columns(&mut self, columns: usize) {
        self.columns = columns.max(2);
    }

    /// What the terminal is to be told, to be taken out from its begin.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        // Once for all keys that came together.
        if self.stale {
            self.draw();
        }
        &mut self.out
    }

    /// This came, and a terminal obeys nothing in it but LF and TAB.
    pub(super) fn show(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.open {
            self.out.extend_from_slice(ERASE);
            self.out.extend_from_slice(self.before.as_bytes());
        }
        self.out.extend_from_slice(text.as_bytes());
        match text.rsplit_once('\n') {
            Some((_, rest)) => {
                self.open = false;
                self.before = rest.to_owned();
            }
            None if self.open => {}
            None => self.before.push_str(text),
        }
        // The line needs room as well.
        if width(self.before.chars()) > self.columns / 2 {
            self.before.clear();
            self.open = true;
        }
        self.stale = true;
    }

    /// The line is taken away for good, and text without an end gets one.
    pub(super) fn leave(&mut self) {
        if !self.open {
            self.out.extend_from_slice(ERASE);
            self.out.extend_from_slice(self.before.as_bytes());
        }
        if self.open || !self.before.is_empty() {
            self.out.push(b'\n');
        }
        self.stale = false;
    }

    /// Has the line drawn anew, wherever the cursor is in its row.
    pub(super) const fn refresh(&mut self) {
        self.stale = true;
    }

    fn draw(&mut self) {
        self.stale = false;
        if self.open {
            if self.line.is_empty() {
                return;
            }
            self.open = false;
            self.out.push(b'\n');
        }
        let room = (self.columns - 1).saturating_sub(width(self.before.chars()));
        // From the cursor to the left, and then to the right, as far as there is
        // room.
        let mut used = 0;
        let mut fits = |letter: &&char| {
            used += width(std::iter::once(**letter));
            used <= room
        };
        let (left, right) = self.line.split_at(self.cursor);
        let begin = self.cursor - left.iter().rev().take_while(&mut fits).count();
        let end = match begin {
            0 => self.cursor + right.iter().take_while(&mut fits).count(),
            // It is full.
            _ => self.cursor,
        };
        let upto = |end: usize| {
            self.before
                .chars()
                .chain(self.line[begin..end].iter().copied())
        };
        let shown = |end| upto(end).flat_map(seen).collect::<String>();
        self.out.extend_from_slice(ERASE);
        self.out.extend_from_slice(shown(end).as_bytes());
        if end > self.cursor {
            self.out.push(b'\r');
            self.out.extend_from_slice(shown(self.cursor).as_bytes());
        }
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: Key) -> Option<Typed> {
        match key {
            Key::Letter(letter) => self.insert(&[letter]),
            Key::Enter => return Some(Typed::Line(self.enter())),
            Key::Eof if self.line.is_empty() => return Some(Typed::End),
            Key::Interrupt => return Some(Typed::Interrupt),
            Key::Quit => return Some(Typed::Quit),
            Key::Suspend => return Some(Typed::Suspend),
            Key::Eof | Key::Delete => {
                self.line
                    .drain(self.cursor..self.line.len().min(self.cursor + 1));
            }
            Key::Backspace => {
                let begin = self.cursor.saturating_sub(1);
                self.line.drain(begin..self.cursor);
                self.cursor = begin;
            }
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = self.line.len().min(self.cursor + 1),
            Key::WordLeft => self.cursor = self.word_before(),
            Key::WordRight => self.cursor = self.word_behind(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Up => self.recall(self.place.checked_sub(1)),
            Key::Down => self.recall(Some(self.place + 1)),
            Key::CutBehind => self.cut = self.line.split_off(self.cursor),
            Key::CutBefore => self.cut_from(0),
            Key::CutWord => self.cut_from(self.word_before()),
            Key::Paste => self.insert(&self.cut.clone()),
            Key::Clear => {
                self.out.extend_from_slice(b"\x1b[H\x1b[2J");
                self.open = false;
            }
        }
        self.stale = true;
        None
    }

    fn insert(&mut self, letters: &[char]) {
        self.line
            .splice(self.cursor..self.cursor, letters.iter().copied());
        self.cursor += letters.len();
    }

    /// The line is whole, and the next one begins below it.
    fn enter(&mut self) -> String {
        self.cursor = self.line.len();
        self.draw();
        self.out.push(b'\n');
        self.before.clear();
        self.open = false;
        let line: String = self.line.drain(..).collect();
        self.cursor = 0;
        self.draft.clear();
        // As shells have it: a space before a line keeps it out.
        let worth = !line.is_empty() && !line.starts_with(' ');
        if worth && self.history.last() != Some(&line) {
            if self.history.len() == REMEMBERED {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        self.place = self.history.len();
        line
    }

    /// Shows another line of those before, or the new one again.
    fn recall(&mut self, place: Option<usize>) {
        let Some(place) = place.filter(|place| *place <= self.history.len()) else {
            return;
        };
        if self.place == self.history.len() {
            self.draft.clone_from(&self.line);
        }
        self.place = place;
        self.line = match self.history.get(place) {
            Some(line) => line.chars().collect(),
            None => std::mem::take(&mut self.draft),
        };
        self.cursor = self.line.len();
    }

    fn cut_from(&mut self, begin: usize) {
        self.cut = self.line.drain(begin..self.cursor).collect();
        self.cursor = begin;
    }

    /// Where the word before the cursor begins.
    fn word_before(&self) -> usize {
        let before = &self.line[..self.cursor];
        let end = before.iter().rposition(|letter| !letter.is_whitespace());
        let space = before[..end.unwrap_or(0)].iter();
        space
            .clone()
            .rposition(|letter| letter.is_whitespace())
            .map_or(0, |space| space + 1)
    }

    /// Where the word behind the cursor ends.
    fn word_behind(&self) -> usize {
        let behind = &self.line[self.cursor..];
        let begin = behind.iter().position(|letter| !letter.is_whitespace());
        let word = &behind[begin.unwrap_or(behind.len())..];
        let length = word.iter().position(|letter| letter.is_whitespace());
        self.line.len() - word.len() + length.unwrap_or(word.len())
    }
}

/// A letter as it is shown: a control character as `^A`.
fn seen(letter: char) -> impl Iterator<Item = char> {
    let (caret, sign) = match letter {
        '\t' => (None, ' '),
        '\0'..='\x1f' => (Some('^'), char::from(b'@' + letter as u8)),
        '\x7f' => (Some('^'), '?'),
        letter if crate::escape::is_unruly(letter) => (None, '\u{fffd}'),
        letter => (None, letter),
    };
    caret.into_iter().chain(std::iter::once(sign))
}

/// How many columns it takes at most.
fn width(letters: impl Iterator<Item = char>) -> usize {
    let columns = |letter: char| if letter.is_ascii() { 1 } else { 2 };
    letters.flat_map(seen).map(columns).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use proptest::prelude::*;

    /// What a terminal makes of it: its rows, and the cursor's column.
    fn screen(out: &[u8]) -> (Vec<String>, usize) {
        let text = String::from_utf8(out.to_vec()).unwrap();
        let text = text.replace("\x1b[H\x1b[2J", "\x0c");
        let mut rows: Vec<Vec<char>> = vec![Vec::new()];
        let mut column = 0;
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let row = rows.last_mut().unwrap();
            match letter {
                '\r' => column = 0,
                '\n' => {
                    // The terminal adds the CR (ONLCR).
                    rows.push(Vec::new());
                    column = 0;
                }
                '\x0c' => {
                    rows = vec![Vec::new()];
                    column = 0;
                }
                '\x1b' => {
                    assert_eq!(letters.by_ref().take(2).collect::<String>(), "[K");
                    row.truncate(column);
                }
                letter => {
                    row.resize(row.len().max(column + 1), ' ');
                    row[column] = letter;
                    column += 1;
                }
            }
        }
        let rows = rows.into_iter().map(String::from_iter).collect();
        (rows, column)
    }

    fn typed(editor: &mut Editor, octets: &str) -> Vec<Typed> {
        let keys = Keys::default().feed(octets.as_bytes());
        keys.into_iter()
            .filter_map(|key| editor.press(key))
            .collect()
    }

    fn line(text: &str) -> Vec<Typed> {
        vec![Typed::Line(text.to_owned())]
    }

    #[test]
    fn a_line_is_edited() {
        for (keys, expected) in [
            ("hello\r", "hello"),
            ("hllo\x1b[D\x1b[D\x1b[De\r", "hello"),
            ("hxello\x01\x06\x1b[3~\r", "hello"),
            ("hxello\x01\x06\x04\r", "hello"),
            ("hellx\x7fo\r", "hello"),
            ("llo\x01he\x05!\r", "hello!"),
            ("one two  \x17three\r", "one three"),
            ("one two\x15three \x19\r", "three one two"),
            ("one two\x1bb\x0b\x01\x19\r", "twoone "),
            ("one two\x01\x1bf\x1b[1;5C!\r", "one two!"),
            ("\x7f\x1b[D\x1b[C\x0b\x15\x17\x19x\r", "x"),
            ("\u{e9}\u{1f980}\x1b[D\x7f\r", "\u{1f980}"),
            ("\x16\x1b\r", "\x1b"),
        ] {
            let mut editor = Editor::new();
            assert_eq!(typed(&mut editor, keys), line(expected), "{keys:?}");
        }
    }

    #[test]
    fn lines_before_are_to_be_had_again() {
        let mut editor = Editor::new();
        typed(&mut editor, "one\rtwo\rtwo\r hidden\r\r");
        assert_eq!(typed(&mut editor, "\x1b[A\r"), line("two"));
        assert_eq!(
            typed(&mut editor, "\x1b[A\x1b[A\x1b[A\x1b[A!\r"),
            line("one!")
        );
        // Back at the new line, which is as it was.
        assert_eq!(
            typed(&mut editor, "dra\x10\x10\x0e\x0e\x0eft\r"),
            line("draft")
        );
        for number in 0..2 * REMEMBERED {
            typed(&mut editor, &format!("{number}\r"));
        }
        assert_eq!(editor.history.len(), REMEMBERED);
    }

    #[test]
    fn other_keys_are_for_others() {
        let mut editor = Editor::new();
        assert_eq!(typed(&mut editor, "\x04"), [Typed::End]);
        assert_eq!(
            typed(&mut editor, "x\x04\x03\x1c\x1a"),
            [Typed::Interrupt, Typed::Quit, Typed::Suspend]
        );
    }

    #[test]
    fn what_comes_stands_above_what_is_typed() {
        let mut editor = Editor::new();
        typed(&mut editor, "half a line\x1b[D\x1b[D");
        editor.show("first\nsecond\n");
        let (rows, column) = screen(editor.out());
        assert_eq!(rows, ["first", "second", "half a line"]);
        assert_eq!(column, 9);
        // Without its end it stands before it, and goes up with its line.
        editor.show("login: ");
        let (rows, column) = screen(editor.out());
        assert_eq!(rows, ["first", "second", "login: half a line"]);
        assert_eq!(column, 16);
        typed(&mut editor, "\r");
        editor.show("more\n");
        typed(&mut editor, "next");
        let (rows, _) = screen(editor.out());
        assert_eq!(
            rows,
            ["first", "second", "login: half a line", "more", "next"]
        );
        editor.show("unfinished");
        editor.show(" business");
        editor.leave();
        let (rows, column) = screen(editor.out());
        assert_eq!(rows[4..], ["unfinished business", ""]);
        assert_eq!(column, 0);
    }

    #[test]
    fn a_long_line_keeps_to_its_row() {
        let mut editor = Editor::new();
        editor.set_columns(11);
        typed(&mut editor, "0123456789abcdef");
        assert_eq!(screen(editor.out()), (vec!["6789abcdef".to_owned()], 10));
        typed(&mut editor, "\x01");
        assert_eq!(screen(editor.out()), (vec!["0123456789".to_owned()], 0));
        // What comes without an end may take half of it.
        editor.show("abcde");
        assert_eq!(screen(editor.out()).0, ["abcde01234"]);
        editor.show("f");
        assert_eq!(screen(editor.out()).0, ["abcdef", "0123456789"]);
    }

    #[test]
    fn a_long_text_is_not_broken_where_nobody_types() {
        let mut editor = Editor::new();
        editor.set_columns(11);
        for piece in ["abcdefgh", "ij\nklmnop", "q", "r"] {
            editor.show(piece);
        }
        assert_eq!(screen(editor.out()).0, ["abcdefghij", "klmnopqr"]);
        typed(&mut editor, "x");
        assert_eq!(screen(editor.out()).0, ["abcdefghij", "klmnopqr", "x"]);
        editor.show("stuvwxyz");
        assert_eq!(screen(editor.out()).0[2..], ["stuvwxyz", "x"]);
        typed(&mut editor, "\r");
        editor.show("stuvwxyz");
        editor.leave();
        assert_eq!(screen(editor.out()).0[3..], ["x", "stuvwxyz", ""]);
    }

    #[test]
    fn the_terminal_obeys_nothing_that_was_typed() {
        let mut editor = Editor::new();
        typed(&mut editor, "a\x16\x1b]\x16\x07\t\u{9b}");
        assert_eq!(screen(editor.out()).0, ["a^[]^G \u{fffd}"]);
        typed(&mut editor, "\x0c");
        assert_eq!(screen(editor.out()).0, ["a^[]^G \u{fffd}"]);
    }

    proptest! {
        /// Whatever is pressed: the cursor is in the line, and the row holds.
        #[test]
        fn any_keys_will_do(octets: Vec<u8>, columns in 2..40usize, text in "[a-z\n]{0,20}") {
            let mut editor = Editor::new();
            editor.set_columns(columns);
            let mut keys = Keys::default();
            for octet in octets {
                for key in keys.feed(&[octet]) {
                    editor.press(key);
                }
                prop_assert!(editor.cursor <= editor.line.len());
            }
            editor.show(&text);
            editor.out().clear();
            editor.refresh();
            let (rows, column) = screen(editor.out());
            prop_assert_eq!(rows.len(), 1);
            prop_assert!(column < columns && rows[0].chars().count() < columns);
        }
    }
}
