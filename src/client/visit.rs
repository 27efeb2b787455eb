//! One visit of a probe: a connection on which an [`Exchange`] gets what it
//! wishes.
//!
//! Owes that no wish is waited for longer than the patience of its case, and
//! that what the other side says while we send is heard. Judges nothing.

pub mod datagram;

use super::dial::{Dialled, until};
use super::failure::Failure;
use super::{Options, Target, dial};
use crate::probe::exchange::{Ended, Exchange, Seen, Wish};
use crate::probe::site::Site;
use crate::probe::{Case, Split};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Connects to `target` and plays `case`, sent in pieces as `split` has it. A
/// server may be silent for `patience`, unless the case says how long.
///
/// # Errors
/// Why there is no connection, or which call failed on this side; an end that
/// the other side makes is a part of what is seen.
pub fn visit(
    target: &Target,
    options: &Options,
    case: &Case,
    site: &Site,
    split: Split,
    patience: Duration,
) -> Result<Seen, Failure> {
    let dialled = dial(target, options)?;
    let mut exchange = Exchange::new(case, site, split);
    let patience = case.patience.unwrap_or(patience);
    play(&dialled, &mut exchange, patience)
        .map_err(|error| Failure::of("probe", &dialled.name, &error))?;
    Ok(exchange.seen())
}

/// What a wish waits for, without its octets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Sending,
    Hearing,
    Watching,
}

/// Until when, and since which wish.
struct Watch {
    waiting: Waiting,
    until: Instant,
}

fn play(dialled: &Dialled, exchange: &mut Exchange<'_>, patience: Duration) -> io::Result<()> {
    let socket = &dialled.socket;
    let mut watch: Option<Watch> = None;
    loop {
        let (waiting, events) = match exchange.wish() {
            Wish::Nothing => return Ok(()),
            Wish::Finish => {
                // Who has gone needs no telling.
                let _ = socket.shutdown(Shutdown::Write);
                exchange.finished();
                watch = None;
                continue;
            }
            Wish::Pause(time) => {
                pause(socket, exchange, time)?;
                exchange.paused();
                watch = None;
                continue;
            }
            Wish::Send(_) => (Waiting::Sending, PollFlags::POLLIN | PollFlags::POLLOUT),
            Wish::Hear => (Waiting::Hearing, PollFlags::POLLIN),
            // An error, such as a reset, is told unasked.
            Wish::Watch => (Waiting::Watching, PollFlags::empty()),
        };
        let end = match &watch {
            Some(watch) if watch.waiting == waiting => watch.until,
            Some(_) | None => {
                let until = Instant::now() + patience;
                watch = Some(Watch { waiting, until });
                until
            }
        };
        let ready = wait(socket, events, end)?;
        if ready.is_empty() {
            if Instant::now() >= end {
                exchange.ended(Ended::Silence);
            }
            continue;
        }
        match waiting {
            Waiting::Watching => exchange.ended(Ended::Reset),
            Waiting::Hearing => hear(socket, exchange)?,
            Waiting::Sending => {
                // First what was said: it may be why nothing more is taken.
                if ready.intersects(PollFlags::POLLIN) {
                    hear(socket, exchange)?;
                }
                if ready.intersects(PollFlags::POLLOUT | PollFlags::POLLERR | PollFlags::POLLHUP) {
                    send(socket, exchange)?;
                }
                watch = None;
            }
        }
    }
}

/// Hears what comes for a while; an end of the connection ends it.
fn pause(socket: &Socket, exchange: &mut Exchange<'_>, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if !wait(socket, PollFlags::POLLIN, end)?.is_empty() {
            hear(socket, exchange)?;
        }
        if exchange.wish() == Wish::Nothing {
            break;
        }
    }
    Ok(())
}

fn wait(socket: &Socket, events: PollFlags, end: Instant) -> io::Result<PollFlags> {
    let mut watched = [PollFd::new(socket.as_fd(), events)];
    match poll(&mut watched, until(end)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(watched[0].revents().unwrap_or(PollFlags::empty()))
}

fn hear(mut socket: &Socket, exchange: &mut Exchange<'_>) -> io::Result<()> {
    let mut room = [0; 16 * 1024];
    match socket.read(&mut room) {
        Ok(0) => exchange.ended(Ended::Orderly),
        Ok(count) => exchange.received(&room[..count]),
        Err(error) if is_passing(&error) => {}
        Err(error) if is_theirs(&error) => exchange.ended(Ended::Reset),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn send(mut socket: &Socket, exchange: &mut Exchange<'_>) -> io::Result<()> {
    let Wish::Send(octets) = exchange.wish() else {
        return Ok(());
    };
    match socket.write(octets) {
        Ok(count) => exchange.sent(count),
        Err(error) if is_passing(&error) => {}
        Err(error) if is_theirs(&error) => exchange.refused(),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn is_theirs(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::probe::judge::judge;
    use crate::probe::{Codes, Step, USUAL, case, doing};
    use std::net::{TcpListener, TcpStream};

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// What a case brings from a server that does this on the first connection.
    fn at(server: fn(TcpStream), case: &Case) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = Target::parse(&address).unwrap();
        let site = Site {
            usual: 200,
            ..Site::new("a", "/")
        };
        std::thread::scope(|scope| {
            scope.spawn(|| server(listener.accept().unwrap().0));
            let patience = Duration::from_millis(if case.patience.is_some() { 1 } else { 20_000 });
            let options = Options::default();
            let seen = visit(&target, &options, case, &site, Split::Two, patience).unwrap();
            judge(case, &site, &seen)
        })
    }

    fn reads(stream: &mut TcpStream, count: usize) {
        stream.read_exact(&mut vec![0; count]).unwrap();
    }

    const OK: Codes = Codes::Of(&[USUAL]);

    #[test]
    fn a_server_that_stays_or_goes_is_told_apart() {
        let request = "GET / HTTP/1.1\r\n\r\n";
        let stays = |mut stream: TcpStream| {
            reads(&mut stream, 18);
            stream.write_all(ANSWER).unwrap();
            let mut room = [0; 1000];
            assert!(stream.read(&mut room).unwrap() > 0);
            stream.write_all(ANSWER).unwrap();
        };
        assert_eq!(at(stays, &case(request).kept(&[OK])), Ok(()));
        let goes = |mut stream: TcpStream| {
            reads(&mut stream, 18);
            stream.write_all(ANSWER).unwrap();
        };
        assert_eq!(at(goes, &case(request).closed(&[OK])), Ok(()));
        assert!(at(goes, &case(request).kept(&[OK])).is_err());
    }

    #[test]
    fn silence_has_an_end() {
        let silent = |mut stream: TcpStream| {
            let mut room = Vec::new();
            let _ = stream.read_to_end(&mut room);
        };
        let waits = case("x").kept(&[OK]).patience(Duration::from_millis(50));
        let fault = at(silent, &waits).unwrap_err();
        assert!(fault.contains("neither ends nor answers"), "{fault}");
    }

    #[test]
    fn who_writes_much_hears_meanwhile() {
        let refuses = |mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        };
        let much = Step::Send(vec![b'x'; 2 << 20]);
        assert_eq!(
            at(refuses, &doing(vec![much, Step::Finish]).refused(&[413])),
            Ok(())
        );
    }

    #[test]
    fn a_reset_is_seen_by_who_does_not_read() {
        let resets = |mut stream: TcpStream| {
            reads(&mut stream, 1);
            let all = vec![b'x'; 100_000];
            stream.write_all(&all).unwrap();
            let zero = Some(Duration::ZERO);
            socket2::SockRef::from(&stream).set_linger(zero).unwrap();
        };
        let deaf = case("x").closed(&[]).reading_nothing();
        assert_eq!(at(resets, &deaf), Ok(()));
    }
}
