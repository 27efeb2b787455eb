//! What a suite of conformance asks for that has no number.

use crate::row::End::{Closed, Kept, Refused};
use crate::row::{CHUNKED, EXPECT, Row, ask, get, of, post, row, with};
use crate::site::MODIFIED;

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = targets();
    rows.extend(hosts());
    rows.extend(methods());
    rows.extend(turns());
    rows.extend(content());
    rows.extend(answers());
    rows
}

fn one(send: impl Into<String>, answers: &'static [u16]) -> Row {
    let end = if answers == [400] { Refused } else { Kept };
    row(0, send, answers, end)
}

fn targets() -> Vec<Row> {
    vec![
        one(of("?x"), &[400]),
        one(of("a"), &[400]),
        one(of("./a"), &[400]),
        one(of("\\a"), &[400]),
        one(of("%2fa"), &[400]),
        one(of("/?"), &[200]).has(&["home"]),
        one(of("/?a?b/c:d@e"), &[200]).has(&["home"]),
        one(of("/a?/../b"), &[200]).has(&["of a"]),
        one(of("/a;x"), &[404]),
        one(of("/%61"), &[200]).has(&["of a"]),
        one(of("/%2561"), &[404]),
        one(of("/a+b.txt"), &[404]),
        one(of("/a%20b.txt"), &[200]).has(&["spaces"]),
        one(of("/a%2eb"), &[404]),
        one(of("/*"), &[404]),
        one(of("/a%5"), &[400]),
        one(of("/a?%"), &[200]),
        one(of("http://a"), &[200]).has(&["home"]),
        one(of("http://a?x"), &[200]).has(&["home"]),
        one(of("HTTP://A/x"), &[200]).has(&["of x"]),
        one(of("http://a:80/x"), &[200]).has(&["of x"]),
        one(of("http://a:/x"), &[200]).has(&["of x"]),
        one(of("http://[::1]/x"), &[200]).has(&["of x"]),
        one(of("http://a/%2e%2e/x"), &[200]).has(&["of x"]),
        one(of("http:///x"), &[400]),
        one(of("http://:80/x"), &[400]),
        one(of("http://u@a/x"), &[400]),
        one(of("http://u:p@a/x"), &[400]),
        one(of("http://a:65536/x"), &[400]),
        one(of("http://a:x/x"), &[400]),
        one(of("http://a#f"), &[400]),
        one(of("http:/x"), &[400]),
        one(of("http:x"), &[400]),
        one(of("//"), &[200]).has(&["home"]),
        one(of("ftp://a/x"), &[400]),
        one(of("file:///x"), &[400]),
        one(of("a:80"), &[400]),
        one(of("urn:x:y"), &[400]),
        // RFC 9110 §7.4: no gateway that is trusted, and no TLS.
        one(of("https://a/x"), &[421]),
        one(of("HTTPS://example.org:443/x"), &[421]),
        one(of("https://u@a/x"), &[400]),
    ]
}

fn hosts() -> Vec<Row> {
    let host = |value: &str| format!("GET /x HTTP/1.1\r\nHost: {value}\r\n\r\n");
    let mut rows = vec![
        one(host("a:0"), &[200]),
        one(host("a:65535"), &[200]),
        one(host("a:"), &[200]),
        one(host("a:00080"), &[200]),
        one(host("[::1]"), &[200]),
        one(host("[::1]:8080"), &[200]),
        one(host("[v1.x]"), &[200]),
        one(host("127.0.0.1"), &[200]),
        one(host("a_b.c"), &[200]),
        one(host("%61"), &[200]),
        one(host("a.."), &[200]),
        one(host("xn--bcher-kva.example"), &[200]),
        one(host("example.org"), &[200]).has(&["of example.org"]),
        // Absolute-form has the last word, and Host must be right all the same.
        one("GET http://example.org/x HTTP/1.1\r\n\r\n", &[400]),
        one(
            "GET http://example.org/x HTTP/1.1\r\nHost: a/b\r\n\r\n",
            &[400],
        ),
        one(
            "GET http://example.org/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            &[400],
        ),
        row(
            0,
            "GET http://example.org/x HTTP/1.0\r\n\r\n",
            &[200],
            Closed,
        )
        .has(&["of example.org"]),
        one("GET /x HTTP/1.0\r\nHost: a/b\r\n\r\n", &[400]),
        one("GET /x HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", &[400]),
        one("OPTIONS * HTTP/1.1\r\n\r\n", &[400]),
    ];
    for value in [
        "a\tb",
        "a\\b",
        "a?b",
        "a#b",
        "a%",
        "a%zz",
        "a%2",
        "[::1",
        "::1]",
        "[]",
        "[::1%25eth0]",
        "[1.2.3.4]",
        "[::1]x",
        "[::1]:x",
        "a:-1",
        "a:+80",
        "http://a",
        "a,b@c",
        "\"a\"",
        "<a>",
        "a|b",
        "a^b",
        "a`b",
        "{a}",
        "\u{e4}.example",
    ] {
        rows.push(one(host(value), &[400]));
    }
    rows
}

fn methods() -> Vec<Row> {
    let unknown = |method: &str| {
        row(
            0,
            with(&format!("{method} / HTTP/1.1"), ""),
            &[501],
            Refused,
        )
    };
    vec![
        unknown("GETS"),
        unknown("GeT"),
        unknown("QUERY"),
        unknown("PROPFIND"),
        unknown("M-SEARCH"),
        unknown("!#$%&'*+-.^_`|~"),
        one(with("G(T / HTTP/1.1", ""), &[400]),
        one(with("\"GET\" / HTTP/1.1", ""), &[400]),
        one(with("G\u{e4}T / HTTP/1.1", ""), &[400]),
        one(
            with("OPTIONS * HTTP/1.1", "Content-Length: 5\r\n") + "hello",
            &[204],
        ),
        one(
            with("OPTIONS * HTTP/1.1", CHUNKED) + "5\r\nhello\r\n0\r\n\r\n",
            &[204],
        ),
        one(with("OPTIONS /a HTTP/1.1", "Max-Forwards: 0\r\n"), &[204]).has(&["Allow: "]),
        // RFC 9112 §3.2.4, RFC 9110 §4.2.3: without a path it is the server's.
        one(with("OPTIONS http://a HTTP/1.1", ""), &[204]),
        one(with("OPTIONS http://example.org:80 HTTP/1.1", ""), &[204]),
        one(with("OPTIONS http://a/denied/x HTTP/1.1", ""), &[403]),
        one(with("HEAD * HTTP/1.1", ""), &[400]),
        one(with("OPTIONS ** HTTP/1.1", ""), &[400]),
        one(with("TRACE / HTTP/1.1", "Max-Forwards: 0\r\n"), &[405]),
        one(with("TRACE * HTTP/1.1", ""), &[400]),
        one(with("CONNECT / HTTP/1.1", ""), &[400]),
        one(with("CONNECT /a HTTP/1.1", ""), &[400]),
        one(with("CONNECT * HTTP/1.1", ""), &[400]),
        one(with("CONNECT http://a/ HTTP/1.1", ""), &[400]),
        row(0, with("CONNECT [::1]:443 HTTP/1.1", ""), &[405], Closed),
        one(with("CONNECT u@h:443 HTTP/1.1", ""), &[400]),
        one(with("CONNECT h:65536 HTTP/1.1", ""), &[400]),
        one(
            with("HEAD /a HTTP/1.1", "Content-Length: 5\r\n") + "hello",
            &[200],
        ),
        one(
            with("HEAD /a HTTP/1.1", CHUNKED) + "5\r\nhello\r\n0\r\n\r\n",
            &[200],
        ),
        one(
            with("DELETE /a HTTP/1.1", "Content-Length: 5\r\n") + "hello" + &of("/b"),
            &[405, 200],
        ),
    ]
}

/// Answers that wait their turn: what is refused is refused after them.
fn turns() -> Vec<Row> {
    let refused = |first: &str| of(first) + &get("X : y\r\n") + &of("/smuggled");
    let mut rows: Vec<Row> = [
        "/a",
        "/large",
        "/cgi-bin/say",
        "/listed/",
        "/hello",
        "/empty",
    ]
    .map(|first| row(0, refused(first), &[200, 400], Refused).lacks(&["SMUGGLED"]))
    .into();
    rows.extend([
        row(0, of("/nothing") + "\0", &[404, 400], Refused),
        row(
            0,
            of("/a") + &with("GET / HTTP/2.0", ""),
            &[200, 505],
            Refused,
        ),
        row(
            0,
            of("/a") + &post("Content-Length: 1001\r\n", ""),
            &[200, 413],
            Refused,
        ),
        row(
            0,
            of("/a") + &get("Connection: close\r\n") + "\0",
            &[200, 200],
            Closed,
        ),
        row(
            0,
            post(CHUNKED, "5\r\nhello\r\n0\r\n\r\n") + &post(CHUNKED, "x"),
            &[405, 400],
            Refused,
        ),
        row(
            0,
            post(CHUNKED, &format!("0\r\n{}\r\n", "X: y\r\n".repeat(1100))),
            &[431],
            Refused,
        ),
        row(
            0,
            with("GET /small/a HTTP/1.1", CHUNKED) + "b\r\n01234567890\r\n0\r\n\r\n",
            &[413],
            Refused,
        ),
        row(
            0,
            with("GET /small/a HTTP/1.1", CHUNKED) + "a\r\n0123456789\r\n0\r\n\r\n",
            &[200],
            Kept,
        ),
        row(
            0,
            "\u{ef}\u{bb}\u{bf}".to_owned() + &of("/a"),
            &[400],
            Refused,
        ),
        row(
            0,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            &[400],
            Refused,
        ),
    ]);
    rows
}

fn content() -> Vec<Row> {
    let five = format!("Content-Length: 5\r\n{EXPECT}");
    vec![
        // Expect: the content is there before it was asked for, and more.
        one(get(&five) + "hello" + &of("/b"), &[100, 200, 200]).has(&["of b"]),
        one(get(EXPECT), &[200]),
        one(
            get(&format!("{EXPECT}{EXPECT}Content-Length: 5\r\n")) + "hello",
            &[100, 200],
        ),
        one(get("Expect:\r\nContent-Length: 5\r\n") + "hello", &[200]),
        row(
            0,
            get("Expect: 100-continue;x\r\nContent-Length: 5\r\n") + "hello",
            &[417],
            Refused,
        ),
        row(
            0,
            get("Expect: foo\r\nContent-Length: 5\r\n") + "hello",
            &[417],
            Refused,
        ),
        row(0, with("POST /hello HTTP/1.1", &five), &[405], Closed),
        row(0, with("GET /hello HTTP/1.1", &five), &[200], Closed),
        row(0, with("GET /old HTTP/1.1", &five), &[301], Closed),
        row(0, with("OPTIONS * HTTP/1.1", &five), &[204], Closed),
        row(
            0,
            with("POST /cgi-bin/say HTTP/1.1", &five) + "hello",
            &[100, 200],
            Kept,
        )
        .has(&["hello"]),
        // Codings of the content are not ours to undo.
        one(
            with(
                "POST /cgi-bin/env HTTP/1.1",
                "Content-Encoding: gzip\r\nContent-Length: 3\r\n",
            ) + "abc",
            &[200],
        )
        .has(&["HTTP_CONTENT_ENCODING=gzip\n", "abc"]),
        // Fields that say nothing to an origin server.
        one(get("TE: trailers\r\nConnection: TE\r\n"), &[200]),
        one(get("TE: trailers, deflate;q=0.5\r\nTrailer: X\r\n"), &[200]),
        one(
            get("Via: 1.0 fred, 1.1 p.example\r\nMax-Forwards: 0\r\n"),
            &[200],
        ),
        one(
            get("Keep-Alive: timeout=1, max=1\r\nProxy-Connection: close\r\n"),
            &[200],
        ),
        one(
            get("Accept: application/x-nothing\r\nAccept-Charset: x\r\nAccept-Language: xx\r\n"),
            &[200],
        ),
        one(
            get("Content-Type: text/plain\r\nContent-Type: a/b\r\n"),
            &[200],
        ),
        one(get("Cookie: a=b\r\nCookie: c=d\r\n"), &[200]),
        one(get("X-Empty:\r\nX-Blank: \t \r\n"), &[200]),
        one(get("!#$%&'*+-.^_`|~09azAZ: x\r\n"), &[200]),
        one(get("Authorization: a\r\nAuthorization: b\r\n"), &[400]),
    ]
}

fn answers() -> Vec<Row> {
    let page = |fields: &str| ask("/app/some/view", fields);
    const HTML: &str = "Accept: text/html\r\n";
    let locked = |credentials: &str| ask("/locked/a", &format!("Authorization: {credentials}\r\n"));
    vec![
        // RFC 7617: the scheme in any case; everything else is a wrong password.
        one(locked("Basic YWRhOm9wZW4="), &[200]).has(&["for ada"]),
        one(locked("bAsIc YWRhOm9wZW4="), &[200]),
        one(locked("Basic   YWRhOm9wZW4="), &[200]),
        one(locked("Basic YWRhOndyb25n"), &[401]),
        one(locked("Basic"), &[401]),
        one(locked("Basic YWRh"), &[401]),
        one(locked("Basic !!!"), &[401]),
        one(locked("Bearer YWRhOm9wZW4="), &[401]),
        one(locked(""), &[401]),
        one(with("OPTIONS /locked/a HTTP/1.1", ""), &[401]).lacks(&["ada"]),
        // RFC 9110 §12.5.5: what depends on Accept says so, whichever way it goes.
        one(page(HTML), &[200])
            .has(&["page page", "\r\nVary: Accept"])
            .judged(varies_by_accept),
        one(page(&format!("{HTML}If-None-Match: *\r\n")), &[304]).judged(varies_by_accept),
        one(page(&format!("{HTML}Range: bytes=0-1\r\n")), &[206]).judged(varies_by_accept),
        one(page("Accept: image/png\r\n"), &[404]).judged(varies_by_accept),
        one(page(""), &[404]).judged(varies_by_accept),
        one(ask("/app/logo.png", HTML), &[404]).lacks(&["Vary"]),
        one(of("/app/some/view") + &of("/nothing"), &[404, 404]).judged(|answers| {
            varies_by_accept(&answers[..1])?;
            let field = answers[1].field("Vary");
            field.map_or(Ok(()), |vary| {
                Err(format!("the second one has Vary: {vary}"))
            })
        }),
        one(of("/listed/"), &[200]).judged(varies_by_accept),
        one(with("HEAD /listed/ HTTP/1.1", ""), &[200]).judged(varies_by_accept),
        one(of("/picture.png"), &[200])
            .lacks(&["Vary"])
            .has(&["image/png"]),
        one(ask("/lone.txt", "Accept-Encoding: gzip\r\n"), &[200]).has(&[
            "Content-Encoding: gzip\r\n",
            "Vary: Accept-Encoding\r\n",
            "-gzip\"\r\n",
        ]),
        one(
            ask("/lone.txt", "Accept-Encoding: gzip\r\nRange: bytes=0-4\r\n"),
            &[206],
        )
        .has(&["\r\n\r\nalone"])
        .lacks(&["Content-Encoding"]),
        one(of("/busy/"), &[503]).has(&["application/json"]),
        // What is refused to HEAD comes without a page.
        row(0, with("HEAD /a HTTP/1.1", "X : y\r\n"), &[400], Refused),
        row(
            0,
            with("HEAD /a HTTP/1.1", "Expect: x\r\n"),
            &[417],
            Refused,
        ),
        row(0, with("HEAD /%00 HTTP/1.1", ""), &[400], Refused),
        row(0, with("HEAD /a HTTP/3.0", ""), &[505], Refused),
        row(
            0,
            with("HEAD /a HTTP/1.1", "Content-Length: 1001\r\n"),
            &[413],
            Refused,
        ),
        row(0, with("HEAD /cgi-bin/fail HTTP/1.1", ""), &[500], Closed),
        // What has no tag is there all the same (RFC 9110 §13.1.1, §13.1.2).
        one(ask("/listed/", "If-None-Match: *\r\n"), &[304])
            .of_no_file()
            .judged(varies_by_accept),
        one(ask("/listed/", "If-None-Match: \"a\"\r\n"), &[200]),
        one(ask("/listed/", "If-Match: \"a\"\r\n"), &[412]),
        one(ask("/hello", "If-None-Match: *\r\n"), &[304]).of_no_file(),
        one(with("HEAD /hello HTTP/1.1", "If-None-Match: *\r\n"), &[304]).of_no_file(),
        one(ask("/hello", "If-Match: \"a\"\r\n"), &[412]),
        one(ask("/hello", "If-Match: *\r\nRange: bytes=0-1\r\n"), &[200]).has(&["Hello, World!"]),
        one(ask("/gone/", "If-None-Match: *\r\n"), &[410]),
        // No date that says nothing, and a tag all the same.
        one(of("/epoch"), &[200])
            .has(&["ETag: \""])
            .lacks(&["Last-Modified"]),
        one(
            ask(
                "/epoch",
                "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
            ),
            &[200],
        ),
        one(of("/a"), &[200]).has(&["Accept-Ranges: bytes\r\n", "Content-Type: "]),
        one(of("/empty"), &[200]).has(&["Content-Length: 0\r\n", "ETag: "]),
        one(of("/dir/"), &[200]).has(&["text/html; charset=utf-8\r\n"]),
        one(of("/.well-known/security.txt"), &[200]).has(&["Contact: x"]),
        one(of("/%2esecret"), &[404]).lacks(&["SECRET"]),
        one(of("/a/"), &[404]),
        one(of("/cached/a"), &[200]).has(&["Cache-Control: max-age=60\r\n", "Expires: "]),
        one(of("/cached/nothing"), &[404]).lacks(&["Cache-Control", "Expires"]),
        one(of("/paged/nothing"), &[404]).has(&["nothing, alas", "Content-Type: text/html"]),
        one(
            ask("/paged/nothing", "Range: bytes=0-1\r\nIf-None-Match: *\r\n"),
            &[404],
        )
        .has(&["nothing, alas"]),
        row(
            0,
            with("GET /a HTTP/1.0", "Connection: close, keep-alive\r\n"),
            &[200],
            Closed,
        ),
        row(
            0,
            "GET /nothing HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            &[404],
            Kept,
        ),
        row(
            0,
            "HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            &[200],
            Kept,
        ),
        row(
            0,
            "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            &[204],
            Kept,
        ),
        // Lists of tags that are none, and dates that stand there twice.
        one(ask("/digits", "If-None-Match: digits\r\n"), &[200]),
        one(ask("/digits", "If-None-Match: \"\r\n"), &[200]),
        one(ask("/digits", "If-None-Match: w/{digits}\r\n"), &[200]),
        one(ask("/digits", "If-None-Match:\r\n"), &[200]),
        one(ask("/digits", "If-Match:\r\n"), &[412]),
        one(ask("/digits", "If-None-Match: x, {digits}\r\n"), &[304]),
        one(
            ask(
                "/digits",
                &format!("If-Modified-Since: {MODIFIED}\r\nIf-Modified-Since: {MODIFIED}\r\n"),
            ),
            &[200],
        ),
        one(
            ask(
                "/digits",
                &format!("If-Modified-Since: {}\r\n", MODIFIED.to_lowercase()),
            ),
            &[200],
        ),
        one(
            post(&format!("If-Modified-Since: {MODIFIED}\r\n"), ""),
            &[405],
        ),
    ]
}

fn varies_by_accept(answers: &[crate::row::Answer]) -> Result<(), String> {
    let fields = answers[0].fields.iter().filter(|(name, _)| name == "Vary");
    let mut members = fields
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim);
    members
        .any(|member| member == "Accept")
        .then_some(())
        .ok_or("Accept is not in Vary".to_owned())
}
