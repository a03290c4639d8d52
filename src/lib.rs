//! scopegate: an authentication gateway. (The map follows with the modules.)

pub mod domain;
pub mod policy;
pub mod store;
pub mod token;
