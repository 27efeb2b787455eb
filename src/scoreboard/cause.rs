//! What workers die of, and the words for it.

/// Why a worker is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It left as it should: retired, worn, or with its work done.
    Finished,
    /// It ended by itself before it was READY.
    Start,
    /// It ended by itself soon after its READY, before it had served anybody.
    Early,
    /// It exited with another status than 0.
    Exit,
    /// A signal ended it that the master had not sent.
    Signal,
    /// Killed while the kernel killed for want of memory.
    OutOfMemory,
    /// The master killed it: it was not READY in time.
    NotReady,
    /// The master killed it: it showed no sign of life.
    Hung,
    /// The master killed it: it had not finished at the end of its drain.
    Overdue,
    /// The master killed it: nobody was to be waited for.
    AtOnce,
}

impl Cause {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every cause, in the order of the status.
    pub const ALL: [Self; 10] = [
        Self::Finished,
        Self::Start,
        Self::Early,
        Self::Exit,
        Self::Signal,
        Self::OutOfMemory,
        Self::NotReady,
        Self::Hung,
        Self::Overdue,
        Self::AtOnce,
    ];

    /// The word for status and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Start => "start",
            Self::Early => "early",
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::OutOfMemory => "out-of-memory",
            Self::NotReady => "not-ready",
            Self::Hung => "hung",
            Self::Overdue => "overdue",
            Self::AtOnce => "at-once",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_place() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
    }
}
