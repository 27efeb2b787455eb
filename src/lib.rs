//! preforkd: a prefork multiprocess server for Linux, as a program and as a crate.

pub mod calendar;
pub mod config;
pub mod driver;
pub mod log;
pub mod net;
pub mod protocol;
pub mod scoreboard;
pub mod sys;
