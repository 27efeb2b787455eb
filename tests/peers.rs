//! What nginx and Apache answer, beside what we do.
//!
//! 10,000 valid requests go to all of them, on the same tree. Status and
//! content must be the same as nginx's and as Apache's, but for the classes of
//! [`classes::CLASSES`], which say why and who is right. A class that explains
//! nothing is stale and fails as well, and so does a difference between our own
//! models.
//!
//! Wants nginx and Apache as Debian packages them; `.ci/run` installs them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "peers/classes.rs"]
mod classes;
#[path = "peers/duties.rs"]
mod duties;
#[path = "peers/generate.rs"]
mod generate;
mod harness;
#[path = "peers/random.rs"]
mod random;
#[path = "peers/requests.rs"]
mod requests;
#[path = "peers/servers.rs"]
mod servers;
#[path = "peers/site.rs"]
mod site;
#[path = "peers/wire.rs"]
mod wire;

use classes::{CLASSES, Case, Other};
use generate::Exchange;
use harness::Server;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use random::Random;
use requests::{Request, Validators, What};
use servers::Peer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;
use wire::{Answer, Wire};

const REQUESTS: usize = 10_000;

/// A server, and what it says of each file to each Accept-Encoding.
struct Party {
    name: &'static str,
    address: SocketAddr,
    known: BTreeMap<(&'static str, Option<&'static str>), Validators>,
}

impl Party {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        let mut known = BTreeMap::new();
        let mut wire = Wire::connect(address);
        for page in site::PAGES {
            for codings in generate::CODINGS.map(Some).into_iter().chain([None]) {
                wire.send(&look(page.path, codings)).unwrap();
                let answer = wire.answer("GET").unwrap().unwrap();
                assert_eq!(answer.status, 200, "{name}: {page:?}");
                assert!(answer.plain() == page.content(), "{name}: {page:?}");
                known.insert((page.path, codings), validators(&answer));
            }
        }
        Self {
            name,
            address,
            known,
        }
    }

    fn known(&self, request: &Request) -> Validators {
        let known = match request.what {
            What::Page(page) => self.known.get(&(page.path, request.codings)),
            What::Directory
            | What::Hidden
            | What::Closed
            | What::Missing
            | What::TooLong
            | What::Server => None,
        };
        known.cloned().unwrap_or_default()
    }

    fn render(&self, request: &Request) -> Vec<u8> {
        request.render(&self.known(request))
    }

    /// The answers to all requests of the exchange. What a server leaves
    /// unanswered, having said that it closes, is sent again, as a client does.
    fn ask(&self, exchange: &Exchange) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::new();
        let total = exchange.requests.len();
        while answers.len() < total {
            let begun = answers.len();
            let mut wire = Wire::connect(self.address);
            if exchange.pipelined {
                let rest = &exchange.requests[begun..];
                let bytes: Vec<u8> = rest.iter().flat_map(|one| self.render(one)).collect();
                // A server that closes early does not take all of it.
                let _ = wire.send(&bytes);
            }
            for request in &exchange.requests[begun..] {
                if !exchange.pipelined && wire.send(&self.render(request)).is_err() {
                    break;
                }
                match wire.answer(request.method) {
                    Ok(Some(answer)) => {
                        let last = answer.closes() || request.http_1_0;
                        answers.push(answer);
                        if last && !exchange.pipelined {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(error) if answers.len() > begun => {
                        // A reset may overtake what follows a refusal.
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                        break;
                    }
                    Err(error) => panic!("{}: {error}: {request:#?}", self.name),
                }
            }
            assert!(
                answers.len() > begun,
                "{} says nothing to {:#?}",
                self.name,
                exchange.requests[begun]
            );
        }
        answers
    }
}

/// A plain request for the file at `path`.
fn look(path: &str, codings: Option<&str>) -> Vec<u8> {
    let encoded = utf8_percent_encode(path, NON_ALPHANUMERIC).to_string();
    let path = encoded.replace("%2F", "/");
    let codings = codings.map_or(String::new(), |text| format!("Accept-Encoding: {text}\r\n"));
    format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n{codings}\r\n").into_bytes()
}

fn validators(answer: &Answer) -> Validators {
    let seconds = |date| {
        let time = httpdate::parse_http_date(date).unwrap();
        time.duration_since(UNIX_EPOCH).unwrap().as_secs()
    };
    Validators {
        tag: answer.field("etag").unwrap().to_owned(),
        modified: answer.field("last-modified").map(seconds),
        coding: answer
            .field("content-encoding")
            .unwrap_or_default()
            .to_owned(),
    }
}

/// What of an answer must be the same.
#[derive(Debug, PartialEq, Eq)]
struct Essence {
    status: u16,
    coding: String,
    content: Content,
}

#[derive(PartialEq, Eq)]
enum Content {
    Nothing,
    /// Content without its coding.
    Whole(Vec<u8>),
    /// Content-Range and octets of each part.
    Parts(Vec<(String, Vec<u8>)>),
    /// A path, or a length.
    Told(String),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Whole(content) => write!(f, "{} octets", content.len()),
            Self::Parts(parts) => f
                .debug_list()
                .entries(parts.iter().map(|(range, _)| range))
                .finish(),
            Self::Told(text) => f.write_str(text),
        }
    }
}

impl Essence {
    fn of(request: &Request, answer: &Answer) -> Self {
        let head = request.method == "HEAD";
        let told = |name| Content::Told(answer.field(name).unwrap_or("none").to_owned());
        let content = match answer.status {
            200 if request.method == "OPTIONS" => Content::Nothing,
            200 if head => told("content-length"),
            200 => Content::Whole(answer.plain()),
            206 if head => told("content-range"),
            206 => Content::Parts(parts(answer)),
            301 => {
                let location = answer.field("location").unwrap();
                let path = match location.split_once("://") {
                    Some((_, rest)) => &rest[rest.find('/').unwrap()..],
                    None => location,
                };
                Content::Told(percent_decode_str(path).decode_utf8().unwrap().into_owned())
            }
            416 => told("content-range"),
            304 => {
                assert!(answer.body.is_empty());
                Content::Nothing
            }
            _ => Content::Nothing,
        };
        let carries = matches!(answer.status, 200 | 206);
        let coding = answer.field("content-encoding").filter(|_| carries);
        Self {
            // 200 and 204 say the same of an OPTIONS.
            status: match answer.status {
                204 => 200,
                status => status,
            },
            coding: coding.unwrap_or("identity").to_owned(),
            content,
        }
    }
}

/// Content-Range and octets of each part of an answer.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let media = answer.field("content-type").unwrap_or_default();
    let Some(boundary) = media.strip_prefix("multipart/byteranges; boundary=") else {
        let range = answer.field("content-range").unwrap();
        return vec![(range.to_owned(), answer.body.clone())];
    };
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let mut found = Vec::new();
    let mut rest = &answer.body[..];
    loop {
        let at = find(rest, boundary.as_bytes()).unwrap();
        rest = &rest[at + boundary.len()..];
        if rest.starts_with(b"--") {
            return found;
        }
        let end = find(rest, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let line = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("content-range:"));
        let range = line.unwrap().split_once(':').unwrap().1.trim().to_owned();
        let (first, last) = range
            .trim_start_matches("bytes ")
            .split('/')
            .next()
            .unwrap()
            .split_once('-')
            .unwrap();
        let length = 1 + last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap();
        found.push((range.clone(), rest[end + 4..][..length].to_vec()));
        rest = &rest[end + 4 + length..];
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|part| part == mark)
}

/// A server of ours, for the tree at `root`.
fn ours(model: &str, root: &Path) -> Server {
    let directory = TempDir::new().unwrap();
    Server::run_with(
        directory,
        &servers::our_user(),
        &format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = 2\n[pool.web.http]\nroot = \"{}\"\nkeepalive_timeout = \"60s\"\n",
            root.display()
        ),
    )
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn ten_thousand_requests_are_answered_as_by_nginx_and_apache() {
    let place = TempDir::new().unwrap();
    // The workers of all are somebody else.
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let root = place.path().join("root");
    site::write(&root);
    let (prefork, event) = (ours("prefork", &root), ours("event", &root));
    let nginx = Peer::nginx(&root, &place.path().join("nginx"));
    let apache = Peer::apache(&root, &place.path().join("apache"));
    let we = Party::new("prefork", prefork.address("web"));
    let we_too = Party::new("event", event.address("web"));
    let others = [
        (Other::Nginx, Party::new("nginx", nginx.address)),
        (Other::Apache, Party::new("Apache", apache.address)),
    ];

    let mut random = Random::new(1994);
    let mut asked = 0;
    let mut counts: BTreeMap<(usize, Other), usize> = BTreeMap::new();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let mut faults: BTreeMap<String, (usize, String)> = BTreeMap::new();
    while asked < REQUESTS {
        let exchange = generate::exchange(&mut random);
        let mine = we.ask(&exchange);
        let again = we_too.ask(&exchange);
        let theirs: Vec<_> = others
            .iter()
            .map(|(other, party)| (*other, party, party.ask(&exchange)))
            .collect();
        for (at, request) in exchange.requests.iter().enumerate() {
            let essence = Essence::of(request, &mine[at]);
            *statuses.entry(mine[at].status).or_default() += 1;
            if let Some(breach) = duties::breach(request, &mine[at]) {
                panic!("{breach}: {request:#?}\n{:#?}", mine[at].fields);
            }
            assert_eq!(
                essence,
                Essence::of(request, &again[at]),
                "prefork and event: {request:#?}"
            );
            for (other, party, answers) in &theirs {
                let their = Essence::of(request, &answers[at]);
                if essence == their {
                    continue;
                }
                let case = Case {
                    request,
                    ours: &mine[at],
                    theirs: &answers[at],
                    same_coding: we.known(request).coding == party.known(request).coding,
                };
                let class = CLASSES
                    .iter()
                    .position(|class| class.with.contains(other) && (class.holds)(&case));
                if let Some(class) = class {
                    *counts.entry((class, *other)).or_default() += 1;
                    continue;
                }
                let text = String::from_utf8_lossy(&party.render(request)).into_owned();
                let short: String = text.chars().take(1000).collect();
                let key = format!(
                    "{other:?}: {} {:?} {:?}: {} for {}",
                    request.method, request.what, request.ranges, their.status, essence.status,
                );
                let fault = faults.entry(key).or_insert_with(|| {
                    let text = format!(
                        "{short}\n  ours:   {essence:?}\n  theirs: {their:?}\n{:?}",
                        answers[at].fields
                    );
                    (0, text)
                });
                fault.0 += 1;
            }
        }
        asked += exchange.requests.len();
    }
    for (&(class, other), count) in &counts {
        let class = &CLASSES[class];
        println!(
            "{count:5} {other:?}: {}, {:?} right ({}): {}",
            class.name, class.right, class.clause, class.why
        );
    }
    println!("{asked} requests: {statuses:?}");
    for (key, (count, text)) in &faults {
        println!("{count} x {key}\n{text}\n");
    }
    assert!(faults.is_empty(), "{} kinds of faults", faults.len());
    for (number, class) in CLASSES.iter().enumerate() {
        for other in class.with {
            let occurs = counts.contains_key(&(number, *other));
            assert!(
                occurs,
                "{} explains nothing of {other:?} any more",
                class.name
            );
        }
    }
    prefork.stop();
    event.stop();
}
