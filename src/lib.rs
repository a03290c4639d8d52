//! scopegate: an authentication gateway. (The map follows with the modules.)

pub mod cache;
pub mod config;
pub mod domain;
pub mod issuer;
pub mod policy;
pub mod telemetry;
pub mod store;
pub mod token;
pub mod trust;
pub mod upstream;
