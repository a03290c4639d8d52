use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};
use pingora::{Result, http::RequestHeader, proxy::Session};

use super::{
    Gateway,
    body::{self, Preread},
    context::{Admitted, BodyState, RequestContext},
    cors::{Crossing, Preflight},
    headers::client_address,
    respond::{Failure, problem},
    stream,
};
use crate::{
    cache::{Known, Lookup},
    domain::{Catalogue, Principal, Reason},
    issuer::Endpoint,
    policy::{
        Access, Enforcement, Found, Grant, HandshakeError, Parts, RequestTarget, Route, decide, grant, may_be_form,
        may_be_json,
    },
    telemetry::{Decision, Limit, Subject},
    token::{Credentials, bearer, names_token},
    trust::{Cleared, Requester},
};

/// What becomes of a request.
pub(super) enum Admission {
    /// It goes upstream.
    Forward(Admitted),
    /// One of our own endpoints answers.
    Endpoint(Endpoint),
    /// It is a preflight, or breaks the rules of HTTP, and this is the answer.
    Answer(Response<Bytes>),
    /// It ends here.
    Refuse(Refusal),
}

/// A refusal and what its reply needs beside the reason.
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// The route, once one was found: its scopes stand in the challenge.
    pub(super) route: Option<Arc<Route>>,
    /// The methods for `Allow`.
    pub(super) allow: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, route: None, allow: None }
    }
}

/// What the head alone settles.
enum Judged {
    Endpoint(Endpoint),
    Preflight(Response<Bytes>),
    Candidate(Candidate),
}

/// A request that may pass as far as its head tells.
struct Candidate {
    route: Arc<Route>,
    identity: Identity,
}

/// Who sends a request, and what is left to ask.
enum Identity {
    /// Nobody asked.
    Anonymous,
    /// The token's scope grants wherever the route accepts it.
    Free(Arc<Principal>),
    /// The token's scope is bound: the request must name its application.
    Bound(Arc<Principal>),
}

impl Gateway {
    /// Takes the decision, in the order of the contract: path, route, token, scope, binding, limits. An error means that
    /// the client is gone.
    pub(super) async fn admit(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Admission> {
        // One too many is told at once, not kept waiting: a queue would add to the time and memory of a gateway that is
        // short of both, for callers that may have given up by the time it is their turn.
        let limit = if self.in_flight.load(Ordering::Relaxed) > self.limits.in_flight {
            Some(Limit::InFlight)
        } else {
            (!self.replies.has_room()).then_some(Limit::ReplyBuffer)
        };
        if let Some(limit) = limit {
            self.metrics.count_limited(limit);
            ctx.crossing = Crossing::find(&self.routes, session.req_header());
            return Ok(Admission::Refuse(Reason::Overloaded.into()));
        }
        Ok(match self.judge(session, ctx).await? {
            Admission::Forward(admitted) => match stream::check_request(session.req_header(), &admitted.route.stream) {
                Ok(()) => self.limit(admitted, session, ctx),
                Err(failure) => broken(failure, ctx),
            },
            other @ (Admission::Endpoint(_) | Admission::Answer(_) | Admission::Refuse(_)) => other,
        })
    }

    /// Steps 1 to 5.
    async fn judge(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Admission> {
        ctx.requester = client_address(session);
        let candidate = match self.judge_head(session.req_header(), ctx).await {
            Ok(Judged::Endpoint(endpoint)) => return Ok(Admission::Endpoint(endpoint)),
            Ok(Judged::Preflight(reply)) => return Ok(Admission::Answer(reply)),
            Ok(Judged::Candidate(candidate)) => candidate,
            Err(refusal) => return Ok(refuse_or_report(refusal, BodyState::Unread, ctx)),
        };
        let need = BodyNeed::of(session.req_header(), &candidate);
        let (state, judged) = match need {
            BodyNeed::None => {
                (BodyState::Unread, judge_body(session.req_header(), &candidate, &self.catalogue, need, b""))
            }
            BodyNeed::Form | BodyNeed::Json | BodyNeed::Application => match body::preread(session).await? {
                Preread::TooLarge => (BodyState::Judged, Err(Reason::BodyTooLarge)),
                Preread::Whole(body) => {
                    (BodyState::Judged, judge_body(session.req_header(), &candidate, &self.catalogue, need, &body))
                }
            },
        };
        let Candidate { route, identity } = candidate;
        if let Err(reason) = judged {
            return Ok(refuse_or_report(Refusal { route: Some(route), ..reason.into() }, state, ctx));
        }
        let admitted = Admitted { route, principal: identity.principal(), body: state };
        Ok(self.forward(admitted, session.req_header()))
    }

    /// Steps 1 to 4: everything that the head tells.
    async fn judge_head(&self, header: &RequestHeader, ctx: &mut RequestContext) -> Result<Judged, Refusal> {
        let target = match RequestTarget::parse(header.raw_path()) {
            Ok(target) => target,
            // `OPTIONS *` asks about the server as a whole (RFC 9110 section 9.3.7); we have nothing to say to it.
            Err(_) if header.raw_path() == b"*" => return Err(Reason::NoRoute.into()),
            Err(_) => return Err(Reason::Path.into()),
        };
        if let Some(endpoint) = Endpoint::find(target.path()) {
            ctx.subject = Subject::Endpoint(endpoint);
            return judge_endpoint(endpoint, &header.method);
        }
        if let Some(Preflight { crossing, route, reply }) = Preflight::of(&self.routes, header)? {
            ctx.subject = Subject::Route(route);
            ctx.crossing = Some(crossing);
            return Ok(Judged::Preflight(reply));
        }
        let route = match self.routes.find(&header.method, target.path()) {
            Found::Route(route) if route.takes(target.delimiters()) => Arc::clone(route),
            Found::Route(_) | Found::Alike(_) => return Err(Reason::Path.into()),
            Found::OtherMethods(methods) => {
                let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                return Err(Refusal { allow: Some(allow), ..Reason::Method.into() });
            }
            Found::Nothing => return Err(Reason::NoRoute.into()),
        };
        ctx.subject = Subject::Route(route.id);
        ctx.crossing = Crossing::on(&route, header);
        match self.identify(&route, header, target, ctx).await {
            Ok(identity) => Ok(Judged::Candidate(Candidate { route, identity })),
            Err(reason) => Err(Refusal { route: Some(route), ..reason.into() }),
        }
    }

    /// Steps 3 and 4: token and scope.
    async fn identify(
        &self,
        route: &Route,
        header: &RequestHeader,
        target: RequestTarget<'_>,
        ctx: &mut RequestContext,
    ) -> Result<Identity, Reason> {
        if route.access == Access::Public {
            return Ok(Identity::Anonymous);
        }
        let principal = self.principal(&header.headers, target.query(), ctx).await?;
        Ok(match grant(route, &principal, &self.catalogue)? {
            Grant::Unbound => Identity::Free(principal),
            Grant::Bound(_) => Identity::Bound(principal),
        })
    }

    /// Step 3: who sends this request.
    pub(super) async fn principal(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        ctx: &mut RequestContext,
    ) -> Result<Arc<Principal>, Reason> {
        let token = match bearer(headers, query) {
            Credentials::Token(token) => token,
            Credentials::Absent => return Err(Reason::MissingToken),
            Credentials::Repeated => return Err(Reason::InvalidRequest),
            Credentials::Malformed => return Err(Reason::Malformed),
        };
        let now = ctx.now();
        let recheck = |principal: &Principal, cleared: &Cleared| self.trust.recheck(principal, cleared, now);
        let principal = match self.cache.find(token, now, recheck) {
            Known::Before(principal) => {
                ctx.cache = Some(Lookup::Hit);
                principal
            }
            Known::Nothing(digest) => {
                ctx.cache = Some(Lookup::Miss);
                // Its future holds a whole exchange with the token's issuer; requests whose token is known go without.
                let requester = Requester { address: ctx.requester, instant: ctx.started() };
                let verification = Box::pin(self.trust.verify(token, requester, now)).await;
                let result = verification.outcome.as_ref().map(|_| ()).map_err(|reason| *reason);
                self.metrics.count_verification(verification.issuer, result);
                self.cache.keep(digest, verification, now)
            }
        }?;
        ctx.principal = Some(Arc::clone(&principal));
        Ok(principal)
    }

    /// Sends a request on its way, if its body is not too long by its own account.
    fn forward(&self, admitted: Admitted, header: &RequestHeader) -> Admission {
        if body::declared_length(&header.headers).is_some_and(|length| length > self.limits.body) {
            return Admission::Refuse(Refusal { route: Some(admitted.route), ..Reason::BodyTooLarge.into() });
        }
        Admission::Forward(admitted)
    }
}

impl Identity {
    fn principal(self) -> Option<Arc<Principal>> {
        match self {
            Self::Anonymous => None,
            Self::Free(principal) | Self::Bound(principal) => Some(principal),
        }
    }
}

/// The answer to a request that breaks the rules of HTTP beyond its head.
fn broken(failure: Failure, ctx: &mut RequestContext) -> Admission {
    ctx.decision = Decision::Refused(Reason::InvalidRequest);
    let mut reply = problem(failure, ctx.id.as_str());
    if failure == Failure::Handshake(HandshakeError::OtherVersion) {
        stream::offer_version(&mut reply);
    }
    Admission::Answer(reply)
}

/// A refusal stands, unless it is about who may use a route that only reports. A body that was cut off cannot be sent on.
fn refuse_or_report(refusal: Refusal, body: BodyState, ctx: &mut RequestContext) -> Admission {
    match refusal.route {
        Some(route) if route.enforcement == Enforcement::Report && refusal.reason != Reason::BodyTooLarge => {
            ctx.decision = Decision::Reported(refusal.reason);
            Admission::Forward(Admitted { route, principal: None, body })
        }
        route => Admission::Refuse(Refusal { route, ..refusal }),
    }
}

fn judge_endpoint(endpoint: Endpoint, method: &Method) -> Result<Judged, Refusal> {
    if endpoint.takes(method) {
        return Ok(Judged::Endpoint(endpoint));
    }
    Err(Refusal { allow: Some(endpoint.allow().to_owned()), ..Reason::Method.into() })
}

/// Why a body must be read before the decision.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyNeed {
    /// It need not.
    None,
    /// A form beside a bearer token must not hold a second token (RFC 6750 section 2), nor one beside a query that names the
    /// application another of these.
    Form,
    /// JSON beside a query that names the application must not name another one.
    Json,
    /// The application's ID may stand in it.
    Application,
}

impl BodyNeed {
    fn of(header: &RequestHeader, Candidate { route, identity }: &Candidate) -> Self {
        match identity {
            Identity::Bound(_) if route.application.body.is_some() => Self::Application,
            Identity::Bound(_) if route.application.query.is_some() && may_be_json(&header.headers) => Self::Json,
            Identity::Bound(_) if route.application.query.is_some() && may_be_form(&header.method, &header.headers) => {
                Self::Form
            }
            Identity::Free(_) | Identity::Bound(_) if is_form(header) => Self::Form,
            Identity::Anonymous | Identity::Free(_) | Identity::Bound(_) => Self::None,
        }
    }
}

pub(super) fn is_form(header: &RequestHeader) -> bool {
    let starts = |kind: &http::HeaderValue| {
        let start = kind.as_bytes().get(..FORM.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(FORM.as_bytes()))
    };
    header.headers.get(header::CONTENT_TYPE).is_some_and(starts)
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Step 5, and what is left of step 3: everything that needs the body.
fn judge_body(
    header: &RequestHeader,
    candidate: &Candidate,
    catalogue: &Catalogue,
    need: BodyNeed,
    body: &[u8],
) -> Result<(), Reason> {
    if need == BodyNeed::Form && names_token(&String::from_utf8_lossy(body)) {
        return Err(Reason::InvalidRequest);
    }
    let Identity::Bound(principal) = &candidate.identity else { return Ok(()) };
    let target = RequestTarget::parse(header.raw_path()).map_err(|_| Reason::Path)?;
    let parts = Parts { target, headers: &header.headers, body };
    decide(&candidate.route, principal, catalogue, &parts)
}
