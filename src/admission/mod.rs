//! Who is let in: limits before the first octet, for all workers of a pool
//! together.
//!
//! [`verdict`] decides, from numbers alone. [`register`] is where the numbers come
//! from: shared memory in which each worker writes whom it has, and which anybody
//! counts. [`bucket`] is how fast a source may come, and [`source`] what a source
//! is. [`episode`] is when the shedding began and when it was over.
//!
//! Owes that a limit on what is open is never exceeded, and that nobody is kept
//! out by a connection that is gone, whoever dies at whatever moment: there is no
//! number that one process raises and another lowers. A count is made anew each
//! time, over what living workers have written; the master clears what a dead one
//! has left. Times, not numbers, say how fast a source came.

pub mod bucket;
pub mod episode;
pub mod register;
pub mod source;
pub mod verdict;

pub use register::{Register, Shape, Shard};
pub use source::{Claim, Secret};
pub use verdict::Cause;
