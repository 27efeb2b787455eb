//! Sockets: how they are made, kept over reloads, and given up.

pub mod listener;
mod roster;
pub mod set;
pub mod stream;

pub use listener::{BindError, Listener};
pub use roster::{Departed, Roster};
pub use set::{ListenerSet, Passed};
pub use stream::Stream;
