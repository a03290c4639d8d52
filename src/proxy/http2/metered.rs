use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{
    super::now,
    meter::Meter,
    signals::Signals,
    targets::{CutPaths, Targets},
};

/// A connection whose frames are counted as they come in. It reads no more than it is allowed, so that streams which
/// arrived are looked at before more are made.
pub(super) struct Metered {
    stream: Stream,
    meter: Meter,
    targets: Targets,
    signals: Arc<Signals>,
}

impl Metered {
    pub(super) fn new(stream: Stream, signals: Arc<Signals>, cut: Arc<CutPaths>) -> Self {
        let meter = Meter::new(Arc::clone(&signals), now());
        Self { stream, meter, targets: Targets::new(cut), signals }
    }
}

impl AsyncRead for Metered {
    /// Without allowance nothing wakes the reader: whoever gives it some polls again.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let allowed = self.signals.allowed();
        if allowed == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        // Bodies open no streams, and have windows of their own.
        let of_body = self.meter.body_left();
        let mut part = (&mut self.stream).take((allowed + of_body) as u64);
        ready!(Pin::new(&mut part).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        self.signals.used(read.len(), of_body);
        self.meter.read(read, now());
        self.targets.read(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.meter.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts))?;
        self.meter.written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
