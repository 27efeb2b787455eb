//! What a test has for itself, though other tests run beside it, in its process
//! and in others.

use super::server::program;
use super::{SOON, eventually};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// An address of the loopback that nobody else has: where nobody listens, nobody
/// will, and what one server has left another one can have.
pub(crate) fn ip() -> Ipv4Addr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let number = 1 + LAST.fetch_add(1, Ordering::Relaxed) % 254;
    Ipv4Addr::new(127, high | 1, low, number)
}

/// A port there, at which nobody listens.
pub(crate) fn address() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(ip()), 7000)
}

/// Puts a copy of the program at `path`, for everybody: where it lies, only its
/// owner may be able to go. Not by this process: see [`install`](super::install).
pub(crate) fn copy(path: &Path) {
    let mut install = Command::new("install");
    install.args(["-m", "755"]).arg(program()).arg(path);
    let output = install.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Leaves a socket at `path` where nobody listens any more: a program that another
/// test starts may have a copy of it for a moment.
pub(crate) fn stale_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    eventually("nobody listens there", SOON, || {
        UnixStream::connect(path).err()
    });
}
