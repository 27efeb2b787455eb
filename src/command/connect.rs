//! `preforkd connect`: standard input to a socket, and back.

mod datagram;
mod editor;
mod exchange;
mod input;
mod keys;
mod output;
mod prompt;
mod show;

use super::reach;
use crate::cli::client::{AtEof, Connect};
use crate::client::{Attempt, Cause, Dialled, Failure, Options, Target, Timing, dial};
use exchange::{End, Exchange, Tally};
use input::Input;
use output::Output;
use prompt::Prompt;
use show::Manner;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(super) fn run(arguments: &Connect) -> u8 {
    let end = prepare(arguments).and_then(|(target, options)| {
        let connect = Connecting {
            arguments,
            target,
            options,
        };
        match (arguments.udp, arguments.count) {
            (true, _) => connect.datagrams(),
            (false, None) => connect.once(),
            (false, Some(count)) => connect.repeated(count),
        }
    });
    match end {
        // Nobody reads: whoever had enough has had enough.
        Ok(End::Complete | End::Gone) => 0,
        Ok(End::Signal(signal)) => {
            // The terminal is as it was: now for what the signal is for.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            0
        }
        Err(failure) => {
            super::complain(&failure);
            failure.exit_status()
        }
    }
}

/// Where to, and how.
fn prepare(arguments: &Connect) -> Result<(Target, Options), Failure> {
    let target = match (&arguments.host, &arguments.port) {
        (host, Some(_)) if host.starts_with("unix:") => {
            let message = format!("{host}: a unix socket has no port");
            return Err(Failure::new(Cause::Usage, message));
        }
        (host, Some(port)) => Target::host(host, port)?,
        (text, None) => Target::parse(text)?,
    };
    Ok((target, reach::options(&arguments.reach)?))
}

struct Connecting<'c> {
    arguments: &'c Connect,
    target: Target,
    options: Options,
}

impl Connecting<'_> {
    /// One connection.
    fn once(&self) -> Result<End, Failure> {
        let begun = Instant::now();
        let dialled = self.dial()?;
        let (input, mut output) = self.ends();
        self.exchange(&dialled, begun, input, &mut output)
    }

    /// One after the other, without standard input; what fails is told, and counts.
    fn repeated(&self, count: u32) -> Result<End, Failure> {
        let begun = Instant::now();
        let mut spent: Vec<Duration> = Vec::new();
        let mut failed = None;
        let mut failures = 0u32;
        for _ in 0..count {
            let begun = Instant::now();
            let mut output = Output::new(self.manner(), None);
            let end = self
                .dial()
                .and_then(|dialled| self.exchange(&dialled, begun, self.given(), &mut output));
            match end {
                Ok(End::Complete) => spent.push(begun.elapsed()),
                Ok(end @ (End::Gone | End::Signal(_))) => return Ok(end),
                Err(failure) => {
                    failures += 1;
                    // The last one has the last word, after the count.
                    if let Some(before) = failed.replace(failure) {
                        super::complain(before);
                    }
                }
            }
        }
        let (least, mean, most) = spread(&spent);
        eprintln!(
            "preforkd: {count} connections in {:.3}s: {} complete, {failures} failed; {least:.6}s, {mean:.6}s, {most:.6}s each (least, mean, most)",
            begun.elapsed().as_secs_f64(),
            spent.len(),
        );
        failed.map_or(Ok(End::Complete), Err)
    }

    /// Datagrams, to and fro.
    fn datagrams(&self) -> Result<End, Failure> {
        let Target::Host { host, port } = &self.target else {
            let message = format!("{}: datagrams go to a host and a port", self.target);
            return Err(Failure::new(Cause::Usage, message));
        };
        let begun = Instant::now();
        let addresses = dial::addresses(host, *port, &self.options)?;
        let timing = Timing {
            lookup: begun.elapsed(),
            connect: Duration::ZERO,
        };
        let rules = datagram::Rules {
            idle: self.arguments.idle,
            crlf: self.arguments.crlf,
            count: self.arguments.count,
        };
        let (input, mut output) = self.ends();
        let (tally, name, end) =
            datagram::Datagrams::new(addresses, &self.options, rules, input, &mut output)?.run();
        self.tell(format_args!(
            "{} octets to {name}, {} octets from it",
            tally.sent, tally.received
        ));
        self.tell_timing(begun, timing, tally);
        end
    }

    fn dial(&self) -> Result<Dialled, Failure> {
        let dialled = dial(&self.target, &self.options)?;
        for attempt in &dialled.failed {
            self.tell(attempt as &Attempt);
        }
        let from = |local: SocketAddr| format!(" from {local}");
        let from = dialled.local.map(from).unwrap_or_default();
        self.tell(format_args!("connected to {}{from}", dialled.name));
        Ok(dialled)
    }

    fn exchange(
        &self,
        dialled: &Dialled,
        begun: Instant,
        input: Input,
        output: &mut Output,
    ) -> Result<End, Failure> {
        let rules = exchange::Rules {
            at_eof: self.arguments.at_eof,
            keep_sending: self.arguments.keep_sending,
            idle: self.arguments.idle,
            crlf: self.arguments.crlf,
        };
        let exchange = Exchange::new(&dialled.socket, &dialled.name, rules, input, output);
        let (tally, end) = exchange.run();
        if end == Ok(End::Complete) {
            let by = match self.arguments.at_eof {
                AtEof::Quit => "",
                AtEof::HalfClose | AtEof::Keep => " by the other side",
            };
            self.tell(format_args!(
                "ended{by}: {} octets sent, {} received",
                tally.sent, tally.received
            ));
        }
        self.tell_timing(begun, dialled.timing, tally);
        end
    }

    /// Where from, and where to.
    fn ends(&self) -> (Input, Output) {
        let manner = self.manner();
        if !self.arguments.send.is_empty() {
            return (self.given(), Output::new(manner, None));
        }
        let prompt = match self.arguments.raw {
            true => None,
            false => Prompt::start(),
        };
        match prompt {
            Some((prompt, editor)) => (
                Input::Typed(Box::new(prompt)),
                Output::new(manner, Some(editor)),
            ),
            None => (Input::Standard(io::stdin()), Output::new(manner, None)),
        }
    }

    /// What the command line gives to be sent.
    fn given(&self) -> Input {
        let texts = self.arguments.send.iter().map(|text| text.0.clone());
        Input::Given(texts.collect::<Vec<_>>().into_iter())
    }

    fn manner(&self) -> Manner {
        match (self.arguments.hex, self.arguments.raw) {
            (true, _) => Manner::Hex,
            (false, false) if io::stdout().is_terminal() => Manner::Tame,
            (false, _) => Manner::Exact,
        }
    }

    /// Says what happens, to who wants to know.
    fn tell(&self, what: impl std::fmt::Display) {
        if self.arguments.verbose {
            super::complain(what);
        }
    }

    fn tell_timing(&self, begun: Instant, timing: Timing, tally: Tally) {
        if !self.arguments.timing {
            return;
        }
        let seconds = |duration: Duration| format!("{:.6}s", duration.as_secs_f64());
        let first = tally.first.map(|first| seconds(first - begun));
        super::complain(format_args!(
            "lookup={} connect={} first={} total={} sent={} received={}",
            seconds(timing.lookup),
            seconds(timing.connect),
            first.as_deref().unwrap_or("-"),
            seconds(begun.elapsed()),
            tally.sent,
            tally.received
        ));
    }
}

/// The least, the mean and the most, in seconds; zeros of nothing.
fn spread(times: &[Duration]) -> (f64, f64, f64) {
    let seconds = || times.iter().map(Duration::as_secs_f64);
    let mean = seconds().sum::<f64>() / times.len().max(1) as f64;
    let least = seconds().min_by(f64::total_cmp).unwrap_or_default();
    (
        least,
        mean,
        seconds().max_by(f64::total_cmp).unwrap_or_default(),
    )
}
