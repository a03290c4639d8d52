//! What browsers are told of a route whose replies pages of other origins may read (Fetch standard, "CORS protocol").

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::{
    domain::Reason,
    issuer::Endpoint,
    policy::{Cors, Credentials, Found, RequestTarget, Route, RouteId, RouteTable},
};

/// A request on a route that pages of other origins may use.
pub(super) struct Crossing {
    cors: Arc<Cors>,
    /// Who may read the reply, as `Access-Control-Allow-Origin`; `None`: no page of another origin.
    reader: Option<HeaderValue>,
}

/// A preflight, which is answered here: no token comes with it, and no upstream hears of it.
pub(super) struct Preflight {
    pub(super) crossing: Crossing,
    /// The route that it asks about.
    pub(super) route: RouteId,
    pub(super) reply: Response<Bytes>,
}

impl Crossing {
    /// What a request on this route is to browsers; `None` if the route says nothing of them.
    pub(super) fn on(route: &Route, header: &RequestHeader) -> Option<Self> {
        let cors = Arc::clone(route.cors.as_ref()?);
        let reader = cors.allowed(&header.headers);
        Some(Self { cors, reader })
    }

    /// The same for a request whose route was not looked up yet, if it comes from a page.
    pub(super) fn find(routes: &RouteTable, header: &RequestHeader) -> Option<Self> {
        if !header.headers.contains_key(header::ORIGIN) {
            return None;
        }
        let asked = asked_method(header);
        let route = find(routes, asked.as_ref().unwrap_or(&header.method), header).ok()??;
        Self::on(route, header)
    }

    /// Tells who may read a reply.
    pub(super) fn state(&self, reply: &mut ResponseHeader) -> pingora::Result<()> {
        if self.cors.varies() {
            reply.append_header(header::VARY, HeaderValue::from_static("origin"))?;
        }
        let Some(reader) = &self.reader else { return Ok(()) };
        reply.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, reader)?;
        if self.cors.credentials == Credentials::Included {
            reply.insert_header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))?;
        }
        match &self.cors.expose {
            Some(names) => reply.insert_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, names),
            None => Ok(()),
        }
    }
}

impl Preflight {
    /// Answers a preflight; `None` if the request is none, or is about a route that says nothing of browsers. Fails where
    /// the request that it asks about would for its path.
    pub(super) fn of(routes: &RouteTable, header: &RequestHeader) -> Result<Option<Self>, Reason> {
        let Some(method) = asked_method(header) else { return Ok(None) };
        let Some(route) = find(routes, &method, header)? else { return Ok(None) };
        let Some(mut crossing) = Crossing::on(route, header) else { return Ok(None) };
        if !crossing.cors.takes(&method) {
            crossing.reader = None;
        }
        let reply = answer(&crossing, &method);
        Ok(Some(Self { crossing, route: route.id, reply }))
    }
}

/// The answer to a preflight, but for what [`Crossing::state`] adds to every reply.
fn answer(Crossing { cors, reader }: &Crossing, method: &Method) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    let asked = "access-control-request-method, access-control-request-headers";
    headers.insert(header::VARY, HeaderValue::from_static(asked));
    if reader.is_none() {
        return reply;
    }
    let methods = cors.methods_text.clone().or_else(|| HeaderValue::from_str(method.as_str()).ok());
    headers.extend(methods.map(|methods| (header::ACCESS_CONTROL_ALLOW_METHODS, methods)));
    headers.extend(cors.headers.clone().map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    reply
}

/// The method that a preflight asks about.
fn asked_method(header: &RequestHeader) -> Option<Method> {
    if header.method != Method::OPTIONS || !header.headers.contains_key(header::ORIGIN) {
        return None;
    }
    let mut asked = header.headers.get_all(header::ACCESS_CONTROL_REQUEST_METHOD).iter();
    let (method, None) = (asked.next()?, asked.next()) else { return None };
    Method::from_bytes(method.as_bytes()).ok()
}

/// The route for `method` and the path of `header`. Our own endpoints are none: they say nothing to browsers.
fn find<'r>(routes: &'r RouteTable, method: &Method, header: &RequestHeader) -> Result<Option<&'r Route>, Reason> {
    let target = RequestTarget::parse(header.raw_path()).map_err(|_| Reason::Path)?;
    if Endpoint::find(target.path()).is_some() {
        return Ok(None);
    }
    match routes.find(method, target.path()) {
        Found::Route(route) if !route.takes(target.delimiters()) => Err(Reason::Path),
        Found::Route(route) => Ok(Some(route)),
        Found::Alike(_) => Err(Reason::Path),
        Found::OtherMethods(_) | Found::Nothing => Ok(None),
    }
}

/// Takes out what an upstream says to browsers, on a route of which the configuration says it.
pub(super) fn silence(reply: &mut ResponseHeader) {
    let theirs = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let names: Vec<HeaderName> = reply.headers.keys().filter(theirs).cloned().collect();
    for name in &names {
        reply.remove_header(name);
    }
}
