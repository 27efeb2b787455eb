//! Lines that a program has written, which the log has under the program's own
//! name: the master hears them, and nobody shall think that they are its words.
//!
//! They are never taken for repetitions: what somebody else's program says twice
//! was said twice. How much it may say is up to whoever listens to it.

use super::line::{Line, Speaker};
use super::{LOGGER, NO_FIELDS, Output, Torn, clock};
use log::Level;

/// Whose words they are.
#[derive(Clone, Debug)]
pub struct Voice {
    speaker: Speaker,
    pid: u32,
}

impl Voice {
    /// That of the worker in this slot of the pool.
    pub fn new(pool: &str, slot: usize, pid: u32) -> Self {
        let speaker = Speaker::Worker(pool.to_owned(), slot);
        Self { speaker, pid }
    }

    fn line<'a>(&'a self, wall: &'a crate::calendar::Wall, text: &'a str) -> Line<'a> {
        Line {
            wall,
            pid: self.pid,
            speaker: &self.speaker,
            level: LEVEL,
            text,
            fields: &NO_FIELDS,
        }
    }
}

/// How important a line is that nobody of ours has judged.
const LEVEL: Level = Level::Info;

/// Writes such a line to the log in force.
pub fn relay(voice: &Voice, text: &str) {
    if LEVEL > log::max_level() {
        return;
    }
    if let Some(logger) = LOGGER.get() {
        let mut state = logger.lock();
        let state = &mut *state;
        if state.sink.is_on() {
            let wall = clock::wall();
            let line = voice.line(&wall, text);
            if !state.sink.write(&line, state.format, &mut state.torn) {
                state.lost += 1;
            }
        }
    }
}

impl Output {
    /// Writes such a line here. What could not be written whole at once goes on
    /// with the next one, for as long as `torn` is the same.
    pub fn relay(&mut self, voice: &Voice, text: &str, torn: &mut Torn) {
        if LEVEL <= self.level && self.sink.is_on() {
            let wall = clock::wall();
            // A line that nobody takes is lost, as any other one.
            let _ = self.sink.write(&voice.line(&wall, text), self.format, torn);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{self, LogFormat, LogTarget};
    use log::LevelFilter;

    #[test]
    fn the_line_is_the_programs_and_harmless() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut output = Output::open(&config::Log {
            to: LogTarget::File(path.clone()),
            format: LogFormat::Text,
            level: LevelFilter::Info,
        })
        .unwrap();
        let voice = Voice::new("web", 3, 4711);
        output.relay(&voice, "hello \x1b[2J", &mut Torn::default());
        let text = std::fs::read_to_string(&path).unwrap();
        let end = " [4711] web[3] info: hello \\u{1b}[2J\n";
        assert!(text.ends_with(end), "{text:?}");
        output.level = LevelFilter::Warn;
        output.relay(&voice, "more", &mut Torn::default());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
