//! Whom workers run as: names to numbers, and whether this process may.

use super::Checker;
use crate::config::Identity;
use crate::config::file::{MasterTable, PoolTable};
use crate::config::mistake::{Mistake, Span};
use crate::config::system::{Account, reason};
use crate::config::table::Entry;
use crate::config::wording::abridged;

/// What helps against a user who may not become another.
const AS_ROOT: &str = "start as root, or leave the key out";

/// A user and a group as one table gives them, looked up, each with its place.
pub(super) struct Who {
    user: Option<(Account, Span)>,
    group: Option<(u32, Span)>,
    /// A user was given, even if there is none of that name.
    named: bool,
}

impl Checker<'_> {
    /// Who may use the control socket.
    pub(super) fn control_group(&mut self, table: &MasterTable) -> Option<u32> {
        if table.control_socket.given.is_none() {
            let why = "only with `control_socket`";
            self.misplaced(&table.control_group, "control_group", why);
        }
        self.group(&table.control_group).map(|(group, _)| group)
    }

    pub(super) fn master_who(&mut self, table: &MasterTable) -> Who {
        let who = self.look_up(&table.user, &table.group);
        if !who.named {
            self.group_alone(&table.group);
        }
        // Reported even if every pool has a user of its own.
        self.settle(who.user.as_ref(), who.group.as_ref());
        who
    }

    /// The pool's user if it has one, else the master's; `None` leaves the
    /// workers as the master is.
    pub(super) fn identity(&mut self, table: &PoolTable, master: &Who) -> Option<Identity> {
        let own = self.look_up(&table.user, &table.group);
        if own.named {
            return self.settle(own.user.as_ref(), own.group.as_ref());
        }
        if !master.named {
            self.group_alone(&table.group);
        }
        let group = own.group.as_ref().or(master.group.as_ref());
        self.settle(master.user.as_ref(), group)
    }

    fn look_up(&mut self, user: &Entry<Option<String>>, group: &Entry<Option<String>>) -> Who {
        Who {
            user: self.account(user),
            group: self.group(group),
            named: user.given.is_some(),
        }
    }

    fn account(&mut self, entry: &Entry<Option<String>>) -> Option<(Account, Span)> {
        let name = entry.value.as_ref()?;
        let at = entry.span(&(0..0));
        match self.system.account(name) {
            Ok(Some(account)) => return Some((account, at)),
            Ok(None) => {
                let message = format!("there is no user {}", abridged(name));
                self.error(&at, message, "expected a user of this machine");
            }
            Err(error) => {
                let message = format!("looking up the user {}: {}", abridged(name), reason(&error));
                self.error(&at, message, "");
            }
        }
        None
    }

    /// A group by name, or by number even if the number has no name: that is
    /// how containers have it.
    fn group(&mut self, entry: &Entry<Option<String>>) -> Option<(u32, Span)> {
        let name = entry.value.as_ref()?;
        let at = entry.span(&(0..0));
        match self.system.group(name) {
            Ok(Some(gid)) => return Some((gid, at)),
            Ok(None) => {
                if let Ok(gid) = name.parse() {
                    return Some((gid, at));
                }
                let message = format!("there is no group {}", abridged(name));
                self.error(&at, message, "expected a group of this machine");
            }
            Err(error) => {
                let message = format!(
                    "looking up the group {}: {}",
                    abridged(name),
                    reason(&error)
                );
                self.error(&at, message, "");
            }
        }
        None
    }

    fn group_alone(&mut self, entry: &Entry<Option<String>>) {
        if let Some(given) = &entry.given {
            let key = given.key.clone();
            self.error(&key, "`group` has no effect without `user`", "add `user`");
        }
    }

    /// Puts user and group together. Only root can become somebody; being told
    /// to stay who one is asks for nothing.
    fn settle(
        &mut self,
        user: Option<&(Account, Span)>,
        group: Option<&(u32, Span)>,
    ) -> Option<Identity> {
        let (account, user_at) = user?;
        let (gid, gid_at) = match group {
            Some((gid, at)) => (*gid, at),
            None => (account.gid, user_at),
        };
        let (my_uid, my_gid) = self.system.effective_ids();
        if my_uid != 0 {
            if account.uid != my_uid {
                let message = format!("only root can run workers as {}", account.name);
                self.once(user_at, message, AS_ROOT);
            } else if gid != my_gid {
                let message = format!("only root can change the group to {gid}");
                self.once(gid_at, message, AS_ROOT);
            }
            return None;
        }
        match self.system.groups_of(&account.name, gid) {
            Ok(groups) => Some(Identity {
                user: account.name.clone(),
                uid: account.uid,
                gid,
                groups,
            }),
            Err(error) => {
                let message = format!("the groups of {}: {}", account.name, reason(&error));
                self.once(user_at, message, "");
                None
            }
        }
    }

    /// Adds a mistake that several pools may share.
    fn once(&mut self, at: &Span, message: String, expected: &str) {
        let mistake = Mistake::error(at.clone(), message, expected);
        if !self.found.contains(&mistake) {
            self.found.push(mistake);
        }
    }
}
