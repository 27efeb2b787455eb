//! What a row counts, and the words for it.

/// Declares the counters: one list that rows, totals and reports all follow.
macro_rules! counters {
    ($( $(#[$about:meta])* $Name:ident = $name:literal; )*) => {
        /// The counters of a row; each only grows while its worker lives.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $( $(#[$about])* $Name, )*
        }

        impl Counter {
            /// How many there are.
            pub const COUNT: usize = [$( $name ),*].len();

            /// Every counter, in the order of the row.
            pub const ALL: [Self; Self::COUNT] = [$( Self::$Name ),*];

            /// The word for status and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$Name => $name, )*
                }
            }
        }
    };
}

// Answers are the five before the closes, which are the last: see below.
counters! {
    /// Connections accepted.
    Connections = "connections";
    /// Requests begun.
    Requests = "requests";
    /// Octets received.
    Received = "received";
    /// Octets sent.
    Sent = "sent";
    /// Requests that ask whether we are well, which no access log has.
    Probes = "probes";
    /// Lines of the access log that went out.
    Logged = "logged";
    /// Answers that only said to go on.
    Informational = "1xx";
    /// Answers to requests that succeeded.
    Successful = "2xx";
    /// Answers that led elsewhere, or to what the client has.
    Redirection = "3xx";
    /// Answers that found fault with the request.
    ClientError = "4xx";
    /// Answers that found fault with the server.
    ServerError = "5xx";
    /// Connections that ended because all was done.
    Complete = "complete";
    /// … the peer closed between requests.
    PeerClosed = "peer-closed";
    /// … the peer closed in the middle of a request.
    CutShort = "cut-short";
    /// … the peer was silent between requests.
    Idle = "idle";
    /// … the head of a request did not arrive in time.
    RequestTimeout = "request-timeout";
    /// … the rest of a request did not come.
    BodyTimeout = "body-timeout";
    /// … the rest of a request came too slowly.
    SlowBody = "slow-body";
    /// … the peer took none of what was sent.
    WriteStalled = "write-stalled";
    /// … the peer took what was sent too slowly.
    SlowReader = "slow-reader";
    /// … it was reset, or broke otherwise.
    Reset = "reset";
    /// … a request broke a rule.
    Refused = "refused";
    /// … it had had its number of requests.
    RequestLimit = "request-limit";
    /// … the worker was draining.
    Draining = "draining";
    /// … the file shrank while it was sent.
    Truncated = "truncated";
    /// … the peer sent more than could be held.
    Overflow = "overflow";
    /// … a program failed.
    Program = "program";
    /// … we failed.
    Internal = "internal";
    /// … the process that served it died.
    Killed = "killed";
}

impl Counter {
    /// Answers by the first digit of their status, from 1 to 5.
    pub const ANSWERS: &[Self] = Self::ALL
        .split_at(Self::Complete as usize)
        .0
        .split_at(Self::Informational as usize)
        .1;

    /// Ends of connections by their reason: each connection that has ended is
    /// in exactly one of them.
    pub const CLOSES: &[Self] = Self::ALL.split_at(Self::Complete as usize).1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_what_they_say() {
        let names = |group: &[Counter]| group.iter().map(|one| one.name()).collect::<Vec<_>>();
        assert_eq!(names(Counter::ANSWERS), ["1xx", "2xx", "3xx", "4xx", "5xx"]);
        assert_eq!(Counter::CLOSES.first(), Some(&Counter::Complete));
        assert_eq!(Counter::CLOSES.last(), Some(&Counter::Killed));
        let mut all = names(&Counter::ALL);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), Counter::COUNT, "each name stands once");
    }
}
