//! Log files that are opened anew, in every worker.

use super::{Crew, Worker};
use crate::log::Output;
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

impl Crew {
    /// Sends every worker the log files that were just opened anew, to put in
    /// the place of those it has; answers why one could not be opened.
    pub fn reopen(&mut self) -> Vec<String> {
        self.reopening += 1;
        let mut failed = Vec::new();
        // A generation that is not in force yet has opened its own.
        for cohort in self.cohorts.values_mut() {
            if let Some(Err(error)) = cohort.log.as_mut().map(Output::reopen) {
                let number = cohort.generation;
                failed.push(format!("reopening the log of generation {number}: {error}"));
            }
        }
        for (id, worker) in &self.workers {
            if let Some(signal) = Self::reopen_signal(worker) {
                signal
                    .into_iter()
                    .for_each(|signal| self.signal(*id, signal));
                continue;
            }
            let Some(cohort) = self.cohorts.get(&worker.cohort) else {
                continue;
            };
            let log = match (&cohort.log, cohort.opened.has_own_log()) {
                (_, true) => cohort.opened.log_descriptor(),
                (Some(log), false) => log.file_descriptor(),
                (None, false) => crate::log::file_descriptor(),
            };
            let access_log = cohort.opened.access_log.file_descriptor();
            let sent = send_files(&worker.channel, self.reopening, [log, access_log]);
            match sent {
                Ok(()) => self.signal(*id, Signal::SIGUSR1),
                Err(errno) => log::error!("log files for worker {}: {errno}", self.name(*id)),
            }
        }
        failed
    }

    /// Workers that may still write to log files from before the last
    /// [`Crew::reopen`].
    pub fn reopening_awaited(&self) -> usize {
        let behind = |worker: &&Worker| {
            let row = self.scoreboard.row(worker.first_row);
            let done = row.reopened().load(Ordering::SeqCst).max(worker.born_after);
            done < self.reopening
        };
        self.workers.values().filter(behind).count()
    }
}

/// One message: the number of the reopening, the places that get a new file,
/// and the files themselves (unix(7), SCM_RIGHTS).
fn send_files(channel: &OwnedFd, number: u64, files: [Option<RawFd>; 2]) -> nix::Result<()> {
    let places = u64::from(files[0].is_some()) | u64::from(files[1].is_some()) << 1;
    let mut words = [0; 16];
    words[..8].copy_from_slice(&number.to_ne_bytes());
    words[8..].copy_from_slice(&places.to_ne_bytes());
    let descriptors: Vec<RawFd> = files.into_iter().flatten().collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let parts = [IoSlice::new(&words)];
    sendmsg::<()>(channel.as_raw_fd(), &parts, control, flags, None).map(drop)
}
