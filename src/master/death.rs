//! What a worker's death is put down to, in one word. Pure.
//!
//! A death has many details, which are in its line of the log; the word is
//! what can be counted, and it is the same in the log, in the status and for
//! whoever keeps figures. Every death has exactly one.

use super::cohort::YOUNG;
use super::message::Cut;
use std::time::Duration;

pub use crate::scoreboard::Cause;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited, with this status.
    Exited(i32),
    /// A signal other than SIGKILL.
    Signalled,
    /// SIGKILL, whoever sent it.
    Killed,
}

/// What is known of a death.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// How the process ended.
    pub end: End,
    /// For how long it had been READY; `None` where it never was.
    pub ready: Option<Duration>,
    /// Whether it had served a connection to its end.
    pub served: bool,
    /// Whether it was told to leave, or had asked for a successor.
    pub leaving: bool,
    /// What the master had killed it for.
    pub cut: Option<Cut>,
    /// Whether the kernel has just killed somebody for want of memory.
    pub memory_short: bool,
}

impl Facts {
    /// The word for it. A kill of ours comes first, for it explains SIGKILL;
    /// then what the kernel did; then when it happened; then how.
    pub fn cause(&self) -> Cause {
        match (self.end, self.cut) {
            (End::Killed, Some(Cut::NotReady)) => return Cause::NotReady,
            (End::Killed, Some(Cut::Hung)) => return Cause::Hung,
            (End::Killed, Some(Cut::Overdue)) => return Cause::Overdue,
            (End::Killed, Some(Cut::AtOnce)) => return Cause::AtOnce,
            (End::Killed, None) if self.memory_short => return Cause::OutOfMemory,
            (End::Killed | End::Signalled | End::Exited(_), _) => {}
        }
        match self.ready {
            None if !self.leaving => return Cause::Start,
            Some(ready) if !self.leaving && !self.served && ready < YOUNG => return Cause::Early,
            Some(_) | None => {}
        }
        match self.end {
            End::Exited(0) => Cause::Finished,
            End::Exited(_) => Cause::Exit,
            End::Signalled | End::Killed => Cause::Signal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVING: Facts = Facts {
        end: End::Killed,
        ready: Some(YOUNG),
        served: true,
        leaving: false,
        cut: None,
        memory_short: false,
    };

    #[test]
    fn every_death_has_its_word() {
        let young = Some(YOUNG / 2);
        for (facts, cause) in [
            (SERVING, Cause::Signal),
            (
                Facts {
                    end: End::Signalled,
                    ..SERVING
                },
                Cause::Signal,
            ),
            (
                Facts {
                    end: End::Exited(3),
                    ..SERVING
                },
                Cause::Exit,
            ),
            (
                Facts {
                    end: End::Exited(0),
                    ..SERVING
                },
                Cause::Finished,
            ),
            (
                Facts {
                    memory_short: true,
                    ..SERVING
                },
                Cause::OutOfMemory,
            ),
            // Only SIGKILL is what the kernel sends then.
            (
                Facts {
                    end: End::Exited(1),
                    memory_short: true,
                    ..SERVING
                },
                Cause::Exit,
            ),
            (
                Facts {
                    ready: None,
                    served: false,
                    ..SERVING
                },
                Cause::Start,
            ),
            (
                Facts {
                    ready: None,
                    end: End::Exited(0),
                    ..SERVING
                },
                Cause::Start,
            ),
            (
                Facts {
                    ready: young,
                    served: false,
                    ..SERVING
                },
                Cause::Early,
            ),
            (
                Facts {
                    ready: young,
                    ..SERVING
                },
                Cause::Signal,
            ),
            // Who was told to go may go at any time.
            (
                Facts {
                    ready: None,
                    leaving: true,
                    end: End::Exited(0),
                    ..SERVING
                },
                Cause::Finished,
            ),
            (
                Facts {
                    ready: young,
                    leaving: true,
                    served: false,
                    ..SERVING
                },
                Cause::Signal,
            ),
            // Told to go, killed at the end, and gone by itself in between.
            (
                Facts {
                    cut: Some(Cut::Overdue),
                    leaving: true,
                    end: End::Exited(0),
                    ..SERVING
                },
                Cause::Finished,
            ),
            (
                Facts {
                    cut: Some(Cut::Overdue),
                    leaving: true,
                    ..SERVING
                },
                Cause::Overdue,
            ),
            (
                Facts {
                    cut: Some(Cut::Hung),
                    memory_short: true,
                    ..SERVING
                },
                Cause::Hung,
            ),
            (
                Facts {
                    cut: Some(Cut::NotReady),
                    ready: None,
                    ..SERVING
                },
                Cause::NotReady,
            ),
            (
                Facts {
                    cut: Some(Cut::AtOnce),
                    ..SERVING
                },
                Cause::AtOnce,
            ),
        ] {
            assert_eq!(facts.cause(), cause, "{facts:?}");
        }
    }
}
