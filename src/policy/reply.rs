//! The bytes of HTTP/1.1 replies as they come off the wire (RFC 9112), judged before any parser has mended them.
//!
//! A parser that takes a bare LF for the end of a line makes two header fields of one value, and whoever can write into
//! that value writes `Set-Cookie`. So servers are held to the grammar as clients are.

mod chunks;
mod head;

use self::{chunks::Chunks, head::check_reply_head};
use super::{HeadLimits, head_end};

/// Why a reply is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Bytes arrived that no request asked for.
    #[error("bytes that belong to no reply")]
    Unasked,
    /// A line that does not end with CRLF.
    #[error("a line of the reply's head does not end with CRLF")]
    LineEnding,
    /// The first line is not `HTTP/1.x 200 text`.
    #[error("the reply's status line is malformed")]
    StatusLine,
    /// More bytes or lines than the limits allow.
    #[error("the reply's head is too large")]
    TooLarge,
    /// A header line that is no `name: value`, or is folded (RFC 9112 section 5.2).
    #[error("a header line of the reply is malformed")]
    HeaderLine,
    /// `Content-Length` repeated, malformed or over 2^53.
    #[error("the reply's Content-Length is repeated or malformed")]
    ContentLength,
    /// `Transfer-Encoding` other than one `chunked` or `identity`, beside a length, or in HTTP/1.0.
    #[error("the reply's Transfer-Encoding is not a single chunked")]
    TransferEncoding,
    /// A chunk or trailer line that breaks RFC 9112 section 7.1.
    #[error("the reply's chunks are malformed")]
    Chunk,
}

/// How a head says where its reply ends (RFC 9112 section 6.3), as far as it is told apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Another head follows: the reply was an interim one.
    Interim,
    /// In chunks.
    Chunked,
    /// After so many bytes, said beside the coding `identity`, which means none and must not hide the length.
    Plain(u64),
    /// By a rule that bytes cannot break: a length, the end of the connection, the status.
    Other,
}

/// Follows the replies of one connection.
#[derive(Debug, Default)]
pub struct Replies {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// No request was sent yet.
    #[default]
    Idle,
    /// A head is expected; so much of it is there.
    Head(Vec<u8>),
    /// A body in chunks, and its trailers.
    Chunks(Chunks),
    /// A body of this many more bytes, of which the parser behind us does not know.
    Plain(u64),
    /// Bytes that may be any.
    Body,
}

/// What follows the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Whatever the server sends.
    More,
    /// Nothing: the reply has ended, and nothing but this says so.
    End,
}

impl Replies {
    /// From here on bytes are the reply to a request.
    pub fn expect(&mut self) {
        self.state = State::Head(Vec::new());
    }

    /// Looks at the next bytes. An error means that none of them may be passed on, nor any that follow.
    pub fn look_at(&mut self, mut bytes: &[u8]) -> Result<Next, BadReply> {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::Idle => return Err(BadReply::Unasked),
                State::Body => return Ok(Next::More),
                State::Chunks(chunks) => return chunks.look_at(bytes).map(|()| Next::More),
                State::Plain(left) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    return Ok(self.next());
                }
                State::Head(begun) if begun.is_empty() => {
                    let Some(end) = head_end(bytes, 0, LIMITS).map_err(BadReply::of_line)? else {
                        begun.extend_from_slice(bytes);
                        return Ok(Next::More);
                    };
                    self.state = State::after(check_reply_head(&bytes[..end])?);
                    end
                }
                State::Head(begun) => {
                    let seen = begun.len();
                    begun.extend_from_slice(bytes);
                    let Some(end) = head_end(begun, seen, LIMITS).map_err(BadReply::of_line)? else {
                        return Ok(Next::More);
                    };
                    self.state = State::after(check_reply_head(&begun[..end])?);
                    end - seen
                }
            };
            bytes = &bytes[used..];
        }
        Ok(self.next())
    }

    /// Whether a reply still needs what cannot come once the connection has ended.
    pub const fn is_cut(&self) -> bool {
        matches!(self.state, State::Plain(1..))
    }

    /// What may follow.
    pub const fn next(&self) -> Next {
        match self.state {
            State::Plain(0) => Next::End,
            State::Idle | State::Head(_) | State::Chunks(_) | State::Plain(_) | State::Body => Next::More,
        }
    }
}

impl State {
    fn after(framing: Framing) -> Self {
        match framing {
            Framing::Interim => Self::Head(Vec::new()),
            Framing::Chunked => Self::Chunks(Chunks::default()),
            Framing::Plain(length) => Self::Plain(length),
            Framing::Other => Self::Body,
        }
    }
}

impl BadReply {
    fn of_line(violation: super::Violation) -> Self {
        if violation == super::Violation::LineEnding { Self::LineEnding } else { Self::TooLarge }
    }
}

/// Twice as much as the largest head that a server of ours was ever seen to send, and the lines that the parser takes.
const LIMITS: HeadLimits = HeadLimits { bytes: 128 * 1024, lines: 256 };

#[cfg(test)]
mod tests;
