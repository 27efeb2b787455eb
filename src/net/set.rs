//! The listeners of one generation, and how the next one takes them over.
//!
//! A generation's set shares the sockets it has in common with the one before
//! it, so that a listener that stays keeps its queue, and one that goes is
//! closed when the last generation that knew it is dropped. Everything new is
//! bound before anything old is touched.

use crate::config::{Accept, Config, Listen, Pool};
use crate::net::{BindError, Listener};
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

/// What makes an entry the same entry after a reload: its address; where the
/// kernel chooses the port, also whose entry it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    listen: Listen,
    owner: Option<(String, usize)>,
}

impl Key {
    fn new(pool: &Pool, index: usize) -> Self {
        let listen = pool.listen[index].clone();
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
    fn open(pool: &Pool, index: usize, old: &ListenerSet) -> Result<Self, BindError> {
        let key = Key::new(pool, index);
        let kept = old.find(&key).filter(|group| group.accept == pool.accept);
        let mut sockets = kept.map(|group| group.sockets.clone()).unwrap_or_default();
        let wanted = match pool.accept {
            Accept::Shared => 1,
            Accept::Reuseport => pool.size.max() as usize,
        };
        sockets.truncate(wanted);
        if sockets.is_empty() && pool.accept == Accept::Reuseport {
            Listener::probe(&key.listen)?;
        }
        while sockets.len() < wanted {
            // The second and later members join the port that the first one got.
            let listen = sockets.first().map_or(&key.listen, |first| first.local());
            let reuseport = pool.accept == Accept::Reuseport;
            let listener = Listener::bind(listen, pool.backlog, reuseport)?;
            sockets.push(Arc::new(listener));
        }
        Ok(Self {
            key,
            accept: pool.accept,
            sockets,
        })
    }
}
