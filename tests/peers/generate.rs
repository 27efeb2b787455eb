//! Valid requests, generated: the same ones in each run.

use super::random::Random;
use super::requests::{Form, Ranges, Request, Value, What};
use super::site::{DIRECTORIES, HIDDEN, PAGES, Page};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, percent_encode_byte};

/// Requests that go over one connection.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) requests: Vec<Request>,
    /// All are sent before the first answer is read.
    pub(crate) pipelined: bool,
}

pub(crate) fn exchange(random: &mut Random) -> Exchange {
    let count = 1 + random.below(5);
    let mut requests: Vec<Request> = (0..count).map(|_| request(random)).collect();
    if random.percent(20) {
        let last = requests.last_mut().unwrap();
        // What there is to say has been said by HTTP/1.0.
        last.fields.retain(|(name, _)| *name != "Connection");
        last.fields
            .push(("Connection", Value::Text("close".to_owned())));
    }
    Exchange {
        requests,
        pipelined: count > 1 && random.percent(50),
    }
}

fn request(random: &mut Random) -> Request {
    const METHODS: [(&str, usize); 9] = [
        ("GET", 70),
        ("HEAD", 15),
        ("POST", 5),
        ("OPTIONS", 3),
        ("PUT", 2),
        ("DELETE", 2),
        ("PATCH", 1),
        ("TRACE", 1),
        ("BREW", 1),
    ];
    let mut left = random.below(100);
    let mut method = "GET";
    for (name, weight) in METHODS {
        if left < weight {
            method = name;
            break;
        }
        left -= weight;
    }
    let mut request = Request {
        method,
        target: String::new(),
        http_1_0: random.percent(12),
        what: What::Missing,
        fields: Vec::new(),
        content: Vec::new(),
        ranges: Ranges::None,
        above: false,
        codings: None,
    };
    target(&mut request, random);
    host(&mut request, random);
    if let What::Page(page) = request.what {
        if random.percent(35) {
            conditions(&mut request, random);
        }
        if random.percent(35) {
            ranges(&mut request, page, random);
        }
    } else if random.percent(10) {
        // Conditions about what is not there.
        conditions(&mut request, random);
    }
    if random.percent(30) {
        let codings = random.pick(&CODINGS);
        request.codings = Some(codings);
        request
            .fields
            .push(("Accept-Encoding", Value::Text(codings.to_owned())));
    }
    others(&mut request, random);
    content(&mut request, random);
    request
}

fn target(request: &mut Request, random: &mut Random) {
    if request.method == "OPTIONS" && random.percent(20) {
        request.target = "*".to_owned();
        request.what = What::Server;
        return;
    }
    let (path, what) = match random.below(100) {
        0..72 => {
            let page = random.pick(&PAGES.iter().collect::<Vec<_>>());
            // By its name, or by that of its directory.
            let path = match page.path.strip_suffix("index.html") {
                Some(directory) if random.percent(70) => directory,
                Some(_) | None => page.path,
            };
            (path.to_owned(), What::Page(page))
        }
        72..82 => {
            let directory = random.pick(DIRECTORIES);
            let slash = random.percent(40);
            let indexed = directory == "dir";
            let what = if slash && indexed {
                What::Page(
                    PAGES
                        .iter()
                        .find(|page| page.path == "dir/index.html")
                        .unwrap(),
                )
            } else {
                What::Directory
            };
            let end = if slash { "/" } else { "" };
            (format!("{directory}{end}"), what)
        }
        82..87 => (random.pick(HIDDEN).to_owned(), What::Hidden),
        87..89 => ("closed.txt".to_owned(), What::Closed),
        89..90 => ("n".repeat(300), What::TooLong),
        _ => {
            let name = random.pick(&[
                "missing.txt",
                "dir/missing",
                "missing/",
                "a.txt/",
                "a.txt/more",
                "A.TXT",
                "a.txt ",
                "style.css.zst",
                "dir/sub dir/deep.txt/",
                "%",
                "a.txt%00",
            ]);
            (name.to_owned(), What::Missing)
        }
    };
    request.what = what;
    let mut text = encode(&path, random);
    if random.percent(15) {
        text = decorate(&text, request, random);
    }
    if random.percent(15) {
        text.push_str(random.pick(&["?", "?a=b", "?a=/../../x&b=%2e%2e", "?%zz", "?a?b//c"]));
    }
    if !request.http_1_0 && random.percent(5) {
        let authority = random.pick(&[
            "http://other.example",
            "HTTP://Other.Example:8080",
            "http://127.0.0.1:80",
            "http://[::1]:8080",
        ]);
        text = format!("{authority}{text}");
    }
    request.target = text;
}

/// pchar and `/` (RFC 3986 §3.3).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

fn encode(path: &str, random: &mut Random) -> String {
    let mut text = "/".to_owned();
    let style = random.below(10);
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'/';
        let encoded = match style {
            // As few as possible, as many as is usual, or any.
            0..6 => percent_encode(&[byte], PATH).to_string() != char::from(byte).to_string(),
            6..8 => !plain,
            _ => !plain || random.percent(20),
        };
        if !encoded {
            text.push(char::from(byte));
            continue;
        }
        let triplet = percent_encode_byte(byte);
        if random.percent(30) {
            text.push_str(&triplet.to_ascii_lowercase());
        } else {
            text.push_str(triplet);
        }
    }
    text
}

/// The same path in more words.
fn decorate(text: &str, request: &mut Request, random: &mut Random) -> String {
    let prefix = random.pick(&[
        "/.",
        "/",
        "/dir/..",
        "/missing/..",
        "/missing/%2e%2E",
        "/%2E",
        "/dir/sub%20dir/../..",
        "/dir/./..//",
        "/..",
        "/../..",
        "/dir/../%2e%2e",
    ]);
    request.above = matches!(prefix, "/.." | "/../.." | "/dir/../%2e%2e");
    format!("{prefix}{text}")
}

fn host(request: &mut Request, random: &mut Random) {
    if request.http_1_0 && random.percent(60) {
        return;
    }
    // Few of those that others refuse: what else is odd shall come to light.
    if random.percent(2) {
        request.fields.push(("Host", Value::Text(String::new())));
        return;
    }
    let host = random.pick(&[
        "localhost",
        "LOCALHOST:80",
        "example.org.",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:80",
        "under_score.example",
        "a-b.example:65535",
    ]);
    let name = random.pick(&["Host", "host", "HOST"]);
    request.fields.push((name, Value::Text(host.to_owned())));
}

fn conditions(request: &mut Request, random: &mut Random) {
    const TAGS: [&str; 8] = [
        "{tag}",
        "{weak}",
        "\"wrong\"",
        "\"wrong\", {tag}",
        "{weak} ,\"wrong\"",
        "W/\"wrong\",\t\"\"",
        "*",
        "\"a,b\", \"c\"",
    ];
    let names = [
        "If-None-Match",
        "If-Modified-Since",
        "If-Match",
        "If-Unmodified-Since",
    ];
    // Mostly one, sometimes two that weigh on each other.
    for _ in 0..1 + random.below(2) {
        let name = random.pick(&names);
        if request.has(name) {
            continue;
        }
        let value = if name.ends_with("Match") {
            Value::Tags(random.pick(&TAGS))
        } else {
            a_date(random)
        };
        request.fields.push((name, value));
    }
}

fn a_date(random: &mut Random) -> Value {
    let form = random.pick(&[Form::Imf, Form::Imf, Form::Rfc850, Form::Asctime]);
    if random.percent(10) {
        let odd = random.pick(&["yesterday", "Sun, 06 Nov 1994", "0", ""]);
        return Value::Text(odd.to_owned());
    }
    Value::Date(random.pick(&[0, 0, -1, 1, -86_400, 86_400]), form)
}

fn ranges(request: &mut Request, page: &Page, random: &mut Random) {
    let length = page.length.max(1);
    let within = |random: &mut Random| {
        let first = random.below(length);
        (first, first + random.below(length - first))
    };
    let (ranges, text) = match random.below(20) {
        0..10 => {
            let (first, last) = within(random);
            let text = match random.below(5) {
                0 => format!("{first}-{last}"),
                1 => format!("{first}-"),
                2 => format!("-{}", 1 + random.below(length)),
                3 => format!("{first}-{}", last + length),
                _ => format!("-{}", length + random.below(1000)),
            };
            (Ranges::Single, text)
        }
        10..13 => {
            // In four quarters, so that they cannot touch.
            let quarter = length / 4;
            if quarter < 4 {
                (Ranges::Single, "0-0".to_owned())
            } else {
                let mut parts = Vec::new();
                for number in 0..4 {
                    if random.percent(60) {
                        let first = number * quarter + random.below(quarter / 2);
                        let last = first + random.below(quarter / 2 - 1);
                        parts.push(format!("{first}-{last}"));
                    }
                }
                if parts.len() < 2 {
                    parts = vec![format!("0-{}", quarter / 2), format!("-{}", quarter / 2)];
                }
                (
                    Ranges::Disjoint,
                    parts.join(random.pick(&[",", ", ", " ,\t"])),
                )
            }
        }
        13 => (
            Ranges::Overlapping,
            format!("0-{},0-{0},-{length}", length - 1),
        ),
        14 => (
            Ranges::PartlyBeyond,
            format!("{}-,0-0,{}-", length + 10, length * 2),
        ),
        15 => (
            Ranges::Beyond,
            format!("{}-{}", length, length + random.below(5)),
        ),
        16 => (Ranges::ZeroSuffix, "-0".to_owned()),
        17 => (Ranges::Reversed, "5-2".to_owned()),
        18 => (Ranges::OtherUnit, "0-1".to_owned()),
        _ => {
            let parts: Vec<String> = (0..200).map(|at| format!("{}-{0}", at * 2)).collect();
            (Ranges::Many, parts.join(","))
        }
    };
    let unit = match ranges {
        Ranges::OtherUnit => "lines",
        _ if random.percent(5) => "BYTES",
        _ => "bytes",
    };
    request.ranges = ranges;
    request
        .fields
        .push(("Range", Value::Text(format!("{unit}={text}"))));
    if random.percent(25) {
        let value = match random.below(5) {
            0 => Value::Tags("{tag}"),
            1 => Value::Tags("{weak}"),
            2 => Value::Tags("\"wrong\""),
            _ => a_date(random),
        };
        request.fields.push(("If-Range", value));
    }
}

/// Accept-Encoding, in all its forms.
pub(crate) const CODINGS: [&str; 14] = [
    "gzip",
    "gzip, deflate",
    "GZIP",
    "x-gzip",
    "gzip;q=0",
    "gzip;q=1.0, identity;q=0.5",
    "identity",
    "identity;q=1, gzip;q=0.5",
    "*",
    "*;q=0",
    "deflate",
    "",
    "gzip ; q=0.001",
    "br;q=0, gzip",
];

fn others(request: &mut Request, random: &mut Random) {
    let mut add = |name, value: &str| {
        request.fields.push((name, Value::Text(value.to_owned())));
    };
    if random.percent(20) {
        add("User-Agent", "peers/1.0 (a comment; \u{e4}\u{f6}\u{fc})");
    }
    if random.percent(20) {
        add(
            "Accept",
            random.pick(&["*/*", "text/html, */*;q=0.1", "image/png", "text/*;q=0"]),
        );
    }
    if random.percent(10) {
        add("X-Odd!#$%&'*+-.^_`|~9", "  \t padded\t ");
    }
    if random.percent(10) {
        add("Cookie", "a=b; c=\"d\"");
    }
    if random.percent(5) {
        add("Cache-Control", "no-cache");
    }
    if random.percent(3) {
        add("Upgrade", "h2c");
        add("Connection", "upgrade");
    } else if random.percent(10) {
        add(
            "Connection",
            random.pick(&["keep-alive", "Keep-Alive", "x-odd"]),
        );
    }
    if random.percent(5) {
        add("Referer", "http://example.org/?\"<>");
    }
}

/// Content, by its length or in chunks, sometimes announced.
fn content(request: &mut Request, random: &mut Random) {
    let share = match request.method {
        "POST" | "PUT" | "PATCH" => 90,
        // RFC 9110 §9.3.8: no content with TRACE.
        "TRACE" => 0,
        _ => 4,
    };
    if !random.percent(share) {
        if matches!(request.method, "POST" | "PUT" | "PATCH") {
            let none = Value::Text("0".to_owned());
            request.fields.push(("Content-Length", none));
        }
        return;
    }
    let length = random.pick(&[1, 10, 1000, 20_000]);
    let content = random.octets(length);
    if request.http_1_0 || random.percent(60) {
        let length = Value::Text(length.to_string());
        request.fields.push(("Content-Length", length));
        request.content = content;
    } else {
        let chunked = Value::Text("chunked".to_owned());
        request.fields.push(("Transfer-Encoding", chunked));
        let mut rest = &content[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(1 + random.below(8000)));
            let extension = random.pick(&["", "", ";a=b", ";a=\"b;c\""]);
            let head = format!("{:x}{extension}\r\n", chunk.len());
            request.content.extend_from_slice(head.as_bytes());
            request.content.extend_from_slice(chunk);
            request.content.extend_from_slice(b"\r\n");
            rest = after;
        }
        let end = random.pick(&["0\r\n\r\n", "0\r\nX-Trailer: x\r\n\r\n", "000\r\n\r\n"]);
        request.content.extend_from_slice(end.as_bytes());
    }
    if !request.http_1_0 && random.percent(20) {
        let expectation = Value::Text("100-continue".to_owned());
        request.fields.push(("Expect", expectation));
    }
}
