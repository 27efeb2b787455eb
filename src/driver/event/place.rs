//! The places of a loop's connections, and what epoll(7) is asked about each.

use super::Token;
use crate::driver::connection::{Connection, Resting};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::time::Instant;

/// A place for a connection.
#[derive(Default)]
pub(super) struct Place {
    pub(super) tenant: u32,
    pub(super) occupant: Option<Occupant>,
}

pub(super) struct Occupant {
    pub(super) body: Body,
    pub(super) interest: EpollFlags,
    /// The program that is waited for as well.
    pub(super) watched: Option<i32>,
    /// When it must be looked at, whatever happens.
    pub(super) deadline: Instant,
    /// The earliest moment for which a timer is in the heap.
    pub(super) timer: Instant,
}

pub(super) enum Body {
    /// In a crowd nearly all connections rest.
    Resting(Resting),
    Awake(Box<Connection>),
    /// It is being visited.
    Away,
}

impl Occupant {
    /// Whether the client is between requests; see [`Connection::is_idle`].
    pub(super) fn is_idle(&self) -> bool {
        match &self.body {
            Body::Resting(_) => true,
            Body::Awake(connection) => connection.is_idle(),
            Body::Away => false,
        }
    }

    pub(super) fn watch_socket(
        &mut self,
        epoll: &Epoll,
        connection: &Connection,
        interest: EpollFlags,
        token: Token,
    ) -> nix::Result<()> {
        if interest == self.interest {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.interest, interest);
        let event = &mut EpollEvent::new(interest, token.bits());
        if interest.is_empty() {
            epoll.delete(connection)
        } else if before.is_empty() {
            epoll.add(connection, *event)
        } else {
            epoll.modify(connection, event)
        }
    }

    /// A program that is gone took its descriptor along, and so left the set.
    pub(super) fn watch_program(
        &mut self,
        epoll: &Epoll,
        connection: &Connection,
        wanted: bool,
        token: Token,
    ) -> nix::Result<()> {
        let child = connection.program();
        let id = child.map(|(id, _)| id);
        let watched = self.watched;
        self.watched = id.filter(|_| wanted);
        match child {
            Some((_, child)) if wanted && watched != id => {
                epoll.add(child, EpollEvent::new(EpollFlags::EPOLLIN, token.bits()))
            }
            Some((_, child)) if !wanted && watched == id => epoll.delete(child),
            Some(_) | None => Ok(()),
        }
    }
}
