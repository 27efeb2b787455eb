//! Rows 72 to 79, 92 and 108 to 111: answers, and the paths that they are about.

use crate::row::End::{Closed, Kept, Refused};
use crate::row::{Row, ask, of, row, with};

fn head(target: &str) -> String {
    with(&format!("HEAD {target} HTTP/1.1"), "")
}

fn options(target: &str) -> String {
    with(&format!("OPTIONS {target} HTTP/1.1"), "")
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row(72, head("/a") + &head("/b"), &[200, 200], Kept).has(&["Content-Length: 4\r\n"]),
        row(72, head("/nothing"), &[404], Kept).has(&["Content-Length: "]),
        row(72, head("/dir/"), &[200], Kept).has(&["text/html", "Content-Length: 6\r\n"]),
        row(72, head("/dir"), &[301], Kept).has(&["Location: /dir/\r\n"]),
        row(72, head("/hello"), &[200], Kept).has(&["Content-Length: 13\r\n"]),
        row(72, head("/listed/"), &[200], Kept),
        row(72, head("/locked/a"), &[401], Kept),
        row(72, head("/paged/x"), &[404], Kept).has(&["Content-Length: 13\r\n"]),
        row(72, head("/cgi-bin/say"), &[200], Kept).has(&["text/plain"]),
        row(
            73,
            with("HEAD /digits HTTP/1.1", "Range: bytes=0-1\r\n"),
            &[200],
            Kept,
        )
        .has(&["Content-Length: 10\r\n"]),
        row(
            73,
            with("POST /digits HTTP/1.1", "Range: bytes=0-1\r\n"),
            &[405],
            Kept,
        ),
        row(74, with("POST /a HTTP/1.1", ""), &[405], Kept).has(&["Allow: GET, HEAD, OPTIONS\r\n"]),
        row(74, with("DELETE /nothing HTTP/1.1", ""), &[405], Kept),
        row(
            74,
            with("PUT /hello HTTP/1.1", "Content-Length: 1\r\n") + "x",
            &[405],
            Kept,
        ),
        row(74, with("PATCH /dir/ HTTP/1.1", ""), &[405], Kept),
        row(74, with("POST /paged/x HTTP/1.1", ""), &[405], Kept).has(&["nothing, alas"]),
        row(75, options("/a"), &[204], Kept).has(&["Allow: GET, HEAD, OPTIONS\r\n"]),
        row(75, options("/old"), &[204], Kept).has(&["Allow: "]),
        row(75, options("/hello"), &[204], Kept).has(&["Allow: "]),
        row(76, options("/a"), &[204], Kept).lacks(&["Content-Length", "Transfer-Encoding"]),
        row(76, of("/cgi-bin/none"), &[204], Kept).lacks(&["Content-Length", "Transfer-Encoding"]),
        row(78, of("/dir?q=1"), &[301], Kept).has(&["Location: /dir/?q=1\r\n"]),
        row(79, of("//evil.example/.."), &[200], Kept).has(&["home"]),
        row(79, of("//evil.example"), &[301], Kept).has(&["Location: /evil.example/\r\n"]),
        row(79, of("/%2fevil.example"), &[301], Kept).has(&["Location: /evil.example/\r\n"]),
        row(79, of("/%5c/..//evil.example"), &[301], Kept).has(&["Location: /evil.example/\r\n"]),
        row(92, of("/future"), &[200], Kept).judged(|answers| {
            let (date, modified) = (answers[0].field("Date"), answers[0].field("Last-Modified"));
            (date == modified)
                .then_some(())
                .ok_or(format!("{date:?}, {modified:?}"))
        }),
        row(108, of("/%2e%2e/x"), &[200], Kept).has(&["of x"]),
        row(108, of("/..%2fx"), &[200], Kept).has(&["of x"]),
        row(108, of("/a/..\\x"), &[404], Kept),
        row(108, of("/%c0%af"), &[404], Kept),
        row(109, of("/%00"), &[400], Refused),
        row(109, of("/a%00.txt"), &[400], Refused),
        row(109, of("/%zz"), &[400], Refused),
        row(109, of("/%"), &[400], Refused),
        row(109, of("/%0d%0aX:1"), &[400], Refused).lacks(&["\nX:1"]),
        row(109, of("/dir?%0d%0aX:1"), &[301], Kept).lacks(&["\nX:1"]),
        row(110, of("//a"), &[200], Kept).has(&["of a"]),
        row(110, of("/./a"), &[200], Kept).has(&["of a"]),
        row(110, of("/a/../b"), &[200], Kept).has(&["of b"]),
        row(110, of("/x/../denied/a"), &[403], Kept),
        row(110, of("//denied//a"), &[403], Kept),
        row(110, of("/%64enied%2fa"), &[403], Kept),
        row(110, of("/./locked/%61"), &[401], Kept).lacks(&["ada"]),
        row(111, of("/link"), &[403], Kept).lacks(&["SECRET"]),
        row(111, of("/linked/"), &[403], Kept).lacks(&["SECRET"]),
        row(
            111,
            ask("/sibling.txt", "Accept-Encoding: gzip\r\n"),
            &[200],
            Kept,
        )
        .has(&["by itself"]),
        row(111, of("/listed/"), &[200], Kept)
            .has(&["&lt;b&gt;&amp;"])
            .lacks(&["away", "<b>"]),
        row(
            111,
            ask("/listed/", "Accept: application/json\r\n"),
            &[200],
            Kept,
        )
        .has(&["\"name\":\"<b>&\""])
        .lacks(&["away"]),
    ];
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/.%2e/.%2e/secret",
        "/dir/../../secret",
    ] {
        rows.push(row(108, of(path), &[404], Kept).lacks(&["SECRET"]));
    }
    // Rule 77 is looked after with every answer; here are those of each kind.
    for (target, status, end) in [
        ("/a", &[200][..], Kept),
        ("/dir", &[301], Kept),
        ("/old", &[301], Kept),
        ("/nothing", &[404], Kept),
        ("/denied/x", &[403], Kept),
        ("/gone/", &[410], Kept),
        ("/bare/", &[403], Kept),
        ("/.secret", &[404], Kept),
        ("/cgi-bin/nph-x", &[501], Closed),
        ("*", &[400], Refused),
    ] {
        rows.push(row(77, of(target), status, end).lacks(&["SECRET"]));
    }
    rows
}
