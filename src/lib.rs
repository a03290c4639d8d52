//! scopegate: an authentication gateway. (The map follows with the modules.)

pub mod config;
pub mod domain;
pub mod policy;
pub mod token;
