//! What the machine asks of its driver.

use super::super::cgi::Errand;
use super::super::site::Content;
use super::Connection;
use super::file::Held;
use crate::protocol::{Action, CloseReason, Ending, Manner, View, Work};
use std::time::Instant;

/// An [`Action`] that borrows nothing yet.
pub(in crate::protocol::http) enum Wish {
    Receive { deadline: Instant, idle: bool },
    Flush,
    Open,
    SendFile { offset: u64, length: u64 },
    Read,
    Compute(Work),
    Report(View),
    List,
    OpenScript,
    Run,
    Hear { deadline: Instant },
    Close(Ending),
}

impl Wish {
    /// How a connection ends where we are at fault.
    pub(in crate::protocol::http) const FAULTY: Ending = Ending {
        reason: CloseReason::Internal,
        manner: Manner::AtOnce,
    };
    pub(in crate::protocol::http) const FAULT: Self = Self::Close(Self::FAULTY);
}

impl Connection {
    /// What the driver hears of a wish.
    pub(in crate::protocol::http) fn action(&mut self, wish: Wish) -> Action<'_> {
        match wish {
            Wish::Receive { deadline, idle } => Action::Receive { deadline, idle },
            Wish::Flush => Action::Flush,
            Wish::Open => {
                let (root, path) = self.place();
                Action::Open { root, path }
            }
            Wish::List => {
                let (root, path) = self.place();
                Action::List { root, path }
            }
            Wish::Compute(work) => Action::Compute(work),
            Wish::Report(view) => Action::Report(view),
            Wish::SendFile { offset, length } => Action::SendFile { offset, length },
            Wish::Read => Action::Read {
                offset: 0,
                into: match &mut self.held {
                    Held::Raw(room) => room,
                    Held::Nothing | Held::Compressed(_) | Held::Report(_) => &mut [],
                },
            },
            Wish::OpenScript => {
                let errand = self.errand.as_deref();
                let (root, path) = errand.map_or((usize::MAX, &b""[..]), Errand::candidate);
                Action::Open { root, path }
            }
            Wish::Run => match self.errand.as_deref() {
                Some(errand) => {
                    let subject = self.subject();
                    Action::Run(errand.program(&self.site.cgi, subject))
                }
                None => Action::Flush,
            },
            Wish::Hear { deadline } => Action::Hear { deadline },
            Wish::Close(ending) => Action::Close(ending),
        }
    }

    /// What is opened or listed: a root's number, and a path below it.
    pub(super) fn place(&self) -> (usize, &[u8]) {
        let (root, skip) = match self.site.map.rule(self.files).content {
            Content::Files { root, skip } => (root, skip),
            // Nothing is there, and nothing is opened.
            Content::Redirect(_) | Content::Respond(_) | Content::Report(_) => (usize::MAX, 0),
        };
        (root, self.notes.path().get(skip..).unwrap_or_default())
    }
}
