//! `preforkd probe`: the rules of [`crate::probe`] against a server, one
//! connection after another.
//!
//! What is shown to people is `table`, what to programs is `json`. A server that
//! is not there is a failure of the command; one that vanishes in between is an
//! error in the row at hand, for the others may still tell.

mod json;
mod table;

use super::{USAGE, complain, reach};
use crate::cli::probe::{LevelName, Probe, ServiceName, SplitName};
use crate::client::visit::{datagram, visit};
use crate::client::{Cause, Failure, Options, Target, dial};
use crate::probe::exchange::Seen;
use crate::probe::judge::judge;
use crate::probe::rows::{self, Kind};
use crate::probe::site::{Question, Site};
use crate::probe::verdict::{Fault, Finding, Verdict};
use crate::probe::{Case, Expected, Level, Need, Row, Split, Step, datagrams};
use std::net::{Ipv6Addr, SocketAddr};
use table::Table;

pub(super) fn run(arguments: &Probe) -> u8 {
    let rows = match chosen(arguments) {
        Ok(rows) => rows,
        Err(message) => {
            complain(message);
            return USAGE;
        }
    };
    let (Some(target), false) = (&arguments.target, arguments.list) else {
        return list(arguments, &rows);
    };
    match Target::parse(target).and_then(|target| try_all(arguments, &target, &rows)) {
        Ok(status) => status,
        Err(failure) => {
            complain(&failure);
            failure.exit_status()
        }
    }
}

fn list(arguments: &Probe, rows: &[Row]) -> u8 {
    let text = if arguments.json {
        json::list(rows)
    } else {
        table::list(rows)
    };
    super::deliver(&text)
}

/// The rules that are asked for, in their order.
fn chosen(arguments: &Probe) -> Result<Vec<Row>, String> {
    let mut rows = match kind(arguments.service) {
        None if arguments.udp => {
            return Err("--udp: which of the small services? --service says it".to_owned());
        }
        Some(kind) if arguments.udp => rows::of_datagrams(kind),
        // A list of what there is has all, unless a service is named.
        None if arguments.list => rows::all(),
        None => rows::http(),
        Some(kind) => rows::of_service(kind),
    };
    if let Some(unknown) = arguments
        .row
        .iter()
        .find(|number| rows.iter().all(|row| row.number != **number))
    {
        return Err(format!(
            "--row {unknown}: there is no such rule here; --list tells them"
        ));
    }
    let levels: Vec<Level> = arguments.only.iter().map(|&name| level(name)).collect();
    rows.retain(|row| arguments.row.is_empty() || arguments.row.contains(&row.number));
    rows.retain(|row| levels.is_empty() || levels.contains(&row.level));
    Ok(rows)
}

const fn kind(name: ServiceName) -> Option<Kind> {
    match name {
        ServiceName::Http => None,
        ServiceName::Echo => Some(Kind::Echo),
        ServiceName::Discard => Some(Kind::Discard),
        ServiceName::Daytime => Some(Kind::Daytime),
        ServiceName::Time => Some(Kind::Time),
        ServiceName::Chargen => Some(Kind::Chargen),
        ServiceName::Message => Some(Kind::Message),
    }
}

const fn level(name: LevelName) -> Level {
    match name {
        LevelName::Must => Level::Must,
        LevelName::Should => Level::Should,
        LevelName::Own => Level::Own,
    }
}

const fn split(name: SplitName) -> Split {
    match name {
        SplitName::Whole => Split::Whole,
        SplitName::Two => Split::Two,
        SplitName::Bytes => Split::Bytes,
    }
}

/// What the field Host says of a place (RFC 9110 §7.2): the port is left out
/// where it is the usual one.
fn host_of(target: &Target) -> String {
    match target {
        Target::Unix(_) => "localhost".to_owned(),
        Target::Host { host, port } => {
            let is_v6 = host.parse::<Ipv6Addr>().is_ok() || host.contains(':');
            let host = if is_v6 {
                // A zone is of no use to anybody else (RFC 6874 §4).
                format!("[{}]", host.split('%').next().unwrap_or(host))
            } else {
                host.clone()
            };
            match port {
                80 => host,
                port => format!("{host}:{port}"),
            }
        }
    }
}

/// An address that was connected to, zone and all (RFC 4007 §11).
fn place_of(peer: SocketAddr) -> Target {
    let zone = match peer {
        SocketAddr::V6(peer) if peer.scope_id() > 0 => format!("%{}", peer.scope_id()),
        SocketAddr::V6(_) | SocketAddr::V4(_) => String::new(),
    };
    Target::Host {
        host: format!("{}{zone}", peer.ip()),
        port: peer.port(),
    }
}

fn try_all(arguments: &Probe, target: &Target, rows: &[Row]) -> Result<u8, Failure> {
    let host = arguments.host.clone().unwrap_or_else(|| host_of(target));
    let site = Site {
        program: arguments.program.clone(),
        directory: arguments.directory.clone(),
        slow: arguments.slow,
        is_datagram: arguments.udp,
        is_proxied: arguments.proxy_protocol,
        ..Site::new(&host, &arguments.path)
    };
    let mut prober = Prober {
        target: target.clone(),
        asked: None,
        options: reach::options(&arguments.reach)?,
        arguments,
        site,
    };
    prober.meet()?;
    let table = (!arguments.json).then(|| Table::of(rows, arguments.verbose));
    let (mut findings, mut broken_off) = (Vec::with_capacity(rows.len()), None);
    let mut written = table
        .as_ref()
        .map_or(0, |table| super::deliver(&table.head()));
    for row in rows {
        let finding = prober.row(*row).unwrap_or_else(|failure| {
            broken_off = broken_off.or(Some(failure.exit_status()));
            Finding::without(*row, Verdict::Error(failure.message))
        });
        // Where nothing can be written nobody is probed in vain; a reader that has
        // gone has read enough, but the exit status is still to come.
        if written != 0 {
            return Ok(written);
        }
        if let Some(table) = &table {
            written = super::deliver(&table.row(&finding));
        }
        findings.push(finding);
    }
    let written = match table {
        Some(_) if written != 0 => written,
        Some(_) => super::deliver(&Table::end(&findings)),
        None => super::deliver(&json::findings(target, &prober.site, &findings)),
    };
    let is_broken = findings.iter().any(Finding::is_broken);
    Ok(match (is_broken, broken_off) {
        (true, _) => Cause::Rule.exit_status(),
        (false, Some(status)) => status,
        (false, None) => written,
    })
}

/// Who plays the cases, one after another.
struct Prober<'a> {
    target: Target,
    /// Where datagrams go.
    asked: Option<SocketAddr>,
    options: Options,
    arguments: &'a Probe,
    site: Site,
}

impl Prober<'_> {
    /// Finds out whether anybody is there, and what rows depend on.
    fn meet(&mut self) -> Result<(), Failure> {
        if self.arguments.udp {
            let Target::Host { host, port } = &self.target else {
                let message = format!("{}: datagrams go to a host and a port", self.target);
                return Err(Failure::new(Cause::Usage, message));
            };
            self.asked = Some(datagram::find(host, *port, &self.options)?);
            return Ok(());
        }
        let dialled = dial(&self.target, &self.options)?;
        // One lookup is enough, and one of several servers.
        if let Some(peer) = dialled.peer {
            self.target = place_of(peer);
        }
        // Nobody may be kept waiting by a connection that says nothing.
        drop(dialled);
        if self.arguments.service != ServiceName::Http {
            return Ok(());
        }
        for question in Question::ALL {
            let case = self.site.ask_for(question);
            let seen = self.visit(&case, Split::Whole)?;
            self.site.learn(question, &seen);
        }
        Ok(())
    }

    fn visit(&self, case: &Case, split: Split) -> Result<Seen, Failure> {
        let patience = self.arguments.idle;
        visit(
            &self.target,
            &self.options,
            case,
            &self.site,
            split,
            patience,
        )
    }

    fn row(&self, row: Row) -> Result<Finding, Failure> {
        let lacking = row.needs.iter().find(|need| !self.site.has(**need));
        if let Some(need) = lacking {
            return Ok(Finding::without(row, Verdict::Skipped(*need)));
        }
        let (mut tried, mut faults) = (0, Vec::new());
        let splits = match self.asked {
            // A datagram is whole.
            Some(_) => &[SplitName::Whole][..],
            None => &self.arguments.split,
        };
        for (at, case) in (row.cases)(&self.site).iter().enumerate() {
            for split in splits.iter().map(|&name| split(name)) {
                let (verdict, sent, got) = match (&case.expected, self.asked) {
                    (Expected::Datagrams(reply), Some(asked)) => {
                        match self.datagram(asked, case, reply) {
                            Ok((verdict, heard)) => {
                                let replies = heard.replies.into_iter();
                                let got = replies.flat_map(|(_, octets)| octets);
                                (verdict, heard.sent, got.collect())
                            }
                            Err(failure) if failure.cause == Cause::Denied => {
                                return Ok(Finding::without(row, Verdict::Skipped(Need::Ports)));
                            }
                            Err(failure) => return Err(failure),
                        }
                    }
                    (_, _) => {
                        let seen = self.visit(case, split)?;
                        (judge(case, &self.site, &seen), seen.sent, seen.octets)
                    }
                };
                tried += 1;
                if let Err(wrong) = verdict {
                    faults.push(Fault {
                        case: at + 1,
                        split,
                        level: case.level.unwrap_or(row.level),
                        wrong,
                        sent,
                        got,
                    });
                }
            }
        }
        Ok(Finding::of(row, tried, faults))
    }

    /// Whether a datagram is answered as it should be, and what came.
    fn datagram(
        &self,
        asked: SocketAddr,
        case: &Case,
        reply: &datagrams::Reply,
    ) -> Result<(Result<(), String>, datagrams::Heard), Failure> {
        let octets = case.steps.iter().find_map(|step| match step {
            Step::Send(octets) => Some(&octets[..]),
            Step::Pause(_) | Step::Finish | Step::Answers(_) => None,
        });
        let octets = octets.unwrap_or_default();
        let (source, patience) = (self.options.source, self.arguments.idle);
        let heard = datagram::send(asked, source, octets, reply, patience)?;
        let verdict = datagrams::judge(reply, asked, &heard);
        Ok((verdict, heard))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::resolve::literal;

    #[test]
    fn the_host_is_written_as_a_client_writes_it() {
        for (target, host) in [
            ("a.example:80", "a.example"),
            ("a.example:8080", "a.example:8080"),
            ("[::1]:80", "[::1]"),
            ("[fe80::1%eth0]:81", "[fe80::1]:81"),
            ("unix:/run/x.sock", "localhost"),
        ] {
            assert_eq!(host_of(&Target::parse(target).unwrap()), host);
        }
    }

    #[test]
    fn a_server_is_met_again_where_it_was() {
        for text in ["127.0.0.1", "::1", "fe80::1%3"] {
            let peer = literal(text, 80).unwrap();
            let Target::Host { host, port } = place_of(peer) else {
                panic!("{text} is a host");
            };
            assert_eq!(literal(&host, port), Some(peer));
        }
    }
}
