//! The rules again, on a site of hosts, rules for paths, passwords and listings.

use super::super::pretend::sites::{site_of_rules, world_of_rules};
use super::*;

/// A site of hosts and rules: see `pretend::site_of_rules`.
fn routes() -> Vec<Row> {
    use End::{Closed, Kept, Refused};
    let at = |host: &str, target: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let of = |target: &str| of(target);
    let ask = |target: &str, fields: &str| with(&format!("GET {target} HTTP/1.1"), fields);
    let page = |target: &str| with(&format!("GET {target} HTTP/1.1"), "Accept: text/html\r\n");
    let proxied = |list: &str| {
        let fields = format!("X-Forwarded-For: {list}\r\n");
        with("GET /proxied/a HTTP/1.1", &fields)
    };
    vec![
        row(
            26,
            "GET http://example.org/x HTTP/1.1\r\nHost: b\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of example.org"]),
        row(
            26,
            "GET http://b/x HTTP/1.1\r\nHost: example.org\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["of the default host"]),
        row(27, of("http://elsewhere.example/x"), &[200], Kept).has(&["of the default host"]),
        // The client is a gateway that is trusted, here.
        row(27, of("https://example.org/x"), &[200], Kept).has(&["of example.org"]),
        row(30, with("CONNECT h:443 HTTP/1.1", ""), &[405], Closed),
        row(31, with("TRACE /old HTTP/1.1", ""), &[405], Kept),
        row(35, at("", "/x"), &[200], Kept).has(&["of the default host"]),
        row(36, "GET /x HTTP/1.0\r\n\r\n", &[200], Closed).has(&["of the default host"]),
        row(
            36,
            "GET /x HTTP/1.0\r\nHost: example.org\r\n\r\n",
            &[200],
            Closed,
        )
        .has(&["of example.org"]),
        row(37, at("EXAMPLE.org:80", "/x"), &[200], Kept).has(&["of example.org"]),
        row(37, at("example.org.", "/x"), &[200], Kept).has(&["of example.org"]),
        row(37, at("a.b.Example.NET.:8080", "/x"), &[200], Kept).has(&["of example.net"]),
        row(37, at("example.net", "/x"), &[200], Kept).has(&["of the default host"]),
        row(
            74,
            with("POST /hello HTTP/1.1", "Content-Length: 1\r\n") + "x",
            &[405],
            Kept,
        )
        .has(&["Allow: GET, HEAD, OPTIONS\r\n"]),
        row(75, with("OPTIONS /hello HTTP/1.1", ""), &[204], Kept),
        row(75, with("OPTIONS /old HTTP/1.1", ""), &[204], Kept)
            .has(&["Allow: GET, HEAD, OPTIONS, POST"]),
        row(76, with("OPTIONS /dl/ HTTP/1.1", ""), &[204], Kept),
        row(77, of("/gone/"), &[410], Kept).has(&["gone", "text/plain"]),
        row(78, at("example.org", "/dir?q=1"), &[301], Kept).has(&["Location: /dir/?q=1\r\n"]),
        row(78, of("/dl?q"), &[301], Kept).has(&["Location: /dl/?q\r\n"]),
        row(78, of("/dl/sub"), &[301], Kept).has(&["Location: /dl/sub/\r\n"]),
        row(79, of("/moved//evil.example"), &[308], Kept).has(&["Location: /to/evil.example\r\n"]),
        row(79, of("/all//evil.example/"), &[303], Kept).has(&["Location: /evil.example/\r\n"]),
        row(79, of("/all/%2f%2fevil.example"), &[303], Kept).has(&["Location: /evil.example\r\n"]),
        row(79, of("/all/%5cevil.example"), &[303], Kept).has(&["Location: /%5Cevil.example\r\n"]),
        row(79, of("/away/@evil.example"), &[302], Kept)
            .has(&["Location: https://example.net/@evil.example\r\n"]),
        row(79, of("/away/.evil.example"), &[302], Kept)
            .has(&["Location: https://example.net/.evil.example\r\n"]),
        row(79, of("/all/a%0d%0aX:y"), &[400], Refused),
        row(108, of("/dl/..%2fx"), &[200], Kept).has(&["of the default host"]),
        row(110, of("/x/../denied/a"), &[403], Kept).lacks(&["secret"]),
        row(110, of("//denied//a"), &[403], Kept).lacks(&["secret"]),
        row(110, of("/./denied/./a"), &[403], Kept).lacks(&["secret"]),
        row(110, of("/%64enied/a"), &[403], Kept).lacks(&["secret"]),
        row(110, of("/denied%2fa"), &[403], Kept).lacks(&["secret"]),
        row(
            113,
            with("GET /small/a HTTP/1.1", "Content-Length: 11\r\n"),
            &[413],
            Refused,
        ),
        row(
            113,
            with("GET /small/a HTTP/1.1", "Content-Length: 10\r\n") + "0123456789",
            &[200],
            Kept,
        ),
        // What a rule says, beside the numbered rules.
        row(0, of("/denied"), &[403], Kept),
        row(0, of("/denied/"), &[403], Kept),
        row(0, of("/hidden-index/"), &[403], Kept).lacks(&["secret"]),
        row(0, of("/hello"), &[200], Kept)
            .has(&["Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"])
            .of_no_file(),
        row(81, ask("/hello", "If-None-Match: *\r\n"), &[304], Kept)
            .lacks(&["Hello"])
            .of_no_file(),
        row(89, ask("/hello", "If-Match: W/\"a\"\r\n"), &[412], Kept).lacks(&["Hello"]),
        row(89, ask("/hello", "If-Match: *\r\n"), &[200], Kept).of_no_file(),
        row(83, ask("/gone/", "If-None-Match: *\r\n"), &[410], Kept),
        row(0, with("HEAD /hello HTTP/1.1", ""), &[200], Kept)
            .has(&["Content-Length: 13\r\n"])
            .lacks(&["Hello"])
            .of_no_file(),
        row(0, of("/app/old.bak"), &[404], Kept).has(&["\r\n\r\nno"]),
        row(0, of("/old?a=b"), &[301], Kept).has(&["Location: /new?a=b\r\n"]),
        row(0, of("/old/x"), &[404], Kept),
        row(0, of("/moved"), &[308], Kept).has(&["Location: /to/\r\n"]),
        row(0, of("/moved/a%20b/?c"), &[308], Kept).has(&["Location: /to/a%20b/?c\r\n"]),
        row(0, of("/away/x"), &[302], Kept).has(&["Location: https://example.net/x\r\n"]),
        row(0, of("/ask/x?y=z"), &[307], Kept).has(&["Location: /find/x?by=name\r\n"]),
        row(0, with("POST /moved/x HTTP/1.1", ""), &[308], Kept),
        row(0, of("/dl/x"), &[200], Kept).has(&["of dl"]),
        row(0, of("/nothing"), &[404], Kept).has(&[
            "nothing, alas",
            "text/html",
            "X-Frame-Options: DENY\r\n",
        ]),
        row(72, with("HEAD /nothing HTTP/1.1", ""), &[404], Kept)
            .has(&["Content-Length: 20\r\n"])
            .lacks(&["alas"]),
        row(0, of("/broken-page/x"), &[404], Kept).has(&["There is nothing at this address."]),
        row(0, of("/style.css"), &[200], Kept).has(&[
            "Cache-Control: max-age=3600\r\n",
            "X-Frame-Options: DENY\r\n",
        ]),
        row(0, of("/nothing.css"), &[404], Kept).lacks(&["Cache-Control"]),
        row(0, page("/app/some/view"), &[200], Kept).has(&["<p>app</p>", "\r\nVary: Accept\r\n"]),
        row(0, page("/app/some/"), &[200], Kept).has(&["<p>app</p>", "\r\nVary: Accept\r\n"]),
        row(0, page("/app/logo.png"), &[404], Kept).lacks(&["Vary"]),
        row(0, of("/app/some/view"), &[404], Kept).has(&["\r\nVary: Accept\r\n"]),
        row(0, proxied("192.0.2.1"), &[200], Kept).has(&["for few"]),
        row(0, proxied("192.0.2.1, 198.51.100.1"), &[403], Kept).lacks(&["for few"]),
        row(0, proxied("198.51.100.1, 192.0.2.1"), &[200], Kept),
        row(0, proxied("192.0.2.1, junk"), &[403], Kept),
        row(0, of("/proxied/a"), &[403], Kept),
    ]
}

#[test]
fn the_table_of_routes() {
    let world = world_of_rules(site_of_rules());
    for row in routes() {
        world.every_way(&latin1(&row.send), Finale::Finish, |seen| check(&row, seen));
    }
}

/// Names, passwords and listings, on the same site.
fn locks_and_listings() -> Vec<Row> {
    use End::{Closed, Kept, Refused};
    // ada:open, bob:sesame, ada:wrong, eve:open
    let says = |target: &str, token: &str| {
        let field = format!("Authorization: Basic {token}\r\n");
        with(&format!("GET {target} HTTP/1.1"), &field)
    };
    let json = |target: &str| {
        let line = format!("GET {target} HTTP/1.1");
        with(
            &line,
            "Accept: text/html;q=0.5\r\nAccept: application/json\r\n",
        )
    };
    let ask = |target: &str, fields: &str| with(&format!("GET {target} HTTP/1.1"), fields);
    const ADA: &str = "YWRhOm9wZW4=";
    let challenge = &["WWW-Authenticate: Basic realm=\"a \\\"realm\\\"\", charset=\"UTF-8\"\r\n"];
    vec![
        row(0, of("/locked/a"), &[401], Kept).has(challenge).lacks(&["for ada"]),
        row(0, of("/locked/none"), &[401], Kept),
        row(0, of("/locked"), &[401], Kept),
        row(0, of("/x/../locked/a"), &[401], Kept),
        row(0, says("/locked/a", ADA), &[200], Kept).has(&["for ada"]),
        row(0, says("/locked/a", "Ym9iOnNlc2FtZQ=="), &[200], Kept),
        row(0, says("/locked/a", "YWRhOndyb25n"), &[401], Kept).has(challenge),
        row(0, says("/locked/a", "ZXZlOm9wZW4="), &[401], Kept),
        row(0, says("/locked/a", "junk"), &[401], Kept),
        row(0, with("POST /locked/a HTTP/1.1", ""), &[401], Kept),
        row(
            0,
            with("GET /locked/a HTTP/1.1", "Authorization: a\r\nAuthorization: b\r\n"),
            &[400],
            Refused,
        ),
        row(59, post(&format!("Content-Length: 5\r\n{EXPECT}"), "").replace("/a", "/locked/a"), &[401], Closed),
        row(58, says("/locked/a", ADA).replace("\r\n\r\n", "\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n") + "ab", &[100, 200], Kept),
        row(0, of("/index-locked/"), &[401], Kept).lacks(&["for bob"]),
        row(0, says("/index-locked/", ADA), &[200], Kept).has(&["for bob"]),
        row(111, of("/listed/"), &[200], Kept)
            .has(&[
                "\r\nVary: Accept\r\nContent-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n",
                "&lt;b&gt;&amp;",
                "href=\"%3Cb%3E%26\"",
                "href=\"sub/\"",
                "<a href=\"../\">",
            ])
            .lacks(&["<b>", "secret", "away", "socket"])
            .of_no_file(),
        row(111, json("/listed/"), &[200], Kept)
            .has(&["Content-Type: application/json\r\n", "\"name\":\"sub\"", "\"size\":10"])
            .lacks(&["secret", "away", "socket"])
            .of_no_file(),
        row(91, ask("/listed/", "If-None-Match: *\r\n"), &[304], Kept)
            .has(&["\r\nVary: Accept\r\n"])
            .of_no_file(),
        row(89, ask("/listed/", "If-Match: \"a\"\r\n"), &[412], Kept).lacks(&["<table"]),
        row(0, of("/listed/?sort=size&order=desc"), &[200], Kept)
            .has(&["aria-sort=\"descending\""])
            .of_no_file(),
        row(72, with("HEAD /listed/ HTTP/1.1", ""), &[200], Kept)
            .has(&["Transfer-Encoding: chunked\r\n"])
            .lacks(&["<table"])
            .of_no_file(),
        row(44, "GET /listed/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[200], Closed)
            .has(&["</html>"])
            .lacks(&["chunked"])
            .of_no_file(),
        row(78, of("/listed?q"), &[301], Kept).has(&["Location: /listed/?q\r\n"]),
        row(62, of("/listed/") + &of("/listed/") + &of("/gone/"), &[200, 200, 410], Kept)
            .of_no_file(),
    ]
}

#[test]
fn the_table_of_locks_and_listings() {
    let world = world_of_rules(site_of_rules());
    for row in locks_and_listings() {
        world.every_way(&latin1(&row.send), Finale::Finish, |seen| check(&row, seen));
    }
}

/// Conditions, ranges and codings of files that a rule has a say in.
fn files_under_rules() -> Vec<Row> {
    use End::Kept;
    let ask = |target: &str, fields: &str| with(&format!("GET {target} HTTP/1.1"), fields);
    let page = |fields: &str| ask("/app/view", &format!("Accept: text/html\r\n{fields}"));
    let ada = |target: &str, fields: &str| {
        let fields = format!("Authorization: Basic YWRhOm9wZW4=\r\n{fields}");
        ask(target, &fields)
    };
    const CODED: &str = "Accept-Encoding: gzip\r\n";
    const KNOWN: &str = "If-None-Match: *\r\n";
    const PART: &str = "Range: bytes=0-1\r\n";
    let lasting = &[
        "X-Frame-Options: DENY\r\n",
        "Cache-Control: max-age=3600\r\n",
        "Vary: Accept-Encoding\r\n",
    ];
    let error = &["Cache-Control", "ETag", "Accept-Ranges", "Content-Encoding"];
    let style = |fields: &str| ask("/style.css", fields);
    vec![
        row(104, style(""), &[200], Kept).has(lasting),
        row(104, style(PART), &[206], Kept).has(lasting),
        row(104, style("Range: bytes=0-0,-1\r\n"), &[206], Kept).has(lasting),
        row(104, style(CODED), &[200], Kept)
            .has(lasting)
            .has(&["p, gzip"]),
        row(91, style(KNOWN), &[304], Kept).has(lasting),
        row(72, with("HEAD /style.css HTTP/1.1", PART), &[200], Kept).has(lasting),
        row(89, style("If-Match: \"a\"\r\n"), &[412], Kept)
            .has(&["X-Frame-Options: DENY\r\n"])
            .lacks(error),
        row(95, style("Range: bytes=9-\r\n"), &[416], Kept)
            .has(&["X-Frame-Options: DENY\r\n"])
            .lacks(error),
        // Who may not see a file does not hear what he has of it.
        row(83, ask("/denied/a", KNOWN), &[403], Kept).lacks(error),
        row(83, ask("/locked/a", KNOWN), &[401], Kept).lacks(error),
        row(91, ada("/locked/a", KNOWN), &[304], Kept),
        row(93, ada("/index-locked/", PART), &[206], Kept)
            .has(&["\r\n\r\nfo"])
            .lacks(&["for bob"]),
        row(91, page(KNOWN), &[304], Kept),
        row(93, page(PART), &[206], Kept).has(&["\r\n\r\n<p"]),
        row(107, page(CODED), &[200], Kept).has(&["app, gzip"]),
        // What stands for an error is no representation of what was asked for.
        row(83, ask("/nothing", KNOWN), &[404], Kept).has(&["nothing, alas"]),
        row(0, ask("/nothing", PART), &[404], Kept)
            .has(&["nothing, alas"])
            .lacks(error),
        row(0, ask("/nothing", CODED), &[404], Kept)
            .has(&["nothing, alas"])
            .lacks(error),
        row(83, ask("/old", KNOWN), &[301], Kept),
        row(0, ask("/hello", PART), &[200], Kept)
            .has(&["Hello, World!"])
            .of_no_file(),
        // Siblings are of the root that their file is of.
        row(107, ask("/dl/x", CODED), &[200], Kept).has(&["dl, gzip"]),
        row(
            107,
            format!("GET /x HTTP/1.1\r\nHost: example.org\r\n{CODED}\r\n") + &ask("/x", CODED),
            &[200, 200],
            Kept,
        )
        .has(&["of example.org", "x, gzip"]),
    ]
}

#[test]
fn the_table_of_files_under_rules() {
    let world = world_of_rules(site_of_rules());
    for row in files_under_rules() {
        world.every_way(&latin1(&row.send), Finale::Finish, |seen| check(&row, seen));
    }
}

#[test]
fn one_page_costs_one_hash_and_the_log_names_the_user() {
    let request = with(
        "GET /locked/a HTTP/1.1",
        "Authorization: Basic YWRhOm9wZW4=\r\n",
    );
    let world = world_of_rules(site_of_rules());
    let seen = world.run(&[request.repeat(50).as_bytes()], Finale::Finish);
    assert_eq!((seen.computed, seen.requests), (1, 50));
    assert!(
        seen.log
            .lines()
            .all(|line| line.starts_with("203.0.113.9 - ada ["))
    );
    assert!(!seen.log.contains("open"), "no password gets into a log");
    // Who was wrong is nobody.
    let wrong = with(
        "GET /locked/a HTTP/1.1",
        "Authorization: Basic YWRhOndyb25n\r\n",
    );
    let seen = world.run(&[wrong.repeat(3).as_bytes()], Finale::Finish);
    assert_eq!(seen.computed, 3);
    assert!(
        seen.log
            .lines()
            .all(|line| line.starts_with("203.0.113.9 - - ["))
    );
    // Nor is one who is right a user of what wants none.
    let plain = with("GET /x HTTP/1.1", "Authorization: Basic YWRhOm9wZW4=\r\n");
    let seen = world.run(&[plain.as_bytes()], Finale::Finish);
    assert!(seen.log.starts_with("203.0.113.9 - - ["));
}

#[test]
fn too_much_work_is_refused_and_comes_again() {
    let request = with(
        "GET /locked/a HTTP/1.1",
        "Authorization: Basic YWRhOm9wZW4=\r\n",
    );
    let world = world_of_rules(site_of_rules()).computes(0);
    let seen = world.run(&[request.as_bytes()], Finale::Finish);
    let (status, head) = &split(&seen.output, false)[0];
    assert_eq!(*status, 503);
    assert!(head.contains("Retry-After: 1\r\n"));
}

#[test]
fn strict_hosts_are_refused_and_the_connection_stays() {
    // Rules 27 and 36.
    let world = world_of_rules(Http {
        strict_hosts: true,
        ..site_of_rules()
    });
    for (send, status) in [
        (of("/x"), 421),
        (of("http://elsewhere.example/x"), 421),
        (of("http://example.org/x"), 200),
        (host("a.example.net"), 404),
        (
            "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
            200,
        ),
    ] {
        let seen = world.run(&[send.as_bytes()], Finale::Finish);
        assert_eq!(split(&seen.output, false)[0].0, status, "{send}");
        assert_eq!(seen.ending.reason, CloseReason::PeerClosed);
    }
}

#[test]
fn the_log_names_the_client_behind_the_proxy() {
    let request = with("GET /x HTTP/1.1", "X-Forwarded-For: 192.0.2.77\r\n") + &of("/x");
    let seen = world_of_rules(site_of_rules()).run(&[request.as_bytes()], Finale::Finish);
    let lines: Vec<&str> = seen.log.lines().collect();
    assert!(lines[0].starts_with("192.0.2.77 - - "), "{lines:?}");
    assert!(lines[1].starts_with("203.0.113.9 - - "), "{lines:?}");
}
