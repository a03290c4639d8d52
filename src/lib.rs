//! scopegate: an authentication gateway. (The map follows with the modules.)

pub mod cache;
pub mod domain;
pub mod issuer;
pub mod policy;
pub mod token;
pub mod trust;
