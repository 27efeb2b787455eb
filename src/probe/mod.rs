//! A server as its clients see it: the rules of HTTP/1.1 and of the small
//! services, each with what is sent and what is right, against whatever server
//! answers.
//!
//! ```text
//! Row ── cases(&Site) ─▶ Case ── Exchange ─▶ Seen ── judge ─▶ Verdict
//! ```
//!
//! Owes that a verdict follows from nothing but the octets that came and how
//! the connection ended, so that each can be had without a socket. Never opens a
//! socket, never looks at a clock, and never sends more than [`MOST_SENT`] octets
//! in a case or asks for more than it then reads: whoever drives an
//! [`exchange::Exchange`] does as it wishes, on one connection at a time.
//!
//! [`rows`] has the tables. [`site`] is what a server shows by itself, on which
//! rows depend; [`exchange`] one connection; [`answer`] what comes back, taken
//! apart; [`mod@judge`] the comparison; [`datagrams`] where there is no connection.

pub mod answer;
pub mod datagrams;
pub mod exchange;
pub mod judge;
pub mod rows;
pub mod site;
pub mod verdict;

use answer::Answer;
use site::Site;
use std::time::Duration;

/// No case sends more octets than this.
pub const MOST_SENT: usize = 2 << 20;
/// No case takes more octets than this; what comes beyond ends it.
pub const MOST_TAKEN: usize = 8 << 20;

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A choice among what is allowed: another server may differ.
    Own,
    /// SHOULD (RFC 2119 §3).
    Should,
    /// MUST (RFC 2119 §1).
    Must,
}

impl Level {
    /// As the RFCs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Should => "should",
            Self::Must => "must",
        }
    }
}

/// What a server must have for a row to be about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A target that is answered with 200 and the same content twice.
    Steady,
    /// That content may be had in parts, and is long enough for several.
    Ranges,
    /// It has a strong entity tag.
    Tag,
    /// It has a date of its last change.
    Date,
    /// It may be had in gzip, with a tag of its own.
    Gzip,
    /// The server has a name, and not only an address.
    Name,
    /// A program (CGI) that prints its environment, and then its input.
    Program,
    /// A directory, named without its slash.
    Directory,
    /// Patience: it is about deadlines.
    Time,
    /// That, and content that fills no socket's buffers.
    Large,
    /// A socket for datagrams.
    Datagrams,
    /// The right to send from ports below 1024.
    Ports,
    /// A listener that expects the PROXY protocol.
    ProxyProtocol,
    /// A look from inside: at files, processes or logs.
    Inside,
}

impl Need {
    /// Why a row is left out that has this need.
    pub const fn lacking(self) -> &'static str {
        match self {
            Self::Steady => "needs a target with status 200 and the same content twice: --path",
            Self::Ranges => "needs a file that is sent in parts, 16 octets or more: --path",
            Self::Tag => "needs a file with a strong ETag: --path",
            Self::Date => "needs a file with Last-Modified: --path",
            Self::Gzip => "needs a file that is sent in gzip, with an ETag: --path",
            Self::Name => "needs a name: --host",
            Self::Program => "needs a program that prints its environment and input: --program",
            Self::Directory => "needs a directory: --directory",
            Self::Time => "takes a minute or more: --slow",
            Self::Large => "needs --slow, and a file of 16 MiB or more: --path",
            Self::Datagrams => "needs datagrams: --udp",
            Self::Ports => "needs the right to send from ports below 1024",
            Self::ProxyProtocol => {
                "needs a listener that expects the PROXY protocol: --proxy-protocol"
            }
            Self::Inside => "cannot be seen from outside",
        }
    }
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number in the list of rules; 0 for what has none.
    pub number: u16,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// Where it comes from: an RFC and its section.
    pub source: &'static str,
    /// How binding it is, where a case says nothing else.
    pub level: Level,
    /// What the server must have.
    pub needs: &'static [Need],
    /// The requests that show whether it is kept; of a site that has what it
    /// needs.
    pub cases: fn(&Site) -> Vec<Case>,
}

/// A thing that a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends octets.
    Send(Vec<u8>),
    /// Sends nothing for a while.
    Pause(Duration),
    /// Says that it sends no more (FIN).
    Finish,
    /// Waits until so many answers have come since the beginning, interim ones
    /// counted.
    Answers(usize),
}

/// Statuses that are right in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// Whichever.
    Any,
    /// One of these; [`USUAL`] is the one that the site's target has.
    Of(&'static [u16]),
    /// A final one, and none of these.
    Not(&'static [u16]),
}

/// Stands in [`Codes`] for the status that the site's target is usually
/// answered with.
pub const USUAL: u16 = 0;

/// How the connection is after the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It stays: another request is answered, and right.
    Kept,
    /// It ends.
    Closed,
    /// The last answer says that it ends (`Connection: close`), and it does.
    Told,
    /// Either will do.
    Either,
}

/// What is looked at besides statuses.
#[derive(Clone, Debug)]
pub enum Check {
    /// An answer has this field.
    Field(&'static str),
    /// An answer has this field with this value.
    Value(&'static str, String),
    /// It does not have this field.
    Without(&'static str),
    /// Its content.
    Content(Vec<u8>),
    /// Its content holds this.
    Text(String),
    /// Neither its head nor its content holds this.
    NoText(&'static str),
    /// All of them, before the site; the text says what is wrong.
    Judge(fn(&Site, &[Answer]) -> Result<(), String>),
}

/// What may come back.
#[derive(Clone, Debug)]
pub struct Right {
    /// The answers, interim ones included.
    pub answers: Vec<Codes>,
    /// And then.
    pub end: End,
    /// A look at each final answer, or at the one with this index.
    pub checks: Vec<(Option<usize>, Check)>,
}

/// A look at octets of a service that is not HTTP: what was sent, what came,
/// and whether the end was an orderly one.
pub type Octets = fn(&[u8], &[u8]) -> Result<(), String>;

/// What is right.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Answers of HTTP: any of these.
    Answers(Vec<Right>),
    /// Octets, up to an orderly end, or up to `enough` of them.
    Octets {
        /// From so many on nobody reads further; then an end is wrong.
        enough: Option<usize>,
        /// Whether they are right.
        judge: Octets,
    },
    /// Of the one datagram that is sent.
    Datagrams(datagrams::Reply),
}

/// Something sent, and what is right.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the client does.
    pub steps: Vec<Step>,
    /// What may come of it.
    pub expected: Expected,
    /// How binding it is, if not as the row.
    pub level: Option<Level>,
    /// The answers are to HEAD: they have no content.
    pub to_head: bool,
    /// How long a server may be silent, if that is what it is about.
    pub patience: Option<Duration>,
    /// Whether the client, having sent all, reads.
    pub reads: bool,
    /// Whether it is sent as it is where else a header of a proxy's goes first.
    pub is_bare: bool,
}

/// A case that sends `text`, whose characters U+0080 to U+00FF stand for single
/// octets. It is right as soon as something is said to be.
pub fn case(text: impl AsRef<str>) -> Case {
    let octets = text.as_ref().chars().map(|letter| letter as u8).collect();
    doing(vec![Step::Send(octets)])
}

/// A case of these steps.
pub fn doing(steps: Vec<Step>) -> Case {
    Case {
        steps,
        expected: Expected::Answers(Vec::new()),
        level: None,
        to_head: false,
        patience: None,
        reads: true,
        is_bare: false,
    }
}

impl Case {
    fn right(mut self, answers: &[Codes], end: End) -> Self {
        let right = Right {
            answers: answers.to_vec(),
            end,
            checks: Vec::new(),
        };
        match &mut self.expected {
            Expected::Answers(rights) => rights.push(right),
            Expected::Octets { .. } | Expected::Datagrams(_) => {
                self.expected = Expected::Answers(vec![right]);
            }
        }
        self
    }

    /// These answers are right, and the connection stays.
    #[must_use]
    pub fn kept(self, answers: &[Codes]) -> Self {
        self.right(answers, End::Kept)
    }

    /// These answers are right, and the connection ends.
    #[must_use]
    pub fn closed(self, answers: &[Codes]) -> Self {
        self.right(answers, End::Closed)
    }

    /// As [`Case::closed`], and the last one says so.
    #[must_use]
    pub fn told(self, answers: &[Codes]) -> Self {
        self.right(answers, End::Told)
    }

    /// These answers are right, whatever becomes of the connection.
    #[must_use]
    pub fn either(self, answers: &[Codes]) -> Self {
        self.right(answers, End::Either)
    }

    /// One answer with one of these statuses, and the end.
    #[must_use]
    pub fn refused(self, statuses: &'static [u16]) -> Self {
        self.closed(&[Codes::Of(statuses)])
    }

    /// Octets of a service that is not HTTP.
    #[must_use]
    pub fn octets(mut self, enough: Option<usize>, judge: Octets) -> Self {
        self.expected = Expected::Octets { enough, judge };
        self
    }

    /// A datagram, and what is right to come back.
    #[must_use]
    pub fn datagram(mut self, reply: datagrams::Reply) -> Self {
        self.expected = Expected::Datagrams(reply);
        self
    }

    /// Looks at every final answer of what was said last to be right.
    #[must_use]
    pub fn check(self, check: Check) -> Self {
        self.look(None, check)
    }

    /// Looks at the answer with this index.
    #[must_use]
    pub fn check_at(self, index: usize, check: Check) -> Self {
        self.look(Some(index), check)
    }

    fn look(mut self, index: Option<usize>, check: Check) -> Self {
        if let Expected::Answers(rights) = &mut self.expected
            && let Some(right) = rights.last_mut()
        {
            right.checks.push((index, check));
        }
        self
    }

    /// It is more or less binding than its row.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// The answers are to HEAD.
    #[must_use]
    pub fn to_head(mut self) -> Self {
        self.to_head = true;
        self
    }

    /// The server may take this long.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The client does not read.
    #[must_use]
    pub fn reading_nothing(mut self) -> Self {
        self.reads = false;
        self
    }

    /// It has its own header of a proxy's, or none.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// How many octets it sends.
    pub fn length(&self) -> usize {
        let length = |step: &Step| match step {
            Step::Send(octets) => octets.len(),
            Step::Pause(_) | Step::Finish | Step::Answers(_) => 0,
        };
        self.steps.iter().map(length).sum()
    }
}

/// In which pieces octets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// As much as the connection takes at once.
    Whole,
    /// In two segments, cut behind the first CR.
    Two,
    /// Octet by octet; from the 1,200th on in one piece.
    Bytes,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Two, Self::Bytes];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Two => "two",
            Self::Bytes => "bytes",
        }
    }
}
