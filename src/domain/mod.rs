//! The words everyone uses. Nothing here does I/O or reads a clock.

mod argon2id;
mod calendar;
mod clock;
mod host;
mod id;
mod network;
mod percent;
mod principal;
mod random;
mod reason;
mod scope;
mod secret;
mod text;

pub use argon2id::{Argon2idCost, Argon2idError, Argon2idHash};
pub use calendar::DateTime;
pub use clock::{Timestamp, wall_clock};
pub use host::{Host, HostError};
pub use id::{
    ApplicationId, ClientId, CustomerId, HeaderText, HeaderTextError, IdentityText, IssuerName, KeyId, TokenId,
    WorkflowId,
};
pub use network::{Network, NetworkError, TrustedPeers, UnixPeers};
pub use principal::{IssuerId, KeyFingerprint, Principal, RequiredClaim};
pub use random::{random_bytes, random_name};
pub use reason::{ALL_REASONS, Reason};
pub use scope::{
    APPLICATION_SESSION, Binding, Catalogue, CatalogueError, ScopeDefinition, ScopeName, ScopeNameError, ScopeSet,
};
pub use secret::{ClientSecret, HashingKey, SecretHash, SecretVerifier};
pub use text::{
    is_unprintable, printable, printable_json, printable_lines, push_address, push_number, push_thousandths,
};
