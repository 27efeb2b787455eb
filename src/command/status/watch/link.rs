//! The connection to the master: kept, asked again and again, and made anew
//! when it ends. Never waits.
//!
//! ```text
//!            connect, ask                    a line
//!   Away ─────────────────▶ Asked ──────────────────────▶ Resting
//!    ▲                        │ end, error, no answer        │ time: ask
//!    └────────────────────────┴───────────◀──────────────────┘ end
//! ```

use super::super::verdict::Silence;
use crate::command::ask::{CLOSED, PATIENCE};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest answer: thousands of workers with all their lanes.
const LONGEST: usize = 256 << 20;
/// How soon a master that has gone is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a turn brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// An answer.
    Line(String),
    /// There is none.
    Lost(Silence),
}

#[derive(Debug)]
enum State {
    /// Not connected; to be tried at this time.
    Away(Instant),
    /// Since when there is a question, and what has come of the answer.
    Asked(UnixStream, Instant, Vec<u8>),
    /// Connected, with the next question at this time.
    Resting(UnixStream, Instant),
}

/// The connection.
#[derive(Debug)]
pub(super) struct Link<'a> {
    path: &'a Path,
    question: &'static [u8],
    pause: Duration,
    state: State,
    /// When a connection was last made that nothing was asked on.
    reopened: Option<Instant>,
}

impl<'a> Link<'a> {
    /// To the socket at `path`, with a question each `pause`.
    pub(super) fn new(path: &'a Path, question: &'static [u8], pause: Duration) -> Self {
        Self {
            path,
            question,
            pause,
            state: State::Away(Instant::now()),
            reopened: None,
        }
    }

    /// Does what is to be done now.
    pub(super) fn turn(&mut self, now: Instant) -> Option<News> {
        let (state, news) = match std::mem::replace(&mut self.state, State::Away(now)) {
            State::Away(next) if now < next => (State::Away(next), None),
            State::Away(_) => match self.connect().and_then(|stream| self.ask(stream, now)) {
                Ok(asked) => (asked, None),
                Err(error) => (self.away(now), Some(News::Lost(Silence::of(&error)))),
            },
            State::Asked(stream, since, heard) => self.hear(stream, since, heard, now),
            State::Resting(stream, next) if now >= next => match self.ask(stream, now) {
                Ok(asked) => (asked, None),
                // It ended just now: another one will tell.
                Err(_) => (State::Away(now), None),
            },
            State::Resting(stream, next) => self.rest_on(stream, next, now),
        };
        self.state = state;
        news
    }

    /// What came was of no use: the connection is given up, for a while.
    pub(super) fn rest(&mut self, now: Instant) {
        self.state = self.away(now);
    }

    /// What to wait for, and until when.
    pub(super) fn awaits(&self) -> (Option<BorrowedFd<'_>>, Instant) {
        match &self.state {
            State::Away(next) => (None, *next),
            State::Asked(stream, since, _) => (Some(stream.as_fd()), *since + PATIENCE),
            State::Resting(stream, next) => (Some(stream.as_fd()), *next),
        }
    }

    /// How long the master has been owing an answer.
    pub(super) fn waiting(&self, now: Instant) -> Option<Duration> {
        match &self.state {
            State::Asked(_, since, _) => Some(now.saturating_duration_since(*since)),
            State::Away(_) | State::Resting(..) => None,
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        match socket.connect(&SockAddr::unix(self.path)?) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::other("too many wait to be let in"))
            }
            connected => connected.map(|()| UnixStream::from(OwnedFd::from(socket))),
        }
    }

    /// The question is shorter than what the kernel takes at once.
    fn ask(&self, mut stream: UnixStream, now: Instant) -> io::Result<State> {
        stream.write_all(self.question)?;
        Ok(State::Asked(stream, now, Vec::new()))
    }

    fn hear(
        &self,
        mut stream: UnixStream,
        since: Instant,
        mut heard: Vec<u8>,
        now: Instant,
    ) -> Turned {
        let away = self.away(now);
        let lost = |reason: String| Some(News::Lost(Silence::Mute(reason)));
        let mut room = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut room) {
                Ok(0) => return (away, lost(CLOSED.to_owned())),
                Ok(count) => heard.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if now < since + PATIENCE {
                        return (State::Asked(stream, since, heard), None);
                    }
                    let reason = format!("no answer within {} s", PATIENCE.as_secs());
                    // Another connection may be luckier, at once.
                    return (State::Away(now), lost(reason));
                }
                Err(error) => return (away, lost(error.to_string())),
            }
            if heard.last() == Some(&b'\n') {
                let line = String::from_utf8_lossy(heard.trim_ascii_end()).into_owned();
                let next = (since + self.pause).max(now);
                return (State::Resting(stream, next), Some(News::Line(line)));
            }
            if heard.len() > LONGEST {
                return (away, lost(String::from("the answer is too long")));
            }
        }
    }

    /// Between two questions: whether the master is still there. It ends a
    /// connection that has been silent for long, and must not be mistaken for
    /// dead then.
    fn rest_on(&mut self, mut stream: UnixStream, next: Instant, now: Instant) -> Turned {
        match stream.read(&mut [0; 256]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return (State::Resting(stream, next), None);
            }
            // The end, or what nobody asked for.
            Ok(_) | Err(_) => {}
        }
        // One that ends every connection at once is not worth one after the other.
        if self.reopened.is_some_and(|last| now < last + AGAIN) {
            return (State::Away(next), None);
        }
        self.reopened = Some(now);
        match self.connect() {
            Ok(stream) => (State::Resting(stream, next), None),
            Err(error) => (self.away(now), Some(News::Lost(Silence::of(&error)))),
        }
    }

    fn away(&self, now: Instant) -> State {
        State::Away(now + self.pause.min(AGAIN))
    }
}

/// What comes of a turn.
type Turned = (State, Option<News>);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    const PAUSE: Duration = Duration::from_millis(200);

    fn heard(stream: &mut UnixStream) -> String {
        let mut room = [0; 64];
        let count = stream.read(&mut room).unwrap();
        String::from_utf8_lossy(&room[..count]).into_owned()
    }

    #[test]
    fn a_connection_is_kept_and_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let mut link = Link::new(&path, b"?\n", PAUSE);
        let mut now = Instant::now();
        assert!(matches!(link.turn(now), Some(News::Lost(_))));
        assert_eq!(link.turn(now), None, "not before its time");
        let listener = UnixListener::bind(&path).unwrap();
        now += PAUSE;
        assert_eq!(link.turn(now), None);
        let (mut master, _) = listener.accept().unwrap();
        assert_eq!(heard(&mut master), "?\n");
        // An answer in pieces, and another on the same connection.
        master.write_all(b"on").unwrap();
        assert_eq!(link.turn(now), None);
        assert_eq!(link.waiting(now + PAUSE), Some(PAUSE));
        master.write_all(b"e\n").unwrap();
        assert_eq!(link.turn(now), Some(News::Line(String::from("one"))));
        assert_eq!(link.waiting(now), None);
        assert_eq!(link.turn(now), None, "not before its time");
        now += PAUSE;
        assert_eq!(link.turn(now), None);
        assert_eq!(heard(&mut master), "?\n");
        // It ends a connection in the pause: there may be another, but not one
        // after the other.
        master.write_all(b"two\n").unwrap();
        assert!(matches!(link.turn(now), Some(News::Line(_))));
        drop(master);
        listener.set_nonblocking(true).unwrap();
        // A program that another test starts may have a copy of our end for a moment.
        let end = Instant::now() + Duration::from_secs(20);
        let another = loop {
            assert_eq!(link.turn(now), None);
            match listener.accept() {
                Ok(another) => break another,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        };
        drop(another);
        assert_eq!(link.turn(now), None);
        assert!(listener.accept().is_err());
    }

    #[test]
    fn a_master_that_dies_between_two_questions_is_missed_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let mut link = Link::new(&path, b"?\n", 100 * PAUSE);
        let now = Instant::now();
        assert_eq!(link.turn(now), None);
        let (mut master, _) = listener.accept().unwrap();
        master.write_all(b"one\n").unwrap();
        assert!(matches!(link.turn(now), Some(News::Line(_))));
        drop((master, listener));
        // As above.
        let end = Instant::now() + Duration::from_secs(20);
        let lost = loop {
            match link.turn(now) {
                None => assert!(Instant::now() < end, "it is not missed"),
                lost => break lost,
            }
        };
        assert!(
            matches!(lost, Some(News::Lost(Silence::Nobody(_)))),
            "{lost:?}"
        );
    }

    #[test]
    fn a_master_that_does_not_answer_is_asked_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let mut link = Link::new(&path, b"?\n", PAUSE);
        let now = Instant::now();
        assert_eq!(link.turn(now), None);
        let (_first, _) = listener.accept().unwrap();
        assert_eq!(link.turn(now + PATIENCE / 2), None);
        let late = now + PATIENCE;
        let lost = News::Lost(Silence::Mute(String::from("no answer within 5 s")));
        assert_eq!(link.turn(late), Some(lost));
        assert_eq!(link.turn(late), None);
        let (mut second, _) = listener.accept().unwrap();
        assert_eq!(heard(&mut second), "?\n");
    }
}
