//! Somebody who looks at the counters all the time: none may ever go back.

use preforkd::status::{PoolStatus, Status};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The status, by the control socket; `None` while nobody answers there.
pub(crate) fn status(control: &Path) -> Option<Status> {
    let mut stream = UnixStream::connect(control).ok()?;
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.write_all(b"{\"query\":\"status\"}\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    // A master that leaves may close before it answers.
    if line.is_empty() {
        return None;
    }
    Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
}

/// Everything in a pool that only grows.
pub(crate) fn counters(pool: &PoolStatus) -> BTreeMap<String, u64> {
    let groups = [&pool.answers, &pool.closes, &pool.deaths];
    let groups = groups.into_iter().flatten();
    let mut counters: BTreeMap<String, u64> =
        groups.map(|(name, count)| (name.clone(), *count)).collect();
    for (name, count) in [
        ("connections", pool.connections),
        ("requests", pool.requests),
        ("probes", pool.probes),
        ("logged", pool.logged),
        ("received", pool.received),
        ("sent", pool.sent),
        ("spawned", pool.spawned),
    ] {
        counters.insert(name.to_owned(), count);
    }
    // Some of their causes have the name of another count.
    for (group, counts) in [("shed", &pool.shed), ("shed_dry_run", &pool.spared)] {
        for (cause, count) in counts {
            counters.insert(format!("{group} {cause}"), *count);
        }
    }
    counters
}

/// The one who looks.
pub(crate) struct Watch {
    thread: JoinHandle<u64>,
    over: Arc<AtomicBool>,
}

impl Watch {
    pub(crate) fn start(control: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut last: BTreeMap<String, u64> = BTreeMap::new();
            let mut looks = 0;
            while !until.load(Ordering::SeqCst) {
                let Some(status) = status(&control) else {
                    continue;
                };
                for pool in &status.pools {
                    let now = counters(pool);
                    for (name, count) in &now {
                        let before = last.get(name).copied().unwrap_or(0);
                        assert!(*count >= before, "{name} went from {before} to {count}");
                    }
                    last = now;
                }
                looks += 1;
            }
            looks
        });
        Self { thread, over }
    }

    /// Ends it; it must have looked a few times.
    pub(crate) fn stop(self) {
        self.over.store(true, Ordering::SeqCst);
        let looks = self.thread.join().unwrap();
        assert!(looks > 3, "only {looks} looks");
    }
}
