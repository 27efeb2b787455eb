//! That a status is read from an older and a newer master.

#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn what_is_missing_is_nothing_and_what_is_unknown_is_passed_over() {
    let text = r#"{"answer":"status","pid":7,"state":"dreaming","moon":{"full":true},
        "pools":[{"name":"web","queue":{"length":1}}],
        "workers":[{"slot":3,"phase":"asleep","lanes":[{"state":"writing"}]}]}"#;
    let status: Status = serde_json::from_str(text).unwrap();
    assert_eq!((status.pid, status.reloads), (7, 0));
    assert_eq!(status.state, MasterState::Running);
    assert!(status.ready);
    let queue = status.pools[0].queue.unwrap();
    assert_eq!((queue.length, queue.limit), (1, 0));
    assert_eq!(status.workers[0].phase, Phase::Ready);
    assert_eq!(status.workers[0].lanes[0].deadline, None);
}

#[test]
fn each_phase_has_its_place() {
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        assert_eq!(phase as usize, index);
    }
}

#[test]
fn what_is_written_is_read() {
    let status = Status {
        state: MasterState::Stopping,
        workers: vec![WorkerStatus {
            phase: Phase::Killed,
            ..WorkerStatus::default()
        }],
        ..Status::default()
    };
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
}
