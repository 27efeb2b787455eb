//! What is wrong, a sentence each: the first thing to be read.

use super::line::{Line, Style, counted, duration, octets};
use crate::status::{MasterState, PoolStatus, Status, WorkerStatus};

/// Everything that is wrong, the worst first.
pub(super) fn problems(status: &Status) -> Vec<Line> {
    let mut found: Vec<(Style, String)> = Vec::new();
    for pool in &status.pools {
        of_pool(pool, status.state, &mut found);
        let workers = status.workers.iter();
        overdue(
            workers.filter(|worker| worker.pool == pool.name),
            &mut found,
        );
    }
    let strangers = status.workers.iter().filter(|worker| {
        let mut pools = status.pools.iter();
        pools.all(|pool| pool.name != worker.pool)
    });
    overdue(strangers, &mut found);
    of_master(status, &mut found);
    found.sort_by_key(|(style, _)| *style != Style::Serious);
    let line = |(style, text): &(Style, String)| Line::new(*style, text);
    found.iter().map(line).collect()
}

fn of_master(status: &Status, found: &mut Vec<(Style, String)>) {
    if status.state == MasterState::Stopping {
        found.push((
            Style::Notable,
            String::from("the master is stopping: new clients are not let in"),
        ));
    } else if !status.ready {
        found.push((
            Style::Serious,
            String::from("the master is not ready: new clients should go elsewhere"),
        ));
    }
    if status.queue_dropped > 0 {
        let clients = counted(status.queue_dropped, "client");
        found.push((
            Style::Serious,
            format!("{clients} lost in queues that were closed; the log says where"),
        ));
    }
    if status.reload_refused {
        found.push((
            Style::Notable,
            String::from("the last reload was refused and changed nothing; the log says why"),
        ));
    }
}

fn of_pool(pool: &PoolStatus, state: MasterState, found: &mut Vec<(Style, String)>) {
    let PoolStatus {
        name,
        ready,
        wanted,
        ..
    } = pool;
    let mut say = |style, text| found.push((style, format!("pool {name}: {text}")));
    if is_broken(pool) {
        let what = match pool.breaker.as_str() {
            "probing" => "one of them is being tried",
            _ => "none is spawned until the next try",
        };
        let breaker = &pool.breaker;
        say(
            Style::Serious,
            format!("workers keep dying (breaker {breaker}): {what}"),
        );
    }
    let leaving = state == MasterState::Stopping;
    if *ready == 0 && *wanted > 0 && !leaving {
        let text = format!(
            "nobody is ready, of {} wanted",
            counted(*wanted as u64, "worker")
        );
        say(Style::Serious, text);
    } else if ready < wanted && !leaving {
        say(
            Style::Notable,
            format!(
                "only {ready} of {} ready",
                counted(*wanted as u64, "worker")
            ),
        );
    }
    if pool.shedding {
        say(
            Style::Notable,
            String::from("over its limits; the log says since when"),
        );
    }
    if let Some(inbox) = pool.inbox.filter(|inbox| inbox.is_filling()) {
        let [length, limit] = [inbox.length, inbox.limit].map(|count| octets(count as f64));
        say(
            Style::Notable,
            format!(
                "the queue of datagrams fills: {length} of {limit}; what has no room there is lost"
            ),
        );
    }
    let Some(queue) = pool.queue.filter(|queue| queue.limit > 0) else {
        return;
    };
    let (length, limit) = (queue.length, queue.limit);
    if length >= limit {
        say(
            Style::Serious,
            format!("the accept queue is full ({length} of {limit}): new clients are turned away"),
        );
    } else if queue.is_filling() {
        say(
            Style::Notable,
            format!("the accept queue fills: {length} of {limit}"),
        );
    }
    if length > 0 && pool.idle == 0 && *ready > 0 && *ready >= pool.most {
        let clients = counted(length, "client");
        say(
            Style::Notable,
            format!("all workers are busy, there may be no more of them, and {clients} waiting"),
        );
    }
}

/// Whether workers of the pool keep dying.
pub(super) fn is_broken(pool: &PoolStatus) -> bool {
    !matches!(pool.breaker.as_str(), "closed" | "")
}

/// One sentence for the workers of a pool that should have moved on.
fn overdue<'w>(workers: impl Iterator<Item = &'w WorkerStatus>, found: &mut Vec<(Style, String)>) {
    let late = |worker: &'w WorkerStatus| {
        let late = worker.lanes.iter().filter(|lane| lane.is_late());
        let least = late.filter_map(|lane| lane.deadline).fold(0.0, f64::min);
        (least < 0.0).then_some((worker, -least))
    };
    let late: Vec<(&WorkerStatus, f64)> = workers.filter_map(late).collect();
    let most = late.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    let Some((worst, by)) = most else {
        return;
    };
    let name = format!("{}[{}] pid {}", worst.pool, worst.slot, worst.pid);
    let by = duration(*by);
    let text = match late.len() {
        1 => format!("{name} is overdue by {by}"),
        count => format!(
            "pool {}: {count} workers are overdue, {name} the longest, by {by}",
            worst.pool
        ),
    };
    found.push((Style::Serious, text));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Inbox, Lane, Queue};

    fn told(status: &Status) -> Vec<String> {
        let lines = problems(status);
        lines.iter().map(|line| line.text(false)).collect()
    }

    fn healthy() -> Status {
        let pool = PoolStatus {
            name: String::from("web"),
            breaker: String::from("closed"),
            wanted: 2,
            ready: 2,
            most: 2,
            idle: 1,
            queue: Some(Queue {
                length: 0,
                limit: 4,
            }),
            ..PoolStatus::default()
        };
        let worker = WorkerStatus {
            pool: String::from("web"),
            pid: 11,
            lanes: vec![Lane {
                deadline: Some(1.0),
                ..Lane::default()
            }],
            ..WorkerStatus::default()
        };
        Status {
            ready: true,
            pools: vec![pool],
            workers: vec![worker.clone(), WorkerStatus { slot: 1, ..worker }],
            ..Status::default()
        }
    }

    #[test]
    fn of_a_healthy_server_nothing_is_told() {
        assert_eq!(told(&healthy()), [""; 0]);
        // A timer is heard of a moment after its time.
        let mut status = healthy();
        status.workers[0].lanes[0].deadline = Some(-0.2);
        assert_eq!(told(&status), [""; 0]);
        // Nor of one so old that it says next to nothing.
        let old = serde_json::from_str("{\"pools\":[{\"name\":\"a\"}]}");
        assert_eq!(old.map(|old| told(&old)).ok(), Some(Vec::new()));
    }

    #[test]
    fn who_is_at_work_is_not_overdue_at_once() {
        let mut status = healthy();
        status.workers[0].lanes[0].deadline = Some(-0.002);
        assert_eq!(told(&status), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_sentence() {
        type Wrong = fn(&mut Status);
        let cases: [(Wrong, &str); 12] = [
            (
                |s| s.state = MasterState::Stopping,
                "the master is stopping: new clients are not let in",
            ),
            (
                |s| s.ready = false,
                "the master is not ready: new clients should go elsewhere",
            ),
            (
                |s| s.queue_dropped = 1,
                "1 client lost in queues that were closed; the log says where",
            ),
            (
                |s| s.reload_refused = true,
                "the last reload was refused and changed nothing; the log says why",
            ),
            (
                |s| s.pools[0].breaker = String::from("open"),
                "pool web: workers keep dying (breaker open): none is spawned until the next try",
            ),
            (
                |s| s.pools[0].ready = 0,
                "pool web: nobody is ready, of 2 workers wanted",
            ),
            (
                |s| s.pools[0].ready = 1,
                "pool web: only 1 of 2 workers ready",
            ),
            (
                |s| {
                    s.pools[0].queue = Some(Queue {
                        length: 4,
                        limit: 4,
                    })
                },
                "pool web: the accept queue is full (4 of 4): new clients are turned away",
            ),
            (
                |s| {
                    s.pools[0].queue = Some(Queue {
                        length: 3,
                        limit: 4,
                    })
                },
                "pool web: the accept queue fills: 3 of 4",
            ),
            (
                |s| {
                    s.pools[0].inbox = Some(Inbox {
                        length: 150 << 10,
                        limit: 208 << 10,
                        dropped: 9,
                    })
                },
                "pool web: the queue of datagrams fills: 150K of 208K; what has no room there is lost",
            ),
            (
                |s| s.workers[1].lanes[0].deadline = Some(-75.0),
                "web[1] pid 11 is overdue by 1m15s",
            ),
            (
                |s| {
                    s.pools[0].idle = 0;
                    s.pools[0].queue = Some(Queue {
                        length: 1,
                        limit: 4,
                    });
                },
                "pool web: all workers are busy, there may be no more of them, and 1 client waiting",
            ),
        ];
        for (wrong, sentence) in cases {
            let mut status = healthy();
            wrong(&mut status);
            assert_eq!(told(&status), [sentence]);
        }
    }

    #[test]
    fn many_overdue_workers_are_one_sentence_and_the_worst_comes_first() {
        let mut status = healthy();
        status.reload_refused = true;
        status.workers[0].lanes[0].deadline = Some(-2.0);
        status.workers[1].lanes[0].deadline = Some(-3.0);
        assert_eq!(
            told(&status),
            [
                "pool web: 2 workers are overdue, web[1] pid 11 the longest, by 3.0s",
                "the last reload was refused and changed nothing; the log says why",
            ]
        );
    }
}
