//! What the server says of itself over HTTP: the page, in all its forms, the
//! metrics, health and readiness; and a stop that is announced before it begins.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::client::Answer;
use harness::{Client, SOON, Server, control, eventually, get, on_each_model, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A pool of files with a status, and one without.
fn pools(model: &str, keys: &str) -> String {
    let workers = match model {
        "fork" => "",
        _ => "workers = 4\n",
    };
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n{workers}\
         linger_timeout = \"100ms\"\n\
         [pool.web.http]\nroot = \"www\"\naccess_log = \"access.log\"\nstrict_hosts = true\n\
         keepalive_timeout = \"60s\"\nkeepalive_requests = 0\n\
         [pool.web.http.status]\n{keys}\n\
         [pool.web.http.host.\"site.example\"]\n\
         [pool.echo]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nworkers = 1\n"
    )
}

fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    directory
}

fn server(model: &str, master: &str, keys: &str) -> Server {
    Server::run_with(site(), master, &pools(model, keys))
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.clone()).unwrap()
}

/// Asks on a connection that is kept.
fn ask(client: &mut Client, path: &str) -> Answer {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n\r\n"));
    client.answer()
}

fn json(address: SocketAddr) -> Value {
    let answer = get(address, "/server-status?json");
    assert_eq!(answer.field("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// One value of the metrics.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.trim().parse().unwrap()
}

fn it_is_told_in_every_form(model: &str) {
    let server = server(model, "", "");
    let address = server.address("web");
    let mut witness = Client::connect(address);
    assert_eq!(ask(&mut witness, "/").body, b"index\n");

    let page = get(address, "/server-status?refresh=5");
    assert_eq!(page.status, 200);
    assert_eq!(page.field("cache-control"), Some("no-store"));
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    let page = text(&page);
    for part in [
        "<meta http-equiv=refresh content=5>",
        "<span class=good>ready</span>, running, generation 1",
        &format!("http, {model}, shared, generation 1; answers this"),
        "echo, prefork, shared, generation 1<",
        &format!("master process {}", server.pid()),
    ] {
        assert!(page.contains(part), "{part} is missing:\n{page}");
    }

    let status = json(address);
    assert_eq!(status["pid"], server.pid());
    assert_eq!(
        (&status["ready"], &status["state"]),
        (&true.into(), &"running".into())
    );
    let web = &status["pools"][0];
    assert_eq!(
        (&web["name"], &web["model"]),
        (&"web".into(), &model.into())
    );
    assert_eq!(status["pools"][1]["service"], "echo");
    // This request is the third.
    assert_eq!(web["requests"], 3, "{web}");
    assert_eq!(web["answers"]["2xx"], 2, "{web}");

    let auto = get(address, "/server-status?auto");
    assert_eq!(
        auto.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let auto = text(&auto);
    for name in [
        "Total Accesses: ",
        "BusyWorkers: ",
        "IdleWorkers: ",
        "Scoreboard: ",
    ] {
        assert!(
            auto.lines().any(|line| line.starts_with(name)),
            "{name}:\n{auto}"
        );
    }

    let metrics = get(address, "/metrics");
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(metrics.field("content-type"), Some(kind));
    let metrics = text(&metrics);
    assert_eq!(
        metric(&metrics, "preforkd_requests_total{pool=\"web\"}"),
        5.0
    );
    assert_eq!(metric(&metrics, "preforkd_ready"), 1.0);

    // Only under these paths, and nowhere in the other pool.
    assert_eq!(get(address, "/server-status/").status, 421);
    assert_eq!(ask(&mut witness, "/server-statu").status, 404);
    drop(witness);
    server.stop();
}

/// The path in a line of the access log.
fn path(line: &str) -> &str {
    line.split(' ').nth(6).unwrap()
}

fn probes_are_answered_for_any_host_and_in_no_log(model: &str) {
    let server = server(model, "", "");
    let address = server.address("web");
    assert_eq!(get(address, "/").status, 421, "the host is not served here");
    for path in ["/healthz", "/readyz"] {
        let answer = get(address, path);
        assert_eq!(
            (answer.status, answer.field("cache-control")),
            (200, Some("no-store"))
        );
        // As the simplest of probes ask.
        let mut client = Client::connect(address);
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
        let mut client = Client::connect(address);
        client.send(format!(
            "HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        assert_eq!(client.answer_to_head().status, 200);
        let mut client = Client::connect(address);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, Some("GET, HEAD"))
        );
    }
    assert_eq!(text(&get(address, "/healthz")), "ok\n");
    assert_eq!(text(&get(address, "/readyz")), "ready\n");
    let web = json(address)["pools"][0].clone();
    assert_eq!(
        (&web["requests"], &web["probes"]),
        (&12.into(), &10.into()),
        "{web}"
    );
    server.stop_leaving(|directory| {
        let log = std::fs::read_to_string(directory.join("access.log")).unwrap();
        let mut paths: Vec<&str> = log.lines().map(path).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["/", "/server-status?json"], "{log}");
    });
}

fn who_may_not_look_gets_403(model: &str) {
    let keys = "allow = \"192.0.2.0/24\"\npath = \"/how/are you\"\nmetrics = \"off\"";
    let server = server(model, "", keys);
    let address = server.address("web");
    for target in [
        "/how/are%20you",
        "/how/are%20you?json",
        "/how/are%20you?auto",
    ] {
        let answer = get(address, target);
        assert_eq!(answer.status, 403, "{target}");
        assert!(!text(&answer).contains("generation"));
    }
    assert_eq!(
        get(address, "/healthz").status,
        200,
        "these are for everybody"
    );
    assert_eq!(get(address, "/readyz").status, 200);
    let mut client = Client::connect(address);
    for path in ["/metrics", "/server-status"] {
        assert_eq!(ask(&mut client, path).status, 404, "{path}");
    }
    drop(client);
    server.stop();
}

fn readiness_does_not_mind_a_reload(model: &str) {
    let mut server = server(model, "", "");
    let mut kept = Client::connect(server.address("web"));
    assert_eq!(ask(&mut kept, "/readyz").status, 200);
    for generation in 2..4 {
        server.reload(generation);
        assert_eq!(get(server.address("web"), "/readyz").status, 200);
    }
    // Of a worker that is on its way out.
    let answer = ask(&mut kept, "/readyz");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    eventually("the reloads are told", SOON, || {
        let status = json(server.address("web"));
        let told = (&status["reloads"], &status["generation"]);
        (told == (&2.into(), &3.into())).then_some(())
    });
    server.stop();
}

fn a_stop_is_announced_before_it_begins(model: &str) {
    let master = "control_socket = \"control\"\ndrain_delay = \"1h\"";
    let mut server = server(model, master, "");
    for line in ["stopping at once", "SIGKILL; it was"] {
        server.expect(line);
    }
    let address = server.address("web");
    let mut kept = Client::connect(address);
    assert_eq!(ask(&mut kept, "/").status, 200);
    let workers = server.workers();
    server.signal(Signal::SIGTERM);
    // The lines on which tests rely: see src/master/notice.rs.
    server
        .log
        .wait_for("not ready any more: serving on for 1h (drain_delay)", SOON);
    let refusal = ask(&mut kept, "/readyz");
    assert_eq!(refusal.status, 503);
    assert_eq!(text(&refusal), "not ready: the server is stopping\n");
    assert!(refusal.field("retry-after").is_some());
    assert_eq!(refusal.field("connection"), None, "who is here, may stay");
    // Everything else is as ever, for new clients too.
    for _ in 0..50 {
        assert_eq!(get(address, "/readyz").status, 503);
        assert_eq!(get(address, "/healthz").status, 200);
        let answer = ask(&mut kept, "/");
        assert_eq!((answer.status, answer.field("connection")), (200, None));
    }
    let status = json(address);
    assert_eq!(
        (&status["state"], &status["ready"]),
        (&"withdrawing".into(), &false.into())
    );
    assert_eq!(control::status(&server)["state"], "withdrawing");
    let page = text(&get(address, "/server-status"));
    assert!(page.contains("A stop was asked for: clients are served until it begins."));
    let title = eventually("the title says it", SOON, || {
        let title = process::title(server.pid());
        title.contains("not ready, stopping in ").then_some(title)
    });
    assert!(title.starts_with("preforkd: master"), "{title}");
    assert_eq!(server.workers(), workers, "nobody was told to leave");
    // A second one is at once.
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
    assert_eq!(kept.drain(), 0);
}

fn a_stop_that_was_announced_begins_in_its_time(model: &str) {
    let mut server = server(model, "drain_delay = \"1s\"", "");
    let mut kept = Client::connect(server.address("web"));
    assert_eq!(ask(&mut kept, "/").status, 200);
    let asked = Instant::now();
    server.signal(Signal::SIGTERM);
    server
        .log
        .wait_for("not ready any more: serving on for 1s", SOON);
    server.log.wait_for("stopping: no new clients", SOON);
    assert!(asked.elapsed() >= Duration::from_secs(1));
    assert_eq!(ask(&mut kept, "/readyz").status, 503);
    drop(kept);
    server.assert_good_end();
}

fn drained_workers_are_not_ready(model: &str) {
    let mut server = server(model, "", "");
    server.expect("no worker is ready");
    let mut kept = Client::connect(server.address("web"));
    assert_eq!(ask(&mut kept, "/readyz").status, 200);
    server.signal(Signal::SIGWINCH);
    // It is said before a worker drains, which ends the connection.
    let answer = eventually("it is said", SOON, || {
        let answer = ask(&mut kept, "/readyz");
        let is_ready = answer.status == 200 && answer.field("connection").is_none();
        (!is_ready).then_some(answer)
    });
    assert_eq!(answer.status, 503);
    assert_eq!(text(&answer), "not ready: the workers were drained\n");
    drop(kept);
    server.reload(2);
    assert_eq!(get(server.address("web"), "/readyz").status, 200);
    server.stop();
}

on_each_model! {
    it_is_told_in_every_form
    probes_are_answered_for_any_host_and_in_no_log
    who_may_not_look_gets_403
    readiness_does_not_mind_a_reload
    a_stop_is_announced_before_it_begins
    a_stop_that_was_announced_begins_in_its_time
    drained_workers_are_not_ready
}
