//! What must hold for any octets of a server, and for any address: see
//! [`crate::fuzzing`].

use super::exchange::{Event, Exchange};
use super::fault::Fault;
use super::head::{Head, MAX_HEAD};
use super::url::Url;

/// What became of an answer: its heads, its content, how many octets it took,
/// and how it ended.
type Outcome = (Vec<Head>, Vec<u8>, usize, Result<(), Fault>);

/// Octets of a server up to its close: however they are cut they come to the
/// same, content is as long as the head says, and nothing of a head that was
/// taken could drive a terminal but by octets above 0x7F.
pub fn answer(octets: &[u8]) {
    for is_head in [false, true] {
        let whole = read(octets, octets.len().max(1), is_head);
        for size in [1, 2, 3, 7, 64] {
            let (heads, content, used, end) = read(octets, size, is_head);
            assert_eq!((&heads, &content), (&whole.0, &whole.1), "{size}");
            match (&end, &whole.3) {
                // Of what comes as one piece more of it can be shown.
                (Err(Fault::NotHttp(_)), Err(Fault::NotHttp(_))) => {}
                (end, whole_end) => assert_eq!((used, end), (whole.2, whole_end), "{size}"),
            }
        }
        check(&whole, is_head);
    }
}

fn read(octets: &[u8], size: usize, is_head: bool) -> Outcome {
    let mut exchange = Exchange::new(is_head);
    let (mut heads, mut content, mut used) = (Vec::new(), Vec::new(), 0);
    for piece in octets.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() && !exchange.is_done() {
            let (count, event) = match exchange.proceed(rest) {
                Ok(step) => step,
                // How far it had come depends on the cuts.
                Err(fault) => return (heads, content, 0, Err(fault)),
            };
            assert!(count > 0 && count <= rest.len(), "no progress");
            match event {
                Event::Nothing => {}
                Event::Interim(head) | Event::Head(head) => heads.push(head),
                Event::Content(range) => content.extend_from_slice(&rest[range]),
            }
            used += count;
            rest = &rest[count..];
        }
    }
    assert_eq!(exchange.received(), content.len() as u64);
    let end = exchange.end();
    assert_eq!(exchange.is_done(), end.is_ok());
    (heads, content, used, end)
}

fn check((heads, content, _, end): &Outcome, is_head: bool) {
    for head in heads {
        assert!(head.raw().len() <= MAX_HEAD && head.raw().ends_with(b"\r\n"));
        assert!((100..1000).contains(&head.status()));
        let is_tame = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\t') || !byte.is_ascii_control();
        assert!(head.raw().iter().all(is_tame));
    }
    let interim = heads.iter().filter(|head| head.status() < 200).count();
    assert!(heads.len() - interim <= 1, "two answers");
    let Some(head) = heads.last().filter(|head| head.status() >= 200) else {
        assert!(content.is_empty() && end.is_err());
        return;
    };
    if is_head || matches!(head.status(), 204 | 304) {
        assert!(content.is_empty() && end.is_ok());
        return;
    }
    let mut lengths = head.values("content-length");
    if let Some(length) = lengths.next() {
        let length: u64 = String::from_utf8_lossy(length).parse().unwrap_or(u64::MAX);
        assert!(content.len() as u64 <= length);
        assert_eq!(end.is_ok(), content.len() as u64 == length);
    }
}

/// An address that somebody typed, and on the second line what it leads to:
/// what is taken is a request line, a Host field and the name of a file that
/// break out of nothing, and is the same when it is read again.
pub fn address(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let (typed, place) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(url) = Url::parse(typed) else {
        return;
    };
    check_address(&url);
    if let Ok(next) = url.resolve(place.as_bytes()) {
        check_address(&next);
        assert!(
            next.credentials().is_none() || place.contains('@'),
            "{next}"
        );
        let segments = next.target().split('?').next().unwrap_or_default();
        assert!(
            segments
                .split('/')
                .all(|segment| segment != ".." && segment != ".")
        );
    }
}

fn check_address(url: &Url) {
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(url.target().starts_with('/') && is_visible(url.target()));
    assert!(!url.target().contains('#') && url.port() > 0);
    assert!(!url.authority().is_empty() && is_visible(&url.authority()));
    assert!(!url.authority().contains(['/', '?', '@', '%']), "{url}");
    if let Some(name) = url.file_name() {
        assert!(!name.starts_with('.') && !name.contains('/') && is_visible(name));
    }
    let again = Url::parse(&url.to_string());
    // A zone is for us, and not for others.
    if !url.host().contains('%') {
        let mut expected = url.clone();
        expected.forget_credentials();
        assert_eq!(again.as_ref(), Ok(&expected));
    }
}
