//! Reads answers as a client must (RFC 9112 §6): with 1xx before them, in
//! chunks, by length or by the end of the connection.

use flate2::read::GzDecoder;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A final answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    /// Its content, chunks taken off, still coded.
    pub(crate) body: Vec<u8>,
    /// How many interim answers came before.
    pub(crate) interim: usize,
}

impl Answer {
    /// A field's value, by its name in small letters.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the connection ends with it, as the answer says.
    pub(crate) fn closes(&self) -> bool {
        let said = self.field("connection").unwrap_or_default();
        said.eq_ignore_ascii_case("close")
    }

    /// Its content without the coding.
    pub(crate) fn plain(&self) -> Vec<u8> {
        if self.field("content-encoding") != Some("gzip") {
            return self.body.clone();
        }
        let mut plain = Vec::new();
        GzDecoder::new(&self.body[..])
            .read_to_end(&mut plain)
            .unwrap();
        plain
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            held: Vec::new(),
        }
    }

    /// The server may have closed already: its answers tell.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next final answer to a request with this method; `None` where the
    /// connection has ended before it began.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Option<Answer>> {
        let mut interim = 0;
        loop {
            if self.held.is_empty() && !self.receive()? {
                return Ok(None);
            }
            let mut answer = self.head()?;
            if (100..200).contains(&answer.status) {
                interim += 1;
                continue;
            }
            answer.interim = interim;
            answer.body = self.body(method, &answer)?;
            return Ok(Some(answer));
        }
    }

    fn head(&mut self) -> io::Result<Answer> {
        let text = String::from_utf8(self.until(b"\r\n\r\n")?).unwrap();
        let mut lines = text.lines();
        let first = lines.next().unwrap();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Answer {
            status,
            fields: lines.filter_map(field).collect(),
            body: Vec::new(),
            interim: 0,
        })
    }

    fn body(&mut self, method: &str, answer: &Answer) -> io::Result<Vec<u8>> {
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if let Some(coding) = answer.field("transfer-encoding") {
            assert_eq!(coding, "chunked");
            let mut body = Vec::new();
            loop {
                let line = String::from_utf8(self.until(b"\r\n")?).unwrap();
                let length = usize::from_str_radix(line.trim(), 16).unwrap();
                let chunk = self.take(length + 2)?;
                assert!(chunk.ends_with(b"\r\n"));
                if length == 0 {
                    return Ok(body);
                }
                body.extend_from_slice(&chunk[..length]);
            }
        }
        if let Some(length) = answer.field("content-length") {
            return self.take(length.parse().unwrap());
        }
        while self.receive()? {}
        Ok(std::mem::take(&mut self.held))
    }

    fn until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.held.windows(mark.len()).position(|part| part == mark);
            if let Some(at) = found {
                return self.take(at + mark.len());
            }
            self.more()?;
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.held.len() < count {
            self.more()?;
        }
        let rest = self.held.split_off(count);
        Ok(std::mem::replace(&mut self.held, rest))
    }

    fn more(&mut self) -> io::Result<()> {
        if self.receive()? {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn receive(&mut self) -> io::Result<bool> {
        let mut room = [0; 16 * 1024];
        let count = self.stream.read(&mut room)?;
        self.held.extend_from_slice(&room[..count]);
        Ok(count > 0)
    }
}
