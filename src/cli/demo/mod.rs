//! `scopegate demo`

/// The API behind the gateway.
pub mod api;
