//! The findings as a person reads them: a line a rule, as each is found, and a
//! line that counts them.

use crate::escape;
use crate::probe::Row;
use crate::probe::verdict::{Fault, Finding, Verdict};
use std::io::{self, IsTerminal};

/// How much is shown of what was sent and of what came.
const SHOWN: usize = 600;

/// A table that grows.
pub(super) struct Table {
    source: usize,
    colours: bool,
    verbose: bool,
}

impl Table {
    /// With columns as wide as these rules need them.
    pub(super) fn of(rows: &[Row], verbose: bool) -> Self {
        let terminal = io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Self {
            source: width_of_sources(rows),
            colours: terminal && std::env::var_os("NO_COLOR").is_none(),
            verbose,
        }
    }

    /// What it begins with.
    pub(super) fn head(&self) -> String {
        let width = self.source;
        format!(
            "{:>4} {:<7} {:<6} {:<width$} RULE\n",
            "ROW", "VERDICT", "LEVEL", "SOURCE"
        )
    }

    /// A rule.
    pub(super) fn row(&self, finding: &Finding) -> String {
        let mut text = self.line(finding);
        if self.verbose {
            finding
                .faults
                .iter()
                .for_each(|fault| text.push_str(&details(fault)));
        }
        text
    }

    fn line(&self, finding: &Finding) -> String {
        let row = &finding.row;
        // A fault may be less binding than its rule.
        let level = match &finding.verdict {
            Verdict::Fail(level) => *level,
            Verdict::Pass | Verdict::Differs | Verdict::Skipped(_) | Verdict::Error(_) => row.level,
        };
        let mut verdict = format!("{:<7}", finding.verdict.name());
        if self.colours {
            verdict = format!("\x1b[{}m{verdict}\x1b[0m", colour(&finding.verdict));
        }
        let (number, width) = (number(row), self.source);
        let mut line = format!(
            "{number:>4} {verdict} {:<6} {:<width$} {}",
            level.name(),
            row.source,
            row.title
        );
        let remark = finding.remark();
        if !remark.is_empty() {
            line.push_str(": ");
            // It quotes the server.
            escape::plain(&remark, &mut line);
        }
        line.push('\n');
        line
    }

    /// How many there were of each kind.
    pub(super) fn end(findings: &[Finding]) -> String {
        format!("\n{}\n", counts(findings))
    }
}

/// `80 pass, 2 fail (1 must), 5 differs, 30 skipped, 0 error`
fn counts(findings: &[Finding]) -> String {
    let of = |name: &str| {
        let same = |finding: &&Finding| finding.verdict.name() == name;
        findings.iter().filter(same).count()
    };
    let musts = findings
        .iter()
        .filter(|finding| finding.is_broken())
        .count();
    format!(
        "{} pass, {} fail ({musts} must), {} differs, {} skipped, {} error",
        of("pass"),
        of("fail"),
        of("differs"),
        of("skipped"),
        of("error")
    )
}

/// SGR parameters (ECMA-48 §8.3.117).
const fn colour(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "32",
        Verdict::Fail(_) => "1;31",
        Verdict::Differs => "33",
        Verdict::Skipped(_) => "2",
        Verdict::Error(_) => "35",
    }
}

/// The rules themselves, with what they need.
pub(super) fn list(rows: &[Row]) -> String {
    let width = width_of_sources(rows);
    let mut text = format!("{:>4} {:<6} {:<width$} RULE\n", "ROW", "LEVEL", "SOURCE");
    for row in rows {
        let (number, level) = (number(row), row.level.name());
        text.push_str(&format!(
            "{number:>4} {level:<6} {:<width$} {}",
            row.source, row.title
        ));
        if let Some(need) = row.needs.first() {
            text.push_str(&format!(" ({})", need.lacking()));
        }
        text.push('\n');
    }
    text
}

fn width_of_sources(rows: &[Row]) -> usize {
    let widths = rows.iter().map(|row| row.source.chars().count());
    widths.max().unwrap_or(0).max("SOURCE".len())
}

fn number(row: &Row) -> String {
    match row.number {
        0 => "-".to_owned(),
        number => number.to_string(),
    }
}

fn details(fault: &Fault) -> String {
    let mut text = format!("     case {}, {}: ", fault.case, fault.split.name());
    escape::plain(&fault.wrong, &mut text);
    for (name, octets) in [("sent", &fault.sent), ("got", &fault.got)] {
        text.push_str(&format!("\n     {name:>4} "));
        text.push_str(&shown(octets));
    }
    text.push('\n');
    text
}

/// Octets in one line: each that is not a visible character of ASCII as an
/// escape.
pub(super) fn shown(octets: &[u8]) -> String {
    let mut text = octets
        .iter()
        .take(SHOWN)
        .copied()
        .map(std::ascii::escape_default)
        .fold(String::from("\""), |mut text, escape| {
            text.extend(escape.map(char::from));
            text
        });
    text.push('"');
    if octets.len() > SHOWN {
        text.push_str(&format!(" and {} octets more", octets.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Level, Split, rows};

    #[test]
    fn what_a_server_says_is_harmless() {
        let fault = Fault {
            case: 2,
            split: Split::Bytes,
            level: Level::Must,
            wrong: "X: \u{1b}[31m".to_owned(),
            sent: b"GET /\xe4\r\n\x1b".to_vec(),
            got: vec![b'x'; SHOWN + 5],
        };
        let text = details(&fault);
        assert!(text.contains("case 2, bytes: X: \\u{1b}[31m\n"), "{text}");
        assert!(text.contains("sent \"GET /\\xe4\\r\\n\\x1b\"\n"), "{text}");
        assert!(text.ends_with("x\" and 5 octets more\n"), "{text}");
        let row = rows::all()[0];
        let finding = Finding::of(row, 1, vec![fault]);
        let mut table = Table {
            source: 14,
            colours: false,
            verbose: false,
        };
        let line = table.line(&finding);
        assert!(
            line.starts_with("   1 fail    must   RFC 9112 §2.2 "),
            "{line}"
        );
        assert!(line.ends_with(": X: \\u{1b}[31m\n") && !line.contains('\x1b'));
        table.colours = true;
        assert!(table.line(&finding).contains("\x1b[1;31mfail   \x1b[0m"));
        assert_eq!(
            counts(&[finding]),
            "0 pass, 1 fail (1 must), 0 differs, 0 skipped, 0 error"
        );
    }
}
