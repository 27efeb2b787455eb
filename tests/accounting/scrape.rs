//! Whoever asks for the metrics over HTTP, as Prometheus does: a client like
//! others, which counts itself.

use super::clients::{Account, LONGEST, ask};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Octets of a request.
pub(crate) const REQUEST: u64 = request().len() as u64;

const fn request() -> &'static str {
    "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
}

/// Every counter, by its name and labels; `None` where the connection broke, as
/// it does when its worker is killed, and where the answer is to ask again.
pub(crate) fn scrape(address: SocketAddr, account: &mut Account) -> Option<BTreeMap<String, u64>> {
    let mut stream = TcpStream::connect(address).ok()?;
    account.connections += 1;
    let answer = ask(&mut stream, request(), account)?;
    assert!(answer.closes, "{answer:?}");
    if answer.class == "5xx" {
        return None;
    }
    assert_eq!(answer.class, "2xx");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(
        (text.len() as u64) < LONGEST - 1000,
        "{} octets",
        text.len()
    );
    let counters = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_counter = !line.starts_with('#') && series.contains("_total");
        is_counter.then(|| (series.to_owned(), value.parse().unwrap()))
    });
    Some(counters.collect())
}

/// One who asks all the time, whichever worker answers: nothing that is counted
/// may ever go back.
pub(crate) struct Scraper {
    thread: JoinHandle<Account>,
    over: Arc<AtomicBool>,
}

impl Scraper {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut account = Account::default();
            let mut last = BTreeMap::new();
            while !until.load(Ordering::SeqCst) {
                let Some(now) = scrape(address, &mut account) else {
                    continue;
                };
                for (series, before) in &last {
                    let count = now.get(series);
                    assert!(
                        count.is_some_and(|count| count >= before),
                        "{series} went from {before} to {count:?}"
                    );
                }
                last = now;
            }
            account
        });
        Self { thread, over }
    }

    /// Ends it; answers what it has cost.
    pub(crate) fn join(self) -> Account {
        self.over.store(true, Ordering::SeqCst);
        let account = self.thread.join().unwrap();
        assert!(account.answered() > 3, "{account:?}");
        account
    }
}
