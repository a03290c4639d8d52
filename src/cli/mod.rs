//! The command line, one file per command.

/// `scopegate check`
pub mod check;
pub mod client;
pub mod context;
pub mod demo;
pub mod key;
pub mod token;

mod table;
