//! The control socket, spoken to without a program in between: a test that looks
//! again and again starts none each time.

use super::{SOON, Server};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// What the master says of itself and all pools, where its `control_socket` is
/// `control` in its directory.
pub(crate) fn status(server: &Server) -> Value {
    let path = server.directory.path().join("control");
    let mut stream = UnixStream::connect(path).unwrap();
    // Where it has tens of thousands of rows to count, a busy machine takes its time.
    stream.set_read_timeout(Some(3 * SOON)).unwrap();
    stream.write_all(b"{\"query\":\"status\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}
