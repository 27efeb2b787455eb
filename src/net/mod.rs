//! Sockets: how they are made, kept over reloads, and given up.

mod activation;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod listener;
pub mod proxy;
mod queue;
mod roster;
pub mod set;
pub mod stream;

pub use activation::Activation;
pub use listener::{BindError, Listener};
pub use queue::Queue;
pub use roster::{Departed, Roster};
pub use set::{ListenerSet, Passed};
pub use stream::Stream;
