//! Reading on where nothing can be written.
//!
//! A protocol that waits for room to write does not read, and what the peer sends
//! meanwhile fills the kernel's queue. A window is promised in octets, and the
//! queue is measured in memory: small segments take more of it than was thought
//! when the promise was made. A Linux that has to drop one (TcpExtTCPRcvQDrop)
//! closes the window below what was promised, and then drops whatever the peer
//! sends from beyond it, together with the acknowledgement that it carries
//! (TcpExtBeyondWindow); that it must not is RFC 7323 §2.4. So the peer takes
//! everything, says so, and is not heard: nothing can be written, nobody reads,
//! and the connection stands still until it is given up for a peer that takes
//! nothing. Seen on Linux 6.18, with other servers too; later ones keep the
//! promise. A read opens the window again.
//!
//! Owes the peer that a connection does not stand still by that alone, and the
//! machine that little is taken unasked. Must never wait.

use super::{Connection, Stage, would_wait};
use crate::driver::Lane;
use crate::protocol::CloseReason;
use crate::scoreboard::Counter;

/// The kernel opens a window by no less than a segment, which is 64 KiB where it
/// is largest, and this part of the buffer.
const SEGMENT: usize = 64 * 1024;
const PART: usize = 16;

/// With less of the buffer than this part, in octets, there was memory for more.
const FULL: usize = 4;

/// So often as much may wait. A peer that still sends and does not read fills the
/// queue again after each look, and the last time must not be one too many: there
/// are eight looks in half a minute, and more only once something was taken.
const TIMES: usize = 16;

impl Connection {
    /// Takes from the queue what opens a window, if anything is there and the
    /// protocol will not ask for it before something was sent.
    pub(super) fn read_ahead(&mut self, lane: &mut Lane<'_>) {
        match self.stage {
            Stage::Flushing | Stage::Sending { .. } | Stage::Hearing { .. } | Stage::Ending(_) => {}
            Stage::Resume(_)
            | Stage::Receiving { .. }
            | Stage::Working
            | Stage::Launching
            | Stage::Started { .. }
            | Stage::Session
            | Stage::Postponed { .. }
            | Stage::Dismissing(_)
            | Stage::Lingering { .. }
            | Stage::Closed(_) => return,
        }
        // Neither can fail on a socket that streams; if one did, nothing is read.
        let buffer = self.stream.receive_buffer().unwrap_or(usize::MAX);
        let waiting = self.stream.waiting().unwrap_or(0);
        let most = SEGMENT + buffer / PART;
        let had = self.input.unread().len();
        if waiting < buffer / FULL || had + most > TIMES * most {
            return;
        }
        lane.spares.lend_input(&mut self.input);
        let room = self.input.room_ahead(most.min(waiting));
        match self.stream.receive(room) {
            Ok(count) => {
                lane.row.add(Counter::Received, count as u64);
                self.input.filled(count);
                self.heard |= count > 0;
            }
            Err(error) if would_wait(&error) => {}
            Err(_) => self.break_off(CloseReason::Reset),
        }
    }
}
