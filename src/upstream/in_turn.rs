//! Connections for requests that ask to leave HTTP.
//!
//! The framework takes an upgraded exchange for done once its request is done. A request without a body is done from the
//! start, which is news to it like the server's reply, and it takes news in random order: of a server whose 101 is there
//! at the first look it may see that first, and then ends the WebSocket as it begins. So here nothing is read in the same
//! turn in which something was written; by the next turn the request is known to be done.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use pingora::{
    Error,
    ErrorType::{ConnectError, InternalError},
    Result,
    connectors::L4Connect,
    protocols::l4::{
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
};
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Makes such connections.
#[derive(Debug)]
pub(super) struct ConnectInTurn;

/// One that reads in another turn than it writes.
#[derive(Debug)]
struct InTurn<S> {
    socket: S,
    wrote: bool,
}

#[async_trait]
impl L4Connect for ConnectInTurn {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let socket: io::Result<Box<dyn VirtualSocket>> = match address {
            SocketAddr::Inet(address) => TcpStream::connect(address).await.and_then(|socket| {
                socket.set_nodelay(true)?;
                Ok(InTurn::boxed(socket))
            }),
            SocketAddr::Unix(address) => {
                let path = address.as_pathname().expect("servers have paths");
                UnixStream::connect(path).await.map(InTurn::boxed)
            }
        };
        socket.map(|socket| VirtualSocketStream::new(socket).into()).map_err(|error| refused(address, error))
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "the framework's errors are boxed")]
fn refused(address: &SocketAddr, error: io::Error) -> Box<Error> {
    let out_of_descriptors = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    // Of these the server knows nothing.
    let kind = if out_of_descriptors.contains(&error.raw_os_error()) { InternalError } else { ConnectError };
    Error::because(kind, format!("while connecting to {address}"), error)
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug + 'static> InTurn<S> {
    fn boxed(socket: S) -> Box<dyn VirtualSocket> {
        Box::new(Self { socket, wrote: false })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> VirtualSocket for InTurn<S> {
    /// What is wanted of one was set when it was made.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InTurn<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InTurn<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_reply_that_is_there_already_is_read_in_the_next_turn() {
        let (near, mut far) = duplex(100);
        far.write_all(b"101").await.unwrap();
        let mut socket = InTurn { socket: near, wrote: false };
        socket.write_all(b"GET").await.unwrap();
        let mut turns = 0;
        let mut reply = [0; 3];
        let read = poll_fn(|cx| {
            turns += 1;
            let mut buffer = ReadBuf::new(&mut reply);
            Pin::new(&mut socket).poll_read(cx, &mut buffer)
        });
        read.await.unwrap();
        assert_eq!((turns, &reply), (2, b"101"));
        // What comes later is read as it comes.
        far.write_all(b"x").await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'x');
    }
}
