//! Clients that never pause, to see whether a request is lost while the
//! server is busy with itself.

use super::client::Client;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// How a client uses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// A connection for each request.
    Fresh,
    /// As many requests on a connection as the server grants.
    KeepAlive,
}

/// Requests under way, without pause, until [`Load::stop`].
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// `clients` of them ask for `path`, and want `body`.
    pub(crate) fn start(
        address: SocketAddr,
        path: &str,
        body: &[u8],
        clients: usize,
        habit: Habit,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let client = |_| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            let (path, body) = (path.to_owned(), body.to_vec());
            std::thread::spawn(move || {
                let mut losses = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    if let Err(loss) = converse(address, &path, &body, habit, &over, &answered) {
                        losses.push(loss);
                    }
                }
                losses
            })
        };
        Self {
            clients: (0..clients).map(client).collect(),
            over,
            answered,
        }
    }

    /// Requests answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests have been answered.
    pub(crate) fn wait_for(&self, count: u64) {
        let goal = self.answered() + count;
        super::eventually("requests are answered", super::SOON, || {
            (self.answered() >= goal).then_some(())
        });
    }

    /// Ends it; answers how many requests were answered, and why others were not.
    pub(crate) fn stop(self) -> (u64, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        let losses = self
            .clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        (self.answered.load(Ordering::Relaxed), losses)
    }
}

/// One connection, to its end.
fn converse(
    address: SocketAddr,
    path: &str,
    body: &[u8],
    habit: Habit,
    over: &AtomicBool,
    answered: &AtomicU64,
) -> Result<(), String> {
    let mut client = Client::try_connect(address).map_err(|error| format!("connect: {error}"))?;
    let close = match habit {
        Habit::Fresh => "Connection: close\r\n",
        Habit::KeepAlive => "",
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{close}\r\n");
    for number in 0.. {
        std::io::Write::write_all(&mut client.stream, request.as_bytes())
            .map_err(|error| format!("request {number}: {error}"))?;
        let answer = client
            .try_answer(true)
            .map_err(|error| format!("answer {number}: {error}"))?;
        if answer.status != 200 || answer.body != body {
            return Err(format!("answer {number}: status {}", answer.status));
        }
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.field("connection") == Some("close") || over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
    Ok(())
}
