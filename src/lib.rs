//! scopegate stands in front of an API and lets a request through only with an OAuth 2.0 bearer token that covers its
//! route. It issues those tokens to API credentials, tells who owns one, and proxies what it admitted.
//!
//! # The house
//!
//! Modules by floor; each names only floors below its own (`tests/architecture.rs` holds that). In reading order:
//!
//! | floor | module | what it is for |
//! |---|---|---|
//! | 0 | [`domain`] | the words everyone uses: identifiers, scopes, principal, reasons, secrets, the clock |
//! | 1 | [`policy`] | may this request pass? head, path, route, scope, binding; pure |
//! | 1 | [`token`] | what does this token say? bearer, claims, keys, verify, issue; time is an argument |
//! | 1 | [`limit`] | who may do how much in how long a time? time is an argument, memory is fixed |
//! | 1 | [`tls`] | certificates of listeners and clients, as files and as they are shown |
//! | 1 | [`store`] | clients, keys, revocations and the audit log, kept across restarts and shared by all nodes |
//! | 2 | [`config`] | `gateway.yaml`: as written, then checked, every problem with its line |
//! | 2 | [`trust`] | which keys a token is tried against, and whether what was verified still stands |
//! | 2 | [`cache`] | verified tokens by keyed digest; each hit is asked again |
//! | 2 | [`issuer`] | the OAuth endpoints as functions from request to reply |
//! | 3 | [`upstream`] | the servers behind the gateway, in groups: whose turn it is, and how they do |
//! | 3 | [`telemetry`] | metrics and the access log, from one value per request |
//! | 4 | [`proxy`] | the gateway as pingora sees it: gate, admission, headers, replies |
//! | 4 | [`admin`] | metrics and health for operators |
//! | 5 | [`app`] | the composition root: configuration to listeners, and back at a signal |
//! | 6 | [`cli`] | one file per command |
//!
//! # One request with a cached token
//!
//! [`proxy::Gate`] takes the connection ([`proxy::Listener`]: PROXY protocol, TLS, which HTTP) → it reads the head within one
//! deadline and judges the bytes ([`policy::check_head`]), which pingora then parses; on HTTP/2 `proxy::http2` does so for each
//! stream ([`policy::check_stream_head`]) → `proxy::admit`: [`policy::RequestTarget`] (400 or one reading) → an endpoint of ours? ([`issuer::Endpoint`]) →
//! [`policy::RouteTable`] (404, 405 or a route) → [`token::bearer`] (absent, malformed or a token) → [`cache::TokenCache`]
//! (hit: [`trust::Trust::recheck`] asks time, key, revocation; miss: [`trust::Trust::verify`] finds the issuer and its keys) → [`policy::grant`] (403 or a grant) → for a bound grant the
//! body is read and [`policy::decide`] compares → [`upstream::Upstreams`] picks a server → `proxy::headers` strips and states
//! identity → the reply streams back, or on a route with `session_token` is held until `proxy::mint` has put one in → one
//! [`telemetry::Outcome`] becomes metrics and a log line. A refusal goes to `proxy::respond`, the one place where reasons
//! become HTTP, and the upstream never hears of it.
//!
//! # One token
//!
//! `proxy::endpoints` reads the form → [`issuer::Issuer::token`]: the client's secret is compared in constant time, unknown
//! clients at the same cost; an imported secret is checked slowly once, on a thread of its own → the scopes asked for are
//! a subset of those granted → [`token::issue()`] signs → the caller presents it → [`trust::Trust::verify`] finds its key by
//! `kid` → [`token::Unverified::verify`] checks signature, header and claims → a [`domain::Principal`] that the cache keeps
//! until `exp`.
//!
//! # One change
//!
//! A command, a client that revokes, or the schedule of keys calls the [`store::Store`]: one transaction that waits for its
//! turn, changes rows, writes the audit log, raises the revision and wakes the nodes → on each, `app::follow` is told
//! ([`store::Changes`]) or looks, and reads what the revision says has changed → `app::state` makes of it what the issuer
//! and the verifier read → [`trust::Trust`] and [`issuer::Issuer`] exchange one pointer each, and the next request goes by it.

pub mod admin;
pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod domain;
pub mod issuer;
pub mod limit;
pub mod policy;
pub mod proxy;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod trust;
pub mod upstream;
