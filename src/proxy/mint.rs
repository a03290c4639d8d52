//! Minting on create: a session token for the application that a reply names, put into that reply.
//!
//! Nothing here decides about the request. Its body is copied as it streams by, so that the values it names are at hand
//! when the reply comes; the reply's body is held back until its end, for which its length is not told ahead. Where no
//! token can be put in, the reply's own bytes go on.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::{
    Result,
    http::{RequestHeader, ResponseHeader},
};

use super::{
    Gateway,
    body::{MAX_PREREAD, declared_length},
    context::{Admitted, RequestContext},
};
use crate::{
    domain::Timestamp,
    issuer::Session,
    policy::{Grant, MintSource, Unminted, find_string, grant, names_json, put_string},
};

/// Longest request body of which a copy is kept, in bytes: as long as one that is judged.
const MAX_REQUEST: usize = MAX_PREREAD;
/// Longest reply that is held back, in bytes.
const MAX_REPLY: usize = 256 * 1024;
/// Fields with a digest of the bytes as the upstream sent them (RFC 9530, RFC 3230, RFC 2616 section 14.15).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// How far a request on a minting route has come.
pub(super) struct Minting {
    request: Copied,
    reply: Held,
}

/// The request's body, as far as it is known.
enum Copied {
    /// Nothing is looked for in it.
    Unneeded,
    /// It is no JSON, by its own account.
    Unreadable,
    Arriving(Vec<u8>),
    Whole(Vec<u8>),
    TooLarge,
}

/// The reply's body, as far as it is known.
enum Held {
    /// No final head has come.
    Awaited,
    /// A token may go into this.
    Back(BytesMut),
    /// It is on its way to the client, with a token or without.
    Settled(Result<(), Unminted>),
}

/// Whether a body goes on after a part of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Middle,
    Last,
}

impl From<bool> for Part {
    /// The way the framework says it.
    fn from(end: bool) -> Self {
        if end { Self::Last } else { Self::Middle }
    }
}

impl Minting {
    /// What an admitted request begins with, if its route mints.
    pub(super) fn of(admitted: &Admitted, header: &RequestHeader) -> Option<Self> {
        let mint = admitted.route.mint.as_ref()?;
        let reply = match admitted.principal {
            Some(_) => Held::Awaited,
            None => Held::Settled(Err(Unminted::NoCaller)),
        };
        let request = if mint.reads_request() { Copied::of(header) } else { Copied::Unneeded };
        Some(Self { request, reply })
    }

    /// Asks for a reply that can be read. Each try sends the body from its start, so the copy starts again as well.
    pub(super) fn begin_try(&mut self, upstream: &mut RequestHeader) -> Result<()> {
        if let Copied::Arriving(copy) | Copied::Whole(copy) = &mut self.request {
            copy.clear();
            self.request = Copied::Arriving(std::mem::take(copy));
        }
        match self.reply {
            Held::Awaited => upstream.insert_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            Held::Back(_) | Held::Settled(_) => Ok(()),
        }
    }

    /// Copies a part of the request's body on its way upstream.
    pub(super) fn keep_request(&mut self, part: Option<&Bytes>, place: Part) {
        let Copied::Arriving(copy) = &mut self.request else { return };
        let part = part.map_or(&[][..], |part| part);
        if copy.len() + part.len() > MAX_REQUEST {
            self.request = Copied::TooLarge;
            return;
        }
        copy.extend_from_slice(part);
        if place == Part::Last {
            self.request = Copied::Whole(std::mem::take(copy));
        }
    }

    /// Looks at a reply's head, and makes it ready for a body whose length is not known yet.
    pub(super) fn judge_head(&mut self, request: &RequestHeader, reply: &mut ResponseHeader) -> Result<()> {
        if reply.status.is_informational() || !matches!(self.reply, Held::Awaited) {
            return Ok(());
        }
        if let Err(why) = check_head(request, reply) {
            self.reply = Held::Settled(Err(why));
            return Ok(());
        }
        self.reply = Held::Back(BytesMut::new());
        reply.remove_header(&header::CONTENT_LENGTH);
        reply.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Holds a part of the reply's body back; gives the whole body once it is there.
    fn hold(&mut self, body: &mut Option<Bytes>, place: Part) -> Option<Bytes> {
        let Held::Back(held) = &mut self.reply else { return None };
        held.extend_from_slice(&body.take().unwrap_or_default());
        let held = match place {
            _ if held.len() > MAX_REPLY => {
                *body = Some(std::mem::take(held).freeze());
                self.reply = Held::Settled(Err(Unminted::TooLarge));
                return None;
            }
            Part::Middle => return None,
            Part::Last => std::mem::take(held).freeze(),
        };
        Some(held)
    }

    /// What became of the token.
    pub(super) fn result(&self) -> Result<(), Unminted> {
        match self.reply {
            Held::Awaited | Held::Back(_) => Err(Unminted::BrokenOff),
            Held::Settled(result) => result,
        }
    }
}

impl Copied {
    fn of(header: &RequestHeader) -> Self {
        if !names_json(&header.headers) || header.headers.contains_key(header::CONTENT_ENCODING) {
            return Self::Unreadable;
        }
        if declared_length(&header.headers).is_some_and(|length| length > MAX_REQUEST as u64) {
            return Self::TooLarge;
        }
        Self::Arriving(Vec::new())
    }

    fn whole(&self) -> Result<&[u8], Unminted> {
        match self {
            Self::Whole(body) => Ok(body),
            Self::TooLarge => Err(Unminted::RequestTooLarge),
            Self::Arriving(_) => Err(Unminted::RequestUnfinished),
            Self::Unneeded | Self::Unreadable => Err(Unminted::RequestAmbiguous),
        }
    }
}

/// Whether a token can go into the body that follows this head.
fn check_head(request: &RequestHeader, reply: &ResponseHeader) -> Result<(), Unminted> {
    let headers = &reply.headers;
    let length = declared_length(headers);
    let bodiless = matches!(reply.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    if !reply.status.is_success() || reply.status == StatusCode::PARTIAL_CONTENT {
        return Err(Unminted::NotSuccessful);
    }
    if bodiless || request.method == Method::HEAD || length == Some(0) {
        return Err(Unminted::NoContent);
    }
    if request.version == Version::HTTP_10 {
        return Err(Unminted::OldProtocol);
    }
    let plain_transfer = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let coded_transfer = !headers.get_all(header::TRANSFER_ENCODING).iter().all(plain_transfer);
    if coded_transfer || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Unminted::Encoded);
    }
    if DIGESTS.iter().any(|name| headers.contains_key(name)) {
        return Err(Unminted::Digested);
    }
    if !names_json(headers) {
        return Err(Unminted::NotJson);
    }
    if length.is_some_and(|length| length > MAX_REPLY as u64) {
        return Err(Unminted::TooLarge);
    }
    Ok(())
}

impl Gateway {
    /// Lets a part of a reply's body pass, or holds it back; the last one brings the whole body, with a token if it can.
    pub(super) fn mint(&self, body: &mut Option<Bytes>, place: Part, ctx: &mut RequestContext) {
        let (Some(minting), Ok(admitted)) = (&mut ctx.minting, ctx.progress.admitted()) else { return };
        let Some(held) = minting.hold(body, place) else { return };
        let with_token = self.with_token(admitted, minting, &held);
        minting.reply = Held::Settled(with_token.as_ref().map(|_| ()).map_err(|why| *why));
        *body = Some(with_token.map_or(held, Bytes::from));
    }

    fn with_token(&self, admitted: &Admitted, minting: &Minting, reply: &[u8]) -> Result<Vec<u8>, Unminted> {
        let (Some(mint), Some(principal)) = (&admitted.route.mint, &admitted.principal) else {
            return Err(Unminted::NoCaller);
        };
        let find = |source: &MintSource, missing| {
            let found = match source {
                MintSource::Reply(pointer) => find_string(reply, pointer).map_err(|_| Unminted::Ambiguous)?,
                MintSource::Request(pointer) => {
                    find_string(minting.request.whole()?, pointer).map_err(|_| Unminted::RequestAmbiguous)?
                }
            };
            found.ok_or(missing)
        };
        let application = find(&mint.application, Unminted::ApplicationMissing)?;
        let workflow = find(&mint.workflow, Unminted::WorkflowMissing)?;
        let redirect_url = find(&mint.redirect_url, Unminted::RedirectMissing)?;
        // Who was let in for one application only gets no token for another.
        let bound_elsewhere = match grant(&admitted.route, principal, &self.catalogue) {
            Ok(Grant::Unbound) => false,
            Ok(Grant::Bound(own)) => own.as_str() != application,
            Err(_) => true,
        };
        if bound_elsewhere {
            return Err(Unminted::ApplicationRefused);
        }
        let session = Session { application: &application, workflow: &workflow, redirect_url: &redirect_url };
        let token = self.issuer.session_token(principal, &session, Timestamp::now())?;
        put_string(reply, &mint.into, &token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minting() -> Minting {
        Minting { request: Copied::Arriving(Vec::new()), reply: Held::Awaited }
    }

    #[test]
    fn each_try_copies_the_request_from_its_start() {
        let mut minting = minting();
        let mut upstream = RequestHeader::build("POST", b"/", None).unwrap();
        for sent in [&["ab"][..], &["ab", "cd"], &["abc", "", "d"]] {
            minting.begin_try(&mut upstream).unwrap();
            for part in sent {
                minting.keep_request(Some(&Bytes::from_static(part.as_bytes())), Part::Middle);
            }
        }
        assert_eq!(minting.request.whole(), Err(Unminted::RequestUnfinished));
        minting.keep_request(None, Part::Last);
        assert_eq!(minting.request.whole(), Ok(&b"abcd"[..]));
    }

    #[test]
    fn a_reply_is_given_back_once_it_is_whole_or_too_long() {
        let mut minting = minting();
        minting.reply = Held::Back(BytesMut::new());
        let mut part = Some(Bytes::from_static(b"ab"));
        assert_eq!((minting.hold(&mut part, Part::Middle), &part), (None, &None));
        assert_eq!(minting.hold(&mut None, Part::Last), Some(Bytes::from_static(b"ab")));

        minting.reply = Held::Back(BytesMut::from(&b"ab"[..]));
        let mut part = Some(Bytes::from(vec![0; MAX_REPLY]));
        assert_eq!(minting.hold(&mut part, Part::Middle), None);
        assert_eq!((part.map(|part| part.len()), minting.result()), (Some(MAX_REPLY + 2), Err(Unminted::TooLarge)));
        let mut rest = Some(Bytes::from_static(b"c"));
        assert_eq!((minting.hold(&mut rest, Part::Last), rest), (None, Some(Bytes::from_static(b"c"))));
    }
}
