use crate::domain::{ClientId, CustomerId, Timestamp, TokenId};

/// No token lives longer, in seconds: the longest lifetime that can be configured (30 days, of other issuers' tokens), the
/// largest clock skew (five minutes), and a minute for clocks of other nodes.
pub const LONGEST_LIFE: u64 = 30 * 86_400 + 300 + 60;

/// Whose tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Those issued to one client.
    Client(ClientId),
    /// Those of all clients of one customer.
    Customer(CustomerId),
}

impl Holder {
    /// Its kind, as stored.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Customer(_) => "customer",
        }
    }

    /// The ID.
    pub fn id(&self) -> &str {
        match self {
            Self::Client(id) => id.as_str(),
            Self::Customer(id) => id.as_str(),
        }
    }
}

/// A holder whose tokens were revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedHolder {
    /// Whose.
    pub holder: Holder,
    /// Tokens issued up to and including this second.
    pub up_to: Timestamp,
}

/// Counts revoked tokens in the order in which they were revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevocationNumber(pub(super) i64);

/// A single token that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedToken {
    /// Its place in the order.
    pub number: RevocationNumber,
    /// Its `jti`.
    pub id: TokenId,
    /// When the token has expired by itself, so that this may be forgotten.
    pub until: Timestamp,
}
