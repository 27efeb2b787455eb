//! The listeners of one generation, and how the next one takes them over.
//!
//! A generation's set shares the sockets it has in common with the one before
//! it, so that a listener that stays keeps its queue, and one that goes is
//! closed when the last generation that knew it is dropped. Everything new is
//! bound before anything old is touched.

use super::activation::Activation;
use super::queue::Queue;
use super::roster::{Count, Member, Newcomers, Plan, Roster};
use crate::config::{Accept, Config, Endpoint, Listen, MAX_LISTENERS, Pool};
use crate::net::{BindError, Listener};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every listening socket of a generation.
#[derive(Clone, Debug, Default)]
pub struct ListenerSet {
    groups: Vec<Group>,
    /// Clients that were lost in queues that were closed, in all generations.
    lost: Arc<AtomicU64>,
    /// What the service manager passed, in use or not.
    activation: Activation,
}

/// The socket or sockets behind one `listen` entry.
#[derive(Clone, Debug)]
struct Group {
    key: Key,
    accept: Accept,
    /// One for the pool, or one for each slot.
    sockets: Vec<Arc<Listener>>,
    /// Everybody whom the kernel has in the group, those on their way out and
    /// those of other generations included.
    roster: Arc<Roster>,
    lost: Arc<AtomicU64>,
}

/// The sockets of one entry on their way from a master to the next: the numbers
/// are those of descriptors that stay open over execve(2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Passed {
    listen: Listen,
    owner: Option<(String, usize)>,
    accept: Accept,
    sockets: Vec<PassedSocket>,
    roster: Count,
    /// For each socket that the service manager passed its number and name then.
    #[serde(default)]
    activated: Vec<(RawFd, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PassedSocket {
    number: RawFd,
    member: Option<Member>,
    open: bool,
}

/// What makes an entry the same entry after a reload: its address; where the
/// kernel chooses the port, also whose entry it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    listen: Listen,
    owner: Option<(String, usize)>,
}

impl Key {
    fn new(pool: &Pool, index: usize) -> Self {
        let listen = match &pool.listen[index].listen {
            known @ (Listen::Tcp { .. } | Listen::Udp { .. } | Listen::Fd { .. }) => known.clone(),
            // The mode can change while the socket stays.
            Listen::Unix { path, .. } => Listen::Unix {
                path: path.clone(),
                mode: 0,
            },
        };
        let chosen = match &listen {
            Listen::Tcp { address, .. } | Listen::Udp { address, .. } => address.port() == 0,
            Listen::Unix { .. } | Listen::Fd { .. } => false,
        };
        Self {
            listen,
            owner: chosen.then(|| (pool.name.clone(), index)),
        }
    }
}

impl ListenerSet {
    /// Nothing but what the service manager passed, for [`ListenerSet::open`].
    pub fn activated(activation: Activation) -> Self {
        Self {
            activation,
            ..Self::default()
        }
    }

    /// Closes what the service manager passed and no `listen` entry names; answers
    /// a line for each. For the first generation: later ones may want it back.
    pub fn close_unused(&mut self) -> Vec<String> {
        let groups = &self.groups;
        let used = |listener: &Arc<Listener>| {
            let mut all = groups.iter().flat_map(|group| &group.sockets);
            all.any(|held| Arc::ptr_eq(held, listener))
        };
        self.activation.keep(used)
    }

    /// Opens all that `config` asks for, taking over from `old` what fits.
    ///
    /// # Errors
    /// The first address that cannot be had; then nothing was changed.
    pub fn open(config: &Config, old: &Self) -> Result<Self, BindError> {
        let mut set = Self {
            groups: Vec::new(),
            lost: Arc::clone(&old.lost),
            activation: old.activation.clone(),
        };
        for pool in &config.pools {
            let before = set.all().count();
            for index in 0..pool.listen.len() {
                let group = Group::open(pool, index, old)?;
                let taken = group.sockets.iter().any(|one| set.holds(one));
                set.groups.push(group);
                // A name and a number may mean the same one.
                let why = match set.all().count() - before {
                    _ if taken => "another entry has this socket",
                    count if count > MAX_LISTENERS && pool.accept == Accept::Shared => {
                        "these are more sockets than a pool can have"
                    }
                    _ => continue,
                };
                let error = io::Error::other(why);
                return Err(BindError::new("listen", &pool.listen[index].listen, error));
            }
        }
        Ok(set)
    }

    /// The sockets that the worker in `slot` of `pool` accepts on, in the
    /// order of its `listen` entries.
    pub fn of_slot(&self, pool: &Pool, slot: usize) -> Vec<Arc<Listener>> {
        let groups = (0..pool.listen.len()).filter_map(|index| self.find(&Key::new(pool, index)));
        groups
            .flat_map(|group| group.of_slot(slot))
            .cloned()
            .collect()
    }

    /// The `listen` entry of `pool` that this listener is for, of whatever slot: all
    /// sockets of an entry are at one place, but those that were passed.
    pub fn entry_of(&self, pool: &Pool, listener: &Arc<Listener>) -> Option<usize> {
        (0..pool.listen.len()).find(|index| {
            let group = self.find(&Key::new(pool, *index));
            let mut sockets = group.into_iter().flat_map(|group| &group.sockets);
            sockets.any(|one| Arc::ptr_eq(one, listener) || one.local() == listener.local())
        })
    }

    /// How many sockets a worker of `pool` has from each `listen` entry.
    pub fn counts(&self, pool: &Pool) -> Vec<usize> {
        let groups = (0..pool.listen.len()).map(|index| self.find(&Key::new(pool, index)));
        groups
            .map(|group| group.map_or(0, |group| group.of_slot(0).len()))
            .collect()
    }

    /// The same set with `slots` sockets a `listen` entry of `pool`, where each
    /// slot has its own.
    ///
    /// # Errors
    /// As [`ListenerSet::open`].
    pub fn resized(&self, pool: &Pool, slots: usize) -> Result<Self, BindError> {
        let mut set = self.clone();
        for index in 0..pool.listen.len() {
            let key = Key::new(pool, index);
            let group = set.groups.iter_mut().find(|group| group.key == key);
            if let Some(group) = group.filter(|group| group.accept == Accept::Reuseport) {
                let endpoint = &pool.listen[index];
                group.resize(endpoint, slots, Queue::of(pool, &endpoint.options))?;
            }
        }
        Ok(set)
    }

    /// Has every socket take over what `config`, which this set was opened for,
    /// says of it: those that stayed are as they were until then.
    ///
    /// # Errors
    /// The first that could not; the others did.
    pub fn adopt(&self, config: &Config) -> Result<(), BindError> {
        let mut outcome = Ok(());
        for pool in &config.pools {
            for (index, endpoint) in pool.listen.iter().enumerate() {
                let group = self.find(&Key::new(pool, index));
                for socket in group.iter().flat_map(|group| &group.sockets) {
                    let queue = Queue::of(pool, &endpoint.options);
                    outcome = outcome.and(socket.adopt(&endpoint.listen, &endpoint.options, queue));
                }
            }
        }
        outcome
    }

    /// Leads new clients to those sockets of this set on which a worker serves,
    /// or has, and past all others: of slots that go, so that their queues can
    /// be emptied, and of slots that have yet to come. To be called again
    /// whenever a socket was opened or closed; where all is well already it
    /// costs no call.
    ///
    /// # Errors
    /// The first that setsockopt(2) refused; the others were led. Some clients
    /// may come to a socket that refuses them, and come again a second later.
    pub fn lead(&self) -> io::Result<()> {
        let lead = |group: &Group| group.lead(&group.served(), Newcomers::Welcome);
        let outcomes = self.groups.iter().map(lead);
        outcomes.fold(Ok(()), io::Result::and)
    }

    /// Leads new clients as [`ListenerSet::lead`] does, but never to sockets
    /// that are opened after this.
    ///
    /// # Errors
    /// As there.
    pub fn hold(&self) -> io::Result<()> {
        let hold = |group: &Group| group.hold(&group.served());
        let outcomes = self.groups.iter().map(hold);
        outcomes.fold(Ok(()), io::Result::and)
    }

    /// How many clients were lost in queues that were closed, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Everything there is, for a program that is started soon: `open` holds the
    /// descriptors until then.
    ///
    /// # Errors
    /// As dup(2).
    pub fn pass_on(&self, open: &mut Vec<OwnedFd>) -> io::Result<Vec<Passed>> {
        let mut passed = Vec::new();
        for group in &self.groups {
            let mut sockets = Vec::new();
            for socket in &group.sockets {
                let copy = nix::unistd::dup(socket.as_ref())?;
                sockets.push(PassedSocket {
                    number: copy.as_raw_fd(),
                    member: socket.member(),
                    open: socket.is_open(),
                });
                open.push(copy);
            }
            passed.push(Passed {
                listen: group.key.listen.clone(),
                owner: group.key.owner.clone(),
                accept: group.accept,
                sockets,
                roster: group.roster.pass_on(),
                activated: group
                    .sockets
                    .iter()
                    .filter_map(|socket| self.activation.label(socket))
                    .collect(),
            });
        }
        // Last, so that the others keep their places: see `select`.
        for socket in self.activation.all().filter(|one| !self.holds(one)) {
            let copy = nix::unistd::dup(socket.as_ref())?;
            let label = self.activation.label(socket);
            let name = label.as_ref().map_or("", |(_, name)| name).to_owned();
            let kind = socket.local().kind();
            passed.push(Passed {
                listen: Listen::Fd { name, kind },
                owner: None,
                accept: Accept::Shared,
                sockets: vec![PassedSocket {
                    number: copy.as_raw_fd(),
                    member: None,
                    open: false,
                }],
                roster: Count::default(),
                activated: label.into_iter().collect(),
            });
            open.push(copy);
        }
        Ok(passed)
    }

    /// What another master passed on; the sockets are that one's to decide
    /// about until [`ListenerSet::claim`].
    ///
    /// # Errors
    /// The first descriptor that is no listening socket.
    pub fn inherit(passed: Vec<Passed>) -> io::Result<Self> {
        let lost = Arc::default();
        let mut activation = Activation::default();
        let mut groups = Vec::new();
        for mut one in passed {
            let labels = std::mem::take(&mut one.activated);
            let group = Group::inherit(one, &lost)?;
            for ((number, name), socket) in labels.into_iter().zip(&group.sockets) {
                activation.add(number, name, socket);
            }
            groups.push(group);
        }
        Ok(Self {
            groups,
            lost,
            activation,
        })
    }

    /// The count of members of each group, in the order in which they were
    /// passed on.
    pub fn rosters(&self) -> Vec<Arc<Roster>> {
        let rosters = self.groups.iter().map(|group| Arc::clone(&group.roster));
        rosters.collect()
    }

    /// Leaves what concerns both to another master that has the same sockets.
    pub fn entrust(&self) {
        self.all().for_each(|one| one.entrust());
    }

    /// Nobody else has them any more, nor others at the same addresses.
    pub fn claim(&self) {
        self.all().for_each(|one| one.claim());
        for group in &self.groups {
            group.roster.forget_foreign();
        }
    }

    /// For each socket in its order whether `other` has it too.
    pub fn in_common(&self, other: &Self) -> Vec<bool> {
        self.all().map(|one| other.holds(one)).collect()
    }

    /// The sockets that `chosen` says, in their order.
    #[must_use]
    pub fn select(&self, chosen: &[bool]) -> Self {
        let mut chosen = chosen.iter().copied();
        let mut set = self.clone();
        for group in &mut set.groups {
            group.sockets.retain(|_| chosen.next().unwrap_or(false));
        }
        set
    }

    /// Leaves those sockets for good to another master that `chosen` says, and
    /// keeps the others; answers the former.
    #[must_use]
    pub fn hand_over(&self, chosen: &[bool]) -> Self {
        let given = self.select(chosen);
        for kept in self.all().filter(|one| !given.holds(one)) {
            kept.claim();
        }
        given
    }

    /// Every socket of `pool`.
    pub fn of_pool(&self, pool: &Pool) -> Vec<Arc<Listener>> {
        let groups = (0..pool.listen.len()).filter_map(|index| self.find(&Key::new(pool, index)));
        groups
            .flat_map(|group| group.sockets.iter().cloned())
            .collect()
    }

    /// The ports on which datagrams are answered, in the order of their numbers.
    pub fn datagram_ports(&self) -> Vec<u16> {
        let ports = self.all().filter_map(|one| match one.local() {
            Listen::Udp { address, .. } => Some(address.port()),
            Listen::Tcp { .. } | Listen::Unix { .. } | Listen::Fd { .. } => None,
        });
        let mut ports: Vec<u16> = ports.collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Every socket there is.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.groups.iter().flat_map(|group| &group.sockets)
    }

    /// Whether `listener` is one of this set.
    pub fn holds(&self, listener: &Arc<Listener>) -> bool {
        self.all().any(|held| Arc::ptr_eq(held, listener))
    }

    fn find(&self, key: &Key) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == *key)
    }
}

impl Group {
    /// What another master passed on.
    fn inherit(passed: Passed, lost: &Arc<AtomicU64>) -> io::Result<Self> {
        let roster = Arc::new(Roster::inherit(passed.roster));
        let mut sockets = Vec::new();
        for one in passed.sockets {
            let socket = sys::process::inherit(one.number)?;
            let listener = Listener::inherit(socket, &passed.listen)?.counting(lost);
            if let Some(member) = one.member {
                listener.be(&roster, member);
            }
            if one.open {
                listener.set_open();
            }
            sockets.push(Arc::new(listener));
        }
        Ok(Self {
            key: Key {
                listen: passed.listen,
                owner: passed.owner,
            },
            accept: passed.accept,
            sockets,
            roster,
            lost: Arc::clone(lost),
        })
    }

    /// The sockets for a slot: its own, or the one of all slots; or all that were
    /// passed by one name.
    fn of_slot(&self, slot: usize) -> &[Arc<Listener>] {
        match self.key.listen {
            Listen::Fd { .. } => &self.sockets,
            Listen::Tcp { .. } | Listen::Udp { .. } | Listen::Unix { .. } => {
                let count = self.sockets.len().max(1);
                self.sockets.chunks(1).nth(slot % count).unwrap_or_default()
            }
        }
    }

    /// Opens what is missing. What `old` has for the same address is taken
    /// over, also where its kind changes: a shared socket becomes the first
    /// member of a group, or the first member becomes the shared socket.
    fn open(pool: &Pool, index: usize, old: &ListenerSet) -> Result<Self, BindError> {
        let key = Key::new(pool, index);
        let before = old.find(&key);
        let mut group = Self {
            key,
            accept: pool.accept,
            sockets: before.map_or_else(Vec::new, |group| group.sockets.clone()),
            roster: before.map_or_else(Arc::default, |group| Arc::clone(&group.roster)),
            lost: Arc::clone(&old.lost),
        };
        if let Listen::Fd { name, kind } = &pool.listen[index].listen {
            group.sockets = old.activation.find(name, *kind)?;
            return Ok(group);
        }
        let wanted = match pool.accept {
            Accept::Shared => 1,
            Accept::Reuseport => pool.size.max() as usize,
        };
        let endpoint = &pool.listen[index];
        if let Some(kept) = group.sockets.first() {
            kept.rehearse(&endpoint.options)?;
        }
        group.resize(endpoint, wanted, Queue::of(pool, &endpoint.options))?;
        Ok(group)
    }

    /// Binds what is missing, and takes leave of what is too many. Nobody is led
    /// to those that are new: a worker has to serve on them first.
    fn resize(
        &mut self,
        endpoint: &Endpoint,
        wanted: usize,
        queue: Queue,
    ) -> Result<(), BindError> {
        let Endpoint {
            listen, options, ..
        } = endpoint;
        let reuseport = self.accept == Accept::Reuseport;
        let open = self.served();
        self.sockets.truncate(wanted);
        match self.sockets.first() {
            None if reuseport => Listener::probe(listen, options)?,
            None => {}
            Some(first) => {
                first
                    .set_reuseport(reuseport)
                    .map_err(|error| BindError::new("SO_REUSEPORT", first.local(), error))?;
                if reuseport {
                    first.join(&self.roster);
                }
            }
        }
        // A socket that was alone so far is in no group before the second one
        // listens: then this fails, and is made good below.
        let mut held = self.sockets.len() >= wanted || self.hold(&open).is_ok();
        while self.sockets.len() < wanted {
            // The second and later members join the port that the first one got.
            let first = self.sockets.first();
            let listen = first.map_or(listen, |first| first.local());
            let listener = Listener::bind(listen, options, queue, reuseport)?.counting(&self.lost);
            if reuseport {
                listener.join(&self.roster);
            }
            self.sockets.push(Arc::new(listener));
            if !held {
                held = true;
                if let Err(error) = self.hold(&open) {
                    let listen = self.sockets[0].local();
                    log::warn!("{listen}: clients may come to a slot before its worker: {error}");
                }
            }
        }
        Ok(())
    }

    /// Those on whom a worker serves, or has.
    fn served(&self) -> BTreeSet<Member> {
        let open = self.sockets.iter().filter(|one| one.is_open());
        open.filter_map(|one| one.member()).collect()
    }

    /// Leads new clients to `open` alone, whoever joins.
    fn hold(&self, open: &BTreeSet<Member>) -> io::Result<()> {
        self.lead(open, Newcomers::Excluded)
    }

    fn lead(&self, open: &BTreeSet<Member>, newcomers: Newcomers) -> io::Result<()> {
        let Some(first) = self.sockets.first() else {
            return Ok(());
        };
        let plan = self.roster.plan(open, newcomers);
        match &plan {
            Plan::Keep => {}
            Plan::Detach => sys::socket::steer_no_more(first.as_fd())?,
            Plan::Attach(numbers) => sys::socket::steer(first.as_fd(), numbers)?,
        }
        self.roster.note(plan);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
