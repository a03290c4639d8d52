use std::{fmt, net::SocketAddr, path::PathBuf};

use super::SecretSource;
use crate::{domain::Host, tls};

/// Where clients connect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// With TLS; HTTP/1.1 and HTTP/2 are both offered then.
    pub tls: Option<tls::Files>,
    /// Whether HTTP/2 is spoken without TLS to who begins with it (RFC 9113 section 3.3).
    pub cleartext: Http2,
    /// Whether connections begin with who made them.
    pub proxy_header: ProxyHeader,
}

/// Where a listener is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address with a port.
    Tcp(SocketAddr),
    /// A socket in the file system, mode 0660.
    Unix(PathBuf),
}

/// Whether HTTP/2 is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2 {
    /// It is.
    Spoken,
    /// HTTP/1.1 alone is.
    Refused,
}

/// Whether each connection begins with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// With none.
    Absent,
    /// With version 1 or 2, from a trusted proxy; others are closed.
    Required,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The admin listener.
#[derive(Debug)]
pub struct Admin {
    /// Its address; a loopback one unless `token` is set.
    pub address: SocketAddr,
    /// The hosts it may be asked by, beside its own address and `localhost`.
    pub hosts: Vec<Host>,
    /// What guards it beyond `/metrics`, `/livez` and `/readyz`.
    pub token: Option<SecretSource>,
    /// With TLS.
    pub tls: Option<tls::Files>,
}
