//! The terminal: another screen, no cursor, keys as they are pressed; and all
//! of it given back, once, on whichever way out.

use super::super::line::Line;
use super::{super::colour, stop};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether there is something to be given back; for the panic hook, which knows
/// of nothing else.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The terminal, while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
    /// How large it was when it was last drawn.
    size: Option<(u16, u16)>,
}

/// Columns and rows of the terminal; where it does not say, those of old.
pub(in super::super) fn size() -> (u16, u16) {
    match crossterm::terminal::size() {
        Ok((columns @ 1.., rows @ 1..)) => (columns, rows),
        Ok(_) | Err(_) => (80, 24),
    }
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// As tcsetattr(3) and write(2).
    pub(super) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        // Else the words of a panic are on a screen that vanishes.
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                before(panic);
            }));
        });
        let screen = Self {
            colour: colour(),
            size: None,
        };
        take()?;
        Ok(screen)
    }

    /// Draws everything; lines that are too many or too long are cut.
    ///
    /// # Errors
    /// As write(2).
    pub(super) fn draw(&mut self, lines: &[Line], columns: u16, rows: u16) -> io::Result<()> {
        let mut frame = Vec::new();
        if self.size != Some((columns, rows)) {
            queue!(frame, Clear(ClearType::All))?;
            self.size = Some((columns, rows));
        }
        let width = usize::from(columns);
        let nothing = Line::default();
        let lines = lines.iter().chain(std::iter::repeat(&nothing));
        for (row, line) in (0..rows).zip(lines) {
            let line = line.clone().cut(width);
            // Spaces to the edge, for to clear what is behind a full line
            // clears its last sign on some terminals.
            let padding = " ".repeat(width - line.width());
            queue!(frame, MoveTo(0, row))?;
            frame.extend_from_slice(line.text(self.colour).as_bytes());
            frame.extend_from_slice(padding.as_bytes());
        }
        let mut output = io::stdout().lock();
        output.write_all(&frame)?;
        output.flush()
    }

    /// Has everything drawn anew at the next turn.
    pub(super) fn forget(&mut self) {
        self.size = None;
    }

    /// Gives the terminal back, stops the process, and goes on when it does.
    ///
    /// # Errors
    /// As [`Screen::enter`].
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        leave();
        stop();
        self.resume()
    }

    /// Takes the terminal again, after somebody else had it.
    ///
    /// # Errors
    /// As [`Screen::enter`].
    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.forget();
        leave();
        take()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn take() -> io::Result<()> {
    ENTERED.store(true, Ordering::SeqCst);
    let taken = keys_as_pressed().and_then(|()| {
        let mut output = io::stdout();
        execute!(output, EnterAlternateScreen, Hide)
    });
    if taken.is_err() {
        leave();
    }
    taken
}

fn keys_as_pressed() -> io::Result<()> {
    // Who types elsewhere interrupts by a signal.
    if io::stdin().is_terminal() {
        enable_raw_mode()?;
    }
    Ok(())
}

/// Gives the terminal back, if it was taken. Whoever is gone needs it no more.
fn leave() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
