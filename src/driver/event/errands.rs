//! What the loop has others do, for it must not stand still: long work, and the
//! starts of programs.

use super::{Loop, Token};
use crate::driver::connection::{Connection, Want};
use crate::driver::helpers::Declined;
use log::Level;

impl Loop<'_> {
    /// Gives those their answers for whom work was done.
    pub(super) fn hand_out(&mut self, answers: Vec<(u64, bool)>) {
        for (bits, answer) in answers {
            self.visit(Token::of(bits), |connection, _| {
                connection.worked(Some(answer));
            });
        }
    }

    /// Gives away the work that a connection wants done, until it wants what only
    /// time brings.
    #[cold]
    pub(super) fn give_away(
        &mut self,
        mut want: Want,
        token: Token,
        connection: &mut Connection,
    ) -> Want {
        loop {
            let helpers = match want {
                Want::Work => &mut self.helpers,
                Want::Start { .. } => &mut self.starters,
                Want::Read { .. }
                | Want::Write { .. }
                | Want::Either { .. }
                | Want::Program { .. }
                | Want::ProgramAlone { .. }
                | Want::Session { .. }
                | Want::Closed(_) => return want,
            };
            let Some(work) = connection.take_work() else {
                return want;
            };
            let Err(declined) = helpers.submit(token.bits(), work) else {
                return want;
            };
            let answer = self.decline(declined, want == Want::Work, connection);
            connection.worked(answer);
            want = connection.drive(&mut self.lane);
        }
    }

    /// Nobody else does it. A program is started here then, and all others wait
    /// for that: where there is no thread, there is hardly a process either.
    #[cold]
    fn decline(
        &mut self,
        declined: Declined,
        is_work: bool,
        connection: &Connection,
    ) -> Option<bool> {
        let who = connection.who();
        let complaints = &self.duty.complaints;
        let speaks = complaints.may_speak(Level::Warn, self.lane.now);
        match declined {
            Declined::Full => {
                let what = if is_work {
                    // A test waits for this line.
                    "too many passwords wait to be looked at"
                } else {
                    "too many programs wait to be started"
                };
                if speaks {
                    log::warn!("{who}: {what}");
                }
                None
            }
            Declined::Alone(work, error) => {
                if speaks {
                    log::warn!("{who}: a helper thread: {error}");
                }
                (!is_work).then(|| {
                    let answer = work.run();
                    self.lane.look_at_clock();
                    answer
                })
            }
        }
    }
}
