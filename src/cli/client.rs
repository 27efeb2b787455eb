//! The client commands: what they take.

use super::value::{Octets, octets, patience};
use crate::client::failure::Cause;
use clap::{Args, ValueEnum};
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

/// The exit statuses of the client commands, as the help has them.
pub(super) fn statuses() -> String {
    let mut text = String::from("Exit status:\n  0   fine\n");
    for (status, meaning) in rows() {
        text.push_str(&format!("  {status:<2}  {}\n", meaning.replace('`', "")));
    }
    text.push_str("\nThey are those of curl(1), and of sysexits.h.");
    text
}

/// A row for each status: what the causes mean that have it.
pub fn rows() -> Vec<(u8, String)> {
    let mut rows: Vec<(u8, String)> = Vec::new();
    for cause in Cause::ALL {
        match rows.last_mut() {
            Some((status, meaning)) if *status == cause.exit_status() => {
                meaning.push_str("; or ");
                meaning.push_str(cause.meaning());
            }
            Some(_) | None => rows.push((cause.exit_status(), cause.meaning().to_owned())),
        }
    }
    rows
}
