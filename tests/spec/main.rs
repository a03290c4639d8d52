//! The contract, chapter by chapter, against the real binary.
//!
//! | chapter | section of the contract |
//! |---|---|
//! | [`token_endpoint`] | 2, 3: issuing tokens |
//! | [`session_tokens`] | 2, 3: tokens for one application |
//! | [`userinfo_and_metadata`] | 2: token owner, key set, RFC 8414 and RFC 9728 metadata |
//! | [`introspection`] | 2: what a token is good for, and who may know |
//! | [`revocation_endpoint`] | 2: a client revokes its own token |
//! | [`decision`] | 4: path, route, token, scope, in that order |
//! | [`likeness`] | 4: other spellings of a path that is a stricter route's |
//! | [`routers`] | 4: the same, asked of routers that other people wrote |
//! | [`binding`] | 4: where the application ID stands, and that it is the token's |
//! | [`parsers`] | 4: the same, of whatever the parsers of real servers make of generated requests |
//! | [`headers`] | 5: what the upstream sees |
//! | [`header_names`] | 5: that no server reads a name that a client may not say |
//! | [`forwarded`] | 5: what trusted proxies tell of a request |
//! | [`mint`] | 5: session tokens put into replies |
//! | [`unminted`] | 5: replies that take no session token |
//! | [`errors`] | 6: what a refused caller sees |
//! | [`cache`] | 7: verified tokens, disabled clients, key rotation |
//! | [`trust`] | 3, 11: tokens of other issuers, and what they may say |
//! | [`key_sets`] | 7: other issuers' keys: fetched, rotated, and whatever their server does |
//! | [`opaque`] | 3: tokens that their issuer is asked about |
//! | [`junk`] | 7: bad tokens do not push out good ones |
//! | [`signing_keys`] | 7: keys that leak, rotate by schedule, and the key that encrypts them |
//! | [`revocation`] | 7: tokens that count no more |
//! | [`credentials`] | 8: secrets that overlap, end, are imported |
//! | [`cli`] | 8, 9, 11: the command line, the store behind it, the configuration file |
//! | [`demo`] | 9: the newcomer's path, line by line |
//! | [`admin`] | 10: metrics, health, access log |
//! | [`log_outputs`] | 10, 14: outputs that nobody reads, that are full, closed or shared |
//! | [`hygiene`] | 12: malformed requests and limits |
//! | [`cut_heads`] | 12: heads that come in pieces |
//! | [`vanishing`] | 12: clients that leave in the middle |
//! | [`listeners`] | 11: sockets in the file system, IPv6, the PROXY protocol |
//! | [`tls`] | 11: certificates by name, exchanged under load, and those of clients |
//! | [`http2`] | 12: requests on streams |
//! | [`http2_bodies`] | 12: bodies of streams, their limits and trailers, gRPC |
//! | [`http2_floods`] | 12: frames that cost nothing, and memory |
//! | [`http2_protocol`] | 12: RFC 9113 and RFC 7541, section by section |
//! | [`proxying`] | 1, 5, 12: bytes both ways, and upstreams that fail |
//! | [`reply_heads`] | 12: what servers send, held to the grammar and fitted to whoever asked |
//! | [`reply_heads_http2`] | 12: what HTTP/2 servers may not put into a reply |
//! | [`http10`] | 12: clients of HTTP/1.0, without `Host`, chunks and interim replies |
//! | [`refusals`] | 12: refusals arrive, whatever their client has still to send |
//! | [`counterparts`] | 12: every kind of reply, read by clients and proxies that other people wrote |
//! | [`upstreams`] | 6, 10, 11: which server gets a request, health, ejection, limits |
//! | [`upstream_faults`] | 6, 12: servers that are slow, rude or break off |
//! | [`upstream_gone`] | 6, 12: servers that nobody reaches, and their return |
//! | [`upstream_host`] | 5: what the servers behind the gateway are called |
//! | [`upstream_tls`] | 6, 11: servers that prove who they are, and HTTP/2 |
//! | [`streams`] | 4, 11: exchanges that last, and connections that become a WebSocket |
//! | [`cors`] | 4: which pages of other origins may read what a route answers |
//! | [`browser`] | 4: the same, asked in Chromium |
//! | [`rates`] | 4, 11: who comes too often |
//! | [`overload`] | 11, 12: more connections than there is room for, and clients that do not take what they asked for |
//! | [`slow_readers`] | 12: what is held for clients that do not take what they asked for |
//! | [`token_failures`] | 11: brute force at the token endpoint |
//! | [`rotation`] | 7: a hundred key rotations under load |
//! | [`nodes`] | 7, 8: several gateways on one PostgreSQL database act as one |
//! | [`nodes_alone`] | 8: several gateways whose PostgreSQL is down, full or locked |
//! | [`faults`] | 8: the store locked, full, read-only, damaged |
//! | [`at_rest`] | 8, 11, 16: files that are whole, and nobody else's to read |
//! | [`endurance`] | 8: killed a hundred times under load |
//! | [`timing`] | 2: an unknown client and a wrong secret take the same time |
//! | [`outbound`] | servers of other issuers, behind a forward proxy and without TLS |
//! | [`real_issuers`] | tokens and key sets as Keycloak, Entra, Cognito, Auth0, Hydra and Okta write them |
//! | [`corpora`] | the attack corpora, row by row |
//! | [`foreign_issuer`] | 3, 7: an OpenID Connect provider that other people wrote, and its rotations |
//! | [`clients`] | eight OAuth clients that other people wrote |
//!
//! [`harness`] starts the binary, records what the upstream saw and speaks raw HTTP.

// Tests may unwrap, read clocks, and have no readers of their documentation.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::missing_panics_doc, dead_code)]
// Matters of taste that read well in a table or a builder.
#![allow(clippy::format_push_string, clippy::redundant_closure_for_method_calls, clippy::redundant_closure)]
#![allow(clippy::semicolon_if_nothing_returned, clippy::type_complexity)]
#![allow(clippy::format_collect, clippy::needless_pass_by_value)]

mod harness;

mod admin;
mod at_rest;
mod binding;
mod browser;
mod cache;
mod cli;
mod clients;
mod corpora;
mod cors;
mod counterparts;
mod credentials;
mod cut_heads;
mod decision;
mod demo;
mod endurance;
mod errors;
mod faults;
mod foreign_issuer;
mod forwarded;
mod header_names;
mod headers;
mod http10;
mod http2;
mod http2_bodies;
mod http2_floods;
mod http2_protocol;
mod hygiene;
mod introspection;
mod junk;
mod key_sets;
mod likeness;
mod listeners;
mod log_outputs;
mod mint;
mod nodes;
mod nodes_alone;
mod opaque;
mod outbound;
mod overload;
mod parsers;
mod proxying;
mod rates;
mod real_issuers;
mod refusals;
mod reply_heads;
mod reply_heads_http2;
mod revocation;
mod revocation_endpoint;
mod rotation;
mod routers;
mod session_tokens;
mod signing_keys;
mod silence;
mod slow_readers;
mod streams;
mod timing;
mod tls;
mod token_endpoint;
mod token_failures;
mod trust;
mod unminted;
mod upstream_faults;
mod upstream_gone;
mod upstream_host;
mod upstream_tls;
mod upstreams;
mod userinfo_and_metadata;
mod vanishing;
