//! What does this token say? The time is an argument.

mod algorithm;
mod keys;

pub use algorithm::Algorithm;
pub use keys::{KeyError, PrivateKey, SigningKey, VerifyingKey};
