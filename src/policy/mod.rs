//! May this request pass? No I/O, no clock, no pingora.

mod binding;
mod conflict;
mod cors;
mod decide;
mod fields;
mod head;
mod json;
mod letters;
mod likeness;
mod mint;
mod name;
mod path;
mod pattern;
mod proxy_header;
mod query;
mod reply;
mod reserved;
mod route;
mod route_table;
mod scan;
mod splice;
mod stream;
mod stream_head;
mod tree;
mod websocket;

pub use binding::{Parts, bind};
pub use conflict::{Common, RouteConflict};
pub use cors::{Cors, Credentials, OriginError, OriginPattern, Origins};
pub use decide::{Grant, decide, grant};
pub use fields::{may_be_form, may_be_json, names_json};
pub use head::{HeadLimits, MAX_TARGET, Violation, check_head, head_end, is_host};
pub use json::{JsonPointer, find_string};
pub use letters::LetterCase;
pub use mint::{Mint, MintSource, Unminted};
pub use name::{Ambiguous, header_begins_alike, is_blank_parameter, is_header_alike, is_parameter_alike};
pub use path::{Delimiters, PathError, RequestTarget};
pub use pattern::{MethodPattern, PathPattern, PatternError};
pub use proxy_header::{MAX_PROXY_HEADER, NoProxyHeader, ProxyHeader, parse_proxy_header};
pub use query::decode_form;
pub use reply::{BadReply, Next, Replies};
pub use reserved::{FieldOwner, field_owner, is_end_to_end};
pub use route::{
    Access, ApplicationPlaces, EncodedDelimiters, Enforcement, Repetition, Route, RouteId, TokenForwarding, Twin,
    UpstreamId,
};
pub use route_table::{Found, RouteTable};
pub use splice::put_string;
pub use stream::{End, Stream, Upgrade};
pub use stream_head::check_stream_head;
pub use websocket::{HandshakeError, SwitchError, asks_for_websocket, check_handshake, check_switch};
