//! What `preforkd get` takes.

use super::client::{Reach, statuses};
use super::value::patience;
use crate::client::failure::Cause;
use clap::{Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

const REMARKS: &str = "
An address is sent as it is written: dot segments and empty segments stay, spaces and octets above
0x7F are percent-encoded. On a terminal, control characters of the content are shown as escapes.";

/// What stands at the end of its help.
pub(super) fn after_help() -> String {
    let fine = "fine: the answer came whole, whatever its status is";
    statuses(fine, Cause::HTTP) + REMARKS
}

/// `preforkd get`.
#[derive(Debug, Args)]
pub struct Get {
    /// What to ask for: http://HOST:PORT/PATH?QUERY, of which the host is enough;
    /// NAME:PASSWORD@ may stand before it
    #[arg(value_hint = ValueHint::Url)]
    pub url: String,
    /// Ask for the head alone, and print it
    #[arg(short = 'I', long, conflicts_with_all = ["post", "method", "range", "resume"])]
    pub head: bool,
    /// Send this with POST; `@FILE` is the content of a file, and `-` that of
    /// standard input. It is held in memory
    #[arg(long, value_name = "DATA|@FILE|-", allow_hyphen_values = true)]
    pub post: Option<String>,
    /// Use another method, such as PUT or OPTIONS
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,
    /// Send a field, in place of the one that would be sent; `Name:` sends none
    /// of that name; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Connect to this unix socket, whatever the address says
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with_all = ["ipv4", "ipv6", "source"])]
    pub unix: Option<PathBuf>,
    /// How to get there.
    #[command(flatten)]
    pub reach: Reach,
    /// How long all of it may take; without it there is no end
    #[arg(short, long, value_name = "TIME", value_parser = patience)]
    pub max_time: Option<Duration>,
    /// End when no octet has come or gone for so long
    #[arg(short, long, value_name = "TIME", value_parser = patience)]
    pub idle: Option<Duration>,
    /// Go where the server's Location leads. After 303 that is asked for with
    /// GET, and so it is after a POST with 301 and 302. Another host or port is
    /// told neither credentials nor cookies
    #[arg(short = 'L', long)]
    pub location: bool,
    /// How often
    #[arg(long, value_name = "N", default_value = "10", requires = "location")]
    pub max_redirects: u32,
    /// Ask for a part: `0-99`, `100-` or `-50`, or several with commas
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true, conflicts_with_all = ["resume", "compressed"])]
    pub range: Option<String>,
    /// Go on with the file where it ends. What is checked is that the server
    /// sends what begins there; if it sends everything, the file begins anew
    #[arg(short = 'C', long = "continue", conflicts_with = "compressed")]
    pub resume: bool,
    /// Write the content to a file as it comes. The file stays as it was if the
    /// status is not 2xx, which is a failure, or 304
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "remote_name")]
    pub output: Option<PathBuf>,
    /// As `--output`, with the last part of the address as the file's name
    #[arg(short = 'O', long)]
    pub remote_name: bool,
    /// Print the head before the content
    #[arg(long)]
    pub include: bool,
    /// Say on standard error what is sent and what comes
    #[arg(short, long)]
    pub verbose: bool,
    /// Let a status of 400 or more be a failure, and leave its content out
    #[arg(short, long)]
    pub fail: bool,
    /// Ask for content compressed with gzip, and decompress it
    #[arg(long)]
    pub compressed: bool,
    /// Say on standard error what took how long: to look the name up, to connect,
    /// from the request to the first octet of its answer, and in all
    #[arg(long)]
    pub timing: bool,
    /// Say it as one line of JSON, with times in microseconds
    #[arg(long)]
    pub json: bool,
    /// Ask so many times, over one connection as long as the server keeps it.
    /// Nothing is written; standard error gets the least, the median and the most
    /// time
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          conflicts_with_all = ["output", "remote_name", "resume", "include", "location"])]
    pub repeat: Option<u32>,
}
