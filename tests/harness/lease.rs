//! A program that cannot be started yet: a lease on its file (F_SETLEASE of
//! fcntl(2)) has whoever executes it wait, as one does whose file lies on a
//! server that does not answer.

use super::SOON;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Takes the lease, says when somebody wants the file, and gives it up when it is
/// told to. Who has just written the file may still have it open.
const HOLDER: &str = "
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, lambda *_: os.write(1, b'wanted\\n'))
file = os.open(sys.argv[1], os.O_RDONLY)
for left in range(1000, -1, -1):
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        break
    except BlockingIOError:
        if not left: raise
        time.sleep(0.01)
os.write(1, b'held\\n')
os.read(0, 1)
";

/// Holds a file until it is dropped; the kernel lets nobody wait for longer than 45
/// seconds (/proc/sys/fs/lease-break-time).
pub(crate) struct Lease {
    holder: Child,
    said: BufReader<ChildStdout>,
}

impl Lease {
    /// Nobody executes `file` from now on.
    pub(crate) fn of(file: &Path) -> Self {
        let mut holder = Command::new("python3")
            .args(["-c", HOLDER])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let said = BufReader::new(holder.stdout.take().unwrap());
        let mut lease = Self { holder, said };
        lease.wait_for("held");
        lease
    }

    /// Somebody tries to.
    pub(crate) fn wait_until_wanted(&mut self) {
        self.wait_for("wanted");
    }

    fn wait_for(&mut self, word: &str) {
        if self.said.buffer().is_empty() {
            let mut ready = [PollFd::new(self.said.get_ref().as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(SOON).unwrap();
            assert_eq!(
                poll(&mut ready, patience),
                Ok(1),
                "{word}, and nothing came"
            );
        }
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.holder.stdin.take() {
            let _ = stdin.write_all(b"x");
        }
        let _ = self.holder.wait();
    }
}
