//! What may happen in any state: silence, an end, a break, and what nobody asked for.

use super::*;

const TOO_LONG: CloseReason = CloseReason::Program(program::TOO_LONG);

#[test]
fn silence_in_each_state() {
    for (state, reason, status) in [
        ("AwaitRequest", CloseReason::Idle, ""),
        ("AwaitHead", CloseReason::RequestTimeout, "408"),
        ("AwaitBody", CloseReason::BodyTimeout, "408"),
        ("AwaitAnswer", TOO_LONG, "504"),
        ("AwaitRedirect", TOO_LONG, "504"),
        ("AwaitOutput", TOO_LONG, "200"),
    ] {
        let mut walk = at(state);
        let asked = walk.step(Outcome::TimedOut);
        assert!(matches!(asked, Asked::Close(found, _) if found == reason));
        assert_eq!(walk.output.is_empty(), status.is_empty());
        if !status.is_empty() {
            assert_eq!(walk.status(), status);
        }
    }
}

#[test]
fn the_peer_finishes_in_each_state() {
    for (state, reason) in [
        ("AwaitRequest", CloseReason::PeerClosed),
        ("AwaitHead", CloseReason::CutShort),
        ("AwaitBody", CloseReason::CutShort),
    ] {
        let mut walk = at(state);
        let asked = walk.step(Outcome::PeerFinished);
        assert_eq!(asked, Asked::Close(reason, Manner::AtOnce), "{state}");
        assert!(walk.output.is_empty(), "{state}");
    }
}

/// Every state but Closed.
const STATES: &[&str] = &[
    "New",
    "AwaitRequest",
    "AwaitHead",
    "AwaitBody",
    "AwaitVerdict",
    "AwaitReport",
    "AwaitFile",
    "AwaitSibling",
    "AwaitRead",
    "AwaitSent",
    "AwaitPart",
    "AwaitPiece",
    "AwaitEntries",
    "AwaitRoom",
    "AwaitScript",
    "AwaitStart",
    "AwaitAnswer",
    "AwaitOutput",
    "AwaitRedirect",
    "AwaitTaken",
    "AwaitFlush",
];

#[test]
fn a_break_leads_to_closed_from_everywhere_and_is_logged_once() {
    for &state in STATES {
        let mut walk = at(state);
        let logged = walk.log.len();
        if state != "AwaitTaken" {
            walk.output.advance(usize::MAX);
        }
        let broken = Outcome::Broken {
            sent: 3,
            reason: CloseReason::WriteStalled,
        };
        assert_eq!(
            walk.step(broken),
            Asked::Close(CloseReason::WriteStalled, Manner::AtOnce)
        );
        assert_eq!(walk.state(), "Closed");
        let line = String::from_utf8_lossy(&walk.log[logged..]).into_owned();
        let under_way = !["New", "AwaitRequest", "AwaitFlush"].contains(&state);
        assert_eq!(
            line.lines().count(),
            usize::from(under_way),
            "{state}: {line}"
        );
        let status = match state {
            "AwaitSent" | "AwaitOutput" => "\" 200 3 ",
            "AwaitPart" => "\" 206 ",
            "AwaitPiece" | "AwaitRoom" => "\" 200 ",
            // Nothing of the content has left: it is still there.
            "AwaitTaken" => "\" 200 - ",
            _ if under_way => "\" 499 - ",
            _ => "",
        };
        assert!(line.contains(status), "{state}: {line}");
        // And no second one, whatever comes then.
        let logged = walk.log.len();
        walk.step(Outcome::TimedOut);
        assert_eq!(walk.log.len(), logged, "{state}");
    }
}

#[test]
fn what_a_broken_driver_leaves_is_logged_once_as_well() {
    for &state in STATES {
        let mut walk = at(state);
        let logged = walk.log.len();
        walk.step(Outcome::Connected);
        let line = String::from_utf8_lossy(&walk.log[logged..]).into_owned();
        let under_way = !["New", "AwaitRequest", "AwaitFlush"].contains(&state);
        assert_eq!(
            line.lines().count(),
            usize::from(under_way),
            "{state}: {line}"
        );
        assert!(!under_way || line.contains("\" 500 - "), "{state}: {line}");
    }
}

const STARTED: Outcome = Outcome::Program(ProgramNews::Started);

const WROTE: Outcome = Outcome::Program(ProgramNews::Wrote);

const ENDED: Outcome = Outcome::Program(ProgramNews::Ended(ProgramEnd::Exited(0)));

#[test]
fn an_outcome_nobody_asked_for_ends_the_connection() {
    let outcomes = [
        Outcome::Connected,
        Outcome::Received,
        Outcome::PeerFinished,
        Outcome::TimedOut,
        Outcome::Flushed,
        Outcome::Found(FILE),
        Outcome::Missing(OpenError::NotFound),
        Outcome::Sent,
        Outcome::Read,
        Outcome::Computed(true),
        Outcome::Overloaded,
        Outcome::Reported,
        Outcome::Listed { more: true },
        STARTED,
        WROTE,
        ENDED,
    ];
    let reading = [Outcome::Received, Outcome::PeerFinished, Outcome::TimedOut];
    for (state, fitting) in [
        ("New", &[Outcome::Connected][..]),
        ("AwaitRequest", &reading),
        ("AwaitHead", &reading),
        ("AwaitBody", &reading),
        (
            "AwaitFile",
            &[Outcome::Found(FILE), Outcome::Missing(OpenError::NotFound)],
        ),
        (
            "AwaitVerdict",
            &[Outcome::Computed(true), Outcome::Overloaded],
        ),
        ("AwaitReport", &[Outcome::Reported, Outcome::Overloaded]),
        (
            "AwaitSibling",
            &[Outcome::Found(FILE), Outcome::Missing(OpenError::NotFound)],
        ),
        ("AwaitRead", &[Outcome::Read]),
        ("AwaitSent", &[Outcome::Sent]),
        ("AwaitPart", &[Outcome::Sent]),
        ("AwaitPiece", &[Outcome::Flushed]),
        (
            "AwaitEntries",
            &[
                Outcome::Listed { more: true },
                Outcome::Missing(OpenError::NotFound),
            ],
        ),
        ("AwaitRoom", &[Outcome::Flushed]),
        (
            "AwaitScript",
            &[Outcome::Found(FILE), Outcome::Missing(OpenError::NotFound)],
        ),
        ("AwaitStart", &[STARTED]),
        ("AwaitAnswer", &[WROTE, ENDED, Outcome::TimedOut]),
        ("AwaitOutput", &[WROTE, ENDED, Outcome::TimedOut]),
        ("AwaitRedirect", &[WROTE, ENDED, Outcome::TimedOut]),
        ("AwaitTaken", &[Outcome::Flushed]),
        ("AwaitFlush", &[Outcome::Flushed]),
        ("Closed", &[]),
    ] {
        for outcome in outcomes {
            let asked = at(state).one_step(outcome);
            let internal = Asked::Close(CloseReason::Internal, Manner::AtOnce);
            assert_eq!(
                asked == internal,
                !fitting.contains(&outcome),
                "{outcome:?} in {state}: {asked:?}"
            );
        }
    }
}
