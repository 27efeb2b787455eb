//! Octets to and fro for minutes, through echo, through a program for each
//! connection and through programs that accept for themselves.
//!
//! Clients send large pieces and single octets, read at once, slowly and not at
//! all, by turns, with small buffers and with large ones, while generations take
//! over and others' processes are killed. Every octet comes back, in its place;
//! nobody waits for ever; and nothing of it is left.

use crate::harness::{Client, MODELS, SOON, Server, eventually, let_time_pass, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};
use std::fmt;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long each model is soaked with each service.
const SPAN: Duration = Duration::from_secs(60);

/// How many clients there are at once. Each has a worker where that serves one.
const CLIENTS: usize = 6;

/// The most that goes to and fro on a connection, in octets.
const MOST: u64 = 4 << 20;

/// Between two reloads or kills.
const PAUSE: Duration = Duration::from_secs(2);

/// Who waits longer waits in vain: also the second look at a server that does
/// not read has come by then.
const STILL: Duration = SOON;

/// Debian's; another one may be a script that looks for it.
const PYTHON: &str = "/usr/bin/python3";

#[test]
#[ignore = "long"]
fn echo_is_soaked() {
    for model in MODELS {
        let pool = format!("service = \"echo\"\nmodel = \"{model}\"\n{}", size(model));
        // Such a worker has one client: then the killed one may be a neighbour.
        let victim = match model {
            "prefork" | "fork" => Victim::Neighbour,
            _ => Victim::Other(""),
        };
        soak(&format!("echo {model}"), &pool, "", victim, Habit::Rough);
    }
}

#[test]
#[ignore = "long"]
fn a_program_for_each_connection_is_soaked() {
    for model in MODELS {
        let pool = format!("service = \"exec\"\nmodel = \"{model}\"\n{}", size(model));
        let victim = Victim::Other("");
        let program = ".exec]\ncommand = [\"/bin/cat\"]\n";
        soak(
            &format!("exec {model}"),
            &pool,
            program,
            victim,
            Habit::Even,
        );
    }
}

#[test]
#[ignore = "long"]
fn programs_that_accept_for_themselves_are_soaked() {
    if !Path::new(PYTHON).exists() {
        eprintln!("skipped: {PYTHON} is not installed");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/long/echo.py");
    let program = format!(
        ".app]\ncommand = [\"{PYTHON}\", \"{}\", \"for POOL\"]\nready = \"400ms\"\n",
        script.display()
    );
    let pool = "service = \"app\"\nworkers = 2\n";
    soak(
        "app",
        pool,
        &program,
        Victim::Other("for other"),
        Habit::Even,
    );
}

/// More places than clients.
fn size(model: &str) -> &'static str {
    match model {
        "prefork" => "workers = 8\n",
        _ => "workers = 2\n",
    }
}

/// Who is killed now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// Who serves the one connection of a client that expects it, in the same pool.
    Neighbour,
    /// The worker of another pool, which has this in its title.
    Other(&'static str),
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Everything that they may.
    Rough,
    /// No small segments. A program that waits in write(2) may not hear of its
    /// client again, where the kernel drops one of them: see src/driver/connection/ahead.rs.
    Even,
}

/// A server with two pools alike, `soaked` and `other`, for [`SPAN`]. `pool` are
/// the keys of each; `program` is the rest of a table for its program, where POOL
/// is the name of the pool.
fn soak(name: &str, pool: &str, program: &str, victim: Victim, habit: Habit) {
    let table = |pool: &str| match program {
        "" => String::new(),
        program => format!("[pool.{pool}{}", program.replace("POOL", pool)),
    };
    let pools = format!(
        "[pool.soaked]\n{pool}listen = [\"127.0.0.1:0\", \
         {{ address = \"127.0.0.1:0\", rcvbuf = \"8KiB\", sndbuf = \"8KiB\" }}]\n{}\
         [pool.other]\n{}listen = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\n{}",
        table("soaked"),
        pool.replace("workers = 8", "workers = 2"),
        table("other"),
    );
    let master = "log = { to = \"stderr\", level = \"info\" }\ngraceful_timeout = \"60s\"\nmax_generations = 16";
    let mut server = Server::run_with(TempDir::new().unwrap(), master, &pools);
    for line in ["killed by SIGKILL", "died young", "for 127.0.0.1:"] {
        server.expect(line);
    }
    let before = leftovers(&server);
    let addresses: Vec<SocketAddr> = server
        .addresses_of("soaked")
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    let (connections, octets) = (AtomicU64::new(0), AtomicU64::new(0));
    let faults = Mutex::new(Vec::new());
    let end = Instant::now() + SPAN;
    let is_over = || Instant::now() >= end || !faults.lock().unwrap().is_empty();
    let sheet = Sheet::new();
    let (mut reloads, mut kills) = (0, 0);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (sheet, addresses) = (&sheet, &addresses);
            let (connections, octets, faults, is_over) = (&connections, &octets, &faults, &is_over);
            scope.spawn(move || {
                let mut random = Random::new(number);
                while !is_over() {
                    match converse(&mut random, sheet, habit, addresses) {
                        Ok(count) => {
                            connections.fetch_add(1, Ordering::Relaxed);
                            octets.fetch_add(count, Ordering::Relaxed);
                        }
                        Err(fault) => faults.lock().unwrap().push(format!("{number}: {fault}")),
                    }
                }
            });
        }
        while !is_over() {
            let_time_pass(PAUSE);
            if reloads > kills {
                kill(&server, victim);
                kills += 1;
            } else {
                server.reload(reloads + 2);
                reloads += 1;
            }
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{name}: {faults:#?}\n{}", counters());
    let (connections, octets) = (connections.into_inner(), octets.into_inner());
    println!(
        "{name}: {connections} connections, {octets} octets to and fro, {reloads} reloads, {kills} kills"
    );
    assert!(connections > CLIENTS as u64 && kills > 0, "{name}");
    // What drains is gone after a while, and a killed one is replaced.
    let look_until = Instant::now() + 2 * SOON;
    eventually("nothing is left of it", 3 * SOON, || {
        let after = leftovers(&server);
        assert!(
            after == before || Instant::now() < look_until,
            "{name}: {after:?} instead of {before:?}\n{}",
            server.log
        );
        (after == before).then_some(())
    });
    server.stop();
}

/// Ends a process at once, in which a client of its own is being served.
fn kill(server: &Server, victim: Victim) {
    let pool = match victim {
        Victim::Neighbour => "soaked",
        Victim::Other(_) => "other",
    };
    let mut witness = Client::connect(server.address(pool));
    witness.send("x");
    assert_eq!(witness.read(1), b"x");
    let name = witness.name().to_string();
    let is_it = |pid: &u32| {
        let title = process::title(*pid);
        match victim {
            Victim::Neighbour => title.split(' ').any(|word| word == name),
            // Not what an earlier one has left to the master.
            Victim::Other("") => title.contains("other[") && !title.contains(" draining"),
            Victim::Other(program) => title.contains(program),
        }
    };
    let found = eventually("who serves it", SOON, || {
        let mut all = match victim {
            Victim::Neighbour => process::descendants(server.pid()),
            Victim::Other(_) => server.workers(),
        };
        all.retain(is_it);
        all.first().copied()
    });
    let mark = server.log.mark();
    process::signal(found, Signal::SIGKILL);
    // The end of a worker, or of a child: src/master/crew.rs, src/driver/fork.rs.
    server.log.wait_for_after(mark, "killed by SIGKILL", SOON);
}

/// What there is of a server while nobody asks for anything.
#[derive(Debug, PartialEq, Eq)]
struct Leftovers {
    /// Descriptors of the master.
    descriptors: usize,
    /// Processes below the master, and those among them that nobody has reaped.
    processes: usize,
    zombies: usize,
}

fn leftovers(server: &Server) -> Leftovers {
    let below = process::descendants(server.pid());
    let is_zombie = |pid: &&u32| process::state(**pid) == Some('Z');
    Leftovers {
        descriptors: process::descriptors(server.pid()).len(),
        processes: below.len(),
        zombies: below.iter().filter(is_zombie).count(),
    }
}

/// What a kernel has dropped since it was started, for whoever looks for the
/// reason why a connection stands still.
fn counters() -> String {
    let output = Command::new("nstat").args(["-asz"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let wanted = |line: &&str| {
        ["RcvPruned", "RcvQDrop", "BeyondWindow"]
            .iter()
            .any(|name| line.contains(name))
    };
    let text = text.unwrap_or_default();
    text.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

/// The octets of all streams: each begins somewhere in it, and goes round.
struct Sheet(Vec<u8>);

impl Sheet {
    /// A prime number: what is lost or doubled is not a whole round.
    const ROUND: usize = 1_048_573;
    /// The most that is taken at a time.
    const PIECE: usize = 64 * 1024;

    fn new() -> Self {
        let mut random = Random::new(CLIENTS);
        let round: Vec<u8> = (0..Self::ROUND).map(|_| random.next() as u8).collect();
        Self([&round[..], &round[..Self::PIECE]].concat())
    }

    fn part(&self, start: u64, at: u64, length: usize) -> &[u8] {
        let from = ((start + at) % Self::ROUND as u64) as usize;
        &self.0[from..from + length]
    }
}

/// xorshift64: good enough for whims, and the same in each run.
struct Random(u64);

impl Random {
    fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    AtOnce,
    Slowly,
    Not,
}

/// How a client goes about it for a while.
struct Mood {
    reading: Reading,
    /// Octets sent or read at a time, at most.
    piece: usize,
    until: Instant,
}

impl Mood {
    fn new(random: &mut Random, habit: Habit) -> Self {
        let most = match (habit, random.below(4)) {
            (Habit::Rough, 0) => 8,
            (Habit::Rough, 1) => 1500,
            (_, 2) => 16 * 1024,
            (_, _) => Sheet::PIECE as u64,
        };
        let least = match habit {
            Habit::Rough => 1,
            Habit::Even => 8 * 1024,
        };
        Self {
            reading: match random.below(4) {
                0 => Reading::Not,
                1 => Reading::Slowly,
                _ => Reading::AtOnce,
            },
            piece: (least + random.below(most - least + 1)) as usize,
            until: Instant::now() + Duration::from_millis(1 + random.below(200)),
        }
    }
}

/// A connection, to its end; answers how much came back, or what went wrong.
fn converse(
    random: &mut Random,
    sheet: &Sheet,
    habit: Habit,
    addresses: &[SocketAddr],
) -> Result<u64, Fault> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Small buffers are for segments as they come from far away: of the loopback's
    // they do not hold a whole one, and then the kernel sends by its persist timer
    // alone, five times a second.
    let is_far = random.below(2) == 0;
    let address = addresses[if is_far { random.below(2) as usize } else { 0 }];
    if is_far {
        socket.set_tcp_mss(1400).unwrap();
    }
    if is_far && random.below(2) == 0 {
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket.set_send_buffer_size(8 * 1024).unwrap();
    }
    socket.set_tcp_nodelay(random.below(2) == 0).unwrap();
    let start = random.below(Sheet::ROUND as u64);
    let mut talk = Talk {
        length: 1 + random.below(MOST),
        sent: 0,
        received: 0,
        name: String::new(),
    };
    socket
        .connect_timeout(&address.into(), STILL)
        .map_err(|error| talk.fault(&error))?;
    socket.set_nonblocking(true).unwrap();
    let name = socket.local_addr().ok().and_then(|name| name.as_socket());
    talk.name = format!("{name:?} to {address}");
    let mut room = vec![0; Sheet::PIECE];
    let mut mood = Mood::new(random, habit);
    let (mut moved, mut finished) = (Instant::now(), false);
    while moved.elapsed() < STILL {
        if mood.until <= Instant::now() {
            mood = Mood::new(random, habit);
        }
        if talk.sent == talk.length && !finished {
            finished = true;
            // Where it fails the connection is gone, which is heard next.
            let _ = socket.shutdown(Shutdown::Write);
        }
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, mood.reading != Reading::Not);
        wanted.set(PollFlags::POLLOUT, talk.sent < talk.length);
        let left = mood.until.saturating_duration_since(Instant::now());
        if wanted.is_empty() {
            let_time_pass(left);
            continue;
        }
        let mut ready = [PollFd::new(socket.as_fd(), wanted)];
        let patience = PollTimeout::try_from(left.as_millis() + 1).unwrap();
        // A signal is no reason to stop.
        let _ = poll(&mut ready, patience);
        let found = ready[0].revents().unwrap_or(PollFlags::empty());
        if wanted.contains(PollFlags::POLLOUT) && found.contains(PollFlags::POLLOUT) {
            let count = mood.piece.min((talk.length - talk.sent) as usize);
            match socket.send(sheet.part(start, talk.sent, count)) {
                Ok(count) => (talk.sent, moved) = (talk.sent + count as u64, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(talk.fault(&error)),
            }
        }
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        if wanted.contains(PollFlags::POLLIN) && found.intersects(readable) {
            match (&socket).read(&mut room[..mood.piece]) {
                Ok(0) if talk.received == talk.length => return Ok(talk.length),
                Ok(0) => return Err(talk.fault(&"the end came early")),
                Ok(count) => {
                    let expected = sheet.part(start, talk.received, count);
                    if talk.received + count as u64 > talk.length || room[..count] != *expected {
                        return Err(talk.fault(&"these are other octets"));
                    }
                    (talk.received, moved) = (talk.received + count as u64, Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(talk.fault(&error)),
            }
            if mood.reading == Reading::Slowly {
                let_time_pass(Duration::from_millis(2));
            }
        }
    }
    Err(talk.fault(&"it stands still"))
}

/// How far a connection has come.
#[derive(Clone, Debug)]
struct Talk {
    length: u64,
    sent: u64,
    received: u64,
    name: String,
}

/// What went wrong, and where.
#[derive(Debug)]
struct Fault(String);

impl Talk {
    fn fault(&self, what: &dyn fmt::Display) -> Fault {
        Fault(format!("{what}: {self:?}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
