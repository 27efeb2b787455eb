//! What `preforkd probe` takes.

use super::client::{Reach, statuses};
use super::value::patience;
use crate::client::failure::Cause;
use clap::{Args, ValueEnum};
use std::time::Duration;

const REMARKS: &str = "
Verdicts: pass; fail, of a MUST or a SHOULD; differs, where the rule is a choice of ours that another
server may make otherwise; skipped, with what would be needed; error, where nobody can tell.

One connection is open at a time, and none carries more than 2 MiB there or 8 MiB back. Nothing is
asked for by PUT or DELETE, and by POST with little or nothing in it. Some requests ask for files
outside the root, which a filter may take for an attack: probe your own servers.";

/// What stands at the end of its help.
pub(super) fn after_help() -> String {
    statuses(
        "fine: no rule that is a MUST was found broken",
        Cause::PROBE,
    ) + REMARKS
}

/// `preforkd probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// The server: HOST:PORT (an IPv6 host in brackets), or unix:PATH
    #[arg(value_name = "HOST:PORT", required_unless_present = "list")]
    pub target: Option<String>,
    /// What it serves
    #[arg(long, value_enum, default_value = "http")]
    pub service: ServiceName,
    /// Ask it by datagrams (UDP)
    #[arg(short, long, conflicts_with = "proxy_protocol")]
    pub udp: bool,
    /// Try these rules alone; may be given several times
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub row: Vec<u16>,
    /// Try the rules of this level alone; may be given several times
    #[arg(long, value_enum, value_name = "LEVEL", value_delimiter = ',')]
    pub only: Vec<LevelName>,
    /// Only say which rules there are
    #[arg(long)]
    pub list: bool,
    /// The target that is asked for; rules about ranges and conditions want a file
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = path)]
    pub path: String,
    /// What the field Host says, in place of the host of the address
    #[arg(long, value_name = "NAME", value_parser = host)]
    pub host: Option<String>,
    /// A program (CGI) that prints its environment, and then its input
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub program: Option<String>,
    /// A directory, named without its slash
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub directory: Option<String>,
    /// In which pieces octets are sent; may be given several times
    #[arg(
        long,
        value_enum,
        value_name = "PIECES",
        value_delimiter = ',',
        default_value = "whole"
    )]
    pub split: Vec<SplitName>,
    /// The listener expects the PROXY protocol: every connection begins with a
    /// header, and the rules about it are tried too
    #[arg(long)]
    pub proxy_protocol: bool,
    /// Try the rules about deadlines as well: each takes up to a minute and a half
    #[arg(long)]
    pub slow: bool,
    /// How to get there.
    #[command(flatten)]
    pub reach: Reach,
    /// How long the server may be silent
    #[arg(short, long, value_name = "TIME", default_value = "5s", value_parser = patience)]
    pub idle: Duration,
    /// Show of each fault what was sent and what came
    #[arg(short, long, conflicts_with = "json")]
    pub verbose: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// What a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    /// HTTP/1.1 (RFC 9110, RFC 9112)
    Http,
    /// Every byte back (RFC 862)
    Echo,
    /// Nothing (RFC 863)
    Discard,
    /// Date and time as text (RFC 867)
    Daytime,
    /// Seconds since 1900, in four octets (RFC 868)
    Time,
    /// Characters without end (RFC 864)
    Chargen,
    /// A fixed text
    Message,
}

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    /// MUST
    Must,
    /// SHOULD
    Should,
    /// A choice of ours among what is allowed
    Own,
}

/// In which pieces octets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// In one
    Whole,
    /// In two segments
    Two,
    /// Octet by octet
    Bytes,
}

/// Reads a path as a request line may hold it.
fn path(text: &str) -> Result<String, String> {
    let is_right = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_right
        .then(|| text.to_owned())
        .ok_or_else(|| String::from("a path was expected: it begins with / and is percent-encoded"))
}

/// Reads a value for Host.
fn host(text: &str) -> Result<String, String> {
    let is_right = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_right = is_right && !text.contains(['/', '@', ',']);
    is_right
        .then(|| text.to_owned())
        .ok_or_else(|| String::from("a name was expected, perhaps with a port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_request_is_refused() {
        assert_eq!(path("/a?b%20c"), Ok("/a?b%20c".to_owned()));
        assert_eq!(host("a.example:80"), Ok("a.example:80".to_owned()));
        for text in ["", "a", "/a b", "/\r\nX: y", "/\u{e4}"] {
            assert!(path(text).is_err(), "{text:?}");
        }
        for text in ["", "a b", "a/b", "a\r\nX: y", "u@a"] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }
}
