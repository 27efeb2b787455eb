//! `preforkd run`: the daemon.

use super::complain;
use crate::cli::Run;
use crate::config::{Config, LogTarget};
use crate::daemon::{self, Starter};
use crate::master::generation::Services;
use crate::master::upgrade::{self, Origin};
use crate::master::{Activation, Master, Source};
use std::path::PathBuf;

pub(super) fn run(arguments: &Run) -> u8 {
    // A reload must find the file even from another working directory.
    let path = std::path::absolute(&arguments.config).unwrap_or_else(|_| arguments.config.clone());
    // What was passed was passed to this process, and not to one that it forks.
    let activation = Activation::take();
    let config = match super::load_to_use(&arguments.config) {
        Ok(config) => config,
        Err(status) => return status,
    };
    let origin = Origin::here();
    if !arguments.daemon {
        return be_master(config, path, origin, activation, None);
    }
    if config.master.log.to == LogTarget::Stderr {
        complain("warning: the log goes to standard error, which a daemon does not have");
    }
    let master = |starter| be_master(config, path, origin, activation, Some(starter));
    if upgrade::is_under_way() {
        daemon::resume(master)
    } else {
        daemon::start(master)
    }
}

fn be_master(
    config: Config,
    path: PathBuf,
    origin: Origin,
    activation: Activation,
    starter: Option<Starter>,
) -> u8 {
    // Until the first generation serves, whoever started us reads along.
    let watched = config.master.log.to == LogTarget::Stderr || starter.is_some();
    let mut early = config.master.log.clone();
    early.to = LogTarget::Stderr;
    if let Err(error) = crate::log::start(&early) {
        complain(format_args!("standard error: {error}"));
    }
    let source = Source::File(path);
    let mut master = match Master::start_with(config, source, Services::new(), activation) {
        Ok(master) => master,
        Err(failure) => {
            complain(&failure.message);
            return failure.status;
        }
    };
    master.set_origin(origin);
    if starter.is_some() {
        master.detach_workers();
    }
    let addresses = master.addresses();
    master.on_serving(Box::new(move || {
        if !watched {
            eprintln!("preforkd: listening on {addresses}");
        }
        if let Some(starter) = starter {
            starter.release();
        }
    }));
    master.run()
}
