//! Heads and the variables they become.

use super::super::super::pretend;
use super::super::super::scan::Scan;
use super::super::super::site::Map;
use super::super::locate;
use super::*;
use crate::protocol::harness::PEER;
use crate::protocol::http::notes::Notes;
use crate::protocol::http::request::Limits;
use crate::protocol::http::target;
use std::time::Instant;

/// The variables for a request whose head has this line and these fields.
fn environment(line: &str, fields: &str, peer: &Peer, authorization: bool) -> Vec<String> {
    let head = format!("{line}\r\n{fields}\r\n");
    let mut settings = pretend::sites::site_of_programs();
    settings.cgi.authorization = authorization;
    settings.cgi.pass = vec!["PATH".to_owned(), "NONE".to_owned()];
    let limits = Limits::new(&settings);
    let length = Scan::default().proceed(head.as_bytes(), &limits);
    assert_eq!(length.unwrap(), Some(head.len()), "{head}");
    let request = Request::parse(head.as_bytes(), &limits).unwrap();
    let variable = |name: &str| (name == "PATH").then(|| "/bin".into());
    let cgi = Cgi::new(&settings, variable);
    let map = Map::new(&settings);
    let mut notes = Notes::default();
    if let Target::Path { path, query, .. } = request.target {
        notes.set_query(query.unwrap_or_default());
        let resolved = notes.set_path(|out| target::resolve(path, out)).unwrap();
        notes.set_directory(resolved.directory);
    }
    let client = peer.remote.map(|remote| remote.ip());
    let mut errand = Errand::new(&request, head.as_bytes(), &cgi, peer, client, &notes);
    let place = locate::next(&map, Map::DEFAULT, notes.path(), 0).unwrap();
    errand.set_name(RequestId::new(0xfeed));
    errand.settle(&map, place);
    errand.complete(&cgi, &map, place.rule, None, 7, Instant::now());
    let program = errand.program(&cgi, None);
    assert!(program.environment.ends_with(b"\0"));
    program
        .environment
        .split(|&byte| byte == 0)
        .map(|line| line.iter().map(|&byte| byte as char).collect())
        .filter(|line: &String| !line.is_empty())
        .collect()
}

fn get(fields: &str) -> Vec<String> {
    environment("GET /cgi-bin/e HTTP/1.1", fields, &PEER, false)
}

fn value<'e>(environment: &'e [String], name: &str) -> Option<&'e str> {
    let mut values = environment
        .iter()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next();
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

#[test]
fn every_variable_that_must_be_there() {
    // Rule 119.
    let found = environment(
        "POST /cgi-bin/e/x%20y/?a=b HTTP/1.1",
        "Host: Example.ORG:81\r\nContent-Length: 7\r\nContent-Type: a/b\r\n",
        &PEER,
        false,
    );
    for (name, expected) in [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("QUERY_STRING", "a=b"),
        ("REMOTE_ADDR", "203.0.113.9"),
        ("REMOTE_HOST", "203.0.113.9"),
        ("REMOTE_PORT", "40000"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/cgi-bin/e/x%20y/?a=b"),
        ("SCRIPT_NAME", "/cgi-bin/e"),
        ("SCRIPT_FILENAME", "/srv/programs/e"),
        ("DOCUMENT_ROOT", "/srv/www"),
        ("PATH_INFO", "/x y/"),
        ("PATH_TRANSLATED", "/srv/www/x y/"),
        ("SERVER_NAME", "Example.ORG"),
        ("SERVER_PORT", "8080"),
        ("SERVER_ADDR", "192.0.2.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "preforkd"),
        ("UNIQUE_ID", "000000000000feed"),
        ("CONTENT_LENGTH", "7"),
        ("CONTENT_TYPE", "a/b"),
        ("HTTP_HOST", "Example.ORG:81"),
        ("PATH", "/bin"),
    ] {
        assert_eq!(value(&found, name), Some(expected), "{name} in {found:#?}");
    }
    for name in ["HTTPS", "NONE", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"] {
        assert_eq!(value(&found, name), None, "{name}");
    }
}

#[test]
fn the_host_of_an_absolute_target_is_the_only_one() {
    let of = |line: &str, fields: &str| environment(line, fields, &PEER, false);
    for (line, fields, expected) in [
        ("GET http://b:81/cgi-bin/e HTTP/1.1", "Host: a\r\n", "b:81"),
        ("GET http://b/cgi-bin/e HTTP/1.1", "X: y\r\nhost:a\r\n", "b"),
        ("GET http://b/cgi-bin/e HTTP/1.0", "", "b"),
    ] {
        let found = of(line, fields);
        assert_eq!(value(&found, "HTTP_HOST"), Some(expected), "{line}");
        assert_eq!(value(&found, "SERVER_NAME"), Some("b"), "{line}");
    }
}

#[test]
fn what_a_request_lacks_is_empty_or_not_there() {
    let found = get("Host: a\r\nContent-Type: a/b\r\n");
    assert_eq!(value(&found, "QUERY_STRING"), Some(""));
    for name in [
        "PATH_INFO",
        "PATH_TRANSLATED",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
    ] {
        assert_eq!(value(&found, name), None, "{name}");
    }
}

#[test]
fn no_field_becomes_a_variable_that_it_should_not() {
    // Rules 117 and 118.
    let found = get(
        "Host: a\r\nProxy: x\r\nX_Auth: evil\r\nX-Auth: good\r\nX.Y: z\r\n\
         PROXY: y\r\nConnection: close\r\nTE: trailers\r\nX!: y\r\n",
    );
    assert_eq!(value(&found, "HTTP_X_AUTH"), Some("good"));
    let fields: Vec<&String> = found
        .iter()
        .filter(|one| one.starts_with("HTTP_"))
        .collect();
    assert_eq!(fields, ["HTTP_HOST=a", "HTTP_X_AUTH=good"]);
    let found = get("Host: a\r\nX_Auth: evil\r\n");
    assert_eq!(value(&found, "HTTP_X_AUTH"), None);
}

#[test]
fn authorization_is_passed_only_if_so_configured() {
    // Rule 121.
    let fields = "Host: a\r\nAuthorization: Basic x\r\nProxy-Authorization: Basic y\r\n";
    let line = "GET /cgi-bin/e HTTP/1.1";
    let found = environment(line, fields, &PEER, false);
    assert!(!found.iter().any(|line| line.contains("Basic")));
    let found = environment(line, fields, &PEER, true);
    assert_eq!(value(&found, "HTTP_AUTHORIZATION"), Some("Basic x"));
}

#[test]
fn a_field_that_comes_twice_is_one_variable() {
    // Rule 122.
    let found = get("Host: a\r\nX: 1\r\nCookie: a=1\r\nx: 2\r\ncookie: b=2\r\nX: \r\n");
    assert_eq!(value(&found, "HTTP_X"), Some("1, 2, "));
    assert_eq!(value(&found, "HTTP_COOKIE"), Some("a=1; b=2"));
}

#[test]
fn values_are_opaque() {
    let found = get("Host: a\r\nX: \t() { :; }; \u{e4} =\t\"\r\n");
    // Each octet is a letter here.
    assert_eq!(
        value(&found, "HTTP_X"),
        Some("() { :; }; \u{c3}\u{a4} =\t\"")
    );
}

#[test]
fn the_name_of_the_server() {
    let old = |fields: &str, peer: &Peer| {
        let found = environment("GET /cgi-bin/e HTTP/1.0", fields, peer, false);
        assert_eq!(value(&found, "SERVER_PROTOCOL"), Some("HTTP/1.0"));
        value(&found, "SERVER_NAME").map(str::to_owned)
    };
    assert_eq!(old("", &PEER).as_deref(), Some("192.0.2.1"));
    let local = "[2001:db8::1]:80".parse().ok();
    let six = Peer { local, ..PEER };
    assert_eq!(old("", &six).as_deref(), Some("[2001:db8::1]"));
    let line = "GET http://b:1/cgi-bin/e?q HTTP/1.1";
    let found = environment(line, "Host: a\r\n", &PEER, false);
    assert_eq!(value(&found, "SERVER_NAME"), Some("b"));
    assert_eq!(value(&found, "REQUEST_URI"), Some("/cgi-bin/e?q"));
}

#[test]
fn a_client_without_an_address_and_one_that_is_mapped() {
    let line = "GET /cgi-bin/e HTTP/1.1";
    let unix = Peer {
        remote: None,
        local: None,
    };
    let found = environment(line, "Host:\r\n", &unix, false);
    assert_eq!(value(&found, "REMOTE_ADDR"), Some("0.0.0.0"));
    assert_eq!(value(&found, "REMOTE_PORT"), None);
    assert_eq!(value(&found, "SERVER_NAME"), Some("localhost"));
    let mapped = Peer {
        remote: "[::ffff:192.0.2.7]:5".parse().ok(),
        ..PEER
    };
    let found = environment(line, "Host: a\r\n", &mapped, false);
    assert_eq!(value(&found, "REMOTE_ADDR"), Some("192.0.2.7"));
    assert_eq!(value(&found, "REMOTE_PORT"), Some("5"));
}
