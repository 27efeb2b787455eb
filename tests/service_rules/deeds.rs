//! Rows in which time has a part, or somebody who vanishes, does not read, or
//! reads only.

use crate::harness::{Client, SOON, eventually, get, let_time_pass, process};
use crate::site::Site;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// The rows that are here.
pub(crate) const ROWS: [u16; 12] = [58, 67, 68, 69, 70, 72, 114, 115, 116, 126, 127, 128];

/// The deadlines of the pool "quick".
const QUICK: Duration = Duration::from_millis(600);
/// A machine that is busy adds no more than this; the usual deadlines are later.
const SLACK: Duration = Duration::from_secs(8);

/// Row 58: the content waits for 100, which does not wait for the content.
pub(crate) fn content_that_waits_is_asked_for(model: &str) {
    let site = Site::new(model);
    let mut client = Client::connect(site.address("web"));
    for target in ["/a", "/cgi-bin/say"] {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        assert_eq!(client.answer_to_head().status, 100);
        client.send("hello");
        assert_eq!(client.answer_to_head().status, 200);
        let rest = if target == "/a" {
            "of a"
        } else {
            "5\r\nhello\r\n0\r\n\r\n"
        };
        assert_eq!(client.read(rest.len()), rest.as_bytes());
    }
    drop(client);
    site.stop();
}

/// Row 72: HEAD says what GET says, in whatever way it is asked.
pub(crate) fn head_says_what_get_says(model: &str) {
    let site = Site::new(model);
    let ask = |method: &str, target: &str, fields: &str| {
        let mut client = Client::connect(site.address("web"));
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"
        ));
        let answer = client.answer_to_head();
        if method == "HEAD" {
            assert_eq!(client.read_to_end(), b"", "{target}");
        }
        // Between the two answers a second may begin. What was changed in the future
        // was changed at the Date (row 92).
        let date = answer.field("date").unwrap();
        let lines = answer.head.lines().map(|line| line.replace(date, "now"));
        lines.collect::<Vec<_>>()
    };
    for target in [
        "/a",
        "/",
        "/empty",
        "/page.html",
        "/lone.txt",
        "/large",
        "/dir/",
        "/dir",
        "/nothing",
        "/bare/",
        "/link",
        "/future",
        "/hello",
        "/old",
        "/gone/",
        "/busy/",
        "/denied/x",
        "/app/view",
        "/app/x.png",
        "/cached/a",
        "/paged/x",
        "/locked/a",
        "/listed/",
        "/listed/?sort=size",
        "/%2e%2e/x",
    ] {
        for fields in [
            "",
            "Accept-Encoding: gzip\r\n",
            "Accept-Encoding: br\r\nAccept: text/html\r\n",
            "Accept: application/json\r\n",
            "If-None-Match: *\r\n",
            "If-Match: \"a\"\r\n",
        ] {
            assert_eq!(
                ask("HEAD", target, fields),
                ask("GET", target, fields),
                "{target} {fields}"
            );
        }
    }
    site.stop();
}

/// Row 67: who is refused in the middle of five MiB can read why.
pub(crate) fn a_refusal_is_read_by_who_still_writes(model: &str) {
    let site = Site::new(model);
    let mut client = Client::connect(site.address("web"));
    let mut writer = client.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ =
                writer.write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
            // It ends with an error once the server reads no more.
            let _ = writer.write_all(&[b'x'; 5_000_000]);
        });
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("connection")),
            (413, Some("close"))
        );
        assert!(String::from_utf8_lossy(&answer.body).contains("rfc9110-15.5.14"));
        client.drain();
    });
    site.stop();
}

/// Row 68: who sends no more gets all that it asked for.
pub(crate) fn a_half_closed_client_gets_its_answers(model: &str) {
    let site = Site::new(model);
    let mut client = Client::connect(site.address("web"));
    for target in ["/large", "/cgi-bin/deaf", "/listed/"] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    client.finish();
    let all = client.read_to_end();
    let text = String::from_utf8_lossy(&all);
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert!(all.len() > 3_200_000 && all.ends_with(b"\r\n0\r\n\r\n"));
    site.stop();
}

/// Rows 69, 70 and 114: silence and a trickle are cut by the deadline of the
/// whole, and only who had begun is told.
pub(crate) fn time_is_up_for_who_says_too_little(model: &str) {
    let site = Site::new(model);
    let address = site.address("quick");
    let in_time = |begin: Instant| {
        let taken = begin.elapsed();
        assert!(
            taken >= QUICK * 9 / 10 && taken < QUICK + SLACK,
            "{taken:?}"
        );
    };
    let unfinished = |request: &str| {
        let begin = Instant::now();
        let mut client = Client::connect(address);
        client.send(request);
        let answer = client.answer();
        in_time(begin);
        assert_eq!(
            (answer.status, answer.field("connection")),
            (408, Some("close"))
        );
        assert_eq!(client.read_to_end(), b"");
    };
    let nothing = |request: &str| {
        let begin = Instant::now();
        let mut client = Client::connect(address);
        client.send(request);
        assert_eq!(
            client.read_to_end(),
            b"",
            "who said nothing is told nothing"
        );
        in_time(begin);
    };
    let nothing_more = || {
        let begin = Instant::now();
        let mut client = Client::connect(address);
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.read_to_end(), b"");
        in_time(begin);
    };
    let trickle = |pause: u64| {
        let begin = Instant::now();
        let mut client = Client::connect(address);
        let mut writer = client.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let head = b"GET /a HTTP/1.1\r\nHost: a\r\nX: ".iter();
                for byte in head.chain([b'x'; 8000].iter()) {
                    if writer.write_all(&[*byte]).is_err() || begin.elapsed() > QUICK + SLACK {
                        return;
                    }
                    let_time_pass(Duration::from_millis(pause));
                }
            });
            let answer = client.answer();
            assert_eq!(answer.status, 408, "at the deadline of the whole head");
            in_time(begin);
            client.drain();
        });
    };
    // Side by side, for each waits.
    std::thread::scope(|scope| {
        for request in [
            "GET /a HTTP/1.1\r\nHo",
            "G",
            "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe",
        ] {
            scope.spawn(move || unfinished(request));
        }
        for request in ["", "\r\n", "\r"] {
            scope.spawn(move || nothing(request));
        }
        scope.spawn(nothing_more);
        // A slow one, and one that never lets the server wait.
        for pause in [20, 1] {
            scope.spawn(move || trickle(pause));
        }
    });
    site.stop();
}

/// Row 115: a reader of a byte at a time is cut, and leaves nothing behind.
pub(crate) fn a_reader_that_hardly_reads_is_cut(model: &str) {
    let site = Site::new(model);
    let address = site.address("quick");
    let open = || {
        let workers = site.server.workers();
        let all = workers.iter().flat_map(|&pid| process::descriptors(pid));
        all.filter(|line| line.contains("/giant")).count()
    };
    let begin = Instant::now();
    let mut client = Client::connect(address);
    client.send("GET /giant HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut byte = [0];
    client.stream.read_exact(&mut byte).unwrap();
    eventually("the reader is cut", SOON, || {
        // It goes on reading, and what it reads makes no difference.
        let _ = client.stream.read(&mut byte);
        // The line is of src/driver/complaints.rs.
        let lines = site.server.log.lines();
        let told = |line: &String| {
            line.contains("closed: write-stalled") || line.contains("closed: slow-reader")
        };
        (lines.iter().any(told) && open() == 0).then_some(())
    });
    assert!(begin.elapsed() >= QUICK * 9 / 10);
    assert_eq!(get(address, "/a").status, 200);
    drop(client);
    site.stop();
}

/// Row 116: a file that gets shorter ends the connection, never the worker.
pub(crate) fn a_file_that_shrinks_costs_a_connection(model: &str) {
    let mut site = Site::new(model);
    // The line is of src/driver/complaints.rs.
    site.server.expect("closed: truncated");
    let workers = site.server.workers();
    let mut client = Client::connect(site.address("web"));
    client.send("GET /giant HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.answer_to_head();
    let length: usize = head.field("content-length").unwrap().parse().unwrap();
    client.read(1 << 20);
    let file = File::options()
        .write(true)
        .open(site.root().join("www/giant"))
        .unwrap();
    file.set_len(0).unwrap();
    let rest = client.drain();
    assert!(
        rest + (1 << 20) < length,
        "all of it, or nothing was shortened"
    );
    assert_eq!(get(site.address("web"), "/a").status, 200);
    assert_eq!(site.server.workers(), workers);
    site.stop();
}

/// Rows 126 and 127: a program that hangs is ended with all that it started;
/// one that does not read is no deadlock; what one complains of is logged.
pub(crate) fn programs_that_hang_or_do_not_read(model: &str) {
    let mut site = Site::new(model);
    site.server.expect("no answer in time");
    // On a busy machine its time may be over before it has said who it is.
    let pids = eventually("it hangs, and so does what it started", SOON, || {
        assert_eq!(get(site.address("quick"), "/cgi-bin/hang").status, 504);
        let pid = |file: &str| -> Option<u32> {
            let path = site.root().join("programs").join(file);
            std::fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        Some([pid("pid")?, pid("child")?])
    });
    for pid in pids {
        eventually("it is gone", SOON, || {
            (!process::is_alive(pid)).then_some(())
        });
    }
    assert_eq!(get(site.address("web"), "/cgi-bin/fail").status, 500);
    site.server.log.wait_for("a complaint of rule 126", SOON);
    site.server.log.wait_for("exited 1", SOON);

    let mut client = Client::connect(site.address("web"));
    client.send("POST /cgi-bin/deaf HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n");
    client.send(vec![b'x'; 3_000_000]);
    let all = client.read_to_end();
    assert!(all.len() > 3_000_000 && all.ends_with(b"\r\n0\r\n\r\n"));
    site.stop();
}

/// Row 128: who vanishes takes its program along.
pub(crate) fn a_client_that_vanishes_ends_its_program(model: &str) {
    let site = Site::new(model);
    let mut client = Client::connect(site.address("web"));
    client.send("GET /cgi-bin/sleep HTTP/1.1\r\nHost: a\r\n\r\n");
    let path = site.root().join("programs/pid");
    let pid: u32 = eventually("it runs", SOON, || {
        std::fs::read_to_string(&path).ok()?.trim().parse().ok()
    });
    client.reset();
    eventually("it is gone", SOON, || {
        (!process::is_alive(pid)).then_some(())
    });
    assert_eq!(get(site.address("web"), "/a").status, 200);
    site.stop();
}
