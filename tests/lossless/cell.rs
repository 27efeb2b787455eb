//! One cell of the matrix: a server brought into its condition, the operation,
//! and the accounts of all clients against what was promised.

use super::table::{Cell, Condition, Model, Operation, Promise, promise};
use crate::harness::crowd::{Crowd, Habit, Manners};
use crate::harness::ledger::{Fate, Fault, Ledger};
use crate::harness::{Client, SOON, Server, eventually, let_time_pass, preforkd, process};
use nix::sys::signal::Signal;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Threads of a worker of the model `threads`.
const THREADS: usize = 4;
/// Clients of each habit.
const CLIENTS: usize = 4;
/// Larger than what the kernel buffers for one connection.
const LARGE: u64 = 32 << 20;
/// The server's.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Who has no answer after so long waits behind somebody else.
const IN_VAIN: Duration = Duration::from_millis(300);
/// A worker without a master is gone after five seconds; the rest is for a busy
/// machine.
const ORPHANS: Duration = Duration::from_secs(20);
const INDEX: &[u8] = b"index\n";

/// Runs the cell; answers a line on what came of it. Panics where a promise
/// was not kept.
pub(crate) fn run(cell: Cell) -> String {
    let promise = promise(cell);
    let mut scene = Scene::set(cell);
    let asked = Instant::now();
    scene.operate();
    scene.settle();
    scene.judge(promise, asked)
}

pub(crate) fn site() -> TempDir {
    let directory = TempDir::new().unwrap();
    let www = directory.path().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("index.html"), INDEX).unwrap();
    let large = std::fs::File::create(www.join("large")).unwrap();
    large.set_len(LARGE).unwrap();
    directory
}

struct Scene {
    cell: Cell,
    server: Server,
    patrons: Vec<Patron>,
    crowds: Vec<Crowd>,
    /// The worker that was stopped.
    stopped: Option<u32>,
    ledger: Ledger,
}

/// A client in the middle of something.
enum Patron {
    /// It keeps its connection, and asks again when it likes.
    Kept(Client),
    /// It has sent half of its request.
    Sender(Client),
    /// It has read the beginning of a long answer, so much of the body.
    Reader(Client, u64),
}

impl Patron {
    fn kept(address: SocketAddr) -> Self {
        let request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        Self::Kept(begin(address, request, |client| {
            client
                .try_answer(true)
                .map(|answer| assert_eq!(answer.status, 200))
        }))
    }

    fn sender(address: SocketAddr) -> Self {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHo");
        Self::Sender(client)
    }

    fn reader(address: SocketAddr) -> Self {
        let request = "GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let mut begun = 0;
        let client = begin(address, request, |client| {
            client.try_answer(false)?;
            begun = client.held() as u64;
            Ok(())
        });
        Self::Reader(client, begun)
    }

    /// Goes on to the end. A client that was kept by a `stopped` worker for
    /// longer than a request may take may be told just that.
    fn finish(self, ledger: &mut Ledger, stopped: bool) {
        let since = Instant::now();
        let (outcome, name, what) = match self {
            Self::Kept(mut client) => {
                let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
                let name = client.stream.local_addr().ok();
                (ask(&mut client, request, stopped), name, "kept connection")
            }
            Self::Sender(mut client) => {
                let name = client.stream.local_addr().ok();
                let rest = b"st: test\r\nConnection: close\r\n\r\n";
                (ask(&mut client, rest, stopped), name, "slow request")
            }
            Self::Reader(mut client, begun) => {
                let name = client.stream.local_addr().ok();
                let total = client
                    .try_read_to_end()
                    .map(|rest| begun + rest.len() as u64);
                let outcome = match total {
                    Ok(total) if total == LARGE => Ok(true),
                    Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) => Err(error),
                };
                (outcome, name, "slow reader")
            }
        };
        let at = Instant::now();
        let fate = match &outcome {
            Ok(true) => return ledger.serve(at, at - since),
            Ok(false) => Fate::Wrong,
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Fate::CutShort,
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fate::TimedOut,
                _ => Fate::Reset,
            },
        };
        ledger.faults.push(Fault {
            fate,
            at,
            client: name,
            detail: format!("{what}: {outcome:?}"),
        });
    }
}

/// A request, up to where its answer has begun. The kernel deals reuseport
/// clients out by a hash: whoever comes to the queue of a worker that is busy
/// with another of these clients tries again.
fn begin(
    address: SocketAddr,
    request: &str,
    mut answered: impl FnMut(&mut Client) -> io::Result<()>,
) -> Client {
    eventually("a worker that is free", SOON, || {
        let mut client = Client::connect(address);
        let usual = client.stream.read_timeout().unwrap();
        client.stream.set_read_timeout(Some(IN_VAIN)).unwrap();
        client.send(request);
        answered(&mut client).ok()?;
        client.stream.set_read_timeout(usual).unwrap();
        Some(client)
    })
}

fn ask(client: &mut Client, bytes: &[u8], stopped: bool) -> io::Result<bool> {
    client.stream.write_all(bytes)?;
    let answer = client.try_answer(true)?;
    let late = stopped && answer.status == 408;
    Ok(late || answer.status == 200 && answer.body == INDEX)
}

impl Scene {
    /// The server, in the cell's condition.
    fn set(cell: Cell) -> Self {
        let (workers, keys) = size(cell);
        let (patience, header) = match cell.condition {
            // Long enough to see that it hangs, and to empty the queue it leaves.
            Condition::Hung => ("10s", ""),
            // Who is slow is not too slow, also on a busy machine.
            Condition::Idle | Condition::Load | Condition::Slow | Condition::Backlog => {
                ("30s", "http.header_timeout = \"60s\"")
            }
        };
        let master = format!(
            "log = {{ to = \"stderr\", level = \"info\" }}\ncontrol_socket = \"control\"\n\
             pid_file = \"pid\"\ngraceful_timeout = \"{patience}\""
        );
        let pools = format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nhttp.root = \"www\"\n\
             model = \"{}\"\naccept = \"{}\"\nworkers = {workers}\nlinger_timeout = \"100ms\"\n\
             http.keepalive_timeout = \"{}s\"\nhttp.keepalive_requests = 20\n{header}\n{keys}\n",
            cell.model.name(),
            cell.accept.name(),
            KEEPALIVE.as_secs()
        );
        if cell.operation == Operation::Usr2 {
            process::adopt_orphans();
        }
        let mut server = Server::run_with(site(), &master, &pools);
        if cell.condition == Condition::Hung {
            for line in [
                "no sign of life",
                "has not finished in time",
                "SIGKILL",
                "stopping at once",
                "for 127.0.0.1:",
            ] {
                server.expect(line);
            }
        }
        match cell.operation {
            Operation::KillWorker => {
                for line in ["killed by SIGKILL", "died young", "for 127.0.0.1:"] {
                    server.expect(line);
                }
            }
            Operation::KillMaster => server.expect("the master is gone"),
            Operation::Term
            | Operation::Hup
            | Operation::Usr1
            | Operation::Usr2
            | Operation::Ttin
            | Operation::Ttou
            | Operation::Winch => {}
        }
        let mut scene = Self {
            cell,
            server,
            patrons: Vec::new(),
            crowds: Vec::new(),
            stopped: None,
            ledger: Ledger::default(),
        };
        scene.prepare();
        scene
    }

    fn prepare(&mut self) {
        let address = self.server.address("web");
        match self.cell.condition {
            Condition::Idle => self
                .patrons
                .extend([Patron::kept(address), Patron::kept(address)]),
            Condition::Load => {
                self.gather();
                self.crowds.iter().for_each(|crowd| crowd.wait_for(20));
            }
            Condition::Slow => {
                self.patrons
                    .extend([Patron::sender(address), Patron::reader(address)]);
                self.find_busy();
            }
            Condition::Hung => {
                self.patrons.push(Patron::sender(address));
                let victim = self.find_busy();
                process::signal(victim, Signal::SIGSTOP);
                self.stopped = Some(victim);
                self.gather();
                self.crowds.iter().for_each(|crowd| crowd.wait_for(1));
            }
            Condition::Backlog => {
                fill(address, &mut self.patrons);
                self.find_busy();
                self.gather();
            }
        }
    }

    /// Clients come.
    fn gather(&mut self) {
        for habit in [Habit::KeepAlive, Habit::Fresh] {
            self.crowds.push(Crowd::start(Manners {
                address: self.server.address("web"),
                path: "/".to_owned(),
                body: INDEX.to_vec(),
                habit,
                clients: CLIENTS,
                think: Duration::ZERO..Duration::from_millis(20),
                patience: SOON,
                keepalive: KEEPALIVE,
                seed: 7,
            }));
        }
    }

    /// A worker that has a connection.
    fn find_busy(&self) -> u32 {
        let serving = eventually("somebody serves", SOON, || {
            let everyone = process::descendants(self.server.pid());
            let busy = |pid: &u32| {
                let title = process::title(*pid);
                ["reading", "serving", "keep-alive"]
                    .iter()
                    .any(|word| title.contains(word))
            };
            everyone.into_iter().find(busy)
        });
        let workers = self.server.workers();
        let parent = || process::parent(serving).filter(|pid| workers.contains(pid));
        if workers.contains(&serving) {
            serving
        } else {
            parent().unwrap_or(workers[0])
        }
    }

    fn operate(&mut self) {
        let (workers, _) = size(self.cell);
        match self.cell.operation {
            Operation::Term => {
                self.server.signal(Signal::SIGTERM);
                self.server.log.wait_for("stopping: no new clients", SOON);
            }
            Operation::Hup => self.server.reload(2),
            Operation::Usr1 => {
                self.server.signal(Signal::SIGUSR1);
                // The line on which this relies: `reopen` in src/master/orders.rs.
                self.server.log.wait_for("log reopened", SOON);
            }
            Operation::Usr2 => {
                let control = self.server.directory.path().join("control");
                let mut command = preforkd();
                command
                    .args(["upgrade", "--wait", "--control"])
                    .arg(control);
                let output = crate::harness::server::outcome(command);
                assert!(output.status.success(), "{output:?}\n{}", self.server.log);
            }
            Operation::Ttin => {
                (1..=2).for_each(|more| self.resize(Signal::SIGTTIN, workers + more))
            }
            Operation::Ttou => {
                (1..workers)
                    .rev()
                    .for_each(|left| self.resize(Signal::SIGTTOU, left));
            }
            Operation::Winch => {
                self.server.signal(Signal::SIGWINCH);
                // For a while nobody serves: there is nothing to wait for but time.
                let_time_pass(Duration::from_millis(200));
                self.server.reload(2);
            }
            Operation::KillWorker => {
                let victim = self.stopped.unwrap_or_else(|| self.find_busy());
                process::signal(victim, Signal::SIGKILL);
                // The line on which this relies: see src/master/crew/report.rs.
                self.server
                    .log
                    .wait_for(&format!("pid {victim} gen 1"), SOON);
            }
            Operation::KillMaster => {
                self.server.signal(Signal::SIGKILL);
                self.server.wait(SOON);
                if let Some(stopped) = self.stopped {
                    // Not even SIGALRM ends a process that is stopped.
                    process::signal(stopped, Signal::SIGCONT);
                }
            }
        }
    }

    /// The old master has left; the new one, which is not our child, is told
    /// to stop. It is in the process group of the old one, which ends whatever
    /// is left in it when the server is dropped.
    fn stop_heir(&mut self) {
        let status = self.server.wait(SOON);
        assert!(status.success(), "{status}:\n{}", self.server.log);
        let pid_file = self.server.directory.path().join("pid");
        let heir: u32 = std::fs::read_to_string(pid_file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(process::is_alive(heir) && heir != self.server.pid());
        process::signal(heir, Signal::SIGTERM);
        self.server.assert_nobody_left();
        process::reap(heir);
        self.server.assert_no_complaints();
    }

    fn resize(&self, signal: Signal, workers: usize) {
        self.server.signal(signal);
        // The line on which this relies: `resize` in src/master/scale.rs.
        let line = format!("pool web gets {workers} workers");
        self.server.log.wait_for(&line, SOON);
    }

    /// Everybody finishes, and the server too.
    fn settle(&mut self) {
        for patron in std::mem::take(&mut self.patrons) {
            patron.finish(&mut self.ledger, self.stopped.is_some());
        }
        let ends = match self.cell.operation {
            Operation::Term => {
                self.server.wait(SOON);
                true
            }
            Operation::KillMaster => {
                let group = self.server.pid();
                eventually("the orphans are gone", ORPHANS, || {
                    process::group(group).is_empty().then_some(())
                });
                true
            }
            Operation::Hup
            | Operation::Usr1
            | Operation::Usr2
            | Operation::Ttin
            | Operation::Ttou
            | Operation::Winch
            | Operation::KillWorker => false,
        };
        if let Some(stopped) = self.stopped {
            eventually("the stopped worker is gone", SOON, || {
                (!process::is_alive(stopped)).then_some(())
            });
        }
        for crowd in self.crowds.drain(..) {
            if !ends {
                crowd.wait_for(20);
            }
            self.ledger.add(crowd.stop());
        }
        if ends {
            let address = self.server.address("web");
            // A process is a zombie a moment before the last of its threads is gone.
            eventually("nobody listens any more", SOON, || {
                TcpStream::connect(address).err()
            });
        }
    }

    /// The accounts against the promise, and a good end.
    fn judge(mut self, promise: Promise, asked: Instant) -> String {
        let everybody = 2 * CLIENTS + 2;
        let one = self.cell.model.clients_of_one(THREADS, everybody);
        // What is killed because it hangs takes its children along.
        let hung = match (self.cell.model, self.cell.condition) {
            (Model::Fork, Condition::Hung) => everybody,
            _ => one,
        };
        let (lost, refused) = match promise {
            Promise::Everything => (0, false),
            Promise::UntilTheEnd => (0, true),
            Promise::AllButOneProcess => (hung, false),
            Promise::UntilTheEndButOneProcess => (hung, true),
            Promise::OnlyWhatIsBegun => (usize::MAX, true),
        };
        let ledger = &self.ledger;
        let text = format!("{}: {ledger}\n{}", self.cell, ledger.complaints());
        assert!(ledger.lost() <= lost, "{text}\n{}", self.server.log);
        // Only a process that is killed closes under a client's feet, and only
        // one that is stopped lets a client wait in vain.
        let killed = self.stopped.is_some() || self.cell.operation == Operation::KillWorker;
        for (fate, excused) in [
            (Fate::TimedOut, self.stopped.is_some()),
            (Fate::ClosedIdle, killed),
            (Fate::Wrong, false),
        ] {
            let none = ledger.count(fate) == 0;
            assert!(none || excused, "{text}\n{}", self.server.log);
        }
        let mut early = ledger.faults.iter().filter(|one| one.fate == Fate::Refused);
        let good = early.all(|one| refused && one.at >= asked);
        assert!(good, "{text}\n{}", self.server.log);
        match self.cell.operation {
            Operation::Term => self.server.assert_good_end(),
            Operation::KillMaster => self.server.assert_no_complaints(),
            Operation::Usr2 => self.stop_heir(),
            Operation::Hup
            | Operation::Usr1
            | Operation::Ttin
            | Operation::Ttou
            | Operation::Winch
            | Operation::KillWorker => self.server.stop(),
        }
        format!("✓ {}", self.ledger)
    }
}

/// How many workers, and further keys.
const fn size(cell: Cell) -> (usize, &'static str) {
    const FEW: &str = "backlog = 1\nthreads_per_worker = 1";
    const HUNG: &str = "worker_timeout = \"1s\"\nhttp.header_timeout = \"2s\"";
    match (cell.condition, cell.model) {
        (Condition::Backlog, Model::Prefork) => (2, "backlog = 1"),
        (Condition::Backlog, Model::Event | Model::Fork) => (2, "backlog = 1\nmax_connections = 1"),
        (Condition::Backlog, Model::Threads) => (2, FEW),
        (Condition::Hung, Model::Prefork) => (8, HUNG),
        (Condition::Hung, Model::Threads) => (
            3,
            "threads_per_worker = 4\nworker_timeout = \"1s\"\nhttp.header_timeout = \"2s\"",
        ),
        (Condition::Hung, Model::Event | Model::Fork) => (3, HUNG),
        (_, Model::Prefork) => (8, ""),
        (_, Model::Threads) => (3, "threads_per_worker = 4"),
        (_, Model::Event | Model::Fork) => (3, ""),
    }
}

/// Slow clients, until every queue at this address is full.
fn fill(address: SocketAddr, patrons: &mut Vec<Patron>) {
    // A queue has room for one more than the backlog says (listen(2)).
    let is_full = || process::queues(address).iter().all(|&waiting| waiting > 1);
    eventually("the queues are full", SOON, || {
        let connected = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        if let Ok(stream) = connected {
            let mut client = Client::of(stream);
            client.send("GET / HTTP/1.1\r\nHo");
            patrons.push(Patron::Sender(client));
        }
        is_full().then_some(())
    });
}
