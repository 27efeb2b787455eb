//! curl, wget and three load generators, as people run them.
//!
//! Wants curl, wget, ab, wrk and h2load as Debian packages them; `.ci/run`
//! installs them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "peers/giant.rs"]
mod giant;
mod harness;
#[path = "peers/random.rs"]
mod random;
#[path = "peers/visit.rs"]
mod visit;

use harness::MODELS;
use random::Random;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use visit::{Site, put};

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn curl_gets_what_it_asks_for() {
    let noise = Random::new(1).octets(3_000_000);
    for model in MODELS {
        let site = Site::new(model, "workers = 2", |root| {
            put(&root.join("noise.bin"), &noise);
            put(&root.join("text.txt"), b"once more with feeling\n");
        });
        // A download that broke off, and one that is there already.
        put(&site.place.join("part"), &noise[..1_234_567]);
        site.curl(&["-C", "-", "-o", "part"], "/noise.bin");
        assert!(site.read("part") == noise, "{model}");
        let status = site.status(&["-C", "3000000"], "/noise.bin");
        assert_eq!(status, 416, "nothing is left");

        assert_eq!(site.told(&["-r", "5-8"], "/text.txt"), "more");
        assert_eq!(site.told(&["-r", "-8"], "/text.txt"), "feeling\n");
        assert_eq!(site.told(&["-r", "15-"], "/text.txt"), "feeling\n");
        let both = site.told(&["-r", "0-3,10-13"], "/text.txt");
        assert!(both.contains("\r\n\r\nonce\r\n--") && both.contains("\r\n\r\nwith\r\n--"));

        // As of a file, by a date in words, and by a tag that is kept.
        put(&site.place.join("mine"), b"once more with feeling\n");
        assert_eq!(site.status(&["-z", "mine"], "/text.txt"), 304);
        assert_eq!(
            site.status(&["-z", "Sat, 05 Nov 1994 08:49:37 GMT"], "/text.txt"),
            200
        );
        assert_eq!(
            site.status(&["-z", "-Sat, 05 Nov 1994 08:49:37 GMT"], "/text.txt"),
            412
        );
        assert_eq!(site.status(&["--etag-save", "tag"], "/text.txt"), 200);
        assert!(site.read("tag").starts_with(b"\""));
        assert_eq!(site.status(&["--etag-compare", "tag"], "/text.txt"), 304);
        std::fs::write(site.root.join("text.txt"), "never again\n").unwrap();
        assert_eq!(site.status(&["--etag-compare", "tag"], "/text.txt"), 200);

        // The head, and nothing after it.
        let head = site.told(&["-I"], "/noise.bin").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-length: 3000000\r\n") && head.ends_with("\r\n\r\n"));
        site.server.stop();
    }
}

/// Octets as brotli has them where nothing is gained (RFC 7932 §9.2).
fn brotli(content: &[u8]) -> Vec<u8> {
    // A window of 16 bits; then, as one block: not the last, four nibbles of a
    // length less one, not compressed; then the empty last one.
    let length = u32::try_from(content.len()).unwrap() - 1;
    assert!(length < 1 << 16);
    let mut coded = (length << 4 | 1 << 20).to_le_bytes()[..3].to_vec();
    coded.extend_from_slice(content);
    coded.push(3);
    coded
}

/// Octets as Zstandard has them where nothing is gained (RFC 8878 §3.1.1).
fn zstandard(content: &[u8]) -> Vec<u8> {
    // The magic number, no options, a window of 128 KiB; then the last block,
    // raw, with its length.
    let mut coded = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let length = u32::try_from(content.len()).unwrap();
    coded.extend_from_slice(&(length << 3 | 1).to_le_bytes()[..3]);
    coded.extend_from_slice(content);
    coded
}

/// From content to its coded form.
type Coder = fn(&[u8]) -> Vec<u8>;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn curl_undoes_each_coding() {
    let text = b"as good as it gets\n".repeat(1000);
    let codings: [(&str, &str, Coder); 3] = [
        ("gz", "gzip", gzip),
        ("br", "br", brotli),
        ("zst", "zstd", zstandard),
    ];
    for model in ["prefork", "event"] {
        let site = Site::new(model, "workers = 2", |root| {
            for (suffix, _, code) in codings {
                put(&root.join(format!("{suffix}.txt")), &text);
                put(&root.join(format!("{suffix}.txt.{suffix}")), &code(&text));
                put(&root.join(format!("all.txt.{suffix}")), &code(&text));
            }
            put(&root.join("all.txt"), &text);
        });
        for (suffix, name, _) in codings {
            let target = format!("/{suffix}.txt");
            let got = site.curl(&["--compressed", "-D", "head"], &target);
            assert!(got == text, "{suffix}");
            let head = String::from_utf8(site.read("head")).unwrap();
            assert!(
                head.contains(&format!("Content-Encoding: {name}\r\n")),
                "{head}"
            );
            assert!(head.contains("Vary: Accept-Encoding\r\n"), "{head}");
            let plain = site.curl(&["-D", "head"], &target);
            let head = String::from_utf8(site.read("head")).unwrap();
            assert!(
                plain == text && !head.contains("Content-Encoding"),
                "{head}"
            );
        }
        assert!(site.curl(&["--compressed", "-D", "head"], "/all.txt") == text);
        let head = String::from_utf8(site.read("head")).unwrap();
        assert!(head.contains("Content-Encoding: zstd\r\n"), "{head}");
        site.server.stop();
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn curl_does_not_get_out() {
    for model in MODELS {
        let site = Site::new(model, "workers = 2", |root| {
            put(&root.join("dir/page.txt"), b"inside\n");
            put(&root.parent().unwrap().join("outside.txt"), b"outside\n");
            std::os::unix::fs::symlink("/etc", root.join("etc-link")).unwrap();
            std::os::unix::fs::symlink("../outside.txt", root.join("out-link")).unwrap();
        });
        for attack in [
            "/../../etc/passwd",
            "/../outside.txt",
            "/dir/../../outside.txt",
            "/dir/../../../../../../../../../../etc/passwd",
            "/%2e%2e/outside.txt",
            "/%2e%2e%2foutside.txt",
            "/..%2foutside.txt",
            "/..%5coutside.txt",
            "/dir/..%2f..%2foutside.txt",
            "/dir/%2e%2e/%2e%2e/etc/passwd",
            "/%252e%252e/outside.txt",
            "/.%2e/outside.txt",
            "/....//outside.txt",
            "/..;/outside.txt",
            "//etc/passwd",
            "///etc/passwd",
            "/%2fetc/passwd",
            "/..%c0%afoutside.txt",
            "/..%00/outside.txt",
            "/dir/page.txt%00.html",
            "/etc-link/passwd",
            "/out-link",
            "/etc-link",
            "/dir/..\\..\\outside.txt",
            "/cgi-bin/../../outside.txt",
            "/cgi-bin/..%2f..%2f..%2f..%2fbin/sh",
            "/?/../../outside.txt",
        ] {
            let status = site.status(&["--path-as-is"], attack);
            let answer = String::from_utf8_lossy(&site.read("answer")).into_owned();
            let is_root_page = attack.starts_with("/?");
            let refused = matches!(status, 400 | 403 | 404 | 405);
            assert!(refused || is_root_page, "{model}: {attack}: {status}");
            assert!(
                !answer.contains("root:") && !answer.contains("outside\n"),
                "{attack}"
            );
        }
        assert_eq!(
            site.told(&["--path-as-is"], "/a/../dir/./page.txt"),
            "inside\n"
        );
        assert_eq!(site.told(&["--path-as-is"], "/../dir/page.txt"), "inside\n");
        let ours = ["-H", "Host: x/../../etc"];
        assert_eq!(site.status(&ours, "/dir/page.txt"), 400);
        site.server.stop();
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn curl_sends() {
    for model in MODELS {
        let site = Site::new(model, "workers = 2", |root| {
            put(&root.join("page.txt"), b"a page\n");
            let script = root.join("cgi-bin/count");
            put(
                &script,
                b"#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; wc -c\n",
            );
            std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
        });
        put(&site.place.join("upload"), &Random::new(2).octets(900_000));
        put(
            &site.place.join("too-large"),
            &Random::new(3).octets(3_000_000),
        );

        // An upload to what is a file: refused before anything is sent, and
        // curl does not wait for the 100 that will not come.
        let begin = Instant::now();
        let arguments = [
            "-T",
            "upload",
            "-H",
            "Expect: 100-continue",
            "--expect100-timeout",
            "30",
            "-o",
            "answer",
            "-D",
            "head",
            "-w",
            "%{http_code} %{size_upload}",
        ];
        assert_eq!(site.told(&arguments, "/page.txt"), "405 0", "{model}");
        assert!(begin.elapsed() < Duration::from_secs(10));
        let head = String::from_utf8(site.read("head")).unwrap();
        assert!(head.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"), "{head}");
        assert!(!head.contains(" 100 "), "{head}");
        // Without a question: it is read or left, but the answer comes through.
        assert_eq!(
            site.status(&["-T", "upload", "-H", "Expect:"], "/page.txt"),
            405
        );
        assert_eq!(
            site.status(&["-T", "too-large", "-H", "Expect:"], "/page.txt"),
            413
        );

        let count = |arguments: &[&str]| {
            let text = site.told(arguments, "/cgi-bin/count");
            text.trim().parse::<usize>().unwrap()
        };
        let begin = Instant::now();
        let asked = [
            "--data-binary",
            "@upload",
            "-H",
            "Expect: 100-continue",
            "--expect100-timeout",
            "30",
            "-D",
            "head",
        ];
        assert_eq!(count(&asked), 900_000, "{model}");
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "the 100 comes at once"
        );
        let head = String::from_utf8(site.read("head")).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
            "{head}"
        );
        assert_eq!(
            count(&["--data-binary", "@upload", "-H", "Expect:"]),
            900_000
        );
        let chunked = [
            "-T",
            "upload",
            "-X",
            "POST",
            "-H",
            "Transfer-Encoding: chunked",
        ];
        assert_eq!(count(&chunked), 900_000);
        assert_eq!(count(&["--http1.0", "-d", "four"]), 4);
        let large = ["--data-binary", "@too-large", "-H", "Expect:"];
        assert_eq!(site.status(&large, "/cgi-bin/count"), 413, "{model}");
        site.server.stop();
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn curl_and_its_connections() {
    let noise = Random::new(4).octets(40_000_000);
    for model in MODELS {
        let site = Site::new(model, "workers = 2", |root| {
            put(&root.join("page.txt"), b"a page\n");
            put(&root.join("large.bin"), &noise);
        });
        let second = format!("{}/missing", site.url);
        let connects = [
            "-w",
            "%{http_code} %{num_connects}\n",
            "-o",
            "one",
            &second,
            "-o",
            "two",
        ];
        assert_eq!(
            site.told(&connects, "/page.txt"),
            "404 1\n200 0\n",
            "{model}"
        );
        let old = ["--http1.0", "-D", "head"];
        assert_eq!(site.told(&old, "/page.txt"), "a page\n");
        let head = String::from_utf8(site.read("head")).unwrap();
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");

        // It leaves in the middle: 28 is its own word for that.
        let slow = ["--limit-rate", "100k", "--max-time", "0.5", "-o", "cut"];
        assert_eq!(site.try_curl(&slow, "/large.bin").status.code(), Some(28));
        assert!(site.read("cut").len() < noise.len());
        assert_eq!(site.told(&[], "/page.txt"), "a page\n");
        assert!(site.curl(&[], "/large.bin") == noise);
        site.server.stop();
    }
}

/// A thousand names, some of them awkward, in ten directories, with content
/// that differs.
fn thousand() -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(5);
    let mut files = Vec::new();
    for number in 0..1000 {
        let directory = number % 10;
        let name = match number / 10 % 8 {
            0 => format!("page {number}.txt"),
            1 => format!("b\u{fc}ch-\u{2603}-{number}.txt"),
            2 => format!("a+b={number}.bin"),
            3 => format!("50% of {number}.txt"),
            4 => format!("quote'\"{number}.txt"),
            5 => format!("a&amp;{number}.txt"),
            6 => format!("deep/er/{number}"),
            _ => format!("{number}.png"),
        };
        let length = random.below(20_000);
        files.push((format!("d{directory}/{name}"), random.octets(length)));
    }
    files
}

/// As a link to it is written.
fn link(path: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
    encoded.to_string().replace("%2F", "/")
}

fn compare(site: &Site, files: &[(String, Vec<u8>)]) {
    for (path, content) in files {
        let copy = std::fs::read(site.place.join("copy").join(path));
        let copy = copy.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(copy == *content, "{path} differs");
    }
}

const MIRROR: [&str; 8] = [
    "-r",
    "-l",
    "9",
    "-np",
    "-nH",
    "-P",
    "copy",
    "--restrict-file-names=unix,nocontrol",
];

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn wget_mirrors_a_thousand_files_by_their_links() {
    let files = thousand();
    for model in ["prefork", "event"] {
        let site = Site::new(model, "workers = 4", |root| {
            for (path, content) in &files {
                put(&root.join(path), content);
            }
            let mut top = String::from("<!doctype html><title>All</title>\n");
            for directory in 0..10 {
                let prefix = format!("d{directory}/");
                let mut page = String::from("<!doctype html><title>Some</title>\n");
                for (path, _) in files.iter().filter(|(path, _)| path.starts_with(&prefix)) {
                    let name = link(&path[prefix.len()..]);
                    page.push_str(&format!("<a href=\"{name}\">a file</a>\n"));
                }
                put(&root.join(&prefix).join("index.html"), page.as_bytes());
                top.push_str(&format!("<a href=\"{prefix}\">some</a>\n"));
            }
            put(&root.join("index.html"), top.as_bytes());
        });
        let url = format!("{}/", site.url);
        let mut arguments = MIRROR.to_vec();
        arguments.push(&url);
        site.wget(&arguments);
        compare(&site, &files);
        site.server.stop();
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn wget_mirrors_a_thousand_files_by_the_listing() {
    let files = thousand();
    for model in ["prefork", "event"] {
        let site = Site::new(model, "workers = 4", |root| {
            for (path, content) in &files {
                put(&root.join(path), content);
            }
        });
        let url = format!("{}/", site.url);
        let mut arguments = MIRROR.to_vec();
        // The same in another order is nothing new.
        arguments.extend(["--reject-regex", "[?]sort=", &url]);
        site.wget(&arguments);
        compare(&site, &files);
        site.server.stop();
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn wget_resumes_and_looks_at_the_time() {
    let noise = Random::new(6).octets(3_000_000);
    for model in MODELS {
        let site = Site::new(model, "workers = 2", |root| {
            put(&root.join("noise.bin"), &noise);
        });
        let url = format!("{}/noise.bin", site.url);
        put(&site.place.join("noise.bin"), &noise[..1_000_001]);
        site.wget(&["-c", &url]);
        assert!(site.read("noise.bin") == noise, "{model}");
        // It is there: 416 is content to wget.
        site.wget(&["-c", &url]);
        // It has the time of ours, so nothing new is fetched.
        let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let (mine, theirs) = (site.place.join("noise.bin"), site.root.join("noise.bin"));
        assert_eq!(modified(&mine), modified(&theirs));
        let output = site.run("wget", &["--no-proxy", "-N", &url]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("304 Not Modified"), "{told}");
        site.server.stop();
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn five_gibibytes_are_resumed_in_the_middle() {
    for model in ["prefork", "event"] {
        let site = Site::new(model, "workers = 2", |root| {
            giant::make(&root.join("giant"))
        });
        let giant = site.root.join("giant");
        let half = (giant::SIZE / 2 + 12_345).to_string();
        // By curl, compared as it comes in.
        let url = format!("{}/giant", site.url);
        let begin = Instant::now();
        let mut curl = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "-C",
                &half,
                &url,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let rest = curl.stdout.take().unwrap();
        let count = giant::compare(&giant, giant::SIZE / 2 + 12_345, rest);
        assert!(curl.wait().unwrap().success());
        assert_eq!(count, giant::SIZE / 2 - 12_345);
        println!("{model}: curl, {count} octets in {:?}", begin.elapsed());

        // By wget, to a file that has the first half.
        let copy = site.place.join("giant");
        giant::make(&copy);
        let file = std::fs::File::options().write(true).open(&copy).unwrap();
        file.set_len(giant::SIZE / 2).unwrap();
        drop(file);
        let begin = Instant::now();
        site.wget(&["-c", &url]);
        println!("{model}: wget in {:?}", begin.elapsed());
        assert_eq!(std::fs::metadata(&copy).unwrap().len(), giant::SIZE);
        let count = giant::compare(&giant, 0, std::fs::File::open(&copy).unwrap());
        assert_eq!(count, giant::SIZE);
        let peak = site.peak();
        println!("{model}: the largest worker had {peak} KiB");
        assert!(peak < 16 * 1024, "{peak} KiB");
        site.server.stop();
    }
}

/// 0 errors, on connections that are kept.
#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn load_generators_see_no_error() {
    for model in MODELS {
        let keys = match model {
            "prefork" => "workers = 16",
            "threads" => "workers = 2\nthreads_per_worker = 16",
            _ => "workers = 2",
        };
        let site = Site::new(model, keys, |root| {
            put(&root.join("page.txt"), &[b'x'; 1000]);
        });
        let url = format!("{}/page.txt", site.url);
        let told = |program, arguments: &[&str]| {
            let output = site.run(program, arguments);
            assert!(output.status.success(), "{program}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let ab = told("ab", &["-k", "-q", "-c", "8", "-n", "10000", &url]);
        assert!(number(&ab, "Complete requests:") == 10_000, "{model}: {ab}");
        assert!(number(&ab, "Failed requests:") == 0, "{model}: {ab}");
        assert!(!ab.contains("Non-2xx"), "{model}: {ab}");
        let wrk = told("wrk", &["-t", "1", "-c", "8", "-d", "2s", &url]);
        assert!(
            !wrk.contains("Socket errors") && !wrk.contains("Non-2xx"),
            "{model}: {wrk}"
        );
        assert!(number(&wrk, "Requests/sec:") > 0, "{model}: {wrk}");
        let h2load = told("h2load", &["--h1", "-c", "8", "-n", "8000", &url]);
        let line = "requests: 8000 total, 8000 started, 8000 done, 8000 succeeded, 0 failed, \
                    0 errored, 0 timeout";
        assert!(h2load.contains(line), "{model}: {h2load}");
        println!(
            "{model}: ab {}/s, wrk {}/s",
            number(&ab, "Requests per second:"),
            number(&wrk, "Requests/sec:")
        );
        site.server.stop();
    }
}

/// The whole part of the number that follows `label`.
fn number(text: &str, label: &str) -> u64 {
    let (_, rest) = text
        .split_once(label)
        .unwrap_or_else(|| panic!("no {label} in {text}"));
    let word = rest.split_whitespace().next().unwrap();
    word.split('.').next().unwrap().parse().unwrap()
}
