//! A manual page in roff, in the words of man(7).
//!
//! Owes that every text comes out as it was given: what roff would take for a
//! request or an escape is escaped here and nowhere else, and what comes out is
//! ASCII. A line of text begins with each sentence, and none is longer than 78
//! columns, as those who read the source expect.
//!
//! In a text what stands between backquotes is bold, as words that are typed.

/// The page so far.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    /// A title was the last: a paragraph begins by itself.
    titled: bool,
}

/// A piece of a line with its font.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// As the text around it.
    Plain(String),
    /// Typed as it stands: bold.
    Word(String),
    /// Stands for something else: italic.
    Value(String),
}

/// A piece in the font of the text around it.
pub(super) fn plain(text: impl Into<String>) -> Piece {
    Piece::Plain(text.into())
}

/// A piece that is typed as it stands.
pub(super) fn word(text: impl Into<String>) -> Piece {
    Piece::Word(text.into())
}

/// A piece that stands for something else.
pub(super) fn value(text: impl Into<String>) -> Piece {
    Piece::Value(text.into())
}

/// The longest line of text.
const COLUMNS: usize = 78;

impl Page {
    /// A page with its head: `name` is in capitals, `date` is YYYY-MM-DD.
    pub(super) fn new(name: &str, section: &str, date: &str, source: &str, manual: &str) -> Self {
        let mut page = Self {
            text: String::new(),
            titled: true,
        };
        // The date is read by programs: it stands as it is.
        let [name, source, manual] = [name, source, manual].map(argument);
        let head = format!(".TH {name} {section} {date} {source} {manual}\n");
        page.text.push_str(&head);
        // Nothing is stretched to the margin.
        page.request("ad", &["l"]);
        page
    }

    /// The page as it is written to a file.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// A section with its title, in capitals.
    pub(super) fn section(&mut self, title: &str) {
        self.request("SH", &[title]);
        self.titled = true;
    }

    /// A part of a section.
    pub(super) fn part(&mut self, title: &str) {
        self.request("SS", &[title]);
        self.titled = true;
    }

    /// Text right behind a title, or in the paragraph that is open.
    pub(super) fn text(&mut self, text: &str) {
        self.fill(&marked(text));
    }

    /// A paragraph.
    pub(super) fn paragraph(&mut self, text: &str) {
        if !self.titled {
            self.request("PP", &[]);
        }
        self.fill(&marked(text));
    }

    /// A row of a list: what it is about, and what is said of it.
    pub(super) fn entry(&mut self, tag: &[Piece], text: &str) {
        self.request("TP", &[]);
        self.line(tag);
        self.fill(&marked(text));
    }

    /// A line of a synopsis: the words of the command, and what may follow.
    pub(super) fn usage(&mut self, command: &str, arguments: &[Vec<Piece>]) {
        self.request("SY", &[command]);
        for argument in arguments {
            self.line(argument);
            if argument.last() == Some(&plain("...")) {
                // It ends no sentence.
                self.text.truncate(self.text.len() - 1);
                self.text.push_str("\\&\n");
            }
        }
        self.request("YS", &[]);
    }

    /// Goes on in a new line.
    pub(super) fn next_line(&mut self, text: &str) {
        self.request("br", &[]);
        self.fill(&marked(text));
    }

    /// What follows belongs to the last entry, until [`Page::outdent`].
    pub(super) fn indent(&mut self) {
        self.request("RS", &[]);
    }

    /// The end of what [`Page::indent`] began.
    pub(super) fn outdent(&mut self) {
        self.request("RE", &[]);
    }

    /// Lines as they stand.
    pub(super) fn example(&mut self, lines: &str) {
        self.request("PP", &[]);
        self.request("RS", &["4"]);
        self.request("EX", &[]);
        for line in lines.lines() {
            self.put(&escaped(line));
        }
        self.request("EE", &[]);
        self.request("RE", &[]);
    }

    /// A line of pieces that is not broken.
    fn line(&mut self, pieces: &[Piece]) {
        let words: String = pieces.iter().map(dressed).collect();
        self.put(&words);
    }

    /// Text in lines that end with a sentence, or where they are full.
    fn fill(&mut self, pieces: &[Piece]) {
        let text: String = pieces.iter().map(dressed).collect();
        let mut line = String::new();
        let mut ended = false;
        for word in text.split_ascii_whitespace() {
            let is_full = line.len() + 1 + word.len() > COLUMNS;
            let begins = !word.starts_with(|sign: char| sign.is_ascii_lowercase());
            if !line.is_empty() && (is_full || ended && begins) {
                self.put(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            if is_no_prose(word) {
                // It is not hyphenated at the end of a line.
                line.push_str("\\%");
            }
            line.push_str(word);
            ended = word.ends_with(['.', '?']) && !word.ends_with("...");
            if word.ends_with("...") {
                // Wherever the line ends, the sentence does not.
                line.push_str("\\&");
            }
        }
        if !line.is_empty() {
            self.put(&line);
        }
    }

    /// A line of text, escaped already. One that begins with a control
    /// character would be a request (groff(7), Control characters).
    fn put(&mut self, line: &str) {
        if line.starts_with(['.', '\'']) {
            self.text.push_str("\\&");
        }
        self.text.push_str(line);
        self.text.push('\n');
        self.titled = false;
    }

    fn request(&mut self, name: &str, arguments: &[&str]) {
        self.text.push('.');
        self.text.push_str(name);
        for text in arguments {
            self.text.push(' ');
            self.text.push_str(&argument(text));
        }
        self.text.push('\n');
        self.titled = false;
    }
}

/// Whether a word is one of a program or a file, and not of a language.
fn is_no_prose(word: &str) -> bool {
    let inner = word.trim_start_matches('(');
    let inner = inner.trim_end_matches(['.', ',', ';', ':', ')', '?']);
    !inner.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A text as the argument of a request.
fn argument(text: &str) -> String {
    let text = escaped(text).replace('"', "\\(dq");
    if text.is_empty() || text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// Takes a text apart where backquotes are.
fn marked(text: &str) -> Vec<Piece> {
    let parts = text.split('`').enumerate();
    parts
        .map(|(number, part)| match number % 2 {
            0 => plain(part),
            _ => word(part),
        })
        .collect()
}

fn dressed(piece: &Piece) -> String {
    match piece {
        Piece::Plain(text) => escaped(text),
        // Each word has its font, so that a line may end between two.
        Piece::Word(text) => each_word(text, "\\fB"),
        Piece::Value(text) => each_word(text, "\\fI"),
    }
}

fn each_word(text: &str, font: &str) -> String {
    let words: Vec<String> = text
        .split(' ')
        .map(|word| match word {
            "" => String::new(),
            word => format!("{font}{}\\fR", escaped(word)),
        })
        .collect();
    words.join(" ")
}

/// A text that comes out as it stands. A hyphen would become another sign, that
/// no shell knows, and so would quotes, a circumflex and a tilde (groff_char(7)).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\\' => out.push_str("\\(rs"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            // Where a line may not end.
            '\u{a0}' => out.push_str("\\~"),
            // Not every terminal has it as one sign.
            '…' => out.push_str("..."),
            ' '..='~' => out.push(sign),
            other => out.push_str(&format!("\\[u{:04X}]", u32::from(other))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(write: impl FnOnce(&mut Page)) -> String {
        let mut page = Page {
            text: String::new(),
            titled: false,
        };
        write(&mut page);
        page.finish()
    }

    #[test]
    fn what_roff_would_take_for_its_own_is_escaped() {
        for (text, expected) in [
            (".well-known", "\\%.well\\-known\n"),
            ("'tis", "\\%\\(aqtis\n"),
            ("a\\nb", "\\%a\\(rsnb\n"),
            ("\\", "\\%\\(rs\n"),
            ("--wait", "\\%\\-\\-wait\n"),
            ("{ to = …, x }", "\\%{ to \\%= ..., x \\%}\n"),
            ("… as …", "\\&...\\& as ...\\&\n"),
            ("~^ä", "\\%\\(ti\\(ha\\[u00E4]\n"),
            (
                "say `--wait -c` now",
                "say \\%\\fB\\-\\-wait\\fR \\%\\fB\\-c\\fR now\n",
            ),
            ("`.x`", "\\%\\fB.x\\fR\n"),
        ] {
            assert_eq!(page(|page| page.text(text)), expected, "{text}");
        }
        assert_eq!(
            page(|page| page.section("A \"B\" '-")),
            ".SH \"A \\(dqB\\(dq \\(aq\\-\"\n"
        );
        assert_eq!(
            page(|page| page.example(".a\n  -b")),
            ".PP\n.RS 4\n.EX\n\\&.a\n  \\-b\n.EE\n.RE\n"
        );
    }

    #[test]
    fn a_line_begins_with_each_sentence_and_none_is_long() {
        let text = "One is here. Two follows, e.g. this. `three` too? Yes.";
        assert_eq!(
            page(|page| page.text(text)),
            "One is here.\nTwo follows, \\%e.g. this.\n\\%\\fBthree\\fR too?\nYes.\n"
        );
        let long = page(|page| page.text(&"word (x) ".repeat(100)));
        for line in long.lines() {
            assert!(line.len() <= COLUMNS + 4, "{line}");
            assert!(!line.starts_with('.'), "{line}");
        }
        assert_eq!(long.matches("word").count(), 100);
    }
}
