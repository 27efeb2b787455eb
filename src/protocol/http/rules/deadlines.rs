//! The rules about time: a client that is silent, and one that trickles.

use super::*;

#[test]
fn a_silent_client_is_told_only_what_it_asked_for() {
    // Rules 69, 70 and 114.
    let world = world();
    let seen = world.run(&[], Finale::Silence);
    assert!(seen.output.is_empty());
    assert_eq!(seen.ending.reason, CloseReason::Idle);
    assert_eq!(seen.elapsed, settings().header_timeout);

    let seen = world.run(&[b"GET /a HTTP/1.1\r\nHo"], Finale::Silence);
    assert_eq!(split(&seen.output, false)[0].0, 408);
    assert_eq!(seen.ending.reason, CloseReason::RequestTimeout);
    assert_eq!(seen.ending.manner, Manner::Linger);
    assert!(seen.log.contains("\"GET /a HTTP/1.1\" 408 "));

    let request = of("/a");
    let seen = world.run(&[request.as_bytes()], Finale::Silence);
    assert_eq!(seen.ending.reason, CloseReason::Idle);
    assert_eq!(seen.elapsed, settings().keepalive_timeout);
    assert_eq!(split(&seen.output, false).len(), 1);

    let request = get("Content-Length: 5\r\n") + "hel";
    let seen = world.run(&[request.as_bytes()], Finale::Silence);
    assert_eq!(split(&seen.output, false)[0].0, 408);
    assert_eq!(seen.ending.reason, CloseReason::BodyTimeout);
    assert_eq!(seen.elapsed, settings().body_timeout);
}

#[test]
fn a_head_that_trickles_is_cut_at_its_deadline() {
    // Rule 114: an octet every five seconds.
    let head = get("X: ") + &"x".repeat(100);
    let octets: Vec<&[u8]> = head.as_bytes().chunks(1).collect();
    let five = Duration::from_secs(5);
    let seen = world().pausing(five).run(&octets, Finale::Silence);
    assert_eq!(split(&seen.output, false)[0].0, 408);
    assert_eq!(seen.ending.reason, CloseReason::RequestTimeout);
    // The first octet came after one pause.
    assert_eq!(seen.elapsed, five + settings().header_timeout);
}

#[test]
fn a_body_that_trickles_is_cut_by_its_rate() {
    // 10 octets a second are asked for, over each 30 seconds.
    let request = with("POST /a HTTP/1.1", "Content-Length: 900\r\n");
    let (head, body) = (request.as_bytes(), [b'x'; 900]);
    let paced = |pieces: usize, pause: u64, settings: Http| {
        let mut segments = vec![head];
        segments.extend(body.chunks(pieces));
        let world = world_with(settings).pausing(Duration::from_secs(pause));
        world.run(&segments, Finale::Silence)
    };
    let seen = paced(1, 1, settings());
    assert_eq!(split(&seen.output, false)[0].0, 408);
    assert_eq!(seen.ending.reason, CloseReason::SlowBody);
    assert_eq!(seen.elapsed, Duration::from_secs(31));
    let all = String::from_utf8_lossy(&seen.output).into_owned();
    assert!(all.contains("rfc9110-15.5.9 body rate"), "{all}");
    // Half of it at once earns no leave to trickle afterwards.
    let seen = world().pausing(Duration::from_secs(1)).run(
        &[head, &body[..450]]
            .into_iter()
            .chain(body.chunks(1))
            .collect::<Vec<_>>(),
        Finale::Silence,
    );
    assert_eq!(seen.ending.reason, CloseReason::SlowBody);
    assert_eq!(seen.elapsed, Duration::from_secs(61));
    // Slow but honest, and without a rate, even slower.
    let seen = paced(10, 1, settings());
    assert_eq!(split(&seen.output, false)[0].0, 405);
    let free = Http {
        body_min_rate: 0,
        header_timeout: Duration::from_secs(60),
        ..settings()
    };
    let seen = paced(1, 29, free.clone());
    assert_eq!(split(&seen.output, false)[0].0, 405);
    let seen = paced(1, 31, free);
    assert_eq!(seen.ending.reason, CloseReason::BodyTimeout);
}
