//! Takes one answer: shows it, follows it, or writes it down.

use super::gzip::Inflater;
use super::output::{Destination, Output};
use super::plan::Plan;
use super::{include, plain};
use crate::client::http::redirect::{self, Mistake};
use crate::client::http::resume::{self, Verdict};
use crate::client::http::url;
use crate::client::http::{Head, Request, Url};
use crate::client::transfer::{Taker, Wish};
use crate::client::{Cause, Failure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Takes the answer to one request.
pub(super) struct Receiver<'p> {
    plan: &'p Plan,
    url: &'p Url,
    request: &'p Request,
    destination: &'p mut Destination,
    output: Output,
    /// Whether the content, if there is any, is compressed: the answer to a HEAD
    /// has none, whatever it says of it.
    is_coded: bool,
    inflater: Option<Inflater>,
    progress: Option<ProgressBar>,
    /// Octets that are still to come of the part that the head tells of.
    part: Option<u64>,
    /// Where the answer leads, if that is followed.
    pub(super) next: Option<(Url, Request)>,
    /// The status, once it is there.
    pub(super) status: u16,
}

impl<'p> Receiver<'p> {
    pub(super) fn new(
        plan: &'p Plan,
        url: &'p Url,
        request: &'p Request,
        destination: &'p mut Destination,
    ) -> Self {
        Self {
            plan,
            url,
            request,
            destination,
            output: Output::Nothing,
            is_coded: false,
            inflater: None,
            progress: None,
            part: None,
            next: None,
            status: 0,
        }
    }

    /// There is no more of it, for that reason if there is one.
    pub(super) fn finish(mut self, failure: Option<Failure>) -> Result<(), Failure> {
        if let Some(progress) = self.progress.take() {
            progress.abandon();
        }
        if let Some(failure) = failure {
            let left = self.output.left().filter(|_| !self.is_coded);
            let message = match left {
                Some(left) => format!("{}; {left}", failure.message),
                None => failure.message,
            };
            // What came is to be seen, and only that it is short is told.
            self.output.finish()?;
            return Err(Failure::new(failure.cause, message));
        }
        if let Some(left @ 1..) = self.part {
            self.output.finish()?;
            return Err(misfit(&format!(
                "ends {left} octets before its Content-Range"
            )));
        }
        if let Some(inflater) = &mut self.inflater {
            let rest = inflater.finish()?;
            self.output.write(&rest)?;
        }
        self.output.finish()
    }

    /// Whether the answer is worth to be written down, and how.
    fn judge(&mut self, head: &Head) -> Result<Wish, Failure> {
        let status = head.status();
        let refused = || {
            let hint = match (status, head.values("location").next()) {
                (300..400, Some(_)) => "; it leads elsewhere, where -L follows",
                (_, _) => "",
            };
            let line = status_line(head);
            let what = format!("{}: {line}{hint}", self.url);
            Err(Failure::new(Cause::Status, what))
        };
        if self.destination.is_file() {
            let held = self.destination.held();
            let verdict = if held > 0 {
                resume::judge(held, head).map_err(|why| Failure::new(Cause::Range, why))?
            } else {
                Verdict::Anew
            };
            return match verdict {
                Verdict::Complete => Ok(Wish::Enough),
                // What is there is what there would be.
                Verdict::Anew if status == 304 => Ok(Wish::Enough),
                Verdict::Anew if !(200..300).contains(&status) => refused(),
                Verdict::Append | Verdict::Anew => {
                    let keeps = verdict == Verdict::Append;
                    if held > 0 && !keeps {
                        eprintln!("preforkd: the server sends everything: the file begins anew");
                    }
                    self.output = self.destination.open(keeps)?;
                    Ok(Wish::More)
                }
            };
        }
        if self.plan.fail && status >= 400 {
            return refused();
        }
        self.output = self.destination.open(false)?;
        Ok(Wish::More)
    }

    /// A bar on the terminal while a file is written.
    fn begin_progress(&mut self, expected: Option<u64>) {
        let shows = self.destination.is_file() && !self.plan.verbose;
        if !shows || !std::io::stderr().is_terminal() {
            return;
        }
        let held = match &self.output {
            Output::File { length, .. } => *length,
            Output::Nothing | Output::Standard { .. } => 0,
        };
        let (bar, template) = match expected {
            Some(expected) => (
                ProgressBar::new(held.saturating_add(expected)),
                "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            ),
            None => (
                ProgressBar::no_length(),
                "{spinner} {bytes} {bytes_per_sec} {elapsed}",
            ),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_position(held);
        bar.reset_eta();
        self.progress = Some(bar);
    }
}

impl Taker for Receiver<'_> {
    fn interim(&mut self, head: &Head) {
        if self.plan.verbose {
            show(head.raw(), "< ");
        }
    }

    fn head(&mut self, head: Head, expected: Option<u64>) -> Result<Wish, Failure> {
        self.status = head.status();
        if self.plan.verbose {
            show(head.raw(), "< ");
        }
        if self.plan.redirects.is_some() {
            let next = redirect::next(&head, self.request, self.url);
            self.next = next.map_err(|mistake| lost(self.url, &mistake))?;
            if self.next.is_some() {
                return Ok(Wish::Enough);
            }
        }
        if let Some(range) = self.request.range.as_deref().filter(|_| !self.plan.resumes) {
            resume::check(range, &head).map_err(|why| Failure::new(Cause::Range, why))?;
            if head.status() == 200 {
                eprintln!("preforkd: the server sends everything, and not the part alone");
            }
        }
        // RFC 9110 §15.3.7: it answers a Range, and would pass for the whole.
        if head.status() == 206 && !self.request.asks_for_part() {
            let what = "a part came, and the whole was asked for";
            return Err(Failure::new(Cause::Range, what));
        }
        let wish = self.judge(&head)?;
        if wish == Wish::Enough {
            return Ok(wish);
        }
        include(self.plan, head.raw(), &mut self.output)?;
        self.is_coded = self.plan.request.compressed && head.lists("content-encoding", "gzip");
        self.begin_progress(expected);
        self.part = resume::length(&head).filter(|_| !self.request.method.is_head());
        Ok(Wish::More)
    }

    fn content(&mut self, octets: &[u8]) -> Result<Wish, Failure> {
        let count = octets.len() as u64;
        if let Some(progress) = &self.progress {
            progress.inc(count);
        }
        if let Some(left) = self.part {
            let left = left.checked_sub(count);
            self.part = Some(left.ok_or_else(|| misfit("goes on behind its Content-Range"))?);
        }
        let wish = if self.is_coded {
            let inflater = self.inflater.get_or_insert_with(Inflater::new);
            let content = inflater.write(octets)?;
            self.output.write(&content)?
        } else {
            self.output.write(octets)?
        };
        if wish == Wish::Enough {
            // Nobody wants the rest of it.
            self.part = None;
        }
        Ok(wish)
    }
}

/// A part is not as long as it is said to be.
fn misfit(what: &str) -> Failure {
    Failure::new(Cause::Range, format!("the part that came {what}"))
}

/// An answer leads to a place that cannot be asked.
fn lost(url: &Url, mistake: &Mistake) -> Failure {
    let cause = match mistake {
        Mistake::Location(url::Mistake::Tls(_) | url::Mistake::Scheme(_)) => Cause::Scheme,
        Mistake::Several
        | Mistake::Location(
            url::Mistake::Control(_)
            | url::Mistake::Host(_)
            | url::Mistake::Port(_)
            | url::Mistake::Credentials,
        ) => Cause::Answer,
    };
    Failure::new(cause, format!("{url} leads elsewhere: {mistake}"))
}

/// Status and reason, as the server has them.
fn status_line(head: &Head) -> String {
    let line = head.raw().split(|&byte| byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
    let words = line.split_once(' ').map_or("", |(_, words)| words);
    words.trim().to_owned()
}

/// Shows a head on standard error, line by line.
pub(super) fn show(head: &[u8], mark: &str) {
    let text = String::from_utf8_lossy(head);
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        eprintln!("{mark}{}", plain(line));
    }
}
