//! `preforkd get`: an HTTP client to try servers with, and for scripts.
//!
//! What is asked for stands in `plan`, one answer is taken by `receiver`, where
//! its content goes is `output`, what took how long is `timing`. Content alone
//! goes to standard output, and to a file only once an answer is there that is
//! worth one.

mod gzip;
mod output;
mod plan;
mod receiver;
mod timing;

use super::complain;
use crate::cli::get::Get;
use crate::client::http::{Request, Url};
use crate::client::transfer::{Answered, Connection, Patience, Trouble, exchange};
use crate::client::{Cause, Failure, Options, Target, dial};
use crate::escape;
use output::{Destination, Output};
use plan::Plan;
use receiver::Receiver;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use timing::{Form, Once, Repeated};

/// Asks; answers the exit status.
pub(super) fn run(arguments: &Get) -> u8 {
    let outcome = Plan::of(arguments).and_then(|plan| {
        let errand = Errand::new(&plan);
        match plan.repeat {
            Some(count) => errand.again_and_again(count),
            None => errand.once(),
        }
    });
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            complain(plain(&failure.message));
            failure.exit_status()
        }
    }
}

/// What a server sent may stand in a message.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    escape::plain(text, &mut shown);
    shown
}

/// A plan that is carried out.
struct Errand<'p> {
    plan: &'p Plan,
    begun: Instant,
    patience: Patience,
}

impl<'p> Errand<'p> {
    fn new(plan: &'p Plan) -> Self {
        let begun = Instant::now();
        let patience = Patience {
            deadline: plan.most.map(|most| begun + most),
            idle: plan.idle,
        };
        Self {
            plan,
            begun,
            patience,
        }
    }

    /// One request, and those that its redirects lead to.
    fn once(&self) -> Result<(), Failure> {
        let plan = self.plan;
        let mut destination = Destination::prepare(plan.file.as_deref(), plan.resumes)?;
        let (mut url, mut request) = (plan.url.clone(), plan.request.clone());
        if plan.resumes && destination.held() > 0 {
            request.range = Some(format!("bytes={}-", destination.held()));
        }
        let mut seen = vec![(url.to_string(), request.method.clone())];
        let mut times = Once::new(&url);
        loop {
            let mut connection = self.dial(&url)?;
            times.dialled(&connection.dialled().timing);
            let mut receiver = Receiver::new(plan, &url, &request, &mut destination);
            let asked = Instant::now();
            let result = self.exchange(&mut connection, &url, &request, &mut receiver);
            let (next, status) = (receiver.next.take(), receiver.status);
            let finished = receiver.finish(result.as_ref().err().map(Trouble::failure));
            let answered = match (result, finished) {
                (Ok(answered), Ok(())) => answered,
                (_, Err(failure)) => return Err(failure),
                (Err(trouble), Ok(())) => return Err(trouble.failure()),
            };
            self.note_surplus(&answered);
            times.answered(&url, status, answered.first - asked, answered.received);
            let Some(next) = next else {
                break;
            };
            (url, request) = next;
            times.redirects += 1;
            let place = (url.to_string(), request.method.clone());
            if seen.contains(&place) {
                let what = format!("it leads in a circle, back to {url}");
                return Err(Failure::new(Cause::Redirects, what));
            }
            seen.push(place);
            if times.redirects > plan.redirects.unwrap_or(0) {
                let what = format!(
                    "it leads on more than {} times, now to {url} (--max-redirects)",
                    times.redirects - 1
                );
                return Err(Failure::new(Cause::Redirects, what));
            }
        }
        if let Some(form) = plan.timing {
            eprintln!("{}", times.report(self.begun.elapsed(), form));
        }
        Ok(())
    }

    /// The same request, over one connection as long as the server keeps it.
    fn again_and_again(&self, count: u32) -> Result<(), Failure> {
        let (url, request) = (&self.plan.url, &self.plan.request);
        let mut times = Repeated::default();
        let mut kept: Option<Connection> = None;
        let mut statuses: BTreeMap<u16, u32> = BTreeMap::new();
        for _ in 0..count {
            let begun = Instant::now();
            // A kept connection may end just when it is used: then once more, on
            // a new one, where asking twice does no harm (RFC 9112 §9.3.1).
            let mut may_be_stale = request.method.is_idempotent();
            loop {
                let mut connection = match kept.take() {
                    Some(connection) => connection,
                    None => {
                        may_be_stale = false;
                        let connection = self.dial(url)?;
                        times.dialled(&connection.dialled().timing);
                        connection
                    }
                };
                let mut destination = Destination::Nowhere;
                let mut receiver = Receiver::new(self.plan, url, request, &mut destination);
                let asked = Instant::now();
                let result = self.exchange(&mut connection, url, request, &mut receiver);
                let status = receiver.status;
                match result {
                    Err(Trouble::Stale) if may_be_stale => continue,
                    Err(trouble) => return Err(trouble.failure()),
                    Ok(answered) => {
                        receiver.finish(None)?;
                        *statuses.entry(status).or_default() += 1;
                        times.answered(answered.first - asked, begun.elapsed(), answered.received);
                        if answered.persists {
                            kept = Some(connection);
                        }
                        break;
                    }
                }
            }
        }
        let form = self.plan.timing.unwrap_or(Form::Text);
        eprintln!(
            "{}",
            times.report(url, &statuses, self.begun.elapsed(), form)
        );
        Ok(())
    }

    fn dial(&self, url: &Url) -> Result<Connection, Failure> {
        let target = match &self.plan.unix {
            Some(path) => Target::Unix(path.clone()),
            None => Target::Host {
                host: url.host().to_owned(),
                port: url.port(),
            },
        };
        let left = self.patience.deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            left.max(Duration::from_millis(1))
        });
        let usual = self.plan.options;
        let options = Options {
            timeout: left.map_or(usual.timeout, |left| left.min(usual.timeout)),
            ..usual
        };
        let dialled = dial(&target, &options)?;
        if self.plan.verbose {
            for attempt in &dialled.failed {
                eprintln!("* {attempt}");
            }
            eprintln!("* connected to {}", dialled.name);
        }
        Ok(Connection::new(dialled))
    }

    fn exchange(
        &self,
        connection: &mut Connection,
        url: &Url,
        request: &Request,
        receiver: &mut Receiver<'_>,
    ) -> Result<Answered, Trouble> {
        let mut octets = request.head(url);
        if self.plan.verbose {
            receiver::show(&octets, "> ");
        }
        if let Some(content) = &request.content {
            octets.extend_from_slice(&content.octets);
        }
        let is_head = request.method.is_head();
        exchange(connection, &octets, is_head, &self.patience, receiver)
    }

    fn note_surplus(&self, answered: &Answered) {
        if self.plan.verbose && answered.surplus > 0 {
            let count = answered.surplus;
            eprintln!("* {count} octets came behind the answer, and were left out");
        }
    }
}

/// Writes the head of an answer, if it is wanted with the content.
fn include(plan: &Plan, head: &[u8], output: &mut Output) -> Result<(), Failure> {
    if plan.include {
        output.write(head)?;
    }
    Ok(())
}
