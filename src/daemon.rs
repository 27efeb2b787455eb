//! Going to the background, the old way: the process that was started waits,
//! and ends with the real outcome.

use crate::sys::process;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, read, setsid, write};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// The way back to the process that was started, which waits.
#[derive(Debug)]
pub struct Starter {
    /// `None` where nobody waits.
    pipe: Option<OwnedFd>,
}

impl Starter {
    /// All is well: lets it end with 0, and takes leave of its terminal.
    pub fn release(self) {
        if let Err(error) = forget_terminal() {
            log::warn!("/dev/null: {error}");
        }
        self.report(0);
    }

    fn report(&self, status: u8) {
        if let Some(pipe) = &self.pipe {
            // If it is gone, nobody waits.
            let _ = write(pipe, &[status]);
        }
    }
}

/// Runs `master` as a daemon: in a session of its own, without a terminal
/// (a second fork, so that it can never get one again), in `/`. Answers, in
/// the process that was started, the status to exit with: 0 once `master` has
/// released its [`Starter`], else what it ended with.
pub fn start(master: impl FnOnce(Starter) -> u8) -> u8 {
    let (reader, writer) = match pipe2(nix::fcntl::OFlag::O_CLOEXEC) {
        Ok(pipe) => pipe,
        Err(errno) => return refused("pipe", errno.into()),
    };
    // Only the daemon keeps the writing end: its silence means its death.
    let forked = process::fork_into(|| {
        if let Err(errno) = setsid() {
            process::exit(refused("setsid", errno.into()).into());
        }
        let forked = process::fork_into(|| process::exit(daemon(master, writer).into()));
        process::exit(match forked {
            Ok(_) => 0,
            Err(error) => refused("fork", error).into(),
        })
    });
    // (The closure above took the writing end along, also on this side.)
    match forked {
        Ok(child) => {
            let status = wait_for_word(&reader);
            // The one in between has ended long ago.
            let _ = nix::sys::wait::waitpid(child, None);
            status
        }
        Err(error) => refused("fork", error),
    }
}

/// Runs `master` as a daemon where the process is in the background already,
/// because its parent is.
pub fn resume(master: impl FnOnce(Starter) -> u8) -> u8 {
    match chdir("/") {
        Ok(()) => master(Starter { pipe: None }),
        Err(errno) => refused("chdir /", errno.into()),
    }
}

fn daemon(master: impl FnOnce(Starter) -> u8, writer: OwnedFd) -> u8 {
    let spare = match writer.try_clone() {
        Ok(spare) => Starter { pipe: Some(spare) },
        Err(error) => return refused("dup", error),
    };
    if let Err(errno) = chdir("/") {
        return refused("chdir /", errno.into());
    }
    let status = master(Starter { pipe: Some(writer) });
    // Heard only by a starter that still waits: one that was not released.
    spare.report(status);
    status
}

/// One byte, the status; or the end of the pipe, where the daemon died.
fn wait_for_word(reader: &OwnedFd) -> u8 {
    let mut status = [0];
    loop {
        match read(reader, &mut status) {
            Ok(0) => {
                eprintln!("preforkd: the daemon died before it was ready");
                return 70;
            }
            Ok(_) => return status[0],
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return refused("read", errno.into()),
        }
    }
}

/// Puts /dev/null in the place of standard input, output and error.
///
/// # Errors
/// As open(2) and dup2(2).
pub fn forget_terminal() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

fn refused(call: &str, error: io::Error) -> u8 {
    eprintln!("preforkd: {call}: {error}");
    71
}
