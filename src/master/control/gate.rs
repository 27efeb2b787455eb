//! Who may ask: by the mode of the socket's file, and by what the kernel noted of
//! the peer when it connected.
//!
//! The mode alone is not enough: it does not hold yet in the moment after bind(2),
//! and not any more for whoever connected before a reload took the group away.
//! SO_PEERCRED tells the peer's primary group alone (unix(7)); of the others
//! SO_PEERGROUPS does. Where that cannot be asked, they do not count.

use crate::sys;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Gid, chown, getegid, geteuid};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Whoever asks, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The effective user id of the process that connected.
    pub uid: u32,
    /// Its process id; 0 where it has none among our processes.
    pub pid: i32,
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { uid, pid } = self;
        // A line that tests rely on.
        write!(f, "control socket (uid {uid}, pid {pid})")
    }
}

/// Lets the peer of `stream` in: root, the master's own user, and the members of
/// `group`. The error says who may.
pub(super) fn admit(stream: &impl AsFd, group: Option<u32>) -> Result<Asker, String> {
    let peer = getsockopt(stream, sockopt::PeerCredentials).map_err(|errno| errno.to_string())?;
    let in_group = |group: u32| {
        peer.gid() == group
            || sys::socket::peer_groups(stream.as_fd()).is_ok_and(|all| all.contains(&group))
    };
    let own = geteuid().as_raw();
    if peer.uid() == 0 || peer.uid() == own || group.is_some_and(in_group) {
        return Ok(Asker {
            uid: peer.uid(),
            pid: peer.pid(),
        });
    }
    let members = group.map_or_else(String::new, |group| format!(", members of group {group}"));
    Err(format!(
        "only root, user {own}{members} may ask: this is user {}",
        peer.uid()
    ))
}

/// Gives the socket's file to `group`, or takes it back from another one. At no
/// moment in between is it open to more than before and after; where all is well
/// already nothing is touched, and nobody kept out for that moment.
///
/// # Errors
/// As chmod(2) and chown(2): EPERM for a group that the master, where it is not
/// root, is no member of. Then it is open to its owner alone.
pub(super) fn settle(path: &Path, group: Option<u32>) -> io::Result<()> {
    let mode = |bits| std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits));
    let owner = group.map_or_else(getegid, Gid::from_raw);
    let wanted = if group.is_some() { 0o660 } else { 0o600 };
    let found = std::fs::metadata(path)?;
    if found.mode() & 0o7777 == wanted && found.gid() == owner.as_raw() {
        return Ok(());
    }
    mode(0o600)?;
    chown(path, None, Some(owner)).map_err(|errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("chown to group {owner}: {error}"))
    })?;
    mode(wanted)
}
