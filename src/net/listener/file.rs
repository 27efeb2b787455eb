//! The file of a unix socket: whose it is, and when it may go.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file that a unix socket left, and which one it was.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds a unix socket: a file that nobody listens on any more is no obstacle.
    pub(super) fn bind(socket: &Socket, path: &Path, mode: u32) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        if let Err(error) = socket.bind(&address) {
            if error.kind() != io::ErrorKind::AddrInUse || !is_stale(path, &address) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        // Nobody can connect before listen(2), so the mode is right in time.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        Self::at(path)
    }

    /// What is at `path` now.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (found.dev(), found.ino()),
        })
    }

    /// Removes the file unless another process has put its own there.
    pub(super) fn remove(&self) {
        let now = std::fs::symlink_metadata(&self.path);
        if now.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` is a socket that refuses connections: its owner is gone.
fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = || -> io::Result<bool> {
        let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        probe.set_nonblocking(true)?;
        Ok(
            matches!(probe.connect(address), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused),
        )
    };
    is_socket && refused().unwrap_or(false)
}
