//! The loop's part in an upgrade: what this master does as the old one, and as
//! the new one. How the two talk is in [`super::upgrade`].

use super::Master;
use super::message::Event;
use super::upgrade::{Origin, Predecessor, Successor, Taken, Word};
use crate::net::ListenerSet;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::time::Instant;

/// Who was the master before this one, and who will be after it.
#[derive(Debug)]
pub(super) struct Succession {
    /// How this one was started.
    pub(super) origin: Origin,
    /// The new master, from its start until our end, or its own.
    successor: Option<Successor>,
    /// What it has taken over, when it serves.
    taken: Option<Taken>,
    has_handed_over: bool,
    /// The listeners that it has taken over.
    entrusted: ListenerSet,
    /// The old master, until it is gone.
    pub(super) predecessor: Option<Predecessor>,
}

impl Succession {
    /// With nobody after this one, and perhaps somebody before.
    pub(super) fn new(predecessor: Option<Predecessor>) -> Self {
        Self {
            origin: Origin::here(),
            successor: None,
            taken: None,
            has_handed_over: false,
            entrusted: ListenerSet::default(),
            predecessor,
        }
    }

    /// The listeners on which another master accepts, whatever we do: those that
    /// we have left to a new one, or all of an old one's that has let go of none.
    /// They are the same open sockets, so what is done to one is done to both.
    pub(super) fn elsewhere(&self) -> &ListenerSet {
        match &self.predecessor {
            Some(old) if !old.has_given() => old.listeners(),
            Some(_) | None => &self.entrusted,
        }
    }

    /// Why no new master may come now, if one came before us: it would know of us,
    /// and not of that one, whose workers still count.
    pub(super) fn forbids_another(&self) -> Option<String> {
        let old = self.predecessor.as_ref()?;
        Some(format!(
            "the master before this one, process {}, still has workers",
            old.pid()
        ))
    }
}

impl Master {
    // As the old one.

    /// Starts the program anew. What both will have is not touched any more
    /// until it is clear who keeps it.
    pub(super) fn start_successor(&mut self) {
        // The new one will know of us, and of nobody before.
        self.crew.fold();
        let Some(generation) = self.generations.get(&self.current) else {
            return;
        };
        let started = Successor::start(
            &self.succession.origin,
            generation,
            self.pid_file.as_ref(),
            self.control.as_ref(),
            self.crew.scoreboard().memory(),
            &self.crew.deaths(),
            self.crew.is_detached(),
        );
        match started {
            Ok(successor) => {
                generation.listeners.entrust();
                self.succession.successor = Some(successor);
            }
            Err(error) => self.no_successor(71, vec![error.to_string()]),
        }
    }

    pub(super) fn end_successor(&mut self) {
        if let Some(successor) = &mut self.succession.successor {
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
        if let Some(successor) = &self.succession.successor {
            successor.tell_departed();
        }
        let taken = self
            .succession
            .successor
            .as_mut()
            .and_then(Successor::taken);
        if let Some(taken) = taken
            && self.supervisor.is_upgrading()
        {
            self.succession.taken = Some(taken);
            self.supervisor
                .handle(Instant::now(), Event::SuccessorServes);
        }
    }

    /// A child that is no worker has ended: the new master, perhaps.
    pub(super) fn bury(&mut self, status: WaitStatus) {
        let Some(successor) = self
            .succession
            .successor
            .take_if(|successor| status.pid() == Some(successor.pid()))
        else {
            return;
        };
        if self.succession.has_handed_over {
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
        self.succession.has_handed_over = true;
        let (Some(successor), Some(taken)) =
            (&self.succession.successor, self.succession.taken.take())
        else {
            return;
        };
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
        // From here on the new one tells what is lost on what both have, and its
        // workers what is counted.
        self.crew.look_for_drops(self.succession.elsewhere());
        if let Some(generation) = self.generations.get(&self.current) {
            self.succession.entrusted = generation.listeners.hand_over(&taken.listeners);
        }
        self.crew.scoreboard().table().set_elsewhere(true);
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
                .refuse_handshakes(&generation.listeners, self.succession.elsewhere());
        }
    }

    // As the new one.

    /// The first generation serves: tells the old master, if there is one.
    pub(super) fn tell_predecessor(&mut self) {
        let (Some(predecessor), Some(generation)) = (
            &mut self.succession.predecessor,
            self.generations.get(&self.current),
        ) else {
            return;
        };
        if let Err(error) = predecessor.announce(self.current, &generation.listeners) {
            log::error!("upgrade: telling process {}: {error}", predecessor.pid());
        }
    }

    /// What the old master says.
    pub(super) fn hear_predecessor(&mut self) {
        while let Some(predecessor) = &mut self.succession.predecessor
            && let Some(word) = predecessor.word()
        {
            let (pid, gave) = (predecessor.pid(), predecessor.has_given());
            self.heed(word, pid, gave);
        }
    }

    fn heed(&mut self, word: Word, pid: Pid, gave: bool) {
        match word {
            Word::Yours => {
                log::info!("upgrade: taken over from process {pid}");
                self.forget_drops();
                self.take_possession();
            }
            Word::Closed => self.lead_due = true,
            Word::Gone => {
                log::info!("upgrade: process {pid} is gone");
                self.succession.predecessor = None;
                self.crew.predecessor_is_gone(Instant::now());
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

    /// What was dropped until now the old master has told.
    fn forget_drops(&self) {
        let old = self.succession.predecessor.as_ref();
        let listeners = old.map(Predecessor::listeners);
        for listener in listeners.into_iter().flat_map(ListenerSet::all) {
            listener.newly_dropped();
        }
    }

    /// What the old master had is ours. Listeners are still its workers' too,
    /// until it is gone.
    fn take_possession(&mut self) {
        self.crew.scoreboard().table().set_elsewhere(false);
        if let Some(pid_file) = &mut self.pid_file
            && let Err(error) = pid_file.write()
        {
            log::error!("pid file {}: {error}", pid_file.path().display());
        }
        if let Some(control) = &mut self.control {
            control.open();
        }
        self.standing.notifier.begin();
        self.standing.touch();
    }

    /// What this master is to another one, for its title.
    pub(super) fn relation(&self) -> Option<String> {
        let successor = self
            .succession
            .successor
            .as_ref()
            .filter(|_| self.succession.has_handed_over);
        match (successor, &self.succession.predecessor) {
            (Some(successor), _) => Some(format!("leaving to process {}", successor.pid())),
            (None, Some(old)) if !old.has_given() => {
                Some(format!("to replace process {}", old.pid()))
            }
            (None, _) => None,
        }
    }

    /// Adds to what the loop waits for.
    pub(super) fn watch_relatives<'m>(&'m self, ready: &mut Vec<nix::poll::PollFd<'m>>) {
        let successor = self
            .succession
            .successor
            .as_ref()
            .filter(|one| !one.is_silent());
        let successor = successor.map(AsFd::as_fd);
        let predecessor = self.succession.predecessor.as_ref().map(AsFd::as_fd);
        let relatives = successor.into_iter().chain(predecessor);
        ready.extend(relatives.map(|fd| nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)));
    }
}
