#![allow(clippy::unwrap_used)]

use super::client::{LINE, LONG_PATIENCE, PATIENCE};
use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const STATUS: &[u8] = b"{\"query\":\"status\"}\n";
const RELOAD: &[u8] = b"{\"query\":\"reload\",\"wait\":true}\n";

fn control() -> (Control, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let control = Control::listen(&directory.path().join("control"), None).unwrap();
    (control, directory)
}

fn connect(directory: &TempDir) -> UnixStream {
    UnixStream::connect(directory.path().join("control")).unwrap()
}

/// A client that says `line`.
fn ask(directory: &TempDir, line: &[u8]) -> UnixStream {
    let mut client = connect(directory);
    client.write_all(line).unwrap();
    client
}

/// What the client hears up to the next end of a line; nothing at its end.
fn hear(client: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).unwrap();
    line
}

/// Everybody waits for an outcome that never comes: some for it, some have
/// said all they had to say, and the others are gone.
#[test]
fn whoever_waits_and_is_gone_takes_no_place() {
    let (mut control, directory) = control();
    let now = Instant::now();
    let patient = ask(&directory, RELOAD);
    let brief = ask(&directory, RELOAD);
    brief.shutdown(std::net::Shutdown::Write).unwrap();
    let told = control.queries(now);
    assert_eq!(told.len(), 2);
    for _ in 0..2 * CLIENTS {
        drop(ask(&directory, RELOAD));
        control.queries(now);
    }
    let _last = ask(&directory, STATUS);
    let heard = control.queries(now);
    assert!(matches!(
        heard.as_slice(),
        [Asked {
            query: Query::Status,
            ..
        }]
    ));
    for (client, asked) in [&patient, &brief].into_iter().zip(told) {
        control.answer(asked.client, &Answer::Done);
        assert_eq!(hear(client), "{\"answer\":\"done\"}\n");
    }
    // Nobody waits for longer than that either.
    let late = ask(&directory, RELOAD);
    assert_eq!(control.queries(now).len(), 1);
    assert!(control.queries(now + LONG_PATIENCE).is_empty());
    assert!(control.clients.is_empty());
    assert!(hear(&late).contains("\"status\":75"));
}

#[test]
fn one_that_listens_and_lets_nobody_in_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    let busy = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&busy, Backlog::new(0).unwrap()).unwrap();
    let _waits = UnixStream::connect(&path).unwrap();
    let refused = Control::listen(&path, None).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(path.exists());
}

/// As many as there are places are let in, and say `line`.
fn crowd(control: &mut Control, directory: &TempDir, line: &[u8], now: Instant) -> Vec<UnixStream> {
    let mut crowd = Vec::new();
    while crowd.len() < CLIENTS {
        crowd.extend((0..ADMISSIONS).map(|_| ask(directory, line)));
        control.queries(now);
    }
    assert_eq!(control.clients.len(), CLIENTS);
    crowd
}

#[test]
fn the_one_that_is_silent_longest_makes_room() {
    // Nothing, half a line, and a query whose answer is never taken.
    for line in [&b""[..], b"{\"query\":", STATUS] {
        let (mut control, directory) = control();
        let now = Instant::now();
        let silent = crowd(&mut control, &directory, line, now);
        // More than a socket holds.
        let answer: Arc<[u8]> = vec![b'x'; 1 << 20].into();
        for client in control.clients.iter_mut().filter(|client| client.asking) {
            client.asking = false;
            client.say(Arc::clone(&answer), now);
        }
        let newcomer = ask(&directory, STATUS);
        // They have only just come, and may have had no time to ask.
        assert!(control.queries(now).is_empty());
        assert!(control.clients.len() <= CLIENTS);
        let later = now + WELCOME;
        let asked = control.queries(later);
        assert_eq!(asked.len(), 1, "{line:?}");
        assert_eq!(control.clients.len(), CLIENTS);
        control.answer(asked[0].client, &Answer::Done);
        assert_eq!(hear(&newcomer), "{\"answer\":\"done\"}\n");
        if line != STATUS {
            assert!(hear(&silent[0]).contains("\"status\":75"));
        }
        // The others go in time.
        control.queries(later + PATIENCE);
        assert!(control.clients.len() <= 1, "{}", control.clients.len());
    }
}

#[test]
fn a_crowd_of_newcomers_is_looked_after_in_time() {
    let (mut control, directory) = control();
    let now = Instant::now();
    let _crowd = crowd(&mut control, &directory, b"", now);
    assert_eq!(control.next_deadline(), None, "nobody wants a place");
    let _newcomer = connect(&directory);
    control.queries(now);
    let mut watched = Vec::new();
    control.watch(&mut watched);
    assert_eq!(
        watched.len(),
        CLIENTS,
        "the listener would wake us for ever"
    );
    let deadline = control.next_deadline().unwrap();
    assert!(deadline > now && deadline <= now + WELCOME);
}

#[test]
fn those_who_wait_leave_room_for_those_who_ask() {
    let (mut control, directory) = control();
    let now = Instant::now();
    let crowd = crowd(&mut control, &directory, RELOAD, now);
    let waiting = control.clients.iter().filter(|one| one.asking).count();
    assert_eq!(waiting, WAITING);
    assert!(hear(&crowd[CLIENTS - 1]).contains("too many wait"));
    let _newcomer = ask(&directory, STATUS);
    assert_eq!(control.queries(now + WELCOME).len(), 1);
    let waiting = control.clients.iter().filter(|one| one.asking).count();
    assert_eq!(
        waiting,
        WAITING + 1,
        "nobody who was promised an answer went"
    );
}

#[test]
fn a_turn_is_bounded_and_everybody_has_one() {
    let (mut control, directory) = control();
    let now = Instant::now();
    let clients = crowd(&mut control, &directory, b"", now);
    // Each has more to ask than one thing.
    for mut client in &clients {
        client.write_all(&STATUS.repeat(5)).unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..CLIENTS / QUERIES {
        let asked = control.queries(now);
        assert_eq!(asked.len(), QUERIES, "turn {turn}");
        for one in asked {
            control.answer(one.client, &Answer::Done);
            assert!(seen.insert(one.client), "asked twice before others once");
        }
    }
}

#[test]
fn a_line_without_an_end_is_told_so() {
    let (mut control, directory) = control();
    let mut client = ask(&directory, &[b'x'; LINE + 1]);
    assert!(control.queries(Instant::now()).is_empty());
    let mut text = String::new();
    // The rest of its line was not read, which resets it (unix(7)).
    let _ = client.read_to_string(&mut text);
    assert!(text.contains("4096 octets at most"), "{text}");
    assert!(control.clients.is_empty());
}

#[test]
fn what_is_costly_to_say_is_said_to_all_who_ask_within_a_moment() {
    let (mut control, directory) = control();
    let looks = std::cell::Cell::new(0);
    let look = |cost| {
        looks.set(looks.get() + 1);
        let begun = clock::processor_time();
        while clock::processor_time() - begun < cost {}
        Answer::Deaths { deaths: Vec::new() }
    };
    let clients: Vec<_> = (0..6).map(|_| ask(&directory, STATUS)).collect();
    let asked = control.queries(Instant::now());
    let mut asked = asked.iter().map(|one| one.client);
    let mut show = |control: &mut Control, sight, cost| {
        control.show(asked.next().unwrap(), sight, || look(cost));
        looks.get()
    };
    // A test that is kept from its processor for long may look once more.
    let slack = Duration::from_secs(1);
    let (cheap, dear) = (Duration::from_micros(1), OLDEST * 2);
    assert_eq!(show(&mut control, Sight::Status, cheap), 1);
    assert_eq!(show(&mut control, Sight::Status, dear), 2, "there is time");
    control.paid += slack;
    control.pictures[Sight::Status as usize]
        .as_mut()
        .unwrap()
        .taken += slack;
    assert_eq!(show(&mut control, Sight::Status, dear), 2);
    assert_eq!(
        show(&mut control, Sight::Deaths, dear),
        3,
        "that is something else"
    );
    control.look_again();
    assert_eq!(
        show(&mut control, Sight::Status, dear),
        4,
        "something has happened"
    );
    control.pictures[Sight::Status as usize]
        .as_mut()
        .unwrap()
        .taken -= OLDEST;
    assert_eq!(show(&mut control, Sight::Status, cheap), 5, "it is too old");
    assert!(control.paid <= Instant::now() + OLDEST * 2, "an end to it");
    for client in &clients {
        assert_eq!(hear(client), "{\"answer\":\"deaths\",\"deaths\":[]}\n");
    }
}

#[test]
fn what_could_not_be_seen_is_looked_for_again() {
    let (mut control, directory) = control();
    let clients: Vec<_> = (0..2).map(|_| ask(&directory, STATUS)).collect();
    let asked = control.queries(Instant::now());
    control.show(asked[0].client, Sight::Status, || {
        std::thread::sleep(Duration::from_millis(2));
        let message = String::from("ask again");
        Answer::Error { message }
    });
    control.show(asked[1].client, Sight::Status, || Answer::Done);
    assert!(hear(&clients[0]).contains("ask again"));
    assert_eq!(hear(&clients[1]), "{\"answer\":\"done\"}\n");
}

#[test]
fn the_file_is_its_groups_while_there_is_one() {
    let (mut control, directory) = control();
    let own = nix::unistd::getegid().as_raw();
    let mode = || {
        let found = std::fs::metadata(directory.path().join("control")).unwrap();
        (found.permissions().mode() & 0o777, found.gid())
    };
    assert_eq!(mode(), (0o600, own));
    let client = ask(&directory, b"");
    control.queries(Instant::now());
    control.admit(Some(own));
    assert_eq!(mode(), (0o660, own));
    assert_eq!(control.clients.len(), 1, "it may still ask");
    control.admit(None);
    assert_eq!(mode(), (0o600, own));
    // We are a member of all our groups, the primary one included.
    let peer = gate::admit(&client, Some(own)).unwrap();
    assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
    let mut groups = sys::socket::peer_groups(client.as_fd()).unwrap();
    let mut ours: Vec<u32> = nix::unistd::getgroups()
        .unwrap()
        .into_iter()
        .map(nix::unistd::Gid::as_raw)
        .collect();
    groups.sort_unstable();
    ours.sort_unstable();
    assert_eq!(groups, ours);
}
