//! What came, held against what is right.

use super::answer::Answer;
use super::exchange::{Ended, Seen};
use super::site::Site;
use super::{Case, Check, Codes, End, Expected, Right, USUAL};

/// Whether what came of a case is right; the text says what is wrong.
pub fn judge(case: &Case, site: &Site, seen: &Seen) -> Result<(), String> {
    let rights = match &case.expected {
        Expected::Answers(rights) => rights,
        Expected::Octets { enough, judge } => {
            return octets(seen, *enough).and_then(|()| judge(&seen.sent, &seen.octets));
        }
        // That is judged by `datagrams`.
        Expected::Datagrams(_) => return Err("it is about datagrams".to_owned()),
    };
    let mut wrong = None;
    for right in rights {
        match compare(right, site, seen) {
            Ok(()) => return Ok(()),
            // Where the answers are those of this one, its complaint says most.
            Err((statuses, fault)) => {
                if statuses || wrong.is_none() {
                    wrong = Some((statuses, fault));
                }
            }
        }
    }
    let wanted: Vec<String> = rights.iter().map(|right| shown(right, site)).collect();
    let wanted = wanted.join(", or ");
    Err(match wrong {
        Some((true, fault)) => format!("{fault} ({wanted} is right)"),
        Some((false, _)) | None => format!("{}, not {wanted}", what_came(seen)),
    })
}

fn octets(seen: &Seen, enough: Option<usize>) -> Result<(), String> {
    match (seen.ended, enough) {
        (Ended::Orderly, None) | (Ended::Enough, Some(_)) => Ok(()),
        (Ended::Orderly, Some(count)) => Err(format!(
            "the end after {} octets, not {count}",
            seen.octets.len()
        )),
        (Ended::Reset, _) => Err(format!("reset after {} octets", seen.octets.len())),
        (Ended::Silence, _) => Err(format!(
            "silence, and no end, after {} octets",
            seen.octets.len()
        )),
        (Ended::Enough | Ended::Broken, None) => Err("more octets than anybody reads".to_owned()),
        // Octets are not taken apart.
        (Ended::Broken, Some(_)) => Err("octets that nobody reads".to_owned()),
    }
}

/// With the complaint goes whether the statuses are right.
fn compare(right: &Right, site: &Site, seen: &Seen) -> Result<(), (bool, String)> {
    let statuses = seen.answers.iter().zip(&right.answers);
    let same = seen.answers.len() == right.answers.len()
        && statuses
            .clone()
            .all(|(answer, codes)| has(*codes, site, answer.status));
    if !same {
        return Err((false, String::new()));
    }
    let fault = |text: String| Err((true, text));
    if let Some(malformed) = &seen.fault {
        return fault(format!("what came is no answer: {malformed}"));
    }
    let gone = !seen.followed && matches!(seen.ended, Ended::Orderly | Ended::Reset);
    match right.end {
        End::Kept if !seen.followed => return fault(format!("the connection {}", end_of(seen))),
        End::Closed | End::Told if !gone => {
            return fault(format!("the connection {}", end_of(seen)));
        }
        End::Told if !seen.answers.last().is_some_and(Answer::closes) => {
            return fault("the answer does not say that the connection ends".to_owned());
        }
        End::Either if !gone && !seen.followed => {
            return fault(format!("the connection {}", end_of(seen)));
        }
        End::Kept | End::Closed | End::Told | End::Either => {}
    }
    for (index, check) in &right.checks {
        if let Check::Judge(judge) = check {
            judge(site, &seen.answers).or_else(fault)?;
            continue;
        }
        for (at, answer) in seen.answers.iter().enumerate() {
            let is_meant = index.map_or(!answer.is_interim(), |index| index == at);
            if is_meant {
                look(check, answer)
                    .map_err(|text| format!("{}: {text}", answer.status))
                    .or_else(fault)?;
            }
        }
    }
    Ok(())
}

/// Whether a status is among these.
fn has(codes: Codes, site: &Site, status: u16) -> bool {
    let is_one = |list: &[u16]| {
        list.iter().any(|&one| match one {
            USUAL => status == site.usual,
            one => status == one,
        })
    };
    match codes {
        Codes::Any => true,
        Codes::Of(list) => is_one(list),
        Codes::Not(list) => status >= 200 && !is_one(list),
    }
}

fn look(check: &Check, answer: &Answer) -> Result<(), String> {
    match check {
        Check::Field(name) => match answer.field(name) {
            Some(_) => Ok(()),
            None => Err(format!("{name} is missing")),
        },
        Check::Value(name, wanted) => match answer.field(name) {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(format!("{name}: {found}, not {wanted}")),
            None => Err(format!("{name} is missing, which is {wanted}")),
        },
        Check::Without(name) => match answer.field(name) {
            Some(value) => Err(format!("{name}: {value}")),
            None => Ok(()),
        },
        Check::Content(wanted) if answer.content == *wanted => Ok(()),
        Check::Content(wanted) => Err(format!(
            "other content: {} octets, not these {}",
            answer.content.len(),
            wanted.len()
        )),
        Check::Text(wanted) => match memchr::memmem::find(&answer.content, wanted.as_bytes()) {
            Some(_) => Ok(()),
            None => Err(format!("{wanted:?} is missing")),
        },
        Check::NoText(unwanted) => {
            let in_fields = |(name, value): &(String, String)| {
                name.contains(unwanted) || value.contains(unwanted)
            };
            if answer.fields.iter().any(in_fields)
                || memchr::memmem::find(&answer.content, unwanted.as_bytes()).is_some()
            {
                Err(format!("{unwanted:?} is there"))
            } else {
                Ok(())
            }
        }
        // It is about all of them.
        Check::Judge(_) => Ok(()),
    }
}

fn end_of(seen: &Seen) -> &'static str {
    match seen.ended {
        _ if seen.followed => "stays",
        Ended::Orderly => "ends",
        Ended::Reset => "is reset",
        Ended::Silence => "neither ends nor answers",
        Ended::Enough => "brings more than anybody reads",
        Ended::Broken => "is left",
    }
}

/// Of more answers than this no more is said.
const FEW: usize = 5;

fn what_came(seen: &Seen) -> String {
    let mut text = String::new();
    let answers = seen.answers.iter().take(FEW);
    let statuses: Vec<String> = answers.map(|answer| answer.status.to_string()).collect();
    if statuses.is_empty() {
        text.push_str("no answer");
    } else {
        text.push_str(&statuses.join(" "));
    }
    if seen.answers.len() > FEW {
        text.push_str(" ...");
    }
    if let Some(fault) = &seen.fault {
        text.push_str(&format!(", {fault}"));
    }
    format!("{text}, and the connection {}", end_of(seen))
}

/// `400 closed`
fn shown(right: &Right, site: &Site) -> String {
    let mut text = String::new();
    for codes in &right.answers {
        let list = |list: &[u16]| {
            let names = list.iter().map(|&status| match status {
                USUAL => site.usual.to_string(),
                status => status.to_string(),
            });
            names.collect::<Vec<_>>().join("/")
        };
        match codes {
            Codes::Any => text.push_str("any status"),
            Codes::Of(statuses) => text.push_str(&list(statuses)),
            Codes::Not(statuses) => text.push_str(&format!("anything but {}", list(statuses))),
        }
        text.push(' ');
    }
    if right.answers.is_empty() {
        text.push_str("no answer ");
    }
    text.push_str(match right.end {
        End::Kept => "kept",
        End::Closed => "closed",
        End::Told => "told and closed",
        End::Either => "kept or closed",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::super::answer::Framing;
    use super::super::{Level, case};
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)]) -> Answer {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Answer {
            status,
            fields: fields.iter().map(owned).collect(),
            content: b"content".to_vec(),
            framing: Framing::Length,
            length: 0,
        }
    }

    fn seen(statuses: &[u16], followed: bool) -> Seen {
        Seen {
            answers: statuses.iter().map(|&status| answer(status, &[])).collect(),
            followed,
            ended: Ended::Orderly,
            fault: None,
            sent: b"sent".to_vec(),
            octets: b"came".to_vec(),
        }
    }

    fn site() -> Site {
        Site {
            usual: 203,
            ..Site::new("a", "/")
        }
    }

    #[test]
    fn any_of_what_is_right_will_do() {
        let case = case("x").refused(&[400]).kept(&[Codes::Of(&[USUAL])]);
        for (statuses, followed, fault) in [
            (&[400][..], false, None),
            (&[203], true, None),
            (
                &[400],
                true,
                Some("the connection stays (400 closed, or 203 kept is right)"),
            ),
            (
                &[203],
                false,
                Some("the connection ends (400 closed, or 203 kept is right)"),
            ),
            (
                &[200],
                true,
                Some("200, and the connection stays, not 400 closed, or 203 kept"),
            ),
            (
                &[],
                false,
                Some("no answer, and the connection ends, not 400 closed, or 203 kept"),
            ),
            (
                &[203, 203],
                true,
                Some("203 203, and the connection stays, not 400 closed, or 203 kept"),
            ),
        ] {
            let said = judge(&case, &site(), &seen(statuses, followed));
            assert_eq!(said.err().as_deref(), fault);
        }
        assert_eq!(case.level(Level::Own).level, Some(Level::Own));
    }

    #[test]
    fn checks_look_at_final_answers() {
        let mut came = seen(&[100, 200], true);
        came.answers[1] = answer(200, &[("ETag", "\"a\"")]);
        let right = |check| {
            let case = case("x")
                .kept(&[Codes::Of(&[100]), Codes::Any])
                .check(check);
            judge(&case, &site(), &came).is_ok()
        };
        for (check, fine) in [
            (Check::Field("etag"), true),
            (Check::Field("Date"), false),
            (Check::Value("ETag", "\"a\"".to_owned()), true),
            (Check::Value("ETag", "\"b\"".to_owned()), false),
            (Check::Without("ETag"), false),
            (Check::Without("Date"), true),
            (Check::Content(b"content".to_vec()), true),
            (Check::Content(b"conten".to_vec()), false),
            (Check::Text("tent".to_owned()), true),
            (Check::Text("tint".to_owned()), false),
            (Check::NoText("tint"), true),
            (Check::NoText("\"a"), false),
            (Check::NoText("tent"), false),
            (
                Check::Judge(|_, answers| (answers.len() == 2).then_some(()).ok_or_default()),
                true,
            ),
            (Check::Judge(|_, _| Err("no".to_owned())), false),
        ] {
            assert_eq!(right(check.clone()), fine, "{check:?}");
        }
    }

    trait OrDefault {
        fn ok_or_default(self) -> Result<(), String>;
    }
    impl OrDefault for Option<()> {
        fn ok_or_default(self) -> Result<(), String> {
            self.ok_or_else(String::new)
        }
    }

    #[test]
    fn an_end_that_is_told_is_seen() {
        let case = case("x").told(&[Codes::Any]);
        let mut came = seen(&[200], false);
        assert!(judge(&case, &site(), &came).is_err());
        came.answers[0] = answer(200, &[("Connection", "Close")]);
        assert_eq!(judge(&case, &site(), &came), Ok(()));
        came.ended = Ended::Silence;
        assert!(judge(&case, &site(), &came).is_err());
        came.ended = Ended::Reset;
        came.fault = Some("rubbish".to_owned());
        assert!(judge(&case, &site(), &came).is_err());
    }

    #[test]
    fn octets_want_an_orderly_end_or_enough() {
        let whole = case("x").octets(None, |sent, came| {
            assert_eq!((sent, came), (&b"sent"[..], &b"came"[..]));
            Ok(())
        });
        let enough = case("x").octets(Some(4), |_, _| Ok(()));
        for (ended, first, second) in [
            (Ended::Orderly, true, false),
            (Ended::Enough, false, true),
            (Ended::Reset, false, false),
            (Ended::Silence, false, false),
        ] {
            let came = Seen {
                ended,
                ..seen(&[], false)
            };
            assert_eq!(judge(&whole, &site(), &came).is_ok(), first, "{ended:?}");
            assert_eq!(judge(&enough, &site(), &came).is_ok(), second, "{ended:?}");
        }
    }
}
