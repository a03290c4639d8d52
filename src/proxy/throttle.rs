//! Step 6: how often one client, and one caller of a route, may come. What is left is told with every reply, in the
//! fields of draft-ietf-httpapi-ratelimit-headers-10.

use std::{fmt::Write, net::IpAddr, time::Instant};

use http::{HeaderName, HeaderValue, header};
use pingora::{Result, http::ResponseHeader, proxy::Session};

use super::{
    Gateway,
    admit::{Admission, Refusal},
    context::{Admitted, RequestContext},
    headers::client_address,
};
use crate::{
    domain::{Principal, Reason},
    limit::{Account, Ledger, Left, Quota, Rate, Wait, network},
    policy::{Enforcement, Route, RouteId, RouteTable},
    telemetry::{Decision, Limit},
};

/// The rates of clients and routes, and how far each caller has used them up.
pub struct Throttle {
    ledger: Ledger,
    /// By the place of the route.
    routes: Box<[Option<Limited>]>,
}

/// What is limited on a route.
struct Limited {
    /// One client's requests on all routes.
    client: Option<Quota>,
    /// One caller's requests on this route.
    route: Option<Quota>,
    /// Both, as `RateLimit-Policy` says it.
    policies: HeaderValue,
}

/// Who is counted: a client of an issuer that is named before it and alone says that it is it, or the address of somebody whom nobody asked who they are.
#[derive(Clone, Copy, Hash)]
enum Caller<'p> {
    Client(&'p [u8], &'p [u8]),
    Address(IpAddr),
}

/// How a caller stands with the limits of a route, for the reply.
pub(super) struct Standing {
    policies: HeaderValue,
    left: HeaderValue,
    wait: Option<Wait>,
}

impl Throttle {
    /// The rates of these routes, and that of one client over all of them; `None` if nothing is limited. Nobody has come
    /// before `start`.
    pub fn new(client: Option<Rate>, routes: &RouteTable, start: Instant) -> Option<Self> {
        let limited = |route: &Route| Limited::new(client.filter(|_| route.asks_for_a_token()), route.rate);
        let routes: Box<[_]> = routes.routes().iter().map(|route| limited(route)).collect();
        routes.iter().any(Option::is_some).then(|| Self { ledger: Ledger::new(start), routes })
    }

    /// Counts a request on a limited route, if its limits have room for it.
    fn take(
        &self,
        limited: &Limited,
        route: RouteId,
        caller: Caller,
        now: Instant,
    ) -> Result<HeaderValue, (Limit, Wait)> {
        let take = |limit, (quota, account): (Quota, Account)| {
            self.ledger.take(quota, account, now).map_err(|wait| (limit, wait))
        };
        let of_route = limited.route.map(|quota| (quota, self.ledger.account((route.place(), caller))));
        let of_client = match caller {
            Caller::Client(..) => limited.client.map(|quota| (quota, self.ledger.account(caller))),
            Caller::Address(_) => None,
        };
        let left_on_route = of_route.map(|pair| take(Limit::Route, pair)).transpose()?;
        let left_of_client = of_client.map(|pair| take(Limit::Client, pair)).transpose();
        if let (Err(_), Some((quota, account))) = (&left_of_client, of_route) {
            self.ledger.give_back(quota, account);
        }
        Ok(left([(Limit::Client, left_of_client?), (Limit::Route, left_on_route)]))
    }
}

impl Limited {
    fn new(client: Option<Rate>, route: Option<Rate>) -> Option<Self> {
        let mut policies = String::new();
        for (limit, rate) in [(Limit::Client, client), (Limit::Route, route)] {
            let Some(Rate { count, period, burst: _ }) = rate else { continue };
            let seconds = period.as_secs() + u64::from(period.subsec_nanos() > 0);
            item(&mut policies, limit, format_args!("q={count};w={seconds}"));
        }
        (!policies.is_empty()).then(|| Self {
            client: client.map(Quota::of),
            route: route.map(Quota::of),
            policies: visible(policies),
        })
    }
}

impl Gateway {
    /// Counts an admitted request, and refuses it if its caller has come too often.
    pub(super) fn limit(&self, admitted: Admitted, session: &Session, ctx: &mut RequestContext) -> Admission {
        let Some(throttle) = &self.throttle else { return Admission::Forward(admitted) };
        let Some(limited) = &throttle.routes[admitted.route.id.place()] else { return Admission::Forward(admitted) };
        let caller = Caller::of(admitted.principal.as_deref(), session);
        let policies = limited.policies.clone();
        let (limit, wait) = match throttle.take(limited, admitted.route.id, caller, ctx.started()) {
            Ok(left) => {
                ctx.standing = Some(Standing { policies, left, wait: None });
                return Admission::Forward(admitted);
            }
            Err(used_up) => used_up,
        };
        if admitted.route.enforcement == Enforcement::Report {
            if ctx.decision == Decision::Admitted {
                ctx.decision = Decision::Reported(Reason::RateLimited);
            }
            return Admission::Forward(admitted);
        }
        self.metrics.count_limited(limit);
        let mut left = String::new();
        item(&mut left, limit, format_args!("r=0;t={}", wait.seconds()));
        ctx.standing = Some(Standing { policies, left: visible(left), wait: Some(wait) });
        Admission::Refuse(Refusal { route: Some(admitted.route), ..Reason::RateLimited.into() })
    }
}

impl<'p> Caller<'p> {
    fn of(principal: Option<&'p Principal>, session: &Session) -> Self {
        match principal {
            Some(principal) => Self::Client(principal.issuer_name.as_bytes(), principal.client.as_bytes()),
            None => Self::Address(network(client_address(session))),
        }
    }
}

impl Standing {
    /// Tells it with a reply, beside what an upstream may say of limits of its own.
    pub(super) fn state(&self, reply: &mut ResponseHeader) -> Result<()> {
        reply.append_header(RATE_LIMIT_POLICY, &self.policies)?;
        reply.append_header(RATE_LIMIT, &self.left)?;
        match self.wait {
            Some(wait) => reply.insert_header(header::RETRY_AFTER, wait.seconds()),
            None => Ok(()),
        }
    }
}

/// What is left, as `RateLimit` says it.
fn left(of: [(Limit, Option<Left>); 2]) -> HeaderValue {
    let mut text = String::with_capacity(64);
    for (limit, left) in of {
        let Some(left) = left else { continue };
        item(&mut text, limit, format_args!("r={};t={}", left.events, left.whole_in_seconds()));
    }
    visible(text)
}

/// Adds a member to a list of structured fields (RFC 9651 section 3.1): a string with parameters.
fn item(list: &mut String, limit: Limit, parameters: std::fmt::Arguments) {
    let separator = if list.is_empty() { "" } else { ", " };
    write!(list, "{separator}\"{}\";{parameters}", limit.name()).expect("a string takes all that is written");
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("names and numbers are visible ASCII")
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
