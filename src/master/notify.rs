//! The service manager's ear: what sd_notify(3) says, without ever waiting.
//!
//! Where NOTIFY_SOCKET names a socket, the master says there when it serves,
//! reloads and stops, and in a line how it is. A manager that does not listen
//! must not hold it up: what cannot be sent is sent later, states in their
//! order, and of status lines only the newest. Failures are logged once.
//! Workers must not speak there: [`forget`] is for them.

use crate::sys::process;
use sd_notify::NotifyState;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// What belongs to the master alone, of its environment.
const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
/// What an end takes beyond its time limit.
const MARGIN: Duration = Duration::from_secs(5);
/// States that wait to be sent; a manager that has missed more than these is
/// told the newest.
const BACKLOG: usize = 16;

/// The way to the service manager; leads nowhere where there is none.
#[derive(Debug, Default)]
pub struct Notifier {
    line: Option<Line>,
    /// What could not be sent yet.
    unsent: VecDeque<String>,
    /// The newest status, and whether it has to be sent.
    status: String,
    status_is_news: bool,
    watchdog: Option<Watchdog>,
    turn: Turn,
}

/// Whose turn it is to speak, where one master replaces another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Turn {
    /// Another one's, still.
    NotYet,
    #[default]
    Ours,
    /// Another one's, from now on.
    Over,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    manager: SocketAddr,
    complained: bool,
}

#[derive(Debug)]
struct Watchdog {
    period: Duration,
    due: Instant,
}

impl Notifier {
    /// As the environment says: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID.
    /// What is wrong with them is logged, and then there is nobody to tell.
    pub fn from_environment(now: Instant) -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        match Line::to(&name) {
            Ok(line) => Self {
                line: Some(line),
                watchdog: sd_notify::watchdog_enabled().map(|limit| Watchdog {
                    // sd_watchdog_enabled(3) recommends half of it.
                    period: limit / 2,
                    due: now,
                }),
                ..Self::default()
            },
            Err(error) => {
                log::warn!("NOTIFY_SOCKET {}: {error}", name.display());
                Self::default()
            }
        }
    }

    /// Says nothing until [`Notifier::begin`]: another process does.
    pub fn wait(&mut self) {
        self.turn = Turn::NotYet;
    }

    /// It is ours to speak.
    pub fn begin(&mut self) {
        self.turn = Turn::Ours;
    }

    /// The service is up, and how it is; also the end of a reload, whatever
    /// came of it.
    pub fn ready(&mut self, line: &str) {
        line.clone_into(&mut self.status);
        self.status_is_news = false;
        let line = one_line(line);
        self.state(&[NotifyState::Ready, NotifyState::Status(&line)]);
    }

    /// A reload begins. The time of it is what a manager tells this one from
    /// an earlier one by (systemd.service(5), Type=notify-reload).
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.state(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("clock_gettime: {error}"),
        }
    }

    /// The service is on its way out, which may take so long: a manager has its
    /// own idea of how long it waits, and is asked for more (sd_notify(3),
    /// EXTEND_TIMEOUT_USEC; where it waits longer anyway, it does).
    pub fn stopping(&mut self, longest: Duration) {
        let longest = longest + MARGIN;
        let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        self.state(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(longest),
        ]);
    }

    /// Another process is the master from now on.
    pub fn main_pid(&mut self, pid: u32) {
        self.state(&[NotifyState::MainPid(pid)]);
    }

    /// Says nothing new from now on: another process does.
    pub fn retire(&mut self) {
        self.turn = Turn::Over;
        self.status_is_news = false;
        self.watchdog = None;
    }

    /// How things are, in a line.
    pub fn status(&mut self, line: &str) {
        if line != self.status && self.turn == Turn::Ours {
            line.clone_into(&mut self.status);
            self.status_is_news = true;
            self.send_what_waits();
        }
    }

    /// Sends what could not be sent, and the sign of life that is due.
    pub fn tick(&mut self, now: Instant) {
        self.send_what_waits();
        let due = self.next_deadline().is_some_and(|due| due <= now);
        let Some(watchdog) = self.watchdog.as_mut().filter(|_| due) else {
            return;
        };
        watchdog.due = now + watchdog.period;
        let text = NotifyState::Watchdog.to_string();
        if let Some(line) = &mut self.line {
            // One that is lost is followed by another.
            line.send(&text);
        }
    }

    /// When [`Notifier::tick`] is due, but for what could not be sent.
    pub fn next_deadline(&self) -> Option<Instant> {
        let watchdog = self.watchdog.as_ref();
        let watchdog = watchdog.filter(|_| self.turn == Turn::Ours);
        watchdog.map(|watchdog| watchdog.due)
    }

    fn state(&mut self, states: &[NotifyState<'_>]) {
        if self.line.is_none() || self.turn == Turn::NotYet {
            return;
        }
        let words: Vec<String> = states.iter().map(NotifyState::to_string).collect();
        if self.unsent.len() == BACKLOG {
            self.unsent.pop_front();
        }
        self.unsent.push_back(words.join("\n"));
        self.send_what_waits();
    }

    fn send_what_waits(&mut self) {
        let Some(line) = &mut self.line else {
            return;
        };
        while let Some(text) = self.unsent.front() {
            if !line.send(text) {
                return;
            }
            self.unsent.pop_front();
        }
        if self.status_is_news {
            let status = one_line(&self.status);
            self.status_is_news = !line.send(&NotifyState::Status(&status).to_string());
        }
    }
}

/// A line is an assignment: in what is said there must not be two.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

impl Line {
    fn to(name: &OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let manager = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => return Err(io::Error::other("neither a path nor an abstract name")),
        };
        Ok(Self {
            socket,
            manager,
            complained: false,
        })
    }

    /// Whether it could be sent, at once.
    fn send(&mut self, text: &str) -> bool {
        match self.socket.send_to_addr(text.as_bytes(), &self.manager) {
            Ok(_) => true,
            Err(error) => {
                if !self.complained {
                    self.complained = true;
                    // A line that a test relies on: see tests/notify.rs.
                    log::warn!("the service manager cannot be told: {error}");
                }
                false
            }
        }
    }
}

/// For a new worker, and whatever that may run: nobody but the master speaks
/// to the manager.
pub fn forget() {
    for name in VARIABLES {
        if std::env::var_os(name).is_some()
            && let Err(error) = process::forget_variable(OsStr::new(name))
        {
            log::warn!("unsetenv {name}: {error}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pair() -> (Notifier, UnixDatagram, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manager");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let notifier = Notifier {
            line: Some(Line::to(path.as_os_str()).unwrap()),
            ..Notifier::default()
        };
        (notifier, manager, directory)
    }

    fn heard(manager: &UnixDatagram) -> Option<String> {
        let mut room = [0; 1024];
        let count = manager.recv(&mut room).ok()?;
        Some(String::from_utf8_lossy(&room[..count]).into_owned())
    }

    #[test]
    fn it_says_what_the_manual_says() {
        let (mut notifier, manager, _directory) = pair();
        notifier.ready("fine");
        assert_eq!(heard(&manager).unwrap(), "READY=1\nSTATUS=fine");
        notifier.status("fine");
        assert_eq!(heard(&manager), None, "no news");
        notifier.reloading();
        let text = heard(&manager).unwrap();
        let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
        notifier.status("one\nREADY=1");
        assert_eq!(heard(&manager).unwrap(), "STATUS=one READY=1");
        notifier.status("one\nREADY=1");
        assert_eq!(heard(&manager), None, "no news");
        notifier.main_pid(17);
        assert_eq!(heard(&manager).unwrap(), "MAINPID=17");
        notifier.stopping(Duration::from_secs(30));
        let time = (Duration::from_secs(30) + MARGIN).as_micros();
        let text = format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={time}");
        assert_eq!(heard(&manager).unwrap(), text);
        notifier.tick(Instant::now());
        assert_eq!(heard(&manager), None, "no watchdog");
    }

    #[test]
    fn who_is_not_the_master_yet_says_nothing() {
        let (mut notifier, manager, _directory) = pair();
        let (now, period) = (Instant::now(), Duration::from_secs(1));
        notifier.watchdog = Some(Watchdog { period, due: now });
        notifier.wait();
        notifier.status("starting");
        notifier.stopping(Duration::ZERO);
        notifier.tick(now);
        assert_eq!(heard(&manager), None);
        assert_eq!(notifier.next_deadline(), None, "nor is it woken for that");
        notifier.begin();
        notifier.ready("fine");
        notifier.tick(now);
        assert_eq!(heard(&manager).unwrap(), "READY=1\nSTATUS=fine");
        assert_eq!(heard(&manager).unwrap(), "WATCHDOG=1");
    }

    #[test]
    fn the_watchdog_hears_from_us_twice_in_its_time() {
        let (mut notifier, manager, _directory) = pair();
        let (mut now, period) = (Instant::now(), Duration::from_secs(1));
        notifier.watchdog = Some(Watchdog { period, due: now });
        for _ in 0..3 {
            notifier.tick(now);
            assert_eq!(heard(&manager).unwrap(), "WATCHDOG=1");
            notifier.tick(now + period / 2);
            assert_eq!(heard(&manager), None);
            assert_eq!(notifier.next_deadline(), Some(now + period));
            now += period;
        }
    }

    #[test]
    fn what_a_deaf_manager_missed_is_said_in_order_later() {
        let (mut notifier, manager, _directory) = pair();
        let mut count = 0;
        while notifier.line.as_mut().unwrap().send("x") {
            count += 1;
        }
        notifier.reloading();
        notifier.status("one");
        notifier.status("two");
        notifier.ready("three");
        notifier.status("four");
        (0..count).for_each(|_| assert_eq!(heard(&manager).unwrap(), "x"));
        assert_eq!(heard(&manager), None);
        notifier.tick(Instant::now());
        assert!(heard(&manager).unwrap().starts_with("RELOADING=1\n"));
        assert_eq!(heard(&manager).unwrap(), "READY=1\nSTATUS=three");
        assert_eq!(heard(&manager).unwrap(), "STATUS=four");
        assert_eq!(heard(&manager), None);
    }

    #[test]
    fn abstract_names_are_names() {
        let name = format!("preforkd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let mut line = Line::to(OsStr::new(&format!("@{name}"))).unwrap();
        assert!(line.send("READY=1"));
        assert_eq!(heard(&manager).unwrap(), "READY=1");
        assert!(Line::to(OsStr::new("vsock:2:1")).is_err());
    }
}
