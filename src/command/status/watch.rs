//! `status --watch`: the same picture again and again.
//!
//! One loop and one thread: it waits for the keyboard, a signal, the master and
//! the clock, and does what they ask for. Owes that nobody can hold it up, the
//! master least of all: its socket never blocks. The terminal is given back on
//! every way out but SIGKILL.

mod keys;
mod link;
mod rates;
mod screen;
mod view;

use super::line::clean_json;
use super::table::table;
use super::verdict::{RUNNING, Silence, UNKNOWN};
use super::{Answer, Place, Workers, narrow, print, say_instead, text};
use crate::cli;
use crate::command::complain;
use crate::status::Status;
use crate::sys::clock;
use keys::{Key, Keyboard};
use link::{Link, News};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use screen::Screen;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use view::View;

pub(super) use screen::size;

/// What is asked, each time.
pub(super) const QUESTION: &[u8] = b"{\"query\":\"status\"}\n";

/// The picture's own clock: so often it is drawn anew, whatever happens.
const TICK: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &cli::Status, place: &Place, pause: Duration) -> u8 {
    let Some(control) = &place.control else {
        let verdict = place.judge(&Silence::NoSocket);
        complain(format_args!(
            "--watch needs a control socket; {}",
            verdict.text
        ));
        return if verdict.status == RUNNING {
            UNKNOWN
        } else {
            verdict.status
        };
    };
    match Watch::start(arguments, place, control, pause).and_then(Watch::run) {
        Ok(Leave::Asked) => RUNNING,
        Ok(Leave::Signal(number)) => {
            // As if nobody had caught it; what follows is for one that cannot be.
            let _ = signal_hook::low_level::emulate_default_handler(number);
            UNKNOWN
        }
        Ok(Leave::Status(status)) => status,
        // The terminal is gone, and with it whoever looked.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EPIPE)) => RUNNING,
        Err(error) => {
            complain(format_args!("terminal: {error}"));
            UNKNOWN
        }
    }
}

/// Why it ends.
enum Leave {
    /// By a key, or for nobody reads any more.
    Asked,
    /// By this signal.
    Signal(i32),
    /// It cannot go on, and has said why.
    Status(u8),
}

/// Where it is shown.
enum Face<'a> {
    /// On a terminal.
    Screen(Screen, Box<View>, Keyboard),
    /// A table each time, or a line of JSON.
    Lines(&'a cli::Status),
}

struct Watch<'a> {
    place: &'a Place,
    link: Link<'a>,
    face: Face<'a>,
    signals: SignalDelivery<UnixStream, SignalOnly>,
}

impl<'a> Watch<'a> {
    fn start(
        arguments: &'a cli::Status,
        place: &'a Place,
        control: &'a Path,
        pause: Duration,
    ) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let own = [SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGWINCH, SIGCONT];
        // One that comes again while the first waits behind a terminal that
        // takes nothing ends the process.
        for ending in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            let armed = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_default(ending, Arc::clone(&armed))?;
            signal_hook::flag::register(ending, armed)?;
        }
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, own)?;
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = io::stdout().is_terminal() && !dumb && !arguments.ask.json;
        let face = if live {
            let view = Box::new(View::new(control, pause, arguments.pool.clone()));
            let screen = Screen::enter()?;
            Face::Screen(screen, view, Keyboard::new())
        } else {
            Face::Lines(arguments)
        };
        Ok(Self {
            place,
            link: Link::new(control, QUESTION, pause),
            face,
            signals,
        })
    }

    fn run(mut self) -> io::Result<Leave> {
        let mut drawn: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let paused = matches!(&self.face, Face::Screen(_, view, _) if view.is_paused());
            let news = if paused { None } else { self.link.turn(now) };
            let is_news = news.is_some();
            if let Some(leave) = news.and_then(|news| self.take(news, now)) {
                return Ok(leave);
            }
            // More may be there already.
            let mut stale = is_news || drawn.is_none_or(|drawn| now >= drawn + TICK);
            for number in self.signals.pending() {
                match number {
                    SIGWINCH | SIGCONT => stale = true,
                    ending => return Ok(Leave::Signal(ending)),
                }
                if let (SIGCONT, Face::Screen(screen, ..)) = (number, &mut self.face) {
                    screen.resume()?;
                }
            }
            if let Face::Screen(screen, view, keyboard) = &mut self.face {
                for key in keyboard.pending()? {
                    stale = true;
                    match key {
                        Key::Quit => return Ok(Leave::Asked),
                        Key::Suspend => screen.suspend()?,
                        Key::Redraw => screen.forget(),
                        Key::Char(char) => view.key(char),
                    }
                }
                if stale {
                    let (columns, rows) = size();
                    let lines = view.lines(
                        usize::from(columns),
                        usize::from(rows),
                        now,
                        self.link.waiting(now),
                    );
                    screen.draw(&lines, columns, rows)?;
                    drawn = Some(now);
                }
            }
            if !self.wait(drawn)? {
                return Ok(Leave::Asked);
            }
        }
    }

    /// Takes note of what the master said, or did not.
    fn take(&mut self, news: News, now: Instant) -> Option<Leave> {
        let heard = match news {
            News::Lost(silence) => Err(silence),
            News::Line(line) => match Answer::of(&line) {
                Ok(Answer::Status(status)) => Ok((line, status)),
                Ok(Answer::Deaths(_)) => Err(Silence::Mute(String::from("this is another answer"))),
                Ok(Answer::Refusal(reason)) | Err(reason) => Err(Silence::Mute(reason)),
                Ok(Answer::Barred(reason)) => Err(Silence::Barred(reason)),
            },
        };
        if heard.is_err() {
            self.link.rest(now);
        }
        match (&mut self.face, heard) {
            (Face::Screen(_, view, _), Ok((_, status))) => view.note(now, *status),
            (Face::Screen(_, view, _), Err(silence)) => {
                view.lost(now, &clock::wall().local, &silence);
            }
            (Face::Lines(arguments), Ok((line, _))) if arguments.ask.json => {
                print(&format!("{}\n", clean_json(&line)));
            }
            (Face::Lines(arguments), Ok((_, status))) => {
                if let Err(status) = lines(arguments, *status) {
                    return Some(Leave::Status(status));
                }
            }
            (Face::Lines(arguments), Err(silence)) => {
                say_instead(arguments.ask.json, &self.place.judge(&silence));
            }
        }
        None
    }

    /// Until there is something to do; false where nobody looks any more.
    fn wait(&self, drawn: Option<Instant>) -> io::Result<bool> {
        let (output, input) = (io::stdout(), io::stdin());
        let mut ready = vec![
            PollFd::new(output.as_fd(), PollFlags::empty()),
            PollFd::new(self.signals.get_read().as_fd(), PollFlags::POLLIN),
        ];
        let mut until = None;
        let mut paused = false;
        if let Face::Screen(_, view, keyboard) = &self.face {
            until = drawn.map(|drawn| drawn + TICK);
            paused = view.is_paused();
            if keyboard.is_open() {
                ready.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
            }
        }
        if !paused {
            let (socket, next) = self.link.awaits();
            until = Some(until.map_or(next, |until: Instant| until.min(next)));
            if let Some(socket) = socket {
                ready.push(PollFd::new(socket, PollFlags::POLLIN));
            }
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // A part of a millisecond too late, not many turns too early.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1);
            PollTimeout::try_from(left + 1).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        Ok(ready[0].revents().is_none_or(|seen| !seen.intersects(gone)))
    }
}

/// A table, and an empty line to tell it from the next.
fn lines(arguments: &cli::Status, mut status: Status) -> Result<(), u8> {
    narrow(&mut status, arguments.pool.as_deref())?;
    let workers = if arguments.busy {
        Workers::Busy
    } else {
        Workers::All
    };
    print(&format!(
        "{}\n",
        text(&table(&status, workers, None), false)
    ));
    Ok(())
}

/// Stops the process as Ctrl-Z does.
fn stop() {
    let _ = nix::sys::signal::raise(Signal::SIGSTOP);
}
