//! The tables: every rule, by number, with its source.
//!
//! Rules that cannot be seen from outside, or that want what no server shows by
//! itself, stand here too, and say so ([`super::Need`]): so the list is whole.
//!
//! No case sends a request that a server would have to be sorry for: no PUT, no
//! DELETE, and POST with little or nothing in it.

mod answers;
mod conditions;
mod connections;
mod framing;
mod heads;
mod programs;
mod proxied;
mod ranges;
mod services;

pub use services::Kind;

use super::site::Site;
use super::{Case, Codes, Level, Need, Row, USUAL};

/// The usual status.
const OK: Codes = Codes::Of(&[USUAL]);

/// A rule, as its cases show it.
const fn rule(
    number: u16,
    title: &'static str,
    source: &'static str,
    level: Level,
    cases: fn(&Site) -> Vec<Case>,
) -> Row {
    Row {
        number,
        title,
        source,
        level,
        needs: &[],
        cases,
    }
}

impl Row {
    const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }
}

/// A rule that is not asked about here.
const fn unseen(
    number: u16,
    title: &'static str,
    source: &'static str,
    level: Level,
    needs: &'static [Need],
) -> Row {
    rule(number, title, source, level, |_| Vec::new()).needs(needs)
}

/// What there is of HTTP, in the order of the numbers.
pub fn http() -> Vec<Row> {
    let tables = [
        heads::ROWS,
        framing::ROWS,
        connections::ROWS,
        answers::ROWS,
        conditions::ROWS,
        ranges::ROWS,
        programs::ROWS,
        proxied::ROWS,
    ];
    let mut rows = tables.concat();
    rows.sort_by_key(|row| row.number);
    rows
}

/// The rules of a small service over TCP, and what it has to be asked for
/// otherwise, as far as it has a number of its own.
pub fn of_service(kind: Kind) -> Vec<Row> {
    let mut rows = services::rows(kind);
    rows.dedup_by_key(|row| row.number);
    rows
}

/// The rules of a small service over UDP.
pub fn of_datagrams(kind: Kind) -> Vec<Row> {
    let mut rows = services::rows(kind);
    rows.retain(|row| row.needs.contains(&Need::Datagrams));
    rows
}

/// Every rule there is; those without a number last.
pub fn all() -> Vec<Row> {
    let mut rows = http();
    rows.extend(Kind::ALL.into_iter().flat_map(services::rows));
    rows.sort_by_key(|row| row.number.wrapping_sub(1));
    // What several services share is one rule.
    rows.dedup_by_key(|row| (row.number, row.title));
    rows
}

#[cfg(test)]
mod tests {
    use super::super::{Expected, MOST_SENT, Step};
    use super::*;
    use std::collections::BTreeSet;

    /// The numbers that there are.
    const LAST: u16 = 139;

    /// A site that has all that can be had.
    fn site() -> Site {
        Site {
            usual: 200,
            size: 17 << 20,
            content: vec![b'x'; 5000],
            steady: true,
            tag: Some("\"a\"".to_owned()),
            modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            date: Some("Sun, 06 Nov 1994 09:49:37 GMT".to_owned()),
            ranges: true,
            coded: Some(("\"b\"".to_owned(), 99)),
            program: Some("/program".to_owned()),
            directory: Some("/directory".to_owned()),
            slow: true,
            post: 405,
            ..Site::new("example.org", "/file")
        }
    }

    #[test]
    fn each_number_has_a_row_and_only_one() {
        let numbers: Vec<u16> = all().iter().map(|row| row.number).collect();
        let known: BTreeSet<u16> = numbers.iter().copied().collect();
        let missing: Vec<u16> = (1..=LAST).filter(|one| !known.contains(one)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let mut http: Vec<u16> = super::http().iter().map(|row| row.number).collect();
        let count = http.len();
        http.dedup();
        assert_eq!(http.len(), count, "a number twice");
        assert!(known.iter().all(|number| *number <= LAST));
    }

    #[test]
    fn each_case_is_bounded_and_says_what_is_right() {
        let site = site();
        for row in all() {
            let cases = (row.cases)(&site);
            let unseen = row.needs.contains(&Need::Inside);
            assert_eq!(cases.is_empty(), unseen, "{}", row.number);
            assert!(!row.title.is_empty() && !row.source.is_empty());
            for case in cases {
                assert!(case.length() <= MOST_SENT, "{}", row.number);
                match &case.expected {
                    Expected::Answers(rights) => {
                        assert!(!rights.is_empty(), "{}: nothing is right", row.number);
                    }
                    Expected::Octets { .. } => {}
                    Expected::Datagrams(_) => {
                        assert!(row.needs.contains(&Need::Datagrams), "{}", row.number);
                        assert!(matches!(&case.steps[..], [Step::Send(_)]), "{}", row.number);
                    }
                }
                for step in &case.steps {
                    if let Step::Send(octets) = step {
                        for method in ["PUT", "DELETE", "PATCH"] {
                            assert!(!octets.starts_with(method.as_bytes()), "{}", row.number);
                        }
                    }
                }
            }
        }
    }
}
