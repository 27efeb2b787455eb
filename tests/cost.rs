//! What a request may cost, in what does not depend on how busy the machine
//! is: instructions, calls for memory, readings of the clock, system calls.
//!
//! It runs the release build of the program under callgrind and under strace,
//! and holds it to [`PRICES`] and [`turns::TURNS`]. Who makes a request dearer
//! sees here what it costs and where; who makes it cheaper is asked to write
//! that down, so that it is not lost again. Both are told the line for the table.
//!
//! Wants valgrind and strace, and for the latter that it may look at processes
//! that are not its children: root, or 0 in /proc/sys/kernel/yama/ptrace_scope.
//! `.ci/run` installs them.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;
#[path = "cost/profile.rs"]
mod profile;
#[path = "cost/trace.rs"]
mod trace;
#[path = "cost/turns.rs"]
mod turns;
#[path = "cost/work.rs"]
mod work;

use harness::Server;
use harness::server::{outcome, program, write_configuration};
use profile::Profile;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use work::{Site, Work};

/// What a request costs, as it was measured.
#[derive(Clone, Copy, Debug)]
struct Price {
    model: &'static str,
    work: Work,
    /// In user space; what the kernel does with its calls is not among them.
    instructions: f64,
    /// How often memory is asked for.
    allocations: f64,
    /// How often a clock is read.
    clocks: f64,
}

const fn price(
    model: &'static str,
    work: Work,
    instructions: u32,
    allocations: f64,
    clocks: f64,
) -> Price {
    Price {
        model,
        work,
        instructions: instructions as f64,
        allocations,
        clocks,
    }
}

/// With what the prices were measured. Another compiler or C library has
/// others; another processor has not, for valgrind shows the same to all, on
/// which the C library and memchr choose their routines.
const MEASURED_WITH: &str = "x86_64, rustc 1.95.0, glibc 2.36, valgrind-3.19.0";
/// The prices, a line a work. The models `threads` and `fork` serve with the
/// code of `prefork`.
#[rustfmt::skip]
const PRICES: &[Price] = &[
    price("event", Work::Small, 3873, 0.00, 2.00),
    price("event", Work::Varied, 10035, 0.00, 2.00),
    price("event", Work::Logged, 5421, 0.00, 3.00),
    price("event", Work::Pipelined, 2212, 0.00, 0.12),
    price("event", Work::Fresh, 8169, 2.00, 4.00),
    price("event", Work::Unchanged, 5726, 0.00, 2.00),
    price("event", Work::Large, 3854, 0.00, 2.00),
    price("event", Work::Echo, 1597, 0.00, 2.00),
    price("prefork", Work::Small, 3504, 0.00, 2.00),
    price("prefork", Work::Varied, 9671, 0.00, 2.00),
    price("prefork", Work::Logged, 5043, 0.00, 3.00),
    price("prefork", Work::Pipelined, 2191, 0.00, 0.12),
    price("prefork", Work::Fresh, 10057, 1.00, 4.00),
    price("prefork", Work::Unchanged, 5359, 0.00, 2.00),
    price("prefork", Work::Large, 5190, 0.00, 2.00),
    price("prefork", Work::Echo, 1229, 0.00, 2.00),
];

/// By how much more, or less, instructions may differ from the price. Runs of
/// the same program differ by a thousandth.
const DEARER: f64 = 0.03;
const CHEAPER: f64 = 0.05;
/// By how much a number of calls may: ten times a second, however many requests
/// there are meanwhile, a file is opened anew.
const SLACK: f64 = 0.05;
/// What only time brings may fall into either run: a price that is not as it
/// was is measured again.
const TRIES: usize = 3;
/// Requests of the shorter run; the longer one has thrice as many, and what
/// both have in common, start and end, is in neither result.
const REQUESTS: usize = 400;

impl std::fmt::Display for Price {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "price({:?}, Work::{:?}, {:.0}, {:.2}, {:.2}),",
            self.model, self.work, self.instructions, self.allocations, self.clocks
        )
    }
}

impl Price {
    /// What is dearer in `now`.
    fn raised_in(&self, now: &Self) -> Vec<&'static str> {
        let executes = now.instructions > self.instructions * (1.0 + DEARER);
        let allocates = now.allocations > self.allocations + SLACK;
        let reads = now.clocks > self.clocks + SLACK;
        let found = [
            executes.then_some("instructions"),
            allocates.then_some("calls for memory"),
            reads.then_some("readings of a clock"),
        ];
        found.into_iter().flatten().collect()
    }

    /// Whether `now` is so much cheaper that this would hide a later rise.
    fn lowered_in(&self, now: &Self) -> bool {
        now.instructions < self.instructions * (1.0 - CHEAPER)
            || now.allocations < self.allocations - SLACK
            || now.clocks < self.clocks - SLACK
    }
}

/// The profile of the worker that served `count` requests.
fn profile(model: &str, work: Work, site: &Site, count: usize) -> Profile {
    let directory = TempDir::new().unwrap();
    let master = "log = { to = \"stderr\", level = \"info\" }";
    let path = write_configuration(directory.path(), master, &work.pool(model, site));
    let shown = directory.path().display();
    let mut command = Command::new("valgrind");
    command
        .stdin(Stdio::null())
        // Titles are written over the arguments of the process, which are
        // valgrind's; these it copies.
        .env(
            "VALGRIND_OPTS",
            format!(
                "--vgdb=no --log-file={shown}/valgrind.%p --callgrind-out-file={shown}/profile.%p"
            ),
        )
        .arg("--tool=callgrind")
        .arg(program())
        .args(["run", "-c"])
        .arg(path);
    let server = Server::launch(command, directory);
    let [worker] = server.workers()[..] else {
        panic!("not one worker: {:?}", server.workers());
    };
    work.perform(server.address("work"), worker, model, count);
    let mut found = Profile::default();
    server.stop_leaving(|directory| {
        found = Profile::read(&directory.join(format!("profile.{worker}")));
    });
    found
}

/// What a request of a kind costs, and the bill for those that were counted.
fn measure(model: &'static str, work: Work, site: &Site) -> (Price, Profile) {
    let short = profile(model, work, site, REQUESTS);
    let difference = profile(model, work, site, 3 * REQUESTS).minus(&short);
    let each = |count: i64| count as f64 / (2 * REQUESTS) as f64;
    let price = Price {
        model,
        work,
        instructions: each(difference.instructions()),
        allocations: each(difference.allocations()).max(0.0),
        clocks: each(difference.clocks()).max(0.0),
    };
    (price, difference)
}

/// Where the instructions are.
fn bill(difference: &Profile) -> String {
    let rows = difference.dearest(10).into_iter().map(|(name, cost)| {
        let each = cost as f64 / (2 * REQUESTS) as f64;
        let name: String = name.chars().take(100).collect();
        format!("    {each:8.1}  {name}\n")
    });
    rows.collect()
}

/// What compiled the program, what it is linked with, and what counts.
fn tools() -> String {
    let bytes = std::fs::read(program()).unwrap();
    // The compiler leaves its name in the section .comment.
    let mark = b"rustc version ";
    let at = bytes.windows(mark.len()).position(|part| part == mark);
    let name = &bytes[at.unwrap() + mark.len()..];
    let end = name.iter().position(|byte| b" \0".contains(byte)).unwrap();
    let rustc = String::from_utf8_lossy(&name[..end]).into_owned();
    let said = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument);
        let output = outcome(command).stdout;
        String::from_utf8(output).unwrap().trim().to_owned()
    };
    format!(
        "{}, rustc {rustc}, {}, {}",
        std::env::consts::ARCH,
        said("getconf", "GNU_LIBC_VERSION"),
        said("valgrind", "--version")
    )
}

fn assert_prices(model: &'static str) {
    if cfg!(debug_assertions) {
        panic!("the release build is measured: cargo test --release --test cost -- --ignored");
    }
    let tools = tools();
    let site = Site::new();
    let mut faults = String::new();
    for price in PRICES.iter().filter(|price| price.model == model) {
        let mut tries = 0;
        let (now, difference) = loop {
            tries += 1;
            let (now, difference) = measure(model, price.work, &site);
            println!("    {now}");
            let same = price.raised_in(&now).is_empty() && !price.lowered_in(&now);
            if same || tries == TRIES {
                break (now, difference);
            }
        };
        let raised = price.raised_in(&now);
        if !raised.is_empty() {
            faults += &format!(
                "dearer ({}):\n  was {price}\n  now {now}\n  instructions a request, where most are:\n{}",
                raised.join(", "),
                bill(&difference)
            );
        } else if price.lowered_in(&now) && tools == MEASURED_WITH {
            faults +=
                &format!("cheaper, which the table should know:\n  was {price}\n  now {now}\n");
        }
    }
    assert!(
        faults.is_empty(),
        "{model}, with {tools}; prices are of {MEASURED_WITH}:\n{faults}"
    );
}

#[test]
#[ignore = "peers: needs valgrind, a release build"]
fn an_event_loop_keeps_its_prices() {
    assert_prices("event");
}

#[test]
#[ignore = "peers: needs valgrind, a release build"]
fn a_prefork_worker_keeps_its_prices() {
    assert_prices("prefork");
}
