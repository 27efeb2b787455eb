//! What the tests of `preforkd get` have in common: the command, and a site.

use crate::harness::server::outcome;
use crate::harness::{Server, install, preforkd};
use std::fmt;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// What came of it.
pub(crate) struct Got {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Got {
    pub(crate) fn of(command: Command) -> Self {
        let output = outcome(command);
        Self {
            status: output.status.code().unwrap(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    #[track_caller]
    pub(crate) fn is_failure(&self, status: i32, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(
            self.err.starts_with("preforkd: ") && self.err.contains(part),
            "{part}: {self:?}"
        );
    }

    #[track_caller]
    pub(crate) fn is_fine(&self) {
        assert_eq!(self.status, 0, "{self:?}");
    }
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = &self.out[..self.out.len().min(500)];
        let (status, err) = (self.status, &self.err);
        write!(
            f,
            "status {status}, {err:?}, output {:?}",
            begin.escape_ascii().to_string()
        )
    }
}

pub(crate) fn get(arguments: &[&str]) -> Got {
    let mut command = preforkd();
    command.arg("get").args(arguments);
    Got::of(command)
}

/// Octets that are nowhere the same.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut octets = Vec::with_capacity(count + 8);
    while octets.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(count);
    octets
}

/// Our own server with a few files, a program and redirects.
pub(crate) fn server() -> Server {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("www");
    fs::create_dir_all(root.join("cgi-bin")).unwrap();
    let index = root.join("index.html");
    fs::write(&index, "index\n".repeat(1000)).unwrap();
    // What has just been written may change again, and is not compressed.
    let index = fs::File::options().write(true).open(index).unwrap();
    let before = SystemTime::now() - Duration::from_secs(60);
    index.set_modified(before).unwrap();
    fs::write(root.join("text.txt"), "once more with feeling\n").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("noise"), noise(3_000_000)).unwrap();
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; echo \"$REQUEST_METHOD $CONTENT_TYPE $HTTP_X_A\"; cat\n";
    install(&root.join("cgi-bin"), &[("say", script)]);
    let socket = directory.path().join("web.sock");
    Server::run_with(
        directory,
        "",
        &format!(
            "[pool.web]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\", \"unix:{}\"]\nservice = \"http\"\n\
             workers = 2\nlinger_timeout = \"100ms\"\n[pool.web.http]\nroot = \"www\"\ngzip = true\n\
             path.\"/cgi-bin/\" = {{ cgi = true }}\npath.\"/old/\" = {{ redirect = \"/\" }}\n",
            socket.display()
        ),
    )
}

/// The address of a path on it, as HOST:PORT/PATH.
pub(crate) fn at(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address("web"))
}

pub(crate) const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
