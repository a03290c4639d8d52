/// Why a request was refused: one closed set for the problem `code`, the metrics, the log and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The path has more than one reading.
    Path,
    /// No route matches: deny by default.
    NoRoute,
    /// The path is known, the method is not.
    Method,
    /// A token is needed and none was sent.
    MissingToken,
    /// The request breaks HTTP or RFC 6750 rules, for example two `Authorization` headers.
    InvalidRequest,
    /// The token is not a well-formed JWT.
    Malformed,
    /// The token's algorithm is not the key's.
    Algorithm,
    /// No trusted key has the token's `kid`.
    UnknownKey,
    /// The signature does not verify.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// The token names another issuer.
    Issuer,
    /// The token is for another audience.
    Audience,
    /// A claim is missing or of the wrong type.
    Claims,
    /// The token, its client or its customer was revoked.
    Revoked,
    /// The token lacks the route's scope.
    InsufficientScope,
    /// The granting scope is bound to an application and the request names none.
    ApplicationMissing,
    /// The request names the application in a way that can be read twice.
    ApplicationAmbiguous,
    /// The request names another application than the token.
    ApplicationMismatch,
    /// The body is over its limit.
    BodyTooLarge,
    /// The keys to judge the token by cannot be had.
    KeysUnavailable,
    /// A rate limit is used up.
    RateLimited,
    /// Too many requests are in flight.
    Overloaded,
}

/// Every reason, for metrics that start at zero and for tests that must miss none.
pub const ALL_REASONS: [Reason; 23] = [
    Reason::Path,
    Reason::NoRoute,
    Reason::Method,
    Reason::MissingToken,
    Reason::InvalidRequest,
    Reason::Malformed,
    Reason::Algorithm,
    Reason::UnknownKey,
    Reason::Signature,
    Reason::Expired,
    Reason::NotYetValid,
    Reason::Issuer,
    Reason::Audience,
    Reason::Claims,
    Reason::Revoked,
    Reason::InsufficientScope,
    Reason::ApplicationMissing,
    Reason::ApplicationAmbiguous,
    Reason::ApplicationMismatch,
    Reason::BodyTooLarge,
    Reason::KeysUnavailable,
    Reason::RateLimited,
    Reason::Overloaded,
];

impl Reason {
    /// The stable code that callers, dashboards and logs see.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::MissingToken => "missing_token",
            Self::InvalidRequest => "invalid_request",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claims => "claims",
            Self::Revoked => "revoked",
            Self::InsufficientScope => "insufficient_scope",
            Self::ApplicationMissing => "application_missing",
            Self::ApplicationAmbiguous => "application_ambiguous",
            Self::ApplicationMismatch => "application_mismatch",
            Self::BodyTooLarge => "body_too_large",
            Self::KeysUnavailable => "keys_unavailable",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
        }
    }

    /// The place of this reason in [`ALL_REASONS`], for tables indexed by reason.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_reason_is_its_place_in_the_list() {
        for (place, reason) in ALL_REASONS.iter().enumerate() {
            assert_eq!(reason.index(), place, "{}", reason.code());
        }
    }
}
