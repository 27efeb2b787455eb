//! Chromium: a page with pictures, style and a script, a film that is wound
//! forward, a listing, and the page on which the server says how it is.
//!
//! Wants chromium as Debian packages it; `.ci/run` installs it. The pictures of
//! the listing and of that page, light and dark, are left in the target directory's
//! `tmp`.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::{Client, Server, eventually, process};
use nix::sys::signal::Signal;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A browser takes its time, on a machine that is busy all the more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of the files in `directory`, with its access log there as well.
fn serve(model: &str, directory: TempDir, keys: &str) -> Server {
    let root = directory.path().join("root");
    Server::run_with(
        directory,
        "",
        &format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = 8\n[pool.web.http]\nroot = \"{}\"\n\
             access_log = {{ to = \"access.log\" }}\n{keys}\n",
            root.display()
        ),
    )
}

fn site() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    (directory, root)
}

/// A browser that goes to one page, with nothing of anybody's settings.
struct Browser {
    child: Child,
    profile: TempDir,
}

impl Browser {
    fn go(arguments: &[&str], url: &str) -> Self {
        let profile = TempDir::new().unwrap();
        let output = File::create(profile.path().join("output")).unwrap();
        let child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-default-apps",
                "--autoplay-policy=no-user-gesture-required",
                // Names of elsewhere have no address.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .arg(url)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(File::create(profile.path().join("errors")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("chromium: {error}: is it installed?"));
        Self { child, profile }
    }

    /// What it has to say at its end.
    fn outcome(&mut self) -> String {
        let status = eventually("the browser ends", PATIENCE, || {
            self.child.try_wait().unwrap()
        });
        let read = |name| std::fs::read_to_string(self.profile.path().join(name)).unwrap();
        assert!(status.success(), "{status}: {}", read("errors"));
        read("output")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // All of them: a browser is many processes.
        for pid in process::group(self.child.id()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
                Signal::SIGKILL,
            );
        }
        let _ = self.child.wait();
    }
}

/// A picture of one colour (PNG, ISO/IEC 15948).
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap();
        picture.extend_from_slice(&length.to_be_bytes());
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(content);
        picture.extend_from_slice(kind);
        picture.extend_from_slice(content);
        picture.extend_from_slice(&sum.sum().to_be_bytes());
    };
    let mut head = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // 8 bits, three colours, and the only methods that there are.
    head.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(b"IHDR", &head);
    let mut line = vec![0];
    line.extend([0x20, 0x60, 0xa0].repeat(width as usize));
    let lines = line.repeat(height as usize);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &lines).unwrap();
    chunk(b"IDAT", &encoder.finish().unwrap());
    chunk(b"IEND", &[]);
    picture
}

/// So many seconds of silence, as WAVE: 96,000 octets each.
fn silence(seconds: u32) -> Vec<u8> {
    const RATE: u32 = 48_000;
    let length = seconds * RATE * 2;
    let mut film = Vec::new();
    film.extend_from_slice(b"RIFF");
    film.extend_from_slice(&(length + 36).to_le_bytes());
    film.extend_from_slice(b"WAVEfmt ");
    film.extend_from_slice(&16_u32.to_le_bytes());
    // PCM, one channel.
    film.extend_from_slice(&[1, 0, 1, 0]);
    film.extend_from_slice(&RATE.to_le_bytes());
    film.extend_from_slice(&(RATE * 2).to_le_bytes());
    film.extend_from_slice(&[2, 0, 16, 0]);
    film.extend_from_slice(b"data");
    film.extend_from_slice(&length.to_le_bytes());
    film.resize(film.len() + length as usize, 0);
    film
}

const PAGE: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Pictures</title>
<link rel="stylesheet" href="look/style.css">
<img src="one.png" alt=""><img src="two%20words.png?x=1" alt=""><img src="drawing.svg" alt="">
<img src="missing.png" alt="">
<pre id="report"></pre>
<script src="report.js"></script>
</html>
"#;

const REPORT: &str = r#"
addEventListener("load", () => {
  const sizes = [...document.images].map(one => one.naturalWidth + "x" + one.naturalHeight);
  const colour = getComputedStyle(document.body).color;
  document.getElementById("report").textContent = sizes.join(" ") + " " + colour;
});
"#;

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn a_page_with_pictures_is_whole() {
    for model in ["prefork", "event"] {
        let (directory, root) = site();
        let put = |name: &str, content: &[u8]| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        put("index.html", PAGE.as_bytes());
        put("report.js", REPORT.as_bytes());
        put("look/style.css", b"body { color: rgb(1, 2, 3) }");
        put("one.png", &png(40, 30));
        // More than a buffer full, as it does not shrink much.
        put("two words.png", &png(1200, 900));
        put(
            "drawing.svg",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"70\" height=\"50\">\
              <circle cx=\"25\" cy=\"25\" r=\"20\"/></svg>",
        );
        let server = serve(model, directory, "");
        let url = format!("http://{}/", server.address("web"));
        let page = Browser::go(&["--dump-dom"], &url).outcome();
        let report = "40x30 1200x900 70x50 0x0 rgb(1, 2, 3)</pre>";
        assert!(page.contains(report), "{model}: {page}");
        server.stop();
    }
}

/// The film is 30 MB, more than a browser asks for at once.
const FILM: u32 = 300;

const CINEMA: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Cinema</title>
<video src="film.wav" preload="metadata"></video>
<script>
const film = document.querySelector("video");
film.onerror = () => fetch("/told/error-" + film.error.code);
film.onloadedmetadata = () => { film.currentTime = film.duration / 2; };
film.onseeked = () => fetch("/told/seeked-" + film.currentTime + "-of-" + film.duration);
</script>
</html>
"#;

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn a_film_is_wound_forward() {
    for model in ["prefork", "event"] {
        let (directory, root) = site();
        std::fs::write(root.join("index.html"), CINEMA).unwrap();
        std::fs::write(root.join("film.wav"), silence(FILM)).unwrap();
        let log = directory.path().join("access.log");
        let server = serve(model, directory, "");
        let url = format!("http://{}/", server.address("web"));
        let browser = Browser::go(&["--remote-debugging-port=0"], &url);
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("the browser tells of the film", PATIENCE, || {
            read().contains("/told/").then_some(())
        });
        assert!(
            read().contains("GET /told/seeked-150-of-300 "),
            "{}",
            read()
        );
        drop(browser);
        server.stop_leaving(|directory| {
            let lines = std::fs::read_to_string(directory.join("access.log")).unwrap();
            let parts = lines.matches("\"GET /film.wav HTTP/1.1\" 206 ").count();
            // The beginning, and what is in the middle.
            assert!(parts >= 2, "{model}: {lines}");
        });
    }
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn a_listing_is_seen() {
    let (directory, root) = site();
    let names = [
        "annual report 2025.pdf",
        "b\u{fc}cher \u{2603}.txt",
        "<script>alert(1)</script>.html",
        "a name that goes on and on for so long that it does not fit into the width of the page \
         and has to be broken somewhere, if the table is not to be torn apart by it.tar.gz",
        "disk.img",
        "notes.md",
        "picture.png",
    ];
    for (number, name) in names.iter().enumerate() {
        let name = name.replace('/', "\u{2215}");
        let file = File::create(root.join(name)).unwrap();
        file.set_len(37_u64.pow(u32::try_from(number).unwrap()))
            .unwrap();
    }
    for name in ["archive", "music", "photographs of the summer"] {
        std::fs::create_dir(root.join(name)).unwrap();
        std::fs::write(root.join(name).join("a"), "a").unwrap();
    }
    let server = serve("event", directory, "listing = true");
    let url = format!("http://{}/", server.address("web"));
    let page = Browser::go(&["--dump-dom"], &url).outcome();
    assert_eq!(page.matches("<tr><td>").count(), 10, "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");

    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, look, target) in [
        ("listing-light.png", "--window-size=1000,700", ""),
        (
            "listing-dark.png",
            "--blink-settings=preferredColorScheme=0",
            "?sort=size&order=desc",
        ),
        ("listing-narrow.png", "--window-size=500,700", "?sort=time"),
    ] {
        let picture = tmp.join(name);
        let _ = std::fs::remove_file(&picture);
        let screenshot = format!("--screenshot={}", picture.display());
        Browser::go(&[&screenshot, look], &format!("{url}{target}")).outcome();
        let size = std::fs::metadata(&picture).unwrap().len();
        assert!(size > 5_000, "{name}: {size} octets");
    }
    server.stop();
}

#[test]
#[ignore = "peers: needs nginx, apache2, curl, wget, chromium"]
fn the_status_is_seen() {
    for (model, workers) in [("prefork", 2), ("prefork", 256)] {
        let (directory, root) = site();
        std::fs::write(root.join("index.html"), "index\n").unwrap();
        let pool = format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
             workers = {workers}\n[pool.web.http]\nroot = \"{}\"\nheader_timeout = \"60s\"\n\
             [pool.web.http.status]\n",
            root.display()
        );
        let server = Server::run_with(directory, "graceful_timeout = \"1s\"", &pool);
        let address = server.address("web");
        // Some that keep a worker busy, with a name that would like to be a tag.
        let busy: Vec<Client> = (0..workers / 8)
            .map(|_| {
                let mut client = Client::connect(address);
                client.send("GET /<script>alert(1)</script> HTTP/1.1\r\nHost: a\r\n\r\n");
                client.answer();
                client.send("GET /half");
                client
            })
            .collect();
        let url = format!("http://{address}/server-status");
        // The loaded page is what was sent: nothing in it has run, or was mended.
        let page = Browser::go(&["--dump-dom"], &url).outcome();
        assert_eq!(page.matches("<h2 ").count(), 3, "{page}");
        assert_eq!(page.matches("<tr><th scope=\"row\">web[").count(), workers);
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.contains("&lt;script&gt;"), !busy.is_empty(), "{page}");

        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for (look, arguments) in [
            ("light", ["--window-size=1280,1000", "--hide-scrollbars"]),
            (
                "dark",
                [
                    "--window-size=1280,1000",
                    "--blink-settings=preferredColorScheme=0",
                ],
            ),
            ("narrow", ["--window-size=500,1400", "--hide-scrollbars"]),
        ] {
            let picture = tmp.join(format!("status-{workers}-{look}.png"));
            let _ = std::fs::remove_file(&picture);
            let screenshot = format!("--screenshot={}", picture.display());
            Browser::go(&[&screenshot, arguments[0], arguments[1]], &url).outcome();
            let size = std::fs::metadata(&picture).unwrap().len();
            assert!(size > 20_000, "{look}: {size} octets");
        }
        drop(busy);
        server.stop();
    }
}
