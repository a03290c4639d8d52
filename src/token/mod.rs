//! What does this token say? The time is an argument.

mod algorithm;
mod bearer;
mod claim_path;
mod claims;
mod ed25519;
mod introspection;
mod issue;
mod issuer_names;
mod json;
mod jws;
mod jws_algorithm;
mod key_set;
mod keys;
mod pem;
mod rsa;
mod verify;
mod verifying_key;

pub use algorithm::Algorithm;
pub use bearer::{Credentials, after_scheme, bearer, names_parameter, names_token};
pub use claim_path::{ClaimPath, ClaimPathError};
pub use introspection::principal_of_introspection;
pub use issue::{Grant, SessionClaims, issue};
pub use issuer_names::{IssuerNames, IssuerNamesError, TenantPattern};
pub use jws::{Jws, MAX_TOKEN_LENGTH};
pub use jws_algorithm::{JwsAlgorithm, KeyKind};
pub use key_set::{KeySet, KeySetError, PassedOver, Unusable, WhyUnusable, parse_key_set};
pub use keys::{KeyError, PrivateKey, SigningKey};
pub use pem::parse_pem;
pub use rsa::{RsaPublicKey, RsaWeakness};
pub use verify::{Audiences, ClaimNames, Expectations, Unverified, check_times};
pub use verifying_key::{VerifyingKey, VerifyingKeyError};
