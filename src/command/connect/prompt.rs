//! The terminal at which somebody types: keys from it, to an [`Editor`].
//!
//! Owes that the terminal is given back as it was, however it ends: by the end
//! of the exchange, by a key, or by a signal.

use super::editor::{Editor, Typed};
use super::keys::Keys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{SigId, flag, low_level};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Stdin};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What was typed.
pub(super) enum Line {
    /// A line, with its end.
    Typed(String),
    /// No more is sent. What comes is still shown.
    End,
    /// A signal that ends the program, or the key for it.
    Signal(i32),
}

/// The terminal at which somebody types.
pub(super) struct Prompt {
    stdin: Stdin,
    /// How it was.
    modes: Termios,
    keys: Keys,
    editor: Rc<RefCell<Editor>>,
    lines: VecDeque<Line>,
    /// Readable when there is a signal.
    bell: File,
    /// Which one.
    signal: Arc<AtomicUsize>,
    handlers: Vec<SigId>,
}

impl Prompt {
    /// Takes the terminal; `None` where there is none, or one that is dumb.
    pub(super) fn start() -> Option<(Self, Rc<RefCell<Editor>>)> {
        let stdin = io::stdin();
        let is_dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
        if is_dumb || !stdin.is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let modes = tcgetattr(&stdin).ok()?;
        let (bell, rope) = io::pipe().ok()?;
        let editor = Rc::new(RefCell::new(Editor::new()));
        let mut prompt = Self {
            stdin,
            modes,
            keys: Keys::default(),
            editor: Rc::clone(&editor),
            lines: VecDeque::new(),
            bell: File::from(std::os::fd::OwnedFd::from(bell)),
            signal: Arc::new(AtomicUsize::new(0)),
            handlers: Vec::new(),
        };
        // Before the terminal is taken: nobody else could give it back.
        for number in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
            let value = usize::try_from(number).ok()?;
            let noted = flag::register_usize(number, Arc::clone(&prompt.signal), value);
            prompt.handlers.push(noted.ok()?);
            let rung = low_level::pipe::register(number, rope.try_clone().ok()?);
            prompt.handlers.push(rung.ok()?);
        }
        prompt.take_terminal().ok()?;
        Some((prompt, editor))
    }

    /// What poll(2) is to watch; nothing where a line is there already.
    pub(super) fn watched(&self) -> Option<[PollFd<'_>; 2]> {
        let watch = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let fds = || [watch(self.stdin.as_fd()), watch(self.bell.as_fd())];
        self.lines.is_empty().then(fds)
    }

    /// The next line, if there is one.
    ///
    /// # Errors
    /// As read(2).
    pub(super) fn take(&mut self) -> io::Result<Option<Line>> {
        if let Ok(signal @ 1..) = i32::try_from(self.signal.load(Ordering::SeqCst)) {
            return Ok(Some(Line::Signal(signal)));
        }
        if self.lines.is_empty() {
            self.read()?;
        }
        Ok(self.lines.pop_front())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut room = [0; 4096];
        let count = match self.stdin.lock().read(&mut room) {
            Err(error) if super::input::is_passing(&error) => return Ok(()),
            read => read?,
        };
        if count == 0 && self.is_gone() {
            self.lines.push_back(Line::End);
        }
        if let Ok((columns, _)) = crossterm::terminal::size() {
            self.editor.borrow_mut().set_columns(usize::from(columns));
        }
        for key in self.keys.feed(&room[..count]) {
            let typed = self.editor.borrow_mut().press(key);
            let line = match typed {
                None => continue,
                Some(Typed::Line(mut line)) => {
                    line.push('\n');
                    Line::Typed(line)
                }
                Some(Typed::End) => Line::End,
                Some(Typed::Interrupt) => Line::Signal(SIGINT),
                Some(Typed::Quit) => Line::Signal(SIGQUIT),
                Some(Typed::Suspend) => {
                    self.suspend()?;
                    continue;
                }
            };
            self.lines.push_back(line);
        }
        Ok(())
    }

    /// A read of nothing is the usual thing here (VMIN 0), but where the window is
    /// closed it is all that ever comes.
    fn is_gone(&self) -> bool {
        let mut watched = [PollFd::new(self.stdin.as_fd(), PollFlags::POLLIN)];
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        poll(&mut watched, PollTimeout::ZERO).is_ok()
            && watched[0]
                .revents()
                .is_some_and(|events| events.intersects(gone))
    }

    /// Keys come as they are pressed, the ones for signals too, and are not shown;
    /// what is written is as before.
    fn take_terminal(&self) -> io::Result<()> {
        let mut modes = self.modes.clone();
        modes
            .local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN | LocalFlags::ISIG);
        modes.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        modes.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        Ok(tcsetattr(&self.stdin, SetArg::TCSANOW, &modes)?)
    }

    fn give_terminal_back(&self) {
        // Where it fails there is none any more.
        let _ = tcsetattr(&self.stdin, SetArg::TCSANOW, &self.modes);
    }

    /// The shell has the terminal, until it says otherwise.
    fn suspend(&self) -> io::Result<()> {
        self.give_terminal_back();
        // The whole pipeline, as the terminal would.
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        self.take_terminal()?;
        self.editor.borrow_mut().refresh();
        Ok(())
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.give_terminal_back();
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}
