//! Request bodies that are read before the decision, and short ones that nobody wants any more.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use pingora::{Error, ErrorType::ReadTimedout, Result, proxy::Session, time::timeout};

use super::now;

/// How many bytes of a body must come each second on average, once its first part had its time.
const SLOWEST_BODY: u64 = 512;
/// Longest body read before the decision, in bytes: pingora keeps no more for its replay.
pub(super) const MAX_PREREAD: usize = 64 * 1024;
/// How long a body that is judged is waited for where nothing else says so, and one that comes behind its reply.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a reply may wait for a short body, so that its connection can be used again: one that is on its way already.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// Longest unwanted body that is read to keep the connection, in bytes.
const MAX_DRAINED: usize = 64 * 1024;

/// A body that was read whole, or was not.
pub(super) enum Preread {
    Whole(Bytes),
    TooLarge,
}

/// Reads a body of at most [`MAX_PREREAD`] bytes; pingora sends those very bytes on if the request passes.
pub(super) async fn preread(session: &mut Session) -> Result<Preread> {
    session.enable_retry_buffering();
    read(session, MAX_PREREAD).await
}

/// Reads a body of at most `limit` bytes, all of it within the session's read timeout: so short a body has no excuse for
/// arriving in drips.
pub(super) async fn read(session: &mut Session, limit: usize) -> Result<Preread> {
    if declared_length(&session.req_header().headers).is_some_and(|length| length > limit as u64) {
        return Ok(Preread::TooLarge);
    }
    if session.is_body_empty() {
        return Ok(Preread::Whole(Bytes::new()));
    }
    let patience = session.get_read_timeout().unwrap_or(DRAIN_TIMEOUT);
    let read = match timeout(patience, read_parts(session, limit)).await {
        Ok(read) => read,
        Err(_) => Error::e_explain(ReadTimedout, "a body that is judged did not arrive in time"),
    };
    read.map_err(Error::into_down)
}

async fn read_parts(session: &mut Session, limit: usize) -> Result<Preread> {
    // Writing an interim reply makes pingora give up the connection; the body is about to be read whole, so it need not.
    let keepalive = session.get_keepalive();
    if session.req_header().headers.contains_key(header::EXPECT) {
        session.write_continue_response().await?;
    }
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(part) = session.read_request_body().await? {
        if joined.len() + whole.len() + part.len() > limit {
            return Ok(Preread::TooLarge);
        }
        if whole.is_empty() && joined.is_empty() {
            whole = part;
            continue;
        }
        joined.extend_from_slice(&std::mem::take(&mut whole));
        joined.extend_from_slice(&part);
    }
    session.set_keepalive(keepalive);
    Ok(Preread::Whole(if joined.is_empty() { whole } else { joined.freeze() }))
}

/// The length a message declares; the head checks let only sound ones pass.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Holds a body whose length was told to a pace, so that nobody keeps a request going with a byte now and then. One without
/// a length may be a stream of messages, which its route bounds.
pub(super) fn check_pace(session: &Session, started: Instant, patience: Duration) -> Result<()> {
    if declared_length(&session.req_header().headers).is_none() {
        return Ok(());
    }
    let allowed = patience + Duration::from_secs(session.body_bytes_read() as u64 / SLOWEST_BODY);
    if now().saturating_duration_since(started) <= allowed {
        return Ok(());
    }
    Err(Error::explain(ReadTimedout, "the body comes too slowly").into_down())
}

/// Whether the connection can carry another request: reads a short body that nobody wants, so that its bytes are never
/// taken for one.
pub(super) async fn drain(session: &mut Session) {
    let too_long = declared_length(&session.req_header().headers).is_some_and(|length| length > MAX_DRAINED as u64);
    // A client that waits for `100 Continue` sends nothing; it is told to go by the reply.
    let waits = session.req_header().headers.contains_key(header::EXPECT);
    if too_long || waits || session.is_body_done() {
        return;
    }
    let mut discarded = 0;
    let discard = async {
        while let Ok(Some(part)) = session.read_request_body().await {
            discarded += part.len();
            if discarded > MAX_DRAINED {
                return;
            }
        }
    };
    // Whether it was read or not shows in the session; there is nothing to add.
    let _ = timeout(ON_ITS_WAY, discard).await;
}
