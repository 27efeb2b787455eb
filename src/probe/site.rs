//! What a server shows by itself, and what rows of it depend on that.

use super::answer::Answer;
use super::exchange::Seen;
use super::{Case, Codes, Need, case};

/// A server, and the target that rows ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What the field Host says.
    pub host: String,
    /// The target: a path, perhaps with a query.
    pub path: String,
    /// A program that prints its environment, and then its input.
    pub program: Option<String>,
    /// A directory without its slash.
    pub directory: Option<String>,
    /// Whether it is asked by datagrams.
    pub is_datagram: bool,
    /// Whether the listener expects the PROXY protocol.
    pub is_proxied: bool,
    /// Whether there is time for deadlines.
    pub slow: bool,
    /// With which status the target is answered; 0 as long as nobody knows.
    pub usual: u16,
    /// How long its content is, by what HEAD says.
    pub size: u64,
    /// Its content; none if it is longer than anybody reads.
    pub content: Vec<u8>,
    /// Whether it comes again as it came.
    pub steady: bool,
    /// Its strong entity tag, with its quotes.
    pub tag: Option<String>,
    /// When it was last changed, in the form of today.
    pub modified: Option<String>,
    /// What the server's clock said of the time.
    pub date: Option<String>,
    /// Whether parts of it may be had.
    pub ranges: bool,
    /// The tag of its form in gzip, and how long that is.
    pub coded: Option<(String, usize)>,
    /// With which status POST without content is answered.
    pub post: u16,
}

/// What a server is asked before all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// How long the target is.
    Size,
    /// For the target.
    Target,
    /// For the same again.
    Again,
    /// For a part of it.
    Part,
    /// For it in gzip.
    Coded,
    /// What it says to POST.
    Post,
}

impl Question {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Size,
        Self::Target,
        Self::Again,
        Self::Part,
        Self::Coded,
        Self::Post,
    ];
}

/// Content must have so many octets for the rows about ranges.
const SHORTEST: usize = 16;
/// And so many to fill all buffers between two programs.
const LARGE: u64 = 16 << 20;

impl Site {
    /// A server of which nothing is known.
    pub fn new(host: &str, path: &str) -> Self {
        Self {
            host: host.to_owned(),
            path: path.to_owned(),
            program: None,
            directory: None,
            is_datagram: false,
            is_proxied: false,
            slow: false,
            usual: 0,
            size: 0,
            content: Vec::new(),
            steady: false,
            tag: None,
            modified: None,
            date: None,
            ranges: false,
            coded: None,
            post: 0,
        }
    }

    /// A request with this line and these further fields, each with its end.
    pub fn with(&self, line: &str, fields: &str) -> String {
        format!("{line}\r\nHost: {}\r\n{fields}\r\n", self.host)
    }

    /// A GET of `target`.
    pub fn ask(&self, target: &str, fields: &str) -> String {
        self.with(&format!("GET {target} HTTP/1.1"), fields)
    }

    /// A GET of the target.
    pub fn get(&self, fields: &str) -> String {
        self.ask(&self.path, fields)
    }

    /// Another method for the target.
    pub fn by(&self, method: &str, fields: &str) -> String {
        self.with(&format!("{method} {} HTTP/1.1", self.path), fields)
    }

    /// A path that nothing should be at, however a server counts.
    pub fn nothing(&self) -> &'static str {
        "/preforkd-probe/there-is-nothing-here"
    }

    pub(super) fn follow_up(&self) -> String {
        self.by("HEAD", "Connection: close\r\n")
    }

    /// How `question` is asked.
    pub fn ask_for(&self, question: Question) -> Case {
        let request = match question {
            Question::Size => return case(self.follow_up()).either(&[Codes::Any]).to_head(),
            Question::Target | Question::Again => self.get("Connection: close\r\n"),
            Question::Part => self.get("Range: bytes=0-0\r\nConnection: close\r\n"),
            Question::Coded => self.get("Accept-Encoding: gzip\r\nConnection: close\r\n"),
            Question::Post => self.by("POST", "Content-Length: 0\r\nConnection: close\r\n"),
        };
        case(request).either(&[Codes::Any])
    }

    /// Takes note of what came.
    pub fn learn(&mut self, question: Question, seen: &Seen) {
        let mut finals = seen.answers.iter().filter(|answer| !answer.is_interim());
        let Some(answer) = finals.next() else {
            return;
        };
        match question {
            Question::Size => {
                self.usual = answer.status;
                let size = answer.field("Content-Length");
                self.size = size.and_then(|size| size.parse().ok()).unwrap_or(0);
            }
            Question::Target => {
                self.usual = answer.status;
                self.content.clone_from(&answer.content);
                let owned = |name| answer.field(name).map(str::to_owned);
                self.tag = owned("ETag").filter(|tag| is_strong(tag));
                self.modified = owned("Last-Modified");
                self.date = owned("Date");
            }
            Question::Again => {
                self.steady = answer.status == 200
                    && self.usual == 200
                    && answer.content == self.content
                    && !self.content.is_empty();
            }
            Question::Part => {
                self.ranges = self.steady && answer.status == 206 && self.content.len() >= SHORTEST;
            }
            Question::Coded => self.coded = coded(answer),
            Question::Post => self.post = answer.status,
        }
    }

    /// Whether the server has what a row needs.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Steady => self.steady,
            Need::Ranges => self.ranges,
            Need::Tag => self.steady && self.tag.is_some(),
            Need::Date => self.steady && self.modified.is_some(),
            Need::Gzip => self.steady && self.coded.is_some() && self.tag.is_some(),
            Need::Name => is_name(&self.host),
            Need::Program => self.program.is_some(),
            Need::Directory => self.directory.is_some(),
            Need::Time => self.slow,
            Need::Large => self.slow && self.size >= LARGE,
            Need::ProxyProtocol => self.is_proxied,
            Need::Datagrams => self.is_datagram,
            // Whoever sends finds out.
            Need::Ports => true,
            Need::Inside => false,
        }
    }
}

fn coded(answer: &Answer) -> Option<(String, usize)> {
    let tag = answer.field("ETag").filter(|tag| is_strong(tag))?;
    let is_coded = answer.field("Content-Encoding") == Some("gzip");
    let length = answer.content.len();
    (is_coded && answer.status == 200 && length >= SHORTEST).then(|| (tag.to_owned(), length))
}

fn is_strong(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
}

/// Whether a Host value is a name, perhaps with a port, and no address.
fn is_name(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !host.starts_with('[') && name.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_addresses() {
        for (host, named) in [
            ("example.org", true),
            ("a:80", true),
            ("127.0.0.1", false),
            ("127.0.0.1:8080", false),
            ("[::a]:80", false),
        ] {
            assert_eq!(is_name(host), named, "{host}");
        }
    }
}
