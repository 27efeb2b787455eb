//! Clients: a TCP connection that is never waited for without end, and just
//! enough HTTP to read an answer.

use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A client waits this long for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Read, but not yet asked for.
    held: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field, by its name in any case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    /// Connects, if somebody listens.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&address, PATIENCE).map(Self::of)
    }

    /// On a connection that there is.
    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            held: Vec::new(),
        }
    }

    /// Our end of the connection, as the server sees its peer.
    pub(crate) fn name(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends each byte by itself.
    pub(crate) fn send_slowly(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send([*byte]);
        }
    }

    /// Says that we send no more.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with RST, whatever is under way.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// How many bytes were read and not asked for; they are forgotten.
    pub(crate) fn held(&mut self) -> usize {
        std::mem::take(&mut self.held).len()
    }

    /// Exactly `count` bytes.
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            let more = self
                .receive()
                .unwrap_or_else(|error| panic!("read: {error}"));
            assert!(
                more > 0,
                "{count} bytes wanted, the end after {}",
                self.held.len()
            );
        }
        let rest = self.held.split_off(count);
        std::mem::replace(&mut self.held, rest)
    }

    /// All bytes up to the end, which must be an orderly one.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        self.try_read_to_end()
            .unwrap_or_else(|error| panic!("read: {error}"))
    }

    /// All bytes up to the end.
    pub(crate) fn try_read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + 3 * PATIENCE;
        while self.receive()? > 0 {
            assert!(Instant::now() < deadline, "a connection without an end");
        }
        Ok(std::mem::take(&mut self.held))
    }

    /// Discards up to the end, orderly or not; answers how many bytes came.
    pub(crate) fn drain(&mut self) -> usize {
        let mut count = std::mem::take(&mut self.held).len();
        while self.receive().is_ok_and(|more| more > 0) {
            count += std::mem::take(&mut self.held).len();
        }
        count
    }

    /// An answer, with the body that Content-Length says.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(true)
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The answer to a HEAD: no body, whatever Content-Length says.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.try_answer(false)
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// An answer, or why there is none.
    pub(crate) fn try_answer(&mut self, with_body: bool) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.receive()? == 0 {
                let text = format!("the end after {} bytes", self.held.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        };
        let rest = self.held.split_off(end);
        let head = String::from_utf8(std::mem::replace(&mut self.held, rest)).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if with_body {
            let length: usize = answer
                .field("content-length")
                .unwrap_or("0")
                .parse()
                .unwrap();
            while self.held.len() < length {
                if self.receive()? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let rest = self.held.split_off(length);
            answer.body = std::mem::replace(&mut self.held, rest);
        }
        Ok(answer)
    }

    fn receive(&mut self) -> io::Result<usize> {
        let mut room = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(count) => {
                    self.held.extend_from_slice(&room[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A request for `path`, on a connection that ends with it.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    try_get(address, path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

/// As [`get`], where it may fail.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut client = Client::try_connect(address)?;
    client.stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    client.try_answer(true)
}
