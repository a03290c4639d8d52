use crate::domain::{ClientId, CustomerId, ScopeName, SecretVerifier, Timestamp};

/// Whether a client may authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It may.
    Enabled,
    /// It may not, and tokens issued to it are no longer accepted.
    Disabled,
}

impl ClientState {
    /// The state's name, as stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled].into_iter().find(|state| state.name() == name)
    }
}

/// Which tokens a client may have explained (RFC 7662).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspects {
    /// Those of its own customer.
    Own,
    /// Everybody's.
    All,
}

impl Introspects {
    /// Its name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::All => "all",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Own, Self::All].into_iter().find(|right| right.name() == name)
    }
}

/// One set of API credentials as kept.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its public half.
    pub id: ClientId,
    /// Who owns it.
    pub customer: CustomerId,
    /// What its owner calls it, possibly nothing.
    pub name: String,
    /// The scopes it may ask for.
    pub scopes: Vec<ScopeName>,
    /// Where its session tokens may lead; empty: anywhere.
    pub redirect_urls: Vec<String>,
    /// Whether it may authenticate.
    pub state: ClientState,
    /// Which tokens it may have explained.
    pub introspects: Introspects,
    /// Its secrets, the newest last: at most [`MOST_SECRETS`] of them have not expired.
    pub secrets: Vec<Secret>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Live secrets that a client may have: the one in use and the one that follows it.
pub const MOST_SECRETS: usize = 2;

/// Names one secret in the store; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretNumber(pub(super) i64);

/// One secret as kept.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its name in the store.
    pub number: SecretNumber,
    /// What it is checked against.
    pub verifier: SecretVerifier,
    /// When it was made.
    pub created_at: Timestamp,
    /// It no longer counts from this moment on; `None`: it counts until it is replaced.
    pub expires_at: Option<Timestamp>,
    /// When a token was last issued for it, give or take the half minute between two notes.
    pub last_used_at: Option<Timestamp>,
}

impl Secret {
    /// Whether it counts at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// A secret to be kept.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// What it will be checked against.
    pub verifier: SecretVerifier,
    /// When it ends; `None`: not by itself.
    pub expires_at: Option<Timestamp>,
}

/// What becomes of a client's secret when it gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// It ends at once.
    Ends,
    /// It counts until then, or until its own end if that comes first. Those before it end at once.
    CountsUntil(Timestamp),
}
