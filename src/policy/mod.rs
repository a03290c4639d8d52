//! May this request pass? No I/O, no clock, no pingora.

mod json;
mod pattern;
mod route;

pub use json::{Ambiguous, JsonPointer, find_string};
pub use pattern::{MethodPattern, PathPattern, PatternError};
pub use route::{
    Access, ApplicationPlaces, Enforcement, Found, Route, RouteConflict, RouteId, RouteTable, TokenForwarding,
    UpstreamId,
};
