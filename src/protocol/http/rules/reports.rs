//! What the server says of itself: from requests to answers.

use super::super::pretend::sites::{site_of_rules, status, world_of_rules};
use super::*;
use crate::config::{LineFormat, PathRule, Pattern, Redirect, Scope};
use crate::protocol::harness::World;
use crate::protocol::{Input, Output, Readiness};

/// A site of hosts and rules that leaves nothing open to other paths: hosts are
/// strict, and what is not said elsewhere is redirected.
fn site() -> Http {
    let away = PathRule {
        pattern: Pattern::Prefix("/".to_owned()),
        scope: Scope::default(),
        content: Some(crate::config::Content::Redirect(Redirect {
            to: "https://example.net/".to_owned(),
            status: 301,
        })),
        cgi: None,
    };
    let mut site = site_of_rules();
    site.paths.push(away);
    Http {
        strict_hosts: true,
        status: Some(status()),
        ..site
    }
}

fn world() -> World {
    world_of_rules(site())
}

/// One exchange: status, head, content.
fn ask(world: &World, request: &str) -> (u16, String, String) {
    let seen = world.run(&[request.as_bytes()], Finale::Finish);
    let (status, head) = split(&seen.output, request.starts_with("HEAD"))[0].clone();
    let text = String::from_utf8(seen.output).expect("it is text");
    let (_, content) = text.split_once("\r\n\r\n").expect("a head ends");
    (status, head, content.to_owned())
}

#[test]
fn the_table_of_reports() {
    use End::{Closed, Kept};
    let proxied = |target: &str| {
        let line = format!("GET {target} HTTP/1.1");
        with(&line, "X-Forwarded-For: 203.0.113.66\r\n")
    };
    let post =
        |target: &str| with(&format!("POST {target} HTTP/1.1"), "Content-Length: 1\r\n") + "x";
    let rows = [
        row(0, of("/server-status"), &[200], Kept).has(&[
            "Page { refresh: None }",
            "Content-Type: text/html; charset=utf-8\r\n",
            "Cache-Control: no-store\r\n",
            "Content-Security-Policy: default-src 'none'; ",
            "X-Content-Type-Options: nosniff\r\n",
            "X-Frame-Options: DENY\r\n",
        ]),
        row(0, of("/server-status?refresh=5"), &[200], Kept).has(&["Page { refresh: Some(5) }"]),
        row(0, of("/server-status?auto"), &[200], Kept)
            .has(&["Auto", "Content-Type: text/plain; charset=utf-8\r\n"]),
        row(0, of("/server-status?json"), &[200], Kept)
            .has(&["Json", "Content-Type: application/json\r\n"]),
        row(0, of("/server-status?frob"), &[200], Kept).has(&["Page { refresh: None }"]),
        row(0, of("/%73erver-status"), &[200], Kept).has(&["Page"]),
        row(0, of("/x/../metrics"), &[200], Kept)
            .has(&["Metrics", "text/plain; version=0.0.4; charset=utf-8\r\n"]),
        row(0, of("/metrics?json"), &[200], Kept).has(&["Metrics"]),
        row(0, of("/healthz"), &[200], Kept).has(&[
            "\r\n\r\nok\n",
            "Content-Length: 3\r\n",
            "Cache-Control: no-store\r\n",
        ]),
        row(0, of("/readyz?verbose"), &[200], Kept).has(&["\r\n\r\nready\n"]),
        // Any host, and none.
        row(0, "GET /healthz HTTP/1.0\r\n\r\n", &[200], Closed).has(&["ok\n"]),
        row(0, "GET /readyz HTTP/1.0\r\n\r\n", &[200], Closed).has(&["ready\n"]),
        row(0, of("http://203.0.113.1:8080/healthz"), &[200], Kept).has(&["ok\n"]),
        row(0, of("http://example.org/metrics"), &[200], Kept).has(&["Metrics"]),
        row(0, of("/x"), &[421], Kept),
        // Only these very paths.
        row(0, of("/healthz/"), &[421], Kept),
        row(0, of("http://example.org/healthz/x"), &[301], Kept),
        row(0, of("http://example.org/Healthz"), &[301], Kept),
        // Whom the page is not for, the load balancer may be.
        row(0, proxied("/server-status"), &[403], Kept)
            .has(&["Cache-Control: no-store\r\n"])
            .lacks(&["refresh", "nothing, alas"]),
        row(0, proxied("/server-status?json"), &[403], Kept).lacks(&["Json"]),
        row(0, proxied("/metrics"), &[403], Kept).lacks(&["Metrics"]),
        row(0, proxied("/healthz"), &[200], Kept),
        row(0, proxied("/readyz"), &[200], Kept),
        row(0, post("/server-status"), &[405], Kept).has(&["Allow: GET, HEAD\r\n"]),
        row(0, post("/healthz"), &[405], Kept).has(&["Allow: GET, HEAD\r\n"]),
        row(0, with("OPTIONS /readyz HTTP/1.1", ""), &[405], Kept).has(&["Allow: GET, HEAD\r\n"]),
        row(
            0,
            with("GET /healthz HTTP/1.1", "If-None-Match: *\r\n"),
            &[200],
            Kept,
        ),
        row(
            0,
            with("GET /metrics HTTP/1.1", "If-None-Match: *\r\n"),
            &[304],
            Kept,
        ),
        row(
            0,
            with("GET /metrics HTTP/1.1", "Range: bytes=0-0\r\n"),
            &[200],
            Kept,
        ),
    ];
    for row in rows {
        let seen = world().run(&[row.send.as_bytes()], Finale::Finish);
        check(&row.of_no_file(), &seen);
    }
}

#[test]
fn nothing_is_there_unless_it_is_configured() {
    let world = world_of_rules(site_of_rules());
    for path in ["/server-status", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(ask(&world, &of(path)).0, 404, "{path}");
    }
    let mut some = *status();
    (some.page, some.readiness) = (None, None);
    some.health = Some("/a/health check".to_owned());
    let world = world_of_rules(Http {
        status: Some(Box::new(some)),
        ..site_of_rules()
    });
    for (path, status) in [
        ("/server-status", 404),
        ("/metrics", 200),
        ("/healthz", 404),
        ("/a/health%20check", 200),
        ("/", 403),
    ] {
        assert_eq!(ask(&world, &of(path)).0, status, "{path}");
    }
}

#[test]
fn readiness_says_why_and_when_to_come_again() {
    for (readiness, why) in [
        (Readiness::Starting, "not ready: nobody serves yet\n"),
        (Readiness::Drained, "not ready: the workers were drained\n"),
        (Readiness::Stopping, "not ready: the server is stopping\n"),
    ] {
        let world = world().being(readiness);
        let (status, head, content) = ask(&world, &of("/readyz"));
        assert_eq!((status, &*content), (503, why));
        assert!(head.contains("\r\nRetry-After: "), "{head}");
        assert!(!head.contains("Connection: close"), "who is here, may stay");
        assert_eq!(ask(&world, &of("/healthz")).0, 200, "it is alive");
    }
    // A reload drains workers, and the service goes on.
    let world = world().drains_after(0);
    assert_eq!(ask(&world, &of("/readyz")).0, 200);
}

#[test]
fn probes_are_counted_and_in_no_log() {
    for format in [LineFormat::Combined, LineFormat::Json] {
        let world = world_of_rules(Http {
            access_log_format: format,
            ..site()
        });
        let requests = [
            of("/healthz"),
            of("/readyz"),
            with("HEAD /healthz HTTP/1.1", ""),
            with("OPTIONS /healthz HTTP/1.1", ""),
            of("/metrics"),
            of("/server-status"),
        ];
        let seen = world.run(&[requests.concat().as_bytes()], Finale::Finish);
        assert_eq!((seen.requests, seen.probes), (6, 4));
        assert_eq!(seen.answers, [0, 5, 0, 1, 0]);
        assert_eq!(seen.log.lines().count(), 2, "{}", seen.log);
        assert!(!seen.log.contains("health") && !seen.log.contains("readyz"));
    }
}

#[test]
fn a_report_is_not_held_whole_in_the_output() {
    let seen = world().run(&[of("/metrics").as_bytes()], Finale::Finish);
    let length = seen.output.len();
    assert!(length > Output::ENOUGH, "{length}");
    assert!(seen.deepest < Output::ENOUGH + 1000 && seen.flushes >= 2);
    let request = with("HEAD /metrics HTTP/1.1", "");
    let (status, head, content) = ask(&world(), &request);
    assert_eq!((status, &*content), (200, ""));
    let told = format!("Content-Length: {}\r\n", length - head.len() - 2);
    assert!(head.contains(&told), "{head}");
}

#[test]
fn where_nobody_has_the_time_it_is_said() {
    let world = world().computes(0);
    let (status, head, _) = ask(&world, &of("/server-status"));
    assert_eq!(status, 503);
    assert!(head.contains("Retry-After: 1\r\n") && head.contains("no-store"));
    assert_eq!(ask(&world, &of("/healthz")).0, 200, "that takes no time");
}

#[test]
fn a_report_is_asked_for_in_any_pieces() {
    let request = of("/server-status?auto") + &of("/readyz");
    assert!(request.len() < Input::LIMIT);
    world().every_way(request.as_bytes(), Finale::Finish, |seen| {
        let statuses: Vec<u16> = split(&seen.output, false)
            .into_iter()
            .map(|(status, _)| status)
            .collect();
        assert_eq!(statuses, [200, 200]);
    });
}
