//! What operators ask: metrics, and whether the gateway lives and is ready.

mod health;
mod hosts;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use pingora::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use serde_json::json;

pub use health::{Access, StoreHealth, Turn};
pub use hosts::AdminHosts;

use crate::{
    cache::TokenCache,
    telemetry::{AccessLog, Metrics, Readings, diagnostics_lost},
    trust::Trust,
    upstream::Upstreams,
};

/// The admin listener's application.
pub struct Admin {
    /// By which names it may be asked.
    pub hosts: Arc<AdminHosts>,
    /// What is shown.
    pub metrics: Arc<Metrics>,
    /// Whether requests are served.
    pub ready: Arc<AtomicBool>,
    /// Whether changes can be learnt of and made.
    pub store: Arc<StoreHealth>,
    /// Read when metrics are asked for.
    pub trust: Arc<Trust>,
    /// Read when metrics are asked for.
    pub cache: Arc<TokenCache>,
    /// Read when metrics are asked for.
    pub in_flight: Arc<AtomicUsize>,
    /// Read when metrics are asked for.
    pub connections: Arc<AtomicUsize>,
    /// Read when metrics are asked for.
    pub reply_buffer: Arc<AtomicUsize>,
    /// Read when metrics are asked for.
    pub access_log: Arc<AccessLog>,
    /// Read when metrics are asked for.
    pub upstreams: Arc<Upstreams>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        // The framework keeps the connection of whoever does not say `close`; checkers of health read to its end.
        if session.req_header().version == Version::HTTP_10 {
            session.set_keepalive(None);
        }
        let request = session.req_header();
        if !self.hosts.allow(request.headers.get(header::HOST)) {
            return without_body_for_head(&request.method, misdirected());
        }
        let path = request.uri.path();
        let known = matches!(path, "/metrics" | "/livez" | "/readyz");
        if known && request.method != Method::GET && request.method != Method::HEAD {
            let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here\n");
            reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return reply;
        }
        let reply = match path {
            "/metrics" => self.exposition(),
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        };
        without_body_for_head(&request.method, reply)
    }
}

impl Admin {
    /// A store that is down is told but is no reason to be taken out of service: all nodes share it, and each goes on
    /// with what it knows.
    fn readiness(&self) -> Response<Vec<u8>> {
        if !self.ready.load(Ordering::Acquire) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n");
        }
        match self.store.fault() {
            None => text(StatusCode::OK, "ok\n"),
            Some(fault) => text(StatusCode::OK, &format!("ok\nstore: {fault}\n")),
        }
    }

    fn exposition(&self) -> Response<Vec<u8>> {
        let readings = Readings {
            cache_entries: self.cache.entries(),
            cache_evictions: self.cache.evictions(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            reply_buffer: self.reply_buffer.load(Ordering::Relaxed),
            access_log_lost: self.access_log.lost(),
            diagnostics_lost: diagnostics_lost(),
            store_is_up: self.store.is_up(),
            upstreams: &self.upstreams.readings(),
        };
        let text = self.metrics.render(readings, self.trust.sources());
        reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
    }
}

/// The reply to a request by a name that is not ours (RFC 9110 section 15.5.20). It is the same for every path: who may
/// not ask learns nothing of what there is.
fn misdirected() -> Response<Vec<u8>> {
    let status = StatusCode::MISDIRECTED_REQUEST;
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": "host",
        "detail": "the admin listener is not asked by this name; ask by its address, or list the name in `admin.hosts`",
    });
    reply(status, "application/problem+json", problem.to_string().into_bytes())
}

fn text(status: StatusCode, body: &str) -> Response<Vec<u8>> {
    reply(status, "text/plain; charset=utf-8", body.into())
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A page elsewhere may send a GET here and learns that it was answered, no more: nothing says that it may read the
    // reply, and nothing is changed by one. It may not be made to read it as a script or an image either.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    reply
}

/// The length stays: it is that of the reply to a GET (RFC 9110 section 8.6).
fn without_body_for_head(method: &Method, mut reply: Response<Vec<u8>>) -> Response<Vec<u8>> {
    if method == Method::HEAD {
        reply.body_mut().clear();
    }
    reply
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
