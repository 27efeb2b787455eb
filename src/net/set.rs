//! The listeners of one generation, and how the next one takes them over.
//!
//! A generation's set shares the sockets it has in common with the one before
//! it, so that a listener that stays keeps its queue, and one that goes is
//! closed when the last generation that knew it is dropped. Everything new is
//! bound before anything old is touched.

use crate::config::{Accept, Config, Listen, Pool};
use crate::net::{BindError, Listener};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Every listening socket of a generation.
#[derive(Clone, Debug, Default)]
pub struct ListenerSet {
    groups: Vec<Group>,
}

/// The socket or sockets behind one `listen` entry.
#[derive(Clone, Debug)]
struct Group {
    key: Key,
    accept: Accept,
    /// One for the pool, or one for each slot.
    sockets: Vec<Arc<Listener>>,
}

/// The sockets of one entry on their way from a master to the next: the numbers
/// are those of descriptors that stay open over execve(2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Passed {
    listen: Listen,
    owner: Option<(String, usize)>,
    accept: Accept,
    sockets: Vec<RawFd>,
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
        let listen = match &pool.listen[index] {
            tcp @ Listen::Tcp { .. } => tcp.clone(),
            // The mode can change while the socket stays.
            Listen::Unix { path, .. } => Listen::Unix {
                path: path.clone(),
                mode: 0,
            },
        };
        let chosen = matches!(&listen, Listen::Tcp { address, .. } if address.port() == 0);
        Self {
            listen,
            owner: chosen.then(|| (pool.name.clone(), index)),
        }
    }
}

impl ListenerSet {
    /// Opens all that `config` asks for, taking over from `old` what fits.
    ///
    /// # Errors
    /// The first address that cannot be had; then nothing was changed.
    pub fn open(config: &Config, old: &Self) -> Result<Self, BindError> {
        let mut set = Self::default();
        for pool in &config.pools {
            for index in 0..pool.listen.len() {
                set.groups.push(Group::open(pool, index, old)?);
            }
        }
        Ok(set)
    }

    /// The sockets that the worker in `slot` of `pool` accepts on, in the
    /// order of its `listen` entries.
    pub fn of_slot(&self, pool: &Pool, slot: usize) -> Vec<Arc<Listener>> {
        let groups = (0..pool.listen.len()).filter_map(|index| self.find(&Key::new(pool, index)));
        groups
            .filter_map(|group| {
                group
                    .sockets
                    .get(slot % group.sockets.len().max(1))
                    .cloned()
            })
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
                group.resize(&pool.listen[index], slots, pool.backlog)?;
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
            for (index, listen) in pool.listen.iter().enumerate() {
                let group = self.find(&Key::new(pool, index));
                for socket in group.iter().flat_map(|group| &group.sockets) {
                    outcome = outcome.and(socket.adopt(listen, pool.backlog));
                }
            }
        }
        outcome
    }

    /// Leads new clients past the sockets of `old` that are not in this set any
    /// more, so that their queues can be emptied.
    ///
    /// # Errors
    /// As setsockopt(2); then some clients come to a socket that refuses them,
    /// and come again a second later.
    pub fn steer(&self, old: &Self) -> io::Result<()> {
        for group in &self.groups {
            if let Some(old) = old.find(&group.key) {
                group.steer(old)?;
            }
        }
        Ok(())
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
                sockets.push(copy.as_raw_fd());
                open.push(copy);
            }
            passed.push(Passed {
                listen: group.key.listen.clone(),
                owner: group.key.owner.clone(),
                accept: group.accept,
                sockets,
            });
        }
        Ok(passed)
    }

    /// What another master passed on; the sockets are that one's to decide
    /// about until [`ListenerSet::claim`].
    ///
    /// # Errors
    /// The first descriptor that is no listening socket.
    pub fn inherit(passed: Vec<Passed>) -> io::Result<Self> {
        let inherit = |one: Passed| {
            let socket = |number: &RawFd| {
                let socket = sys::process::inherit(*number)?;
                Listener::inherit(socket, &one.listen).map(Arc::new)
            };
            Ok(Group {
                sockets: one.sockets.iter().map(socket).collect::<io::Result<_>>()?,
                accept: one.accept,
                key: Key {
                    owner: one.owner,
                    listen: one.listen,
                },
            })
        };
        let groups = passed.into_iter().map(inherit).collect::<io::Result<_>>()?;
        Ok(Self { groups })
    }

    /// Leaves what concerns both to another master that has the same sockets.
    pub fn entrust(&self) {
        self.all().for_each(|one| one.entrust());
    }

    /// Nobody else has them any more.
    pub fn claim(&self) {
        self.all().for_each(|one| one.claim());
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

    /// Every socket of `pool`.
    pub fn of_pool(&self, pool: &Pool) -> Vec<Arc<Listener>> {
        let groups = (0..pool.listen.len()).filter_map(|index| self.find(&Key::new(pool, index)));
        groups
            .flat_map(|group| group.sockets.iter().cloned())
            .collect()
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
    /// Opens what is missing. What `old` has for the same address is taken
    /// over, also where its kind changes: a shared socket becomes the first
    /// member of a group, or the first member becomes the shared socket.
    fn open(pool: &Pool, index: usize, old: &ListenerSet) -> Result<Self, BindError> {
        let key = Key::new(pool, index);
        let sockets = old.find(&key).map(|group| group.sockets.clone());
        let mut group = Self {
            key,
            accept: pool.accept,
            sockets: sockets.unwrap_or_default(),
        };
        let wanted = match pool.accept {
            Accept::Shared => 1,
            Accept::Reuseport => pool.size.max() as usize,
        };
        group.resize(&pool.listen[index], wanted, pool.backlog)?;
        Ok(group)
    }

    fn resize(&mut self, listen: &Listen, wanted: usize, backlog: u32) -> Result<(), BindError> {
        let reuseport = self.accept == Accept::Reuseport;
        self.sockets.truncate(wanted);
        match self.sockets.first() {
            None if reuseport => Listener::probe(listen)?,
            None => {}
            Some(first) => first
                .set_reuseport(reuseport)
                .map_err(|error| BindError::new("SO_REUSEPORT", first.local(), error))?,
        }
        while self.sockets.len() < wanted {
            // The second and later members join the port that the first one got.
            let first = self.sockets.first();
            let listen = first.map_or(listen, |first| first.local());
            let listener = Listener::bind(listen, backlog, reuseport)?;
            self.sockets.push(Arc::new(listener));
        }
        Ok(())
    }

    /// Leads new clients past the members of `old` that are not in this group
    /// any more. The kernel numbers the members in the order in which they
    /// came; as long as those that stay are the first ones and nobody is new,
    /// their numbers are known. Else nobody is led: a client that comes to a
    /// member that refuses it comes again a second later.
    fn steer(&self, old: &Self) -> io::Result<()> {
        let held = |group: &Self, one: &Arc<Listener>| {
            group.sockets.iter().any(|other| Arc::ptr_eq(one, other))
        };
        let Some(first) = self.sockets.first() else {
            return Ok(());
        };
        let someone_new = self.sockets.iter().any(|one| !held(old, one));
        let someone_gone = old.sockets.iter().any(|one| !held(self, one));
        match (someone_new, someone_gone) {
            (false, true) => sys::socket::steer(first.as_fd(), self.sockets.len() as u32),
            (true, _) if self.sockets.len() > 1 => sys::socket::steer_no_more(first.as_fd()),
            (true, _) | (false, false) => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Master, Service, Size, parse_listen};

    fn config(accept: Accept, workers: u32) -> Config {
        let mut pool = Pool::with_defaults("echo", Service::Echo);
        pool.listen = vec![parse_listen("127.0.0.1:0").unwrap()];
        pool.accept = accept;
        pool.size = Size::Fixed(workers);
        Config {
            master: Master::with_defaults(),
            pools: vec![pool],
        }
    }

    /// Connects `count` times and says in whose queue each client waits.
    fn shares(sockets: &[Arc<Listener>], count: usize) -> Vec<usize> {
        let Listen::Tcp { address, .. } = *sockets[0].local() else {
            panic!()
        };
        let clients: Vec<_> = (0..count)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        let queue = |one: &Arc<Listener>| {
            one.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| sys::socket::accept(one.as_fd(), false).ok()).count()
        };
        let shares = sockets.iter().map(queue).collect();
        drop(clients);
        shares
    }

    #[test]
    fn members_that_go_get_no_new_clients() {
        let wide = config(Accept::Reuseport, 4);
        let narrow = config(Accept::Reuseport, 2);
        let before = ListenerSet::open(&wide, &ListenerSet::default()).unwrap();
        let all = before.of_pool(&wide.pools[0]);
        assert!(shares(&all, 200).iter().all(|&share| share > 0));
        let after = ListenerSet::open(&narrow, &before).unwrap();
        after.steer(&before).unwrap();
        let steered = shares(&all, 200);
        assert!(steered[0] > 0 && steered[1] > 0, "{steered:?}");
        assert_eq!(steered[2..], [0, 0]);
        drop((before, all));
        // Two more come: everybody has a share again.
        let again = ListenerSet::open(&wide, &after).unwrap();
        again.steer(&after).unwrap();
        let all = again.of_pool(&wide.pools[0]);
        assert!(shares(&all, 200).iter().all(|&share| share > 0));
    }

    #[test]
    fn a_unix_socket_stays_when_its_mode_changes() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let mut set = ListenerSet::default();
        let mut first = None;
        for mode in [0o600, 0o666] {
            let mut config = config(Accept::Shared, 1);
            let path = path.clone();
            config.pools[0].listen = vec![Listen::Unix { path, mode }];
            set = ListenerSet::open(&config, &set).unwrap();
            set.adopt(&config).unwrap();
            let one = set.of_pool(&config.pools[0]).remove(0);
            assert!(Arc::ptr_eq(
                first.get_or_insert_with(|| Arc::clone(&one)),
                &one
            ));
            let found = std::fs::metadata(directory.path().join("s")).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_shared_socket_becomes_a_group_and_back() {
        let shared = config(Accept::Shared, 3);
        let own = config(Accept::Reuseport, 3);
        let first = ListenerSet::open(&shared, &ListenerSet::default()).unwrap();
        let second = ListenerSet::open(&own, &first).unwrap();
        second.steer(&first).unwrap();
        let all = second.of_pool(&own.pools[0]);
        assert_eq!(all.len(), 3);
        assert!(shares(&all, 200).iter().all(|&share| share > 0));
        let third = ListenerSet::open(&shared, &second).unwrap();
        third.steer(&second).unwrap();
        assert_eq!(shares(&all, 100), [100, 0, 0]);
        drop((first, second, all));
        let one = third.of_pool(&shared.pools[0]);
        assert_eq!(shares(&one, 100), [100]);
    }
}
