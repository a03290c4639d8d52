use std::time::Duration;

/// How long an exchange on a route may last, and what it may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Longest silence of the server; `None`: as its upstream says.
    pub idle: Option<Duration>,
    /// Longest exchange; `None`: as its upstream says.
    pub total: Option<Duration>,
    /// Whether it may leave HTTP.
    pub upgrade: Upgrade,
    /// Whether it ends with the token that let it in.
    pub end: End,
}

/// Whether a connection may be handed to another protocol (RFC 9110 section 7.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// It stays with HTTP, where every message is judged.
    #[default]
    Denied,
    /// To WebSocket (RFC 6455). Its opening request is judged like any other, what follows is not.
    WebSocket,
}

/// When an exchange that was admitted ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// When it is done.
    #[default]
    Itself,
    /// At the latest when its token expires or is revoked.
    WithToken,
}
