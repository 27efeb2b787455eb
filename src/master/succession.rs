//! The loop's part in an upgrade: what this master does as the old one, and as
//! the new one. How the two talk is in [`super::upgrade`].

use super::Master;
use super::message::Event;
use super::upgrade::{Successor, Word};
use nix::sys::wait::WaitStatus;
use std::os::fd::AsFd;
use std::time::Instant;

impl Master {
    // As the old one.

    /// Starts the program anew. What both will have is not touched any more
    /// until it is clear who keeps it.
    pub(super) fn start_successor(&mut self) {
        let Some(generation) = self.generations.get(&self.current) else {
            return;
        };
        let started = Successor::start(
            &self.origin,
            generation,
            self.pid_file.as_ref(),
            self.control.as_ref(),
            self.crew.scoreboard().memory(),
            self.crew.is_detached(),
        );
        match started {
            Ok(successor) => {
                generation.listeners.entrust();
                self.successor = Some(successor);
            }
            Err(error) => self.no_successor(71, vec![error.to_string()]),
        }
    }

    pub(super) fn end_successor(&mut self) {
        if let Some(successor) = &mut self.successor {
            successor.kill();
        }
        self.keep_listeners();
    }

    /// Nobody else has what we listen on.
    fn keep_listeners(&mut self) {
        self.lead_due = true;
        if let Some(generation) = self.generations.get(&self.current) {
            generation.listeners.claim();
        }
        self.crew.settle_blocking();
    }

    /// Whether the new master serves.
    pub(super) fn hear_successor(&mut self) {
        if let Some(successor) = &self.successor {
            successor.tell_departed();
        }
        let taken = self.successor.as_mut().and_then(Successor::taken);
        if let Some(taken) = taken
            && self.supervisor.is_upgrading()
        {
            self.taken = Some(taken);
            self.supervisor
                .handle(Instant::now(), Event::SuccessorServes);
        }
    }

    /// A child that is no worker has ended: the new master, perhaps.
    pub(super) fn bury(&mut self, status: WaitStatus) {
        let Some(successor) = self
            .successor
            .take_if(|successor| status.pid() == Some(successor.pid()))
        else {
            return;
        };
        if self.has_handed_over {
            log::error!(
                "upgrade: process {}, which had taken over, is gone: {status:?}",
                successor.pid()
            );
            return;
        }
        let (code, lines) = successor.epitaph(status);
        self.no_successor(code, lines);
    }

    /// There will be none: everything is ours again.
    fn no_successor(&mut self, status: u8, lines: Vec<String>) {
        for line in &lines {
            log::error!("upgrade: {line}");
        }
        log::error!("upgrade refused: process {} carries on", std::process::id());
        self.keep_listeners();
        self.waiting.upgraded(self.control.as_mut(), status, lines);
        self.supervisor
            .handle(Instant::now(), Event::SuccessorFailed);
    }

    /// Lets go of what the new master has taken over. Its workers accept by now,
    /// so ours have nobody in the queues of those to look after.
    pub(super) fn hand_over(&mut self) {
        self.stopping = true;
        self.has_handed_over = true;
        let (Some(successor), Some(taken)) = (&self.successor, self.taken.take()) else {
            return;
        };
        if let Some(generation) = self.generations.get(&self.current) {
            self.entrusted = generation.listeners.hand_over(&taken.listeners);
        }
        let (pid, own) = (successor.pid().as_raw().unsigned_abs(), std::process::id());
        // Whoever looks for the master finds one that lives, at each moment: so
        // first the places where he looks, and then the word to the new one.
        if let Some(file) = self.pid_file.as_mut().filter(|_| taken.pid_file)
            && let Err(error) = file.hand_over(pid)
        {
            log::error!("pid file {}: {error}", file.path().display());
        }
        if let Some(control) = self.control.as_mut().filter(|_| taken.control) {
            control.hand_over();
        }
        self.standing.leaves_to(pid);
        if let Err(error) = successor.give() {
            log::error!("upgrade: telling process {pid}: {error}");
        }
        let news = format!(
            "process {pid} serves as generation {}; process {own} finishes what is open and leaves",
            taken.generation
        );
        log::info!("upgrade: {news}");
        self.waiting.upgraded(self.control.as_mut(), 0, vec![news]);
        self.refuse_handshakes();
    }

    /// Refuses new clients wherever no other master accepts them.
    pub(super) fn refuse_handshakes(&self) {
        for generation in self.generations.values() {
            self.crew
                .refuse_handshakes(&generation.listeners, &self.entrusted);
        }
    }

    // As the new one.

    /// The first generation serves: tells the old master, if there is one.
    pub(super) fn tell_predecessor(&mut self) {
        let (Some(predecessor), Some(generation)) =
            (&mut self.predecessor, self.generations.get(&self.current))
        else {
            return;
        };
        if let Err(error) = predecessor.announce(self.current, &generation.listeners) {
            log::error!("upgrade: telling process {}: {error}", predecessor.pid());
        }
    }

    /// What the old master says.
    pub(super) fn hear_predecessor(&mut self) {
        let Some(predecessor) = &mut self.predecessor else {
            return;
        };
        let word = predecessor.word();
        let (pid, gave) = (predecessor.pid(), predecessor.has_given());
        match word {
            None => {}
            Some(Word::Yours) => {
                log::info!("upgrade: taken over from process {pid}");
                self.take_possession();
            }
            Some(Word::Closed) => self.lead_due = true,
            Some(Word::Gone) => {
                log::info!("upgrade: process {pid} is gone");
                self.predecessor = None;
                self.lead_due = true;
                if !gave {
                    self.take_possession();
                }
                for generation in self.generations.values() {
                    generation.listeners.claim();
                }
                self.crew.settle_blocking();
            }
        }
    }

    /// What the old master had is ours. Listeners are still its workers' too,
    /// until it is gone.
    fn take_possession(&mut self) {
        if let Some(pid_file) = &mut self.pid_file
            && let Err(error) = pid_file.write()
        {
            log::error!("pid file {}: {error}", pid_file.path().display());
        }
        if let Some(control) = &mut self.control {
            control.open();
        }
        self.standing.touch();
    }

    /// What this master is to another one, for its title.
    pub(super) fn relation(&self) -> Option<String> {
        let successor = self.successor.as_ref().filter(|_| self.has_handed_over);
        match (successor, &self.predecessor) {
            (Some(successor), _) => Some(format!("leaving to process {}", successor.pid())),
            (None, Some(old)) if !old.has_given() => {
                Some(format!("to replace process {}", old.pid()))
            }
            (None, _) => None,
        }
    }

    /// Adds to what the loop waits for.
    pub(super) fn watch_relatives<'m>(&'m self, ready: &mut Vec<nix::poll::PollFd<'m>>) {
        let successor = self.successor.as_ref().filter(|one| !one.is_silent());
        let successor = successor.map(AsFd::as_fd);
        let predecessor = self.predecessor.as_ref().map(AsFd::as_fd);
        let relatives = successor.into_iter().chain(predecessor);
        ready.extend(relatives.map(|fd| nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)));
    }
}
