//! Lines that somebody types at a terminal, and what comes meanwhile above them.
//!
//! Owes that what comes is shown whole and in its order, whatever is typed, and
//! that the terminal is given back as it was. The lines before are kept in
//! memory and nowhere else: what is typed to a server may be a password.
//!
//! The editor reads the keys in a thread of its own, which ends with the
//! process. It rings a bell (a pipe) for each line.

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{isatty, pipe2};
use rustyline::error::{ReadlineError, Signal};
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// How many lines are remembered.
const REMEMBERED: usize = 1000;

/// Shown, it leaves everything as it is: up a line, and down again by the line
/// end that the editor adds.
const NOTHING: &str = "\x1b[A\n";

/// What was typed.
pub(super) enum Line {
    /// A line, with its end.
    Typed(String),
    /// Ctrl-D: no more is sent. What comes is still shown.
    End,
    /// A signal that ends the program, or Ctrl-C, which is none here.
    Signal(i32),
}

/// The lines that somebody types.
pub(super) struct Prompt {
    bell: std::fs::File,
    lines: Receiver<Line>,
    /// The signal that came.
    signal: Arc<AtomicUsize>,
    /// How the terminal was.
    modes: Termios,
}

/// The place above them.
pub(super) struct Printer(Box<dyn ExternalPrinter + Send>);

impl Prompt {
    /// Begins to read lines; `None` where this is no terminal that can.
    pub(super) fn start() -> Option<(Self, Printer)> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let modes = tcgetattr(io::stdin()).ok()?;
        let config = Config::builder()
            .max_history_size(REMEMBERED)
            .ok()?
            .history_ignore_space(true)
            .auto_add_history(true)
            // A terminal that does not know it would show it.
            .bracketed_paste(false)
            .build();
        let history = MemHistory::with_config(&config);
        let mut editor: Editor<(), MemHistory> = Editor::with_history(config, history).ok()?;
        let printer = editor.create_external_printer().ok()?;
        let (bell, rope) =
            pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK).ok()?;
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGTERM, SIGHUP] {
            // They ring too: nobody but us can give the terminal back.
            let value = usize::try_from(number).ok()?;
            flag::register_usize(number, Arc::clone(&signal), value).ok()?;
            pipe::register(number, rope.try_clone().ok()?).ok()?;
        }
        let (typed, lines) = channel();
        thread::Builder::new()
            .name(String::from("prompt"))
            .spawn(move || edit(&mut editor, &typed, rope.into()))
            .ok()?;
        let prompt = Self {
            bell: bell.into(),
            lines,
            signal,
            modes,
        };
        Some((prompt, Printer(Box::new(printer))))
    }

    /// Becomes readable when there is a line.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The next line, if there is one.
    pub(super) fn take(&mut self) -> Option<Line> {
        if let Ok(signal @ 1..) = i32::try_from(self.signal.load(Ordering::SeqCst)) {
            return Some(Line::Signal(signal));
        }
        if let Ok(line) = self.lines.try_recv() {
            return Some(line);
        }
        // Only now: the bell rings for as long as there are lines.
        let rung = self.bell.read(&mut [0; 1024]);
        match self.lines.try_recv() {
            Ok(line) => Some(line),
            // The thread is gone.
            Err(_) => matches!(rung, Ok(0)).then_some(Line::End),
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        // The editor, which may still be reading, has set it for keys; and a line
        // that was begun is taken away.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.modes);
        let _ = io::stdout().write_all(b"\r\x1b[J");
        let _ = io::stdout().flush();
    }
}

impl Printer {
    /// Shows whole lines above the one that is typed.
    pub(super) fn print(&mut self, lines: String) {
        // Where the editor is gone its terminal is too.
        let _ = self.0.print(lines);
    }

    /// Returns when everything is shown. The editor takes one text at a time and
    /// there is place for one more: when it has taken the second from here, it has
    /// shown what was before.
    pub(super) fn settle(&mut self) {
        self.print(NOTHING.to_owned());
        self.print(NOTHING.to_owned());
    }
}

/// Reads lines until nobody wants them.
fn edit(editor: &mut Editor<(), MemHistory>, typed: &Sender<Line>, rope: std::fs::File) {
    let mut rope = rope;
    // A human's lines: whoever waited here for a place would keep the printer
    // waiting too.
    let mut tell = |line| {
        let told = typed.send(line);
        // A full pipe rings as well as a longer one.
        let _ = rope.write(b".");
        told
    };
    loop {
        let line = match editor.readline("") {
            Ok(mut line) => {
                line.push('\n');
                Line::Typed(line)
            }
            // The editor goes on: somebody has to show what comes.
            Err(ReadlineError::Eof) if isatty(io::stdin()) == Ok(true) => Line::End,
            Err(ReadlineError::Interrupted | ReadlineError::Signal(Signal::Interrupt)) => {
                Line::Signal(SIGINT)
            }
            // The window has another size: it goes on with that.
            Err(ReadlineError::Signal(Signal::Resize)) => continue,
            Err(_) => {
                let _ = tell(Line::End);
                return;
            }
        };
        if tell(line).is_err() {
            return;
        }
    }
}
