//! What does this token say? The time is an argument.

mod algorithm;
mod bearer;
mod claims;
mod issue;
mod json;
mod keys;
mod verify;

pub use algorithm::Algorithm;
pub use bearer::{Credentials, bearer, names_parameter, names_token};
pub use issue::{Grant, SessionClaims, issue};
pub use keys::{KeyError, PrivateKey, SigningKey, VerifyingKey};
pub use verify::{Expectations, MAX_TOKEN_LENGTH, Unverified, check_times};
