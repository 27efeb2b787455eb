//! The sockets: connects to the first address that lets us in.
//!
//! Owes one deadline for the lookup and all addresses together, and that what
//! lost the race is closed. Decides no order: that is [`super::race`].

use super::failure::{Cause, Failure, words};
use super::race::{Lost, Race, Step};
use super::resolve::resolve;
use super::{Family, Options, Target};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection.
#[derive(Debug)]
pub struct Dialled {
    /// The socket: non-blocking, close-on-exec, TCP with TCP_NODELAY.
    pub socket: Socket,
    /// Where it leads; `None` for a unix socket.
    pub peer: Option<SocketAddr>,
    /// Where it begins; `None` for a unix socket.
    pub local: Option<SocketAddr>,
    /// Where it leads, in words: `[::1]:7777`, `unix:/run/x.sock`.
    pub name: String,
    /// What took how long.
    pub timing: Timing,
    /// The addresses that failed before.
    pub failed: Vec<Attempt>,
}

/// What took how long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// To find the addresses.
    pub lookup: Duration,
    /// To connect, all attempts together.
    pub connect: Duration,
}

/// An attempt that failed.
#[derive(Debug)]
pub struct Attempt {
    /// Where to.
    pub address: SocketAddr,
    /// The system call.
    call: &'static str,
    /// What it said.
    pub error: io::Error,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.call, self.address, words(&self.error))
    }
}

/// Connects to `target`.
///
/// # Errors
/// Why not, by its [`Cause`].
pub fn dial(target: &Target, options: &Options) -> Result<Dialled, Failure> {
    let begun = Instant::now();
    let deadline = begun + options.timeout;
    match target {
        Target::Unix(path) => unix(path, options),
        Target::Host { host, port } => {
            let addresses = addresses(host, *port, options)?;
            let lookup = begun.elapsed();
            let mut dialled = connect(&addresses, options, deadline).map_err(|failure| {
                // Whoever named a host wants to hear of it.
                let named = addresses.first().map(SocketAddr::to_string);
                match named.as_deref() == Some(target.to_string().as_str()) {
                    true => failure,
                    false => Failure::new(failure.cause, format!("{target}: {}", failure.message)),
                }
            })?;
            dialled.timing.lookup = lookup;
            Ok(dialled)
        }
    }
}

/// The addresses of a host that come into question; at least one. Waits for the
/// resolver at most as long as [`Options::timeout`].
///
/// # Errors
/// [`Cause::Resolve`], [`Cause::Timeout`].
pub fn addresses(host: &str, port: u16, options: &Options) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = resolve(host, port, Instant::now() + options.timeout)?;
    found.retain(|address| options.takes(address.ip()));
    if !found.is_empty() {
        return Ok(found);
    }
    let kind = match (options.family, options.source) {
        (Family::V4, _) => "an IPv4 address",
        (Family::V6, _) => "an IPv6 address",
        (Family::Any, Some(source)) if source.is_ipv4() => "an IPv4 address, as that of --source",
        (Family::Any, Some(_)) => "an IPv6 address, as that of --source",
        (Family::Any, None) => "an address",
    };
    let message = format!("resolve {host}: it does not have {kind}");
    Err(Failure::new(Cause::Resolve, message))
}

/// Connects to the first of `addresses` that lets us in, by `deadline`.
///
/// # Errors
/// Why not, by its [`Cause`]: where all failed, the one that tells most.
pub fn connect(
    addresses: &[SocketAddr],
    options: &Options,
    deadline: Instant,
) -> Result<Dialled, Failure> {
    let begun = Instant::now();
    let mut race = Race::new(addresses, deadline);
    let mut running: Vec<(SocketAddr, Socket)> = Vec::new();
    let mut failed: Vec<Attempt> = Vec::new();
    loop {
        let won = match race.next(Instant::now()) {
            Step::Start(address) => match begin(address, options.source) {
                Ok((socket, true)) => Some((address, socket)),
                Ok((socket, false)) => {
                    running.push((address, socket));
                    None
                }
                Err(attempt) => {
                    failed.push(attempt);
                    race.failed();
                    None
                }
            },
            Step::Wait(until) => {
                let before = failed.len();
                let won = wait(&mut running, &mut failed, until)?;
                (before..failed.len()).for_each(|_| race.failed());
                won
            }
            Step::Over(lost) => return Err(failure(lost, &failed, &running, begun.elapsed())),
        };
        if let Some((address, socket)) = won {
            let local = socket.local_addr().ok().and_then(|local| local.as_socket());
            // A port of our own range where nobody listens may be the one that
            // the kernel gave us: then we would talk to ourselves.
            if local == Some(address) {
                let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
                failed.push(attempt("connect", address, error));
                race.failed();
                continue;
            }
            // Where it fails small pieces are late, and nothing else.
            let _ = socket.set_tcp_nodelay(true);
            let timing = Timing {
                lookup: Duration::ZERO,
                connect: begun.elapsed(),
            };
            return Ok(Dialled {
                socket,
                peer: Some(address),
                local,
                name: address.to_string(),
                timing,
                failed,
            });
        }
    }
}

/// A UDP socket that sends to `address` and hears of nobody else; non-blocking.
/// Nothing is sent by it: whether anybody is there is not known.
///
/// # Errors
/// Which of socket(2), bind(2) or connect(2) refused, and why.
pub fn associate(address: SocketAddr, options: &Options) -> Result<Socket, Failure> {
    let step = |call: &'static str| move |error| Failure::of(call, address, &error);
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))
        .map_err(step("socket for"))?;
    if let Some(source) = options.source {
        bind(&socket, source).map_err(step("bind the source for"))?;
    }
    socket.connect(&address.into()).map_err(step("connect"))?;
    Ok(socket)
}

/// How long poll(2) may wait: rounded up, so that a time that is over is over.
pub fn until(time: Instant) -> PollTimeout {
    let left = time.saturating_duration_since(Instant::now());
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

/// Begins to connect; says whether it is done.
fn begin(address: SocketAddr, source: Option<SocketAddr>) -> Result<(Socket, bool), Attempt> {
    let step = |call| move |error| attempt(call, address, error);
    let kind = Type::STREAM.nonblocking().cloexec();
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, kind, Some(Protocol::TCP)).map_err(step("socket for"))?;
    if let Some(source) = source {
        bind(&socket, source).map_err(step("bind the source for"))?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => Ok((socket, true)),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, false)),
        Err(error) => Err(attempt("connect", address, error)),
    }
}

/// Sets where a socket connects from.
fn bind(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    if source.port() > 0 {
        // Else the connection before, in TIME_WAIT, would keep the port.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&source.into())
}

/// Waits for the first attempt that is decided; answers the one that won.
fn wait(
    running: &mut Vec<(SocketAddr, Socket)>,
    failed: &mut Vec<Attempt>,
    time: Instant,
) -> Result<Option<(SocketAddr, Socket)>, Failure> {
    let watch = |(_, socket)| PollFd::new(AsFd::as_fd(socket), PollFlags::POLLOUT);
    let mut watched: Vec<PollFd<'_>> = running
        .iter()
        .map(|(a, socket)| watch((a, socket)))
        .collect();
    match poll(&mut watched, until(time)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(Failure::of("poll", "sockets", &errno.into())),
    }
    let decided = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
    let decided: Vec<bool> = watched.iter().map(decided).collect();
    let mut left = Vec::with_capacity(running.len());
    let mut won = None;
    for ((address, socket), decided) in running.drain(..).zip(decided) {
        if !decided || won.is_some() {
            left.push((address, socket));
            continue;
        }
        // SO_ERROR says how it went (connect(2), EINPROGRESS).
        match socket.take_error() {
            Ok(None) => won = Some((address, socket)),
            Ok(Some(error)) | Err(error) => failed.push(attempt("connect", address, error)),
        }
    }
    *running = left;
    Ok(won)
}

/// Why a race was lost.
fn failure(
    lost: Lost,
    failed: &[Attempt],
    running: &[(SocketAddr, Socket)],
    spent: Duration,
) -> Failure {
    let mut told: Vec<String> = failed.iter().map(Attempt::to_string).collect();
    let spent = spent.as_secs_f64();
    let silent = |(address, _): &(SocketAddr, Socket)| {
        format!("connect {address}: no answer within {spent:.1}s")
    };
    told.extend(running.iter().map(silent));
    let cause = match lost {
        Lost::TooLate => Cause::Timeout,
        Lost::AllFailed => {
            let causes = failed.iter().map(|attempt| Cause::of(&attempt.error));
            causes
                .max_by_key(|cause| weight(*cause))
                .unwrap_or(Cause::Timeout)
        }
    };
    if told.is_empty() {
        told.push(String::from("connect: no time is left"));
    }
    Failure::new(cause, told.join("; "))
}

/// How much a cause tells of a host with several addresses: that it answered at
/// all tells most.
const fn weight(cause: Cause) -> u8 {
    match cause {
        Cause::Refused => 8,
        Cause::Reset => 7,
        Cause::Timeout => 6,
        Cause::Denied => 5,
        Cause::Source => 4,
        Cause::Unreachable => 3,
        Cause::System => 2,
        Cause::Resolve | Cause::Usage => 1,
        // No connect(2) says these.
        Cause::Scheme
        | Cause::Answer
        | Cause::Short
        | Cause::Status
        | Cause::Range
        | Cause::Redirects
        | Cause::Nothing
        | Cause::Coding
        | Cause::Rule => 0,
    }
}

fn attempt(call: &'static str, address: SocketAddr, error: io::Error) -> Attempt {
    Attempt {
        address,
        call,
        error,
    }
}

/// Connects to a unix stream socket. A non-blocking connect(2) does not wait
/// for a place in the queue (EAGAIN), and nothing tells when there is one; so it
/// blocks, for as long as SO_SNDTIMEO lets it.
fn unix(path: &Path, options: &Options) -> Result<Dialled, Failure> {
    let begun = Instant::now();
    let name = format!("unix:{}", path.display());
    let failed = |error: &io::Error| match Cause::of(error) {
        Cause::Timeout => Failure::new(
            Cause::Timeout,
            format!(
                "connect {name}: no answer within {:.1}s",
                begun.elapsed().as_secs_f64()
            ),
        ),
        _ => Failure::of("connect", &name, error),
    };
    let address = SockAddr::unix(path).map_err(|error| {
        Failure::new(Cause::Usage, format!("connect {name}: {}", words(&error)))
    })?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)
        .map_err(|error| Failure::of("socket for", &name, &error))?;
    let patience = options.timeout.max(Duration::from_millis(1));
    socket
        .set_write_timeout(Some(patience))
        .and_then(|()| socket.connect(&address))
        .and_then(|()| socket.set_nonblocking(true))
        .map_err(|error| failed(&error))?;
    Ok(Dialled {
        socket,
        peer: None,
        local: None,
        timing: Timing {
            lookup: Duration::ZERO,
            connect: begun.elapsed(),
        },
        failed: Vec::new(),
        name,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;

    fn within(milliseconds: u64) -> Options {
        Options {
            timeout: Duration::from_millis(milliseconds),
            ..Options::default()
        }
    }

    /// A port of 127.0.0.1 where nobody listens.
    fn nobody() -> (Socket, SocketAddr) {
        nobody_at("127.0.0.1:0")
    }

    fn nobody_at(any: &str) -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = any.parse().unwrap();
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    /// A listener whose queue is full: it answers nobody any more.
    fn full() -> (Socket, Vec<TcpStream>) {
        let (socket, address) = nobody();
        socket.listen(0).unwrap();
        let mut queued = vec![TcpStream::connect(address).unwrap()];
        let patience = Duration::from_millis(100);
        while let Ok(next) = TcpStream::connect_timeout(&address, patience) {
            queued.push(next);
            assert!(queued.len() < 20, "it is never full");
        }
        (socket, queued)
    }

    #[test]
    fn who_listens_lets_us_in() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Target::parse(&address.to_string()).unwrap();
        let options = Options {
            source: Some("127.0.0.2:0".parse().unwrap()),
            ..within(20_000)
        };
        let dialled = dial(&target, &options).unwrap();
        assert_eq!(dialled.peer, Some(address));
        let (_, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.2");
        assert_eq!(dialled.local, Some(from));
        assert_eq!(dialled.name, address.to_string());
    }

    #[test]
    fn who_refuses_is_passed_over() {
        let (_kept, closed) = nobody();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let dialled = connect(&[closed, open], &within(20_000), deadline).unwrap();
        assert_eq!(dialled.peer, Some(open));
        let told: Vec<String> = dialled.failed.iter().map(Attempt::to_string).collect();
        assert_eq!(told, [format!("connect {closed}: Connection refused")]);
    }

    #[test]
    fn who_is_silent_is_overtaken() {
        let (full, _queued) = full();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let dialled = connect(&[silent, open], &within(20_000), deadline).unwrap();
        assert_eq!(dialled.peer, Some(open));
        assert!(dialled.timing.connect >= super::super::race::DELAY);
        assert!(dialled.timing.connect < Duration::from_secs(10));
    }

    #[test]
    fn nobody_is_waited_for_longer_than_was_said() {
        let (full, _queued) = full();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let target = Target::parse(&silent.to_string()).unwrap();
        let begun = Instant::now();
        let failure = dial(&target, &within(400)).unwrap_err();
        assert_eq!(failure.cause, Cause::Timeout);
        assert!(
            failure.message.contains("no answer within 0.4s"),
            "{failure}"
        );
        assert!(begun.elapsed() >= Duration::from_millis(400));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_refusal_has_its_words() {
        let (_kept, closed) = nobody();
        let target = Target::host("127.0.0.1", &closed.port().to_string()).unwrap();
        let failure = dial(&target, &within(20_000)).unwrap_err();
        assert_eq!(failure.cause, Cause::Refused);
        assert_eq!(
            failure.message,
            format!("connect {closed}: Connection refused")
        );
        let options = Options {
            family: Family::V6,
            ..within(20_000)
        };
        let failure = dial(&target, &options).unwrap_err();
        assert_eq!(failure.cause, Cause::Resolve);
        assert!(failure.message.contains("not have an IPv6"), "{failure}");
    }

    #[test]
    fn nobody_talks_to_himself() {
        // Where no other test takes the port that is free again.
        let (kept, address) = nobody_at("127.0.0.83:0");
        drop(kept);
        // From the very port that it goes to: the kernel would connect it.
        let options = Options {
            source: Some(address),
            ..within(20_000)
        };
        let target = Target::parse(&address.to_string()).unwrap();
        let failure = dial(&target, &options).unwrap_err();
        assert_eq!(failure.cause, Cause::Refused);
    }

    #[test]
    fn a_unix_socket_is_a_place_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.sock");
        let target = Target::unix(&path).unwrap();
        let failure = dial(&target, &within(20_000)).unwrap_err();
        assert_eq!(failure.cause, Cause::Refused);
        let listener = UnixListener::bind(&path).unwrap();
        let dialled = dial(&target, &within(20_000)).unwrap();
        assert_eq!(dialled.name, format!("unix:{}", path.display()));
        assert_eq!(dialled.peer, None);
        // Once its queue is full nobody is waited for longer than was said.
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let mut kept = vec![dialled];
        let failure = loop {
            match dial(&target, &within(200)) {
                Ok(next) => kept.push(next),
                Err(failure) => break failure,
            }
            assert!(kept.len() < 20, "it is never full");
        };
        assert_eq!(failure.cause, Cause::Timeout, "{failure}");
    }
}
