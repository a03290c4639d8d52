use super::{
    binding::{Parts, bind},
    route::{Access, Route},
};
use crate::domain::{ApplicationId, Catalogue, Principal, Reason};

/// What a token's scopes give on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant<'a> {
    /// The request may pass as it is.
    Unbound,
    /// It may pass if it is about this application, see [`bind`].
    Bound(&'a ApplicationId),
}

/// Step 4: whether one of the route's scopes is among the token's. An unbound scope wins over a bound one.
pub fn grant<'a>(route: &Route, principal: &'a Principal, catalogue: &Catalogue) -> Result<Grant<'a>, Reason> {
    let wanted = match route.access {
        Access::Public => return Ok(Grant::Unbound),
        Access::AnyOf(scopes) => scopes,
    };
    let granting = principal.scopes.intersection(wanted);
    if granting.is_empty() {
        return Err(Reason::InsufficientScope);
    }
    if !granting.without(catalogue.bound()).is_empty() {
        return Ok(Grant::Unbound);
    }
    // A token with a bound scope and no application does not verify; should one come here all the same, it gets nothing.
    principal.application.as_ref().map(Grant::Bound).ok_or(Reason::Claims)
}

/// Steps 4 and 5 together: may this principal send this request along this route?
pub fn decide(route: &Route, principal: &Principal, catalogue: &Catalogue, parts: &Parts<'_>) -> Result<(), Reason> {
    match grant(route, principal, catalogue)? {
        Grant::Unbound => Ok(()),
        Grant::Bound(application) => bind(application, &route.application, parts),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::{
        domain::{ClientId, CustomerId, IssuerId, IssuerName, Timestamp},
        policy::{
            ApplicationPlaces, EncodedDelimiters, Enforcement, LetterCase, Repetition, RequestTarget, RouteId,
            TokenForwarding, UpstreamId,
        },
    };

    fn route(scopes: &[&str]) -> Route {
        let catalogue = Catalogue::default();
        let wanted = scopes.iter().filter_map(|name| catalogue.find(name));
        let wanted = wanted.reduce(crate::domain::ScopeSet::union);
        Route {
            id: RouteId::new(0),
            name: "r".into(),
            access: wanted.map_or(Access::Public, Access::AnyOf),
            enforcement: Enforcement::Enforce,
            application: ApplicationPlaces { path: Some(0), ..ApplicationPlaces::default() },
            token: TokenForwarding::Remove,
            mint: None,
            stream: crate::policy::Stream::default(),
            cors: None,
            rate: None,
            upstream: UpstreamId::new(0),
            repetition: Repetition::ByMethod,
            encoded: EncodedDelimiters::Refused,
            letter_case: LetterCase::Insensitive,
        }
    }

    fn principal(scopes: &str) -> Principal {
        Principal {
            client: ClientId::parse("c").unwrap(),
            customer: CustomerId::parse("k").unwrap(),
            scopes: Catalogue::default().granted(scopes.split(' ')),
            scope_text: HeaderValue::from_str(scopes).unwrap(),
            application: scopes.contains("session").then(|| ApplicationId::parse("ours").unwrap()),
            token: None,
            issuer: IssuerId::OWN,
            issuer_name: IssuerName::parse("https://issuer").unwrap(),
            key: None,
            asked_again_at: None,
            issued_at: None,
            not_before: None,
            expires_at: Timestamp::from_seconds(10),
        }
    }

    #[test]
    fn one_of_the_routes_scopes_suffices_and_a_bound_one_counts_on_its_application_only() {
        let read_or_session = ["application.read", "application.session"];
        for (wanted, scopes, path, expected) in [
            (&["application"][..], "application", "/x", Ok(())),
            (&["application"], "application.read", "/x", Err(Reason::InsufficientScope)),
            (&["application"], "application.session", "/ours", Err(Reason::InsufficientScope)),
            (&["application.read"], "application", "/x", Ok(())),
            (&read_or_session, "application.read", "/other", Ok(())),
            (&read_or_session, "application.session", "/ours", Ok(())),
            (&read_or_session, "application.session", "/other", Err(Reason::ApplicationMismatch)),
            (&read_or_session, "application application.session", "/other", Ok(())),
            (&read_or_session, "unknown", "/ours", Err(Reason::InsufficientScope)),
            (&[], "unknown", "/x", Ok(())),
        ] {
            let headers = HeaderMap::new();
            let target = RequestTarget::parse(path.as_bytes()).unwrap();
            let parts = Parts { target, headers: &headers, body: b"" };
            let decision = decide(&route(wanted), &principal(scopes), &Catalogue::default(), &parts);
            assert_eq!(decision, expected, "{wanted:?} {scopes} {path}");
        }
    }
}
