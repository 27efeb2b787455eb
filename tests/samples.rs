//! The files of conf/ from where they lie: each starts as it is, but for its
//! ports and a pause before its end, does what it says it is for, and ends without a complaint.
#![allow(clippy::unwrap_used)]

mod harness;

use harness::{Client, SOON, Server, get, preforkd};
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// Starts a sample, in a directory that looks like a checkout, on ports that the
/// kernel chooses.
fn start(name: &str) -> Server {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = TempDir::new().unwrap();
    let conf = checkout.path().join("conf");
    std::fs::create_dir(&conf).unwrap();
    symlink(root.join("src"), checkout.path().join("src")).unwrap();
    for beside in ["www", "cgi-bin", "app"] {
        symlink(root.join("conf").join(beside), conf.join(beside)).unwrap();
    }
    let text = std::fs::read_to_string(root.join("conf").join(name)).unwrap();
    let lines = text.lines().map(|line| {
        if line.starts_with("listen = ") || line.trim_start().starts_with("{ address = ") {
            without_ports(line)
        } else if line.starts_with("drain_delay = ") {
            String::from("drain_delay = \"0s\"")
        } else {
            line.to_owned()
        }
    });
    let lines: Vec<String> = lines.collect();
    assert_ne!(lines.join("\n"), text, "{name} listens nowhere");
    let path = conf.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    let mut command = preforkd();
    command.arg("run").arg("-c").arg(path);
    Server::launch(command, checkout)
}

/// `listen = "127.0.0.1:8080"` with port 0.
fn without_ports(line: &str) -> String {
    let mut parts = line.split('"');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push('"');
        match part.rsplit_once(':') {
            // Not the prefix ::1.
            Some((host, port)) if !host.ends_with(':') && port.parse::<u16>().is_ok() => {
                out.push_str(host);
                out.push_str(":0");
            }
            Some(_) | None => out.push_str(part),
        }
    }
    out
}

/// The status of the answer to a GET with this Host, and all that came. HTTP/1.0
/// knows no chunks.
fn get_of(server: &Server, host: &str, path: &str) -> (u16, String) {
    let mut client = Client::connect(server.address("web"));
    client.send(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"));
    let text = String::from_utf8(client.read_to_end()).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

/// Every file of conf/ has a test here.
#[test]
fn all_are_known() {
    let code = include_str!("samples.rs");
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    for entry in std::fs::read_dir(conf).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let started = format!("start(\"{name}\")");
        assert!(
            !name.ends_with(".toml") || code.contains(&started),
            "{name}"
        );
    }
}

#[test]
fn the_least_serves_a_page() {
    let server = start("minimal.toml");
    assert_eq!(get(server.address("web"), "/").status, 200);
    server.stop();
}

#[test]
fn the_usual_one_serves_a_page_and_echo() {
    let server = start("preforkd.toml");
    assert_eq!(get(server.address("web"), "/").status, 200);
    let mut client = Client::connect(server.address("echo"));
    client.send("hello\n");
    assert_eq!(client.read(6), b"hello\n");
    drop(client);
    server.stop();
}

#[test]
fn every_key_at_once_serves_a_page() {
    let server = start("every-key.toml");
    assert_eq!(get(server.address("web"), "/").status, 200);
    assert_eq!(get_of(&server, "www.example.org", "/").0, 200);
    server.stop();
}

#[test]
fn the_site_has_its_hosts_and_rules() {
    let server = start("site.toml");
    let (status, text) = get_of(&server, "localhost", "/hello");
    assert!(
        status == 200 && text.ends_with("\r\n\r\nHello, World!\n"),
        "{text}"
    );
    assert_eq!(get_of(&server, "localhost", "/source/lib.rs").0, 200);
    assert_eq!(get_of(&server, "localhost", "/old/lib.rs").0, 308);
    assert_eq!(get_of(&server, "localhost", "/local/").0, 200);
    assert_eq!(get_of(&server, "localhost", "/nothing").0, 404);
    let (status, text) = get_of(&server, "files.example", "/");
    assert_eq!(status, 200);
    assert!(text.contains("conf/"), "{text}");
    assert_eq!(get_of(&server, "a.files.example", "/target/").0, 403);
    server.stop();
}

#[test]
fn each_small_service_says_what_it_should() {
    let server = start("services.toml");
    let said = |pool: &str| Client::connect(server.address(pool)).read_to_end();
    assert_eq!(said("message"), b"Message received.\n");
    assert_eq!(said("time").len(), 4);
    assert!(said("daytime").ends_with(b"\n"));
    assert_eq!(server.addresses_of("echo").len(), 2);
    let mut client = Client::connect(server.address("echo"));
    client.send("hello");
    assert_eq!(client.read(5), b"hello");
    drop(client);
    let mut client = Client::connect(server.address("discard"));
    client.send("hello");
    client.finish();
    assert_eq!(client.read_to_end(), b"");
    let mut client = Client::connect(server.address("chargen"));
    assert_eq!(client.read(74).last(), Some(&b'\n'));
    client.reset();
    for (pool, length) in [("echo-udp", 5), ("time-udp", 4)] {
        let place = server.addresses_of(pool)[0].strip_prefix("udp:").unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client.send_to(b"hello", place).unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), length);
    }
    server.stop();
}

#[test]
fn programs_run() {
    let server = start("cgi.toml");
    let (status, text) = get_of(&server, "localhost", "/cgi-bin/environment");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("GATEWAY_INTERFACE"), "{text}");
    server.stop();
}

#[test]
fn a_program_has_each_connection() {
    let server = start("exec.toml");
    let mut client = Client::connect(server.address("cat"));
    client.send("there and back\n");
    client.finish();
    assert_eq!(client.read_to_end(), b"there and back\n");
    let said = Client::connect(server.address("environment")).read_to_end();
    let text = String::from_utf8(said).unwrap();
    assert!(text.contains("\nPROTO=TCP\n"), "{text}");
    assert!(text.ends_with("you are 127.0.0.1\n"), "{text}");
    server.stop();
}

#[test]
fn a_program_accepts_for_itself() {
    if !Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: python3 is not installed");
        return;
    }
    let server = start("app.toml");
    let answer = get(server.address("hello"), "/");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello\n"[..]));
    server.stop();
}

#[test]
fn behind_a_balancer_the_log_has_the_client() {
    let server = start("load-balancer.toml");
    let mut client = Client::connect(server.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    let name = answer.field("X-Request-ID").unwrap().to_owned();
    // The form of the access log: see src/protocol/http/access/json.rs.
    let line = server
        .log
        .wait_for(&format!("\"request_id\":\"{name}\""), SOON);
    assert!(line.contains("\"client\":\"203.0.113.9\""), "{line}");
    // Probes may come with any Host, and leave no line.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get_of(&server, "probe", path).0, 200, "{path}");
        assert!(!server.log.to_string().contains(path), "{path}");
    }
    // The page is for the balancer's people, not for its clients.
    assert_eq!(get_of(&server, "a", "/server-status").0, 200);
    let from = "a\r\nX-Forwarded-For: 203.0.113.9";
    assert_eq!(get_of(&server, from, "/server-status").0, 403);
    // The connection stays: it is the balancer who closes.
    client.send("GET /style.css HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    drop(client);
    server.stop();
}

#[test]
fn behind_a_balancer_a_client_has_so_many_connections() {
    let mut server = start("load-balancer.toml");
    server.expect("over its limits: ");
    server.expect("within its limits again: ");
    let address = server.addresses_of("web")[1].parse().unwrap();
    let ask = |from: &str| {
        let mut client = Client::connect(address);
        client.send(format!(
            "PROXY TCP4 {from} 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        (client.answer().status, client)
    };
    let open: Vec<_> = (0..20).map(|_| ask("203.0.113.9")).collect();
    assert!(open.iter().all(|(status, _)| *status == 200));
    // The form of the access log: see src/protocol/http/access/json.rs.
    server.log.wait_for("\"client\":\"203.0.113.9\"", SOON);
    assert_eq!(ask("203.0.113.9").0, 503);
    assert_eq!(ask("203.0.113.10").0, 200);
    // The connections of the balancer itself are those of all clients.
    let own: Vec<_> = (0..30)
        .map(|_| {
            let mut client = Client::connect(server.address("web"));
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (client.answer().status, client)
        })
        .collect();
    assert!(own.iter().all(|(status, _)| *status == 200));
    drop((open, own));
    server.stop();
}
