//! What is wrong with a configuration, where, and what would be right.
//!
//! Owes every message a literal `file:line:column` that can be clicked and
//! grepped. Never prints by itself, and never panics, whatever the text holds.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::wording::printable;

/// A range of octets in the text of a configuration.
pub type Span = Range<usize>;

/// Whether a finding keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but the value in use is not the one that was written.
    Warning,
}

impl Severity {
    /// The word in front of the message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Error or warning.
    pub severity: Severity,
    /// Where the text is wrong.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected there, in one line; empty if the message says it.
    pub expected: String,
    /// Another place that has to do with it, and what stands there.
    pub related: Option<(Span, &'static str)>,
}

impl Mistake {
    /// An error at `span`.
    pub(crate) fn error(
        span: Span,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            expected: expected.into(),
            related: None,
        }
    }

    /// A warning at `span`.
    pub(crate) fn warning(
        span: Span,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message, expected)
        }
    }

    /// Adds the other place of a conflict.
    pub(crate) fn with(mut self, span: Span, what: &'static str) -> Self {
        self.related = Some((span, what));
        self
    }
}

/// Findings in one text, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    path: String,
    text: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// Findings in `text`; `path` is what messages call it.
    pub(crate) fn new(path: &str, text: &str, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.span.start);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            list,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The findings themselves, in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.list.iter()
    }

    /// Each finding as one line without the text around it, for a log:
    /// `FILE:LINE:COLUMN: error: what is wrong; what was expected`.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.list.iter().map(|mistake| {
            let title = self.title(mistake);
            match mistake.expected.as_str() {
                "" => title,
                expected => format!("{title}; {expected}"),
            }
        })
    }

    /// Every finding with its line, a caret and what was expected there; with
    /// colours for a terminal if `colour`. Ends without a newline.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let shown: Vec<String> = self
            .list
            .iter()
            .map(|mistake| self.render_one(&renderer, mistake))
            .collect();
        shown.join("\n")
    }

    fn render_one(&self, renderer: &Renderer, mistake: &Mistake) -> String {
        let level = match mistake.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut primary = AnnotationKind::Primary.span(self.within_a_line(&mistake.span));
        if !mistake.expected.is_empty() {
            primary = primary.label(mistake.expected.as_str());
        }
        let mut snippet = Snippet::source(self.text.as_str()).annotation(primary);
        if let Some((span, what)) = &mistake.related {
            let other = AnnotationKind::Context.span(self.within_a_line(span));
            snippet = snippet.annotation(other.label(*what));
        }
        // The level's own name would stand in front of the file's.
        let title = level.no_name().primary_title(self.title(mistake));
        renderer.render(&[Group::with_title(title).element(snippet)])
    }

    fn title(&self, mistake: &Mistake) -> String {
        let (line, column) = position(&self.text, mistake.span.start);
        let path = printable(&self.path);
        let severity = mistake.severity.name();
        let message = printable(&mistake.message);
        format!("{path}:{line}:{column}: {severity}: {message}")
    }

    /// A span that the renderer can draw: inside the text, on character
    /// boundaries, and not past the end of its first line.
    fn within_a_line(&self, span: &Span) -> Span {
        let start = boundary(&self.text, span.start);
        let end = boundary(&self.text, span.end).max(start);
        let line = self.text[start..end].lines().next().unwrap_or("");
        start..start + line.len()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Mistakes {}

/// Line and column of an octet, both from 1; columns count characters.
pub(crate) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..boundary(text, at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}

/// The last character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n\tb = 'é' # c\nlast";

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        for (part, expected) in [
            ("a", (1, 1)),
            ("b", (2, 2)),
            ("#", (2, 10)),
            ("last", (3, 1)),
        ] {
            let at = TEXT.find(part).unwrap_or_default();
            assert_eq!(position(TEXT, at), expected, "{part}");
        }
        assert_eq!(position(TEXT, 1000), (3, 5));
        assert_eq!(position("", 0), (1, 1));
    }

    #[test]
    fn a_mistake_is_drawn_with_its_line_and_a_caret() {
        let mistake = Mistake::error(4..5, "`a` is wrong", "expected a two").with(7..8, "here too");
        let mistakes = Mistakes::new("x.toml", TEXT, vec![mistake]);
        let expected = "\
x.toml:1:5: error: `a` is wrong
  |
1 | a = 1
  |     ^ expected a two
2 |     b = 'é' # c
  |     - here too";
        assert_eq!(mistakes.to_string(), expected);
        assert_eq!(
            mistakes.lines().collect::<Vec<_>>(),
            ["x.toml:1:5: error: `a` is wrong; expected a two"]
        );
        assert!(mistakes.render(true).contains("\x1b["));
    }

    #[test]
    fn no_span_is_too_odd_to_be_drawn() {
        for text in ["", "x", "é", "é\né\r\n", "\r\n", TEXT] {
            for start in 0..text.len() + 3 {
                for end in start..text.len() + 3 {
                    let mistake = Mistake::error(start..end, "a\u{1b}[31m", "");
                    let shown = Mistakes::new("f", text, vec![mistake]).to_string();
                    assert!(shown.starts_with("f:"), "{shown}");
                    assert!(!shown.contains('\u{1b}'), "{shown}");
                }
            }
        }
    }
}
