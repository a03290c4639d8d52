//! scopegate: an authentication gateway. (The map follows with the modules.)

pub mod admin;
pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod domain;
pub mod issuer;
pub mod policy;
pub mod proxy;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod trust;
pub mod upstream;
