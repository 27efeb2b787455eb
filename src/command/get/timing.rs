//! What took how long, in words and as JSON.

use crate::client::Timing;
use crate::client::http::Url;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// In which form times are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A line to read.
    Text,
    /// An object of JSON in a line; times are whole microseconds.
    Json,
}

/// The times of one request, with the redirects that it led to.
pub(super) struct Once {
    url: String,
    status: u16,
    lookup: Duration,
    connect: Duration,
    /// From the request to the first octet of its answer.
    first: Duration,
    received: u64,
    /// How often it led on.
    pub(super) redirects: u32,
}

/// As JSON: the names are part of the interface.
#[derive(Serialize)]
struct OnceReport<'a> {
    url: &'a str,
    status: u16,
    redirects: u32,
    lookup_us: u128,
    connect_us: u128,
    first_octet_us: u128,
    total_us: u128,
    octets: u64,
    octets_per_second: u64,
}

impl Once {
    pub(super) fn new(url: &Url) -> Self {
        Self {
            url: url.to_string(),
            status: 0,
            lookup: Duration::ZERO,
            connect: Duration::ZERO,
            first: Duration::ZERO,
            received: 0,
            redirects: 0,
        }
    }

    pub(super) fn dialled(&mut self, timing: &Timing) {
        self.lookup += timing.lookup;
        self.connect += timing.connect;
    }

    pub(super) fn answered(&mut self, url: &Url, status: u16, first: Duration, received: u64) {
        self.url = url.to_string();
        self.status = status;
        self.first = first;
        self.received = received;
    }

    pub(super) fn report(&self, total: Duration, form: Form) -> String {
        let rate = rate(self.received, total);
        match form {
            Form::Text => format!(
                "lookup {}, connect {}, first octet {}, total {}; {} octets, {rate} octets/s",
                seconds(self.lookup),
                seconds(self.connect),
                seconds(self.first),
                seconds(total),
                self.received,
            ),
            Form::Json => json(&OnceReport {
                url: &self.url,
                status: self.status,
                redirects: self.redirects,
                lookup_us: self.lookup.as_micros(),
                connect_us: self.connect.as_micros(),
                first_octet_us: self.first.as_micros(),
                total_us: total.as_micros(),
                octets: self.received,
                octets_per_second: rate,
            }),
        }
    }
}

/// The times of the same request, again and again.
#[derive(Default)]
pub(super) struct Repeated {
    connects: Vec<Duration>,
    firsts: Vec<Duration>,
    totals: Vec<Duration>,
    received: u64,
}

/// As JSON: the names are part of the interface.
#[derive(Serialize)]
struct RepeatedReport {
    url: String,
    count: usize,
    statuses: BTreeMap<u16, u32>,
    connections: usize,
    connect_us: Spread,
    first_octet_us: Spread,
    each_us: Spread,
    total_us: u128,
    octets: u64,
    octets_per_second: u64,
}

/// The least, the one in the middle, and the most.
#[derive(Serialize)]
struct Spread {
    min: u128,
    median: u128,
    max: u128,
}

impl Repeated {
    pub(super) fn dialled(&mut self, timing: &Timing) {
        self.connects.push(timing.lookup + timing.connect);
    }

    pub(super) fn answered(&mut self, first: Duration, total: Duration, received: u64) {
        self.firsts.push(first);
        self.totals.push(total);
        self.received += received;
    }

    pub(super) fn report(
        mut self,
        url: &Url,
        statuses: &BTreeMap<u16, u32>,
        total: Duration,
        form: Form,
    ) -> String {
        let rate = rate(self.received, total);
        match form {
            Form::Text => {
                let told: Vec<String> = statuses
                    .iter()
                    .map(|(status, count)| format!("{count} of {status}"))
                    .collect();
                let count = self.connects.len();
                let plural = if count == 1 { "" } else { "s" };
                format!(
                    "{} answers over {count} connection{plural} in {}: {}\n\
                     connect      {}\nfirst octet  {}\neach         {}\n{} octets, {rate} octets/s",
                    self.totals.len(),
                    seconds(total),
                    told.join(", "),
                    words(&mut self.connects),
                    words(&mut self.firsts),
                    words(&mut self.totals),
                    self.received,
                )
            }
            Form::Json => json(&RepeatedReport {
                url: url.to_string(),
                count: self.totals.len(),
                statuses: statuses.clone(),
                connections: self.connects.len(),
                connect_us: spread(&mut self.connects),
                first_octet_us: spread(&mut self.firsts),
                each_us: spread(&mut self.totals),
                total_us: total.as_micros(),
                octets: self.received,
                octets_per_second: rate,
            }),
        }
    }
}

/// Of an even number, the lower one of the two in the middle.
fn ranked(times: &mut [Duration]) -> [Duration; 3] {
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    let last = times.len().saturating_sub(1);
    [at(0), at(last / 2), at(last)]
}

fn spread(times: &mut [Duration]) -> Spread {
    let [min, median, max] = ranked(times).map(|time| time.as_micros());
    Spread { min, median, max }
}

fn words(times: &mut [Duration]) -> String {
    let [min, median, max] = ranked(times).map(seconds);
    format!("min {min}, median {median}, max {max}")
}

fn seconds(time: Duration) -> String {
    format!("{:.6}s", time.as_secs_f64())
}

/// Octets a second; 0 where no time has passed.
fn rate(octets: u64, time: Duration) -> u64 {
    let nanoseconds = time.as_nanos();
    let rate = (u128::from(octets) * 1_000_000_000).checked_div(nanoseconds);
    rate.map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
}

fn json(report: &impl Serialize) -> String {
    // Of numbers and strings with string keys, which cannot fail.
    serde_json::to_string(report).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        let time = Duration::from_millis;
        let mut times = [5, 1, 3, 2].map(time);
        assert_eq!(ranked(&mut times), [1, 2, 5].map(time));
        assert_eq!(ranked(&mut [time(7)]), [7, 7, 7].map(time));
        assert_eq!(ranked(&mut []), [0, 0, 0].map(time));
        assert_eq!(rate(10, time(500)), 20);
        assert_eq!(rate(10, Duration::ZERO), 0);
    }
}
