//! The client commands: what they take.

use super::value::{Octets, octets, patience};
use crate::client::failure::Cause;
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::time::Duration;

/// How a client command gets to its target.
#[derive(Debug, Args)]
pub struct Reach {
    /// Use IPv4 addresses alone
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Use IPv6 addresses alone
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Connect from this address, or ADDR:PORT (an IPv6 address in brackets)
    #[arg(short, long, value_name = "ADDR")]
    pub source: Option<String>,
    /// How long it may take to connect, the lookup and all addresses of the host
    /// together: 2.5, 2.5s, 500ms
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = patience)]
    pub timeout: Duration,
}

/// `preforkd connect`.
#[derive(Debug, Args)]
pub struct Connect {
    /// The host, by name or address; or HOST:PORT (an IPv6 host in brackets), or
    /// unix:PATH
    #[arg(value_name = "HOST", value_hint = clap::ValueHint::Hostname)]
    pub host: String,
    /// The port, by number or by the name of its service
    #[arg(value_name = "PORT")]
    pub port: Option<String>,
    /// How to get there.
    #[command(flatten)]
    pub reach: Reach,
    /// Send datagrams (UDP): each line is one, its end included
    #[arg(short, long)]
    pub udp: bool,
    /// Send this and not standard input; may be given several times, and with -u
    /// each is a datagram: \r, \n, \t, \0, \\ and \xHH are what they are in C
    #[arg(long, value_name = "TEXT", value_parser = octets, allow_hyphen_values = true)]
    pub send: Vec<Octets>,
    /// Do it so many times, each on a connection of its own, without standard
    /// input; with -u end after so many answers
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// End when nothing has come or gone for so long; with -u how long answers are
    /// waited for, 5 seconds if it is not given
    #[arg(short, long, value_name = "TIME", value_parser = patience)]
    pub idle: Option<Duration>,
    /// What the end of the input is to the connection
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value = "half-close",
        conflicts_with = "udp"
    )]
    pub at_eof: AtEof,
    /// Go on sending when the other side has ended its direction, until the end of
    /// the input
    #[arg(long, conflicts_with_all = ["udp", "count"])]
    pub keep_sending: bool,
    /// End each line that is sent with CR and LF
    #[arg(short = 'C', long)]
    pub crlf: bool,
    /// Show what goes (>) and what comes (<) in hexadecimal
    #[arg(short = 'x', long, conflicts_with = "raw")]
    pub hex: bool,
    /// At a terminal: show what comes as it is, escape sequences too, and leave the
    /// editing of lines to the terminal
    #[arg(long)]
    pub raw: bool,
    /// Say on standard error how long it took to look the name up, to connect, until
    /// the first octet came, and in all, in seconds; and how much went and came
    #[arg(long)]
    pub timing: bool,
    /// Say on standard error what happens
    #[arg(short, long)]
    pub verbose: bool,
}

/// What the end of the input is to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AtEof {
    /// Tell the other side that no more comes (FIN), and read on until it ends too
    HalfClose,
    /// Tell it nothing, and read on until it ends
    Keep,
    /// End at once, without what may still come
    Quit,
}

/// The exit statuses of a client command, as its help has them: what 0 means to
/// it, those that all have, and its `own`.
pub(super) fn statuses(fine: &str, own: &[Cause]) -> String {
    let mut text = format!("Exit status, that of curl(1) where it has one:\n  0   {fine}\n");
    let causes: Vec<Cause> = Cause::ALL.iter().chain(own).copied().collect();
    for (status, meaning) in meanings(&causes) {
        text.push_str(&format!("  {status:<2}  {}\n", meaning.replace('`', "")));
    }
    text
}

/// What 0 means to every one of them.
pub(super) const FINE: &str = "fine";

/// The exit statuses of all client commands: of which command, and what it
/// means.
pub fn rows() -> Vec<(u8, &'static str, String)> {
    let mut rows = vec![(0, "all", FINE.to_owned())];
    for (whose, causes) in [
        ("all", Cause::ALL),
        ("`get`", Cause::HTTP),
        ("`probe`", Cause::PROBE),
    ] {
        let meanings = meanings(causes).into_iter();
        rows.extend(meanings.map(|(status, meaning)| (status, whose, meaning)));
    }
    rows.sort_by_key(|(status, ..)| *status);
    rows
}

/// A row for each status: what the causes mean that have it.
fn meanings(causes: &[Cause]) -> BTreeMap<u8, String> {
    let mut rows: BTreeMap<u8, String> = BTreeMap::new();
    for cause in causes {
        rows.entry(cause.exit_status())
            .and_modify(|meaning| {
                meaning.push_str("; or ");
                meaning.push_str(cause.meaning());
            })
            .or_insert_with(|| cause.meaning().to_owned());
    }
    rows
}
