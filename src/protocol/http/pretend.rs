//! A pretend site for tests, and a client's eye for what it answers.

pub(super) mod sites;

use std::time::Duration;

use super::HttpService;
use crate::config::{Http, LogTarget};
use crate::protocol::OpenError;
use crate::protocol::harness::{Entry, WALL, World};

/// Small limits, so that they are easy to reach.
pub(super) fn settings() -> Http {
    Http {
        index: vec!["index.html".to_owned(), "index.htm".to_owned()],
        access_log: LogTarget::Stderr,
        dotfiles: false,
        mime_types: None,
        charset: Some("utf-8".to_owned()),
        precompressed: true,
        gzip: false,
        gzip_min_size: 1000,
        gzip_cache: 1 << 20,
        file_cache: 0,
        header_timeout: Duration::from_secs(20),
        body_timeout: Duration::from_secs(30),
        body_min_rate: 10,
        keepalive_timeout: Duration::from_secs(5),
        keepalive_requests: 100,
        max_target: 8000,
        max_header: 16 * 1024,
        max_fields: 100,
        max_body: 1000,
        ..Http::with_defaults("/srv/www")
    }
}

/// A site with one of everything.
pub(super) fn world() -> World {
    world_with(settings())
}

/// The same site with other settings.
pub(super) fn world_with(settings: Http) -> World {
    let file = |text: &str| Entry::File(text.as_bytes().to_vec(), 784_111_777);
    World::new(HttpService::new(settings))
        .with("index.html", file("<h1>home</h1>"))
        .with("a", file("of a"))
        .with("b", file("of b"))
        .with("a b.txt", file("spaces"))
        .with("x", file("of x"))
        .with("empty", file(""))
        .with("dir", Entry::Directory)
        .with("dir/index.htm", file("in dir"))
        .with("bare", Entry::Directory)
        .with(".secret", file("hidden"))
        .with("evil.example", Entry::Directory)
        .with(".well-known/security.txt", file("Contact: x"))
        .with("future", Entry::File(b"f".to_vec(), WALL.unix + 3600))
        .with("large", Entry::File(vec![b'L'; 200_000], 784_111_777))
        .with("digits", file("0123456789"))
        .with("page.html", file(&"page ".repeat(1000)))
        .with("page.html.gz", file("(page, gzip)"))
        .with("page.html.br", file("(page, br)"))
        .with("stale.css", file("a{}"))
        .with("stale.css.gz", Entry::File(b"old".to_vec(), 784_111_776))
        .with("odd.css", file("b{}"))
        .with("odd.css.gz", Entry::Directory)
        .with("odd.css.br", Entry::Fails(OpenError::Escapes))
        .with("lone.txt", file(&"alone ".repeat(1000)))
        .with("noise.txt", file("?"))
        .with("picture.png", file("pixels"))
        .with("picture.png.gz", file("fewer"))
        .with("epoch", Entry::File(b"e".to_vec(), 1))
        .with("socket", Entry::Other)
        .with("link", Entry::Fails(OpenError::Escapes))
        .with("private", Entry::Fails(OpenError::Denied))
        .with("full", Entry::Fails(OpenError::Exhausted))
        .with("broken", Entry::Fails(OpenError::Failed))
}

/// Reads the answers as a client does, and finds nothing between them. Answers
/// the status and the head of each.
pub(super) fn split(output: &[u8], to_head: bool) -> Vec<(u16, String)> {
    let mut answers = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n\r\n").expect("a head ends");
        let head = String::from_utf8(rest[..end + 2].to_vec()).expect("a head is ASCII");
        let status: u16 = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|line| line.get(..3)?.parse().ok())
            .expect("an answer begins with a status line");
        rest = &rest[end + 4..];
        let length = if to_head {
            0
        } else if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
            chunks(rest)
        } else {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map(|length| length.parse().expect("a length is a number"));
            let by_the_end = head.contains("\r\nVary: Accept\r\n");
            length.unwrap_or(if by_the_end { rest.len() } else { 0 })
        };
        rest = &rest[length..];
        answers.push((status, head));
    }
    answers
}

/// How long a content in chunks is, its end included.
fn chunks(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let end = memchr::memmem::find(&bytes[at..], b"\r\n").expect("a size ends");
        let digits = std::str::from_utf8(&bytes[at..at + end]).expect("a size is ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a size is a number");
        at += end + 2 + size;
        assert_eq!(&bytes[at..at + 2], b"\r\n", "after a chunk");
        at += 2;
        if size == 0 {
            return at;
        }
    }
}
