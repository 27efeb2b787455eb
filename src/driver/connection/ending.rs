//! How a connection ends: as the protocol wants it, or because it broke.

use super::{Connection, Stage};
use crate::config::Refusal;
use crate::driver::Lane;
use crate::protocol::{CloseReason, Ending, Manner, Outcome};
use std::net::SocketAddr;

/// What a lingering connection may still send us before we give up on it: what the
/// buffers of two kernels hold at the most (`tcp_rmem` and `tcp_wmem` of tcp(7), 6
/// and 4 MiB). A client that has given away no more than that has its answer.
const LINGER_BUDGET: usize = 10 * 1024 * 1024;

impl Connection {
    /// A proxy has named the client. Answers whether it may stay; who may not is on
    /// its way out, as the pool's limits have it.
    pub fn admit_client(&mut self, client: Option<SocketAddr>, lane: &mut Lane<'_>) -> bool {
        let Err((refusal, answer)) = lane.admit_client(&mut self.claim, client) else {
            return true;
        };
        let reason = CloseReason::Refused("limits");
        match refusal {
            Refusal::Reset => {
                self.stream.give_up();
                self.stage = Stage::Closed(reason);
            }
            Refusal::Close => self.stage = Stage::Closed(reason),
            Refusal::Answer => {
                lane.spares.lend_output(&mut self.output);
                self.output.push(answer);
                let manner = Manner::Linger;
                self.stage = Stage::Ending(Ending { manner, reason });
            }
        }
        false
    }

    /// All is sent: close at once, or half-close and drain. A program that
    /// still runs comes first: whoever has its answer need not wait for that.
    pub(super) fn end(&mut self, ending: Ending, lane: &Lane<'_>) {
        // From here on time is up when the program's is, or that of the drain.
        self.uptake.rest();
        if self.child().is_some() {
            // A socket that is broken already cannot be half-closed.
            let _ = self.stream.finish();
            self.stage = Stage::Dismissing(ending);
            return;
        }
        self.stage = match ending.manner {
            Manner::AtOnce => Stage::Closed(ending.reason),
            Manner::Linger => match self.stream.finish() {
                Ok(()) => {
                    self.input.reset();
                    let deadline = lane.now + lane.duty.limits.linger_timeout;
                    Stage::Lingering {
                        deadline,
                        budget: LINGER_BUDGET,
                        reason: ending.reason,
                    }
                }
                Err(_) => Stage::Closed(ending.reason),
            },
        };
    }

    /// The connection is beyond use; the protocol hears of it once.
    pub(super) fn break_off(&mut self, reason: CloseReason) {
        self.uptake.rest();
        // What is left of the output goes once the protocol has seen how much
        // it is.
        self.stage = match self.stage {
            Stage::Ending(ending) if ending.reason.is_planned() => {
                self.output.reset();
                Stage::Dismissing(Ending {
                    manner: Manner::AtOnce,
                    reason,
                })
            }
            Stage::Ending(ending) | Stage::Dismissing(ending) => {
                self.output.reset();
                Stage::Dismissing(Ending {
                    manner: Manner::AtOnce,
                    ..ending
                })
            }
            Stage::Lingering { reason, .. } | Stage::Closed(reason) => Stage::Closed(reason),
            Stage::Sending { sent, .. } => Stage::Resume(Outcome::Broken { sent, reason }),
            Stage::Resume(_)
            | Stage::Receiving { .. }
            | Stage::Flushing
            | Stage::Working
            | Stage::Launching
            | Stage::Started { .. }
            | Stage::Session
            | Stage::Postponed { .. }
            | Stage::Hearing { .. } => Stage::Resume(Outcome::Broken { sent: 0, reason }),
        };
    }
}
