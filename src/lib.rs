//! preforkd: a prefork multiprocess server for Linux, as a program and as a
//! crate.
//!
//! A *master* binds, listens and forks *workers*; the workers accept and
//! serve; the master reaps, respawns, reloads and stops them, and never touches
//! a client. As a program it is configured by a file and controlled by signals;
//! as a crate it does the same for a service of your own:
//!
//! ```no_run
//! use preforkd::protocol::{Action, CloseReason, Ending, Manner, Outcome, Peer, Protocol, Turn};
//! use preforkd::{Server, config};
//!
//! /// Says hello, and goodbye.
//! struct Hello;
//!
//! impl Protocol for Hello {
//!     fn resume(&mut self, _: Outcome, turn: &mut Turn<'_>) -> Action<'_> {
//!         turn.output.push(b"hello\n");
//!         Action::Close(Ending { reason: CloseReason::Complete, manner: Manner::Linger })
//!     }
//! }
//!
//! let mut pool = config::Pool::with_defaults("hello", config::Service::Custom);
//! pool.listen = vec![config::parse_listen("127.0.0.1:7777")?.into()];
//! let config = config::Config { master: config::Master::with_defaults(), pools: vec![pool] };
//! let status = Server::new(config)
//!     .service("hello", |_: &Peer| Box::new(Hello) as Box<dyn Protocol>)
//!     .run()?;
//! std::process::exit(status.into());
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The architecture, in the order in which it is best read
//!
//! Two ideas hold it up.
//!
//! **Sans-IO, twice.** What decides does no input or output. A
//! [`protocol`] is a state machine from bytes and time to bytes and actions
//! (read [`protocol::echo`] first); the [`master::supervisor`] is one from
//! events and time to commands. [`driver`]s and the [`master`] carry out what
//! these ask. So every transition can be tested without a socket or a fork, and
//! each protocol runs on each model.
//!
//! **One direction.** Nothing points back:
//!
//! ```text
//! main ─▶ command ─▶ master ─▶ worker ─▶ driver ─▶ protocol's contract
//!                      │          └─────▶ protocols
//!                      ├─▶ supervisor, pool (pure)
//!                      └─▶ net, log, scoreboard ─▶ sys (all that is unsafe)
//! ```
//!
//! - [`config`]: a file, checked, becomes one immutable value per generation.
//! - [`net`]: listeners, made by the master, kept over reloads.
//! - [`master`]: the loop; [`master::crew`]: workers as processes.
//! - [`worker`]: what a new process does first, in its order.
//! - [`driver`]: how to wait: [`driver::blocking`] and [`driver::event`];
//!   [`driver::connection`] is what they have in common, and
//!   [`driver::program`] a program that runs beside one, [`driver::session`] one
//!   that has it to itself. [`driver::datagram`] has no connections.
//! - [`protocol::proxy`]: who the client is, where a proxy says so before it speaks.
//! - [`scoreboard`]: what everybody knows of everybody, in shared memory.
//! - [`admission`]: who is let in, by limits that all workers of a pool share;
//!   [`driver::gate`] is where it is asked.
//! - [`status`]: what is shown of it, and by which words;
//!   [`status::reading`] takes it from the scoreboard, in whatever process.
//! - [`client`]: the other side: from the name of a place to a connected socket;
//!   [`client::http`] is the other end of HTTP, and pure.
//! - [`manual`]: what the program prints of itself: pages, completions, every key.
//! - [`escape`]: what a character must not be able to do in a line.
//! - [`probe`]: the rules that a server's clients can see, as data, and their verdicts.
//! - [`mix`]: numbers from octets, for tables and tags.
//! - [`sys`]: the only `unsafe` code.

pub mod admission;
pub mod calendar;
pub mod cli;
pub mod client;
pub mod command;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod escape;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod log;
pub mod manual;
pub mod master;
pub mod mix;
pub mod net;
pub mod probe;
pub mod protocol;
pub mod scoreboard;
pub mod status;
pub mod sys;
pub mod worker;

use master::generation::Services;
use master::{Master, Source, StartFailure};
use std::sync::Arc;

/// A server inside another program.
///
/// It forks, so it must be run while the process has a single thread, and the
/// process is the master until it ends. The master waits for every child of the
/// process, its own or not: the exit status of another one is lost.
pub struct Server {
    config: config::Config,
    services: Services,
}

impl Server {
    /// A server for `config`, in which pools with [`config::Service::Custom`]
    /// want a [`Server::service`] each.
    pub fn new(config: config::Config) -> Self {
        Self {
            config,
            services: Services::new(),
        }
    }

    /// What the pool named `pool` serves: a closure from the peer to a
    /// [`protocol::Protocol`], or any [`protocol::Service`].
    #[must_use]
    pub fn service(mut self, pool: &str, service: impl protocol::Service + 'static) -> Self {
        self.services.insert(pool.to_owned(), Arc::new(service));
        self
    }

    /// Serves until it is told to stop by a signal; answers the exit status.
    ///
    /// # Errors
    /// What could not be opened, with the exit status that says it.
    pub fn run(self) -> Result<u8, StartFailure> {
        let started = Master::start(self.config, Source::Fixed, self.services)?;
        Ok(started.run())
    }
}
