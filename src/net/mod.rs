//! Sockets: how they are made, kept over reloads, and given up.

mod activation;
pub mod datagram;
mod drops;
pub mod listener;
mod options;
mod queue;
mod roster;
pub mod set;
mod silence;
pub mod stream;

pub use activation::Activation;
pub use listener::{BindError, Listener};
pub use queue::Queue;
pub use roster::{Departed, Roster};
pub use set::{ListenerSet, Passed};
pub use silence::{Line, Silence};
pub use stream::Stream;
