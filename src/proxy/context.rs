use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use http::{HeaderValue, StatusCode};
use pingora::{Error, ErrorType::InternalError, Result, http::ResponseHeader, proxy::Session};

use super::{cors::Crossing, exchange::Exchange, mint::Minting, throttle::Standing};
use crate::{
    cache::Lookup,
    domain::{Principal, Timestamp, random_name, wall_clock},
    policy::Route,
    telemetry::{Decision, Outcome, Subject},
};

/// What is known of one request.
pub struct RequestContext {
    pub(super) id: RequestId,
    pub(super) progress: Progress,
    pub(super) subject: Subject,
    pub(super) decision: Decision,
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) cache: Option<Lookup>,
    /// Where the request comes from, once that was looked at.
    pub(super) requester: IpAddr,
    pub(super) exchange: Exchange,
    /// The session token for the reply, on routes that mint.
    pub(super) minting: Option<Minting>,
    /// How its caller stands with the limits of its route, if it has any.
    pub(super) standing: Option<Standing>,
    /// What browsers are told, if its route says anything of them.
    pub(super) crossing: Option<Crossing>,
    /// What we answered, where that is not the upstream's doing. gRPC may be told so within a 200.
    pub(super) answered: Option<StatusCode>,
    /// How its reply ends.
    pub(super) reply: ReplyEnd,
    arrived: SystemTime,
    started: Instant,
    in_flight: Option<Counted>,
}

/// How the reply to a request ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyEnd {
    /// Where it says so itself, and it was sent so far unless something went wrong.
    Whole,
    /// With the connection: that it broke off can be told in no other way than by a reset.
    Unsaid,
    /// Before its end.
    Cut,
}

/// How far a request has come. Only an admitted one has a way upstream.
pub(super) enum Progress {
    Arrived,
    Admitted(Admitted),
}

/// The permission to go upstream: made by `admit` alone, needed by every step after it.
pub(super) struct Admitted {
    pub(super) route: Arc<Route>,
    /// Who asks; `None` on a public route, or where a route only reports.
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) body: BodyState,
}

/// Whether the body was read before the decision.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyState {
    /// It streams from client to upstream.
    Unread,
    /// It was read, judged and kept; pingora replays the very bytes.
    Judged,
}

impl Progress {
    pub(super) fn admitted(&self) -> Result<&Admitted> {
        match self {
            Self::Admitted(admitted) => Ok(admitted),
            Self::Arrived => Error::e_explain(InternalError, "a request that was not admitted has no way upstream"),
        }
    }
}

impl RequestContext {
    pub(super) fn new(in_flight: Counted) -> Self {
        Self {
            id: RequestId::fresh(),
            progress: Progress::Arrived,
            subject: Subject::None,
            decision: Decision::Admitted,
            principal: None,
            cache: None,
            requester: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            exchange: Exchange::new(),
            minting: None,
            standing: None,
            crossing: None,
            answered: None,
            reply: ReplyEnd::Whole,
            arrived: wall_clock(),
            started: super::now(),
            in_flight: Some(in_flight),
        }
    }

    /// Counts no more as a request that is being served, here or by a server.
    pub(super) fn leave(&mut self) {
        self.in_flight = None;
        self.exchange.leave();
    }

    /// When the request arrived, by the clock that tokens go by.
    pub(super) fn now(&self) -> Timestamp {
        self.arrived.into()
    }

    /// When the request arrived, by the clock that never jumps.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Tells with a reply what only we know of the request.
    pub(super) fn state(&self, reply: &mut ResponseHeader) -> Result<()> {
        if reply.status.is_informational() {
            return Ok(());
        }
        self.standing.as_ref().map_or(Ok(()), |standing| standing.state(reply))?;
        self.crossing.as_ref().map_or(Ok(()), |crossing| crossing.state(reply))
    }

    /// How the request went, once its reply is out.
    pub(super) fn outcome<'a>(&'a self, session: &'a Session) -> Outcome<'a> {
        let now = super::now();
        let header = session.req_header();
        let target = header.raw_path();
        let path = &target[..memchr::memchr(b'?', target).unwrap_or(target.len())];
        let upstream = match (&self.progress, self.exchange.started) {
            (Progress::Admitted(admitted), Some(_)) => Some(admitted.route.upstream),
            _ => None,
        };
        Outcome {
            arrived: self.arrived,
            request_id: self.id.as_str(),
            subject: self.subject,
            method: header.method.as_str(),
            path: std::str::from_utf8(path).unwrap_or_default(),
            address: super::headers::client_address(session),
            status: session.response_written().map_or(0, |reply| self.answered.unwrap_or(reply.status).as_u16()),
            decision: self.decision,
            principal: self.principal.as_deref(),
            cache: self.cache,
            upstream,
            minted: self.minting.as_ref().map(Minting::result),
            upstream_duration: self.exchange.started.map(|started| now.saturating_duration_since(started)),
            duration: now.saturating_duration_since(self.started),
            bytes_in: session.body_bytes_read(),
            bytes_out: session.body_bytes_sent(),
        }
    }
}

/// The name of one request.
pub(super) enum RequestId {
    /// 128 random bits in hexadecimal: two of them do not tell how many requests came between, on this node or on others.
    Own([u8; 32]),
    /// What a trusted peer calls it.
    Given(HeaderValue),
}

impl RequestId {
    pub(super) fn fresh() -> Self {
        let mut digits = [0; 32];
        for (place, byte) in random_name().into_iter().enumerate() {
            digits[2 * place] = hexadecimal(byte >> 4);
            digits[2 * place + 1] = hexadecimal(byte & 15);
        }
        Self::Own(digits)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Own(digits) => std::str::from_utf8(digits).expect("hexadecimal digits are ASCII"),
            Self::Given(name) => name.to_str().expect("a name that was given is visible ASCII"),
        }
    }

    pub(super) fn header_value(&self) -> HeaderValue {
        match self {
            Self::Own(digits) => HeaderValue::from_bytes(digits).expect("hexadecimal digits can stand in a header"),
            Self::Given(name) => name.clone(),
        }
    }
}

/// The digit of a number below 16. Without a table, so that the compiler makes all of a name at once.
const fn hexadecimal(number: u8) -> u8 {
    number + if number < 10 { b'0' } else { b'a' - 10 }
}

/// Counts one request or connection as being there, until it is dropped: also on a panic.
pub(super) struct Counted {
    count: Arc<AtomicUsize>,
}

impl Counted {
    pub(super) fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
