//! The running program.

use super::log::Log;
use super::{SOON, eventually, process};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The program, to be given arguments.
pub(crate) fn preforkd() -> Command {
    let mut command = Command::new(program());
    command.stdin(Stdio::null());
    command
}

/// Runs `command` to its end, which includes that nobody it leaves behind
/// keeps its output open; within the usual time.
pub(crate) fn outcome(mut command: Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = wait.recv_timeout(SOON);
    output
        .unwrap_or_else(|_| panic!("{command:?} has not ended, or left its output open"))
        .unwrap()
}

/// Where the program is.
pub(crate) fn program() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("preforkd").to_path_buf()
}

/// A master in the foreground, and its workers.
pub(crate) struct Server {
    child: Child,
    pub(crate) log: Log,
    pub(crate) directory: TempDir,
    addresses: BTreeMap<String, Vec<String>>,
    expected: Vec<String>,
    ended: Option<ExitStatus>,
}

impl Server {
    /// `preforkd serve` with these arguments, on a port that the kernel chose
    /// unless the arguments say where.
    pub(crate) fn serve(arguments: &[&str]) -> Self {
        let mut command = preforkd();
        // What follows `--` is a program's.
        command.args(["serve", "-vv"]);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(arguments);
        Self::launch(command, TempDir::new().unwrap())
    }

    /// `preforkd run` with a configuration that holds `pools`, and a `[master]`
    /// table that logs everything to standard error.
    pub(crate) fn run(pools: &str) -> Self {
        Self::run_with(TempDir::new().unwrap(), "", pools)
    }

    /// As [`Server::run`], in a directory that may hold files already, with
    /// more keys for `[master]`.
    pub(crate) fn run_with(directory: TempDir, master: &str, pools: &str) -> Self {
        let path = write_configuration(directory.path(), master, pools);
        let mut command = preforkd();
        command.arg("run").arg("-c").arg(path);
        Self::launch(command, directory)
    }

    /// Starts `command` and waits until it says where it listens.
    pub(crate) fn launch(command: Command, directory: TempDir) -> Self {
        let mut server = Self::spawn(command, directory);
        server.wait_for_generation(1);
        server
    }

    /// As [`Server::launch`], with a log that is not on standard error: there
    /// is one line, for whoever started it. Addresses are not noted.
    pub(crate) fn launch_with_log_file(command: Command, directory: TempDir) -> Self {
        let server = Self::spawn(command, directory);
        server.log.wait_for("preforkd: listening on ", SOON);
        server
    }

    fn spawn(mut command: Command, directory: TempDir) -> Self {
        let child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            log: Log::default(),
            directory,
            addresses: BTreeMap::new(),
            expected: Vec::new(),
            ended: None,
        };
        server.log.follow(server.child.stdout.take().unwrap());
        server.log.follow(server.child.stderr.take().unwrap());
        server
    }

    /// Waits until this generation has taken over, and takes note of where it
    /// listens.
    pub(crate) fn wait_for_generation(&mut self, number: u32) {
        // The line on which all tests rely: see `promote` in src/master/orders.rs.
        let start = format!("generation {number} serves: ");
        let line = self.log.wait_for(&start, SOON);
        let (_, places) = line.split_once("serves: ").unwrap();
        self.addresses.clear();
        for pool in places.split(", ") {
            let mut words = pool.split(' ').map(str::to_owned);
            let name = words.next().unwrap();
            self.addresses.insert(name, words.collect());
        }
    }

    /// Where the pool listens: its first address.
    pub(crate) fn address(&self, pool: &str) -> SocketAddr {
        self.addresses_of(pool)[0].parse().unwrap()
    }

    /// Every place where the pool listens, as the log names it.
    pub(crate) fn addresses_of(&self, pool: &str) -> &[String] {
        let found = self.addresses.get(pool);
        found.unwrap_or_else(|| panic!("no pool {pool} in {:?}", self.addresses))
    }

    /// Names of the pools, as the log has them.
    pub(crate) fn pools(&self) -> Vec<&str> {
        self.addresses.keys().map(String::as_str).collect()
    }

    /// The master.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The living workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let mut pids = process::children(self.pid());
        pids.retain(|&pid| process::is_alive(pid));
        pids
    }

    /// Waits until exactly `count` workers live whose title holds `text`.
    pub(crate) fn wait_for_workers(&self, count: usize, text: &str) -> Vec<u32> {
        let found = || {
            let mut workers = self.workers();
            workers.retain(|&pid| process::title(pid).contains(text));
            workers
        };
        let what = || {
            let titles: Vec<_> = self.workers().into_iter().map(process::title).collect();
            format!("{count} workers with {text:?}: {titles:?}\n{}", self.log)
        };
        let deadline = std::time::Instant::now() + SOON;
        eventually("workers of that kind", SOON + SOON, || {
            let workers = found();
            assert!(std::time::Instant::now() < deadline, "{}", what());
            (workers.len() == count).then_some(workers)
        })
    }

    /// Lines with this in them are no complaints in this test.
    pub(crate) fn expect(&mut self, pattern: &str) {
        self.expected.push(pattern.to_owned());
    }

    /// Sends the master a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Writes the configuration anew; nobody reads it before a reload.
    pub(crate) fn configure(&self, master: &str, pools: &str) {
        write_configuration(self.directory.path(), master, pools);
    }

    /// Where the configuration is.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.directory.path().join("preforkd.toml")
    }

    /// A reload, to its end: generation `number` has taken over.
    pub(crate) fn reload(&mut self, number: u32) {
        // On a busy machine the drains are overtaken.
        self.expect("as many generations live as may");
        self.signal(Signal::SIGHUP);
        self.wait_for_generation(number);
    }

    /// Waits for the master to end.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let (child, log) = (&mut self.child, &self.log);
        let deadline = std::time::Instant::now() + patience;
        let status = eventually("the master ends", patience + SOON, || {
            let status = child.try_wait().unwrap();
            assert!(
                status.is_some() || std::time::Instant::now() < deadline,
                "the master has not ended:\n{log}"
            );
            status
        });
        self.ended = Some(status);
        status
    }

    /// A graceful stop: it must succeed, leave nobody behind, and have nothing
    /// to complain of.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        self.assert_good_end();
    }

    /// As [`Server::stop`], and then a look at what is left in its directory.
    pub(crate) fn stop_leaving(mut self, look: impl FnOnce(&Path)) {
        self.signal(Signal::SIGTERM);
        self.assert_good_end();
        look(self.directory.path());
    }

    /// As [`Server::stop`], for a master that ends by itself.
    pub(crate) fn assert_good_end(&mut self) {
        let status = self.wait(SOON);
        assert_eq!(status.code(), Some(0), "{status}:\n{}", self.log);
        self.assert_nobody_left();
        self.assert_no_complaints();
    }

    /// That no process of this server is left, now or in a moment; the log is
    /// whole then.
    pub(crate) fn assert_nobody_left(&self) {
        let group = self.pid();
        eventually("no process is left behind", SOON, || {
            process::group(group).is_empty().then_some(())
        });
        self.log.wait_for_end(SOON);
    }

    /// That the log has no error and no warning that was not expected.
    pub(crate) fn assert_no_complaints(&self) {
        let complaints = self.log.complaints(&self.expected);
        assert!(complaints.is_empty(), "{complaints:#?}\nin:\n{}", self.log);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // As long as somebody is in the group, or the master has not been
        // reaped, its number can be nobody else's.
        let group = self.child.id();
        if self.ended.is_none() || !process::group(group).is_empty() {
            let id = nix::unistd::Pid::from_raw(i32::try_from(group).unwrap());
            let _ = nix::sys::signal::killpg(id, Signal::SIGKILL);
        }
        if self.ended.is_none() {
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log);
        }
    }
}

/// Writes `preforkd.toml` in `directory`; answers its path.
pub(crate) fn write_configuration(directory: &Path, master: &str, pools: &str) -> PathBuf {
    let path = directory.join("preforkd.toml");
    let log = if master.contains("log =") {
        ""
    } else {
        "log = { to = \"stderr\", level = \"debug\" }\n"
    };
    std::fs::write(&path, format!("[master]\n{log}{master}\n{pools}\n")).unwrap();
    path
}
