//! Why a client command ended without what it was asked for, and the exit
//! status that says so.
//!
//! Owes one table for all client commands: a script that knows the statuses of
//! curl(1) knows these, for they are the same wherever curl has one; what is
//! wrong on this side has the statuses of sysexits.h, as with the other commands
//! of the program. Decides nothing and touches nothing.

use std::fmt;
use std::io;

/// What went wrong, by what a script may want to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The name of the host means nothing, or nobody could be asked.
    Resolve,
    /// The host is there, and nobody listens; or there is no such unix socket.
    Refused,
    /// No way leads there.
    Unreachable,
    /// The address is of another kind than http://.
    Scheme,
    /// What came is no answer, or breaks a rule.
    Answer,
    /// The answer ended before its end.
    Short,
    /// The server's status says that there is nothing to be had.
    Status,
    /// A deadline passed.
    Timeout,
    /// The part that came is not the one that was asked for.
    Range,
    /// It leads on and on, or in a circle.
    Redirects,
    /// The connection ended without an octet of an answer.
    Nothing,
    /// The other side ended the connection in the middle (RST, or a receive or
    /// send that failed).
    Reset,
    /// The address or port to connect from is not to be had.
    Source,
    /// Compressed content is broken.
    Coding,
    /// A server that was probed breaks a rule that is a MUST.
    Rule,
    /// The command line, or a file that it names, asks for what cannot be.
    Usage,
    /// This system refused a call.
    System,
    /// It may not be done by this user, or a filter forbids it.
    Denied,
}

impl Cause {
    /// Those of every client command, in the order of their exit statuses.
    pub const ALL: &'static [Self] = &[
        Self::Resolve,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Source,
        Self::Reset,
        Self::Usage,
        Self::System,
        Self::Denied,
    ];

    /// Those that only HTTP has, in the order of their exit statuses.
    pub const HTTP: &'static [Self] = &[
        Self::Scheme,
        Self::Answer,
        Self::Short,
        Self::Status,
        Self::Range,
        Self::Redirects,
        Self::Nothing,
        Self::Coding,
    ];

    /// Those that only a probe has.
    pub const PROBE: &'static [Self] = &[Self::Rule];

    /// With which status the program ends.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Scheme => 1,
            Self::Resolve => 6,
            Self::Refused | Self::Unreachable => 7,
            Self::Answer => 8,
            Self::Short => 18,
            Self::Status => 22,
            Self::Timeout => 28,
            Self::Range => 33,
            Self::Source => 45,
            Self::Redirects => 47,
            Self::Nothing => 52,
            Self::Reset => 56,
            Self::Coding => 61,
            Self::Usage => 64,
            Self::System => 71,
            Self::Rule => 76,
            Self::Denied => 77,
        }
    }

    /// What it means, in words of the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Scheme => "the address is not of http://: there is no TLS yet",
            Self::Resolve => "the host's name could not be resolved",
            Self::Refused => "the connection was refused: nobody listens there",
            Self::Unreachable => "no way leads to the host",
            Self::Answer => "what came is no answer of HTTP/1.1, or breaks its rules",
            Self::Short => "the answer ended before its end",
            Self::Status => "the status is 400 or more with `--fail`, or not 2xx with a file",
            Self::Timeout => "a deadline passed: `--timeout`, `--idle`, or `--max-time` of `get`",
            Self::Range => "the part that came does not fit to what was asked for",
            Self::Source => "the address or port of `--source` is not to be had",
            Self::Redirects => "it leads on more than `--max-redirects` times, or in a circle",
            Self::Nothing => "the connection ended without an answer",
            Self::Reset => "the other side reset the connection, or it broke",
            Self::Coding => "compressed content is broken",
            Self::Rule => "a rule that is a MUST was found broken",
            Self::Usage => "wrong usage",
            Self::System => {
                "the system refused: the call, the object and the error are in the message"
            }
            Self::Denied => "no permission, or a filter forbids it",
        }
    }

    /// What an error of connect(2), send(2) or recv(2) means.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // ENOENT: a unix socket of that name; EPROTOTYPE: it is of another
            // type.
            Some(libc::ECONNREFUSED | libc::ENOENT | libc::EPROTOTYPE) => Self::Refused,
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::ENONET,
            ) => Self::Unreachable,
            Some(libc::ETIMEDOUT | libc::EAGAIN) => Self::Timeout,
            Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::EPROTO) => Self::Reset,
            Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL) => Self::Source,
            Some(libc::EACCES | libc::EPERM) => Self::Denied,
            Some(_) | None => Self::System,
        }
    }
}

/// What went wrong, with the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which kind it is.
    pub cause: Cause,
    /// The call, the object and the error; without the program's name.
    pub message: String,
}

impl Failure {
    /// A failure with words of its own.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }

    /// A call that failed on an object: `connect 127.0.0.1:7: Connection
    /// refused`.
    pub fn of(call: &str, object: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(
            Cause::of(error),
            format!("{call} {object}: {}", words(error)),
        )
    }

    /// With which status the program ends.
    pub const fn exit_status(&self) -> u8 {
        self.cause.exit_status()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error in words, without its number.
pub fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_statuses_tell_the_causes_apart() {
        let of = |cause: Cause| cause.exit_status();
        for list in [Cause::ALL, Cause::HTTP, Cause::PROBE] {
            assert!(list.is_sorted_by_key(|cause| of(*cause)));
        }
        let all = || [Cause::ALL, Cause::HTTP, Cause::PROBE].concat().into_iter();
        let distinct: BTreeSet<u8> = all().map(of).collect();
        // Refused and Unreachable are one status, as with curl.
        assert_eq!(distinct.len(), all().count() - 1);
        assert!(!distinct.contains(&0));
        assert_eq!(of(Cause::Refused), of(Cause::Unreachable));
    }

    #[test]
    fn an_errno_has_a_cause_and_words() {
        for (errno, cause) in [
            (libc::ECONNREFUSED, Cause::Refused),
            (libc::ENOENT, Cause::Refused),
            (libc::ENETUNREACH, Cause::Unreachable),
            (libc::ETIMEDOUT, Cause::Timeout),
            (libc::ECONNRESET, Cause::Reset),
            (libc::EPIPE, Cause::Reset),
            (libc::EADDRNOTAVAIL, Cause::Source),
            (libc::EACCES, Cause::Denied),
            (libc::EMFILE, Cause::System),
        ] {
            assert_eq!(Cause::of(&io::Error::from_raw_os_error(errno)), cause);
        }
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let failure = Failure::of("connect", "127.0.0.1:7", &refused);
        assert_eq!(failure.message, "connect 127.0.0.1:7: Connection refused");
        assert_eq!(failure.exit_status(), 7);
    }
}
