//! A whole connection: what a client sends, and what a program writes.

use std::sync::LazyLock;

use super::super::HttpService;
use super::super::pretend::sites::{site_of_programs, site_of_rules, world_of_rules};
use super::client::{self, Answer};
use crate::config::Http;
use crate::protocol::harness::{Entry, Finale, Seen, World};
use crate::protocol::{Peer, ProgramEnd, Protocol, Service};

/// Limits are low, so that short inputs reach them.
fn settings() -> Http {
    let mut http = site_of_rules();
    let programs = site_of_programs();
    http.paths.extend(programs.paths);
    Http {
        index: programs.index,
        gzip: true,
        gzip_min_size: 1000,
        keepalive_requests: 6,
        max_target: 200,
        max_header: 1500,
        max_fields: 12,
        max_body: 40,
        ..http
    }
}

/// A site with everything in it: files, hosts, rules, listings, programs.
pub(in super::super) fn everything() -> World {
    let file = |text: &str| Entry::File(text.as_bytes().to_vec(), 784_111_777);
    let plain = "Content-Type: text/plain\n\nhello";
    let fine = Some(ProgramEnd::Exited(0));
    world_of_rules(settings())
        .with("index.html", file("<h1>home</h1>"))
        .with("b", file("of b"))
        .with("empty", file(""))
        .with("digits", file("0123456789"))
        .with("page.html", file(&"page ".repeat(300)))
        .with("page.html.gz", file("(page, gzip)"))
        .with("page.html.br", file("(page, br)"))
        .with("lone.txt", file(&"alone ".repeat(300)))
        .with("large", Entry::File(vec![b'L'; 70_000], 784_111_777))
        .with("dir/index.cgi", file("source"))
        .with("4:", Entry::Directory)
        .with("4:d", Entry::Directory)
        .with_program("4:e", plain, fine)
        .with_program("4:d/e", "Status: 404 No\nContent-Type: a/b\n\nno", fine)
        .with_program("4:to", "Location: /cgi-bin/e/x?y\n\n", fine)
        .with_program("4:round", "Location: /cgi-bin/round\n\n", fine)
        .with_program("4:hangs", "Content-Type: a/b\n\nhalf", None)
        .with_program("4:dies", plain, Some(ProgramEnd::Killed(9)))
        .with_program("a.cgi", plain, fine)
}

/// Octets of a client, which then sends FIN: however they are cut, the answers
/// are the same, and they can be read.
pub fn request(octets: &[u8]) {
    static WORLD: LazyLock<World> = LazyLock::new(everything);
    assert_cuts_agree(&WORLD, octets, &cuts(octets));
}

/// Runs `octets` whole, one at a time, and cut at these points, which are in
/// order.
pub(in super::super) fn assert_cuts_agree(world: &World, octets: &[u8], points: &[usize]) {
    // A site remembers what it has compressed and what was not there: from the
    // second time on, the same is asked of the driver.
    client::read(&world.run(&[octets], Finale::Silence));
    let whole = world.run(&[octets], Finale::Finish);
    client::read(&whole);
    assert_programs(&whole);
    let mut segments = Vec::new();
    let mut from = 0;
    for &point in points.iter().chain([&octets.len()]) {
        segments.push(&octets[from..point]);
        from = point;
    }
    assert_same(&whole, &world.run(&segments, Finale::Finish));
    let single: Vec<&[u8]> = octets.chunks(1).collect();
    assert_same(&whole, &world.run(&single, Finale::Finish));
}

/// The log may differ: of a line that is refused at its first wrong octet, the
/// rest may be there or not.
fn assert_same(one: &Seen, other: &Seen) {
    assert_eq!(
        String::from_utf8_lossy(&one.output),
        String::from_utf8_lossy(&other.output)
    );
    assert_eq!(one.ending.reason, other.ending.reason);
    assert_eq!(one.opened, other.opened);
    assert_eq!(one.requests, other.requests);
    assert_eq!(one.ran, other.ran);
    assert_eq!(client::read(one), client::read(other));
}

/// What a program is told has no more names than it should, and no client
/// chooses one that means something to a program (httpoxy).
fn assert_programs(seen: &Seen) {
    for ran in &seen.ran {
        let mut names: Vec<&str> = Vec::new();
        for line in &ran.environment {
            let (name, _) = line.split_once('=').expect("a variable has a value");
            let fits =
                |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
            assert!(name.bytes().all(fits), "{line:?}");
            assert!(!line.contains(['\r', '\n']), "{line:?}");
            names.push(name);
        }
        assert!(!names.contains(&"HTTP_PROXY"));
        assert!(!names.contains(&"HTTP_AUTHORIZATION"));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a variable stands there twice");
    }
}

/// Points that vary with the octets, and are the same for the same octets.
fn cuts(octets: &[u8]) -> Vec<usize> {
    let mut state = octets.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut points: Vec<usize> = (0..6)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % (octets.len() as u64 + 1)) as usize
        })
        .collect();
    points.sort_unstable();
    points
}

/// What a program writes, to clients old and new: however it is cut, the
/// answers are the same; and none of it gets where it must not.
pub fn cgi_output(octets: &[u8]) {
    for request in [
        "GET /cgi-bin/x HTTP/1.1\r\nHost: a\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /cgi-bin/x HTTP/1.1\r\nHost: a\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /cgi-bin/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /file HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let whole = told(octets, usize::MAX, request);
        // A long text in short pieces takes long, and tells nothing more.
        for write in [1, 2, 7, 64].map(|size| size.max(octets.len() / 1000)) {
            assert_eq!(told(octets, write, request), whole, "{write} at a time");
        }
    }
}

/// Fields that an answer has by our own doing.
const OURS: &[&str] = &[
    "Date",
    "Server",
    "Connection",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    // Of the file that it sends us to.
    "Accept-Ranges",
    "ETag",
    "Vary",
    "Last-Modified",
];

/// The answers to `request` where the program writes so many octets at once.
fn told(octets: &[u8], write: usize, request: &str) -> Vec<Answer> {
    static SERVICE: LazyLock<HttpService> = LazyLock::new(|| HttpService::new(site_of_programs()));
    let service = |peer: &Peer| -> Box<dyn Protocol> { SERVICE.connection(peer) };
    let fine = Some(ProgramEnd::Exited(0));
    let world = World::new(service)
        .with_program("1:x", octets, fine)
        .with_program("1:e", "Content-Type: text/plain\n\nhello", fine)
        .with("file", Entry::File(b"of file".to_vec(), 0))
        .writing(write);
    let seen = world.run(&[request.as_bytes()], Finale::Finish);
    let answers = client::read_any(&seen);
    assert!(
        answers.len() == 1
            || answers
                .last()
                .is_some_and(|last| last.content == b"of file")
    );
    for (name, _) in &answers[0].fields {
        let ours = OURS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let theirs = octets
            .windows(name.len())
            .any(|part| part.eq_ignore_ascii_case(name.as_bytes()));
        assert!(ours || theirs, "{name} is from nowhere");
    }
    answers
}
