//! Watches the header blocks of a connection as they pass by, for paths that the library would cut at a `#`.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::hpack::{Path, Table};

/// Streams whose path was cut. Written and read by one task.
#[derive(Default)]
pub(super) struct CutPaths {
    /// How many there are; [`ALL`] of them once nothing can be said any more.
    count: AtomicUsize,
    streams: Mutex<Vec<u32>>,
}

impl CutPaths {
    /// Whether this stream's path was cut. Streams are asked for in the order in which they were opened.
    pub(super) fn hold(&self, stream: u32) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        if count == 0 || count == ALL {
            return count == ALL;
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let found = streams.contains(&stream);
        streams.retain(|later| *later > stream);
        self.count.store(streams.len(), Ordering::Relaxed);
        found
    }

    fn add(&self, stream: u32) {
        if self.count.load(Ordering::Relaxed) == ALL {
            return;
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push(stream);
        let count = if streams.len() < MOST { streams.len() } else { ALL };
        self.count.store(count, Ordering::Relaxed);
    }

    fn add_all(&self) {
        self.count.store(ALL, Ordering::Relaxed);
    }
}

/// Reads frames (RFC 9113 section 4.1) for their header blocks.
pub(super) struct Targets {
    cut: Arc<CutPaths>,
    table: Table,
    /// What is left of the preface or of a frame's payload.
    left: usize,
    /// The header of the frame that begins.
    head: Vec<u8>,
    /// The header block that is not whole yet; of its last frame with padding.
    block: Vec<u8>,
}

impl Targets {
    pub(super) fn new(cut: Arc<CutPaths>) -> Self {
        Self { cut, table: Table::new(), left: PREFACE, head: Vec::with_capacity(HEAD), block: Vec::new() }
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (taken, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(taken);
                bytes = rest;
                if let [high, middle, low, ..] = self.head[..]
                    && self.head.len() == HEAD
                {
                    self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    if self.left == 0 {
                        self.end_frame();
                    }
                }
                continue;
            }
            let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
            if matches!(self.kind(), Some(HEADERS | CONTINUATION)) && self.block.len() < MOST_BLOCK {
                self.block.extend_from_slice(payload);
            }
            self.left -= payload.len();
            bytes = rest;
            if self.left == 0 {
                self.end_frame();
            }
        }
    }

    /// Nothing before the first frame.
    fn kind(&self) -> Option<u8> {
        self.head.get(3).copied()
    }

    fn end_frame(&mut self) {
        if let [_, _, _, kind @ (HEADERS | CONTINUATION), flags, stream @ ..] = &self.head[..] {
            let (kind, flags) = (*kind, *flags);
            let stream = stream.iter().fold(0, |stream, byte| stream << 8 | u32::from(*byte));
            if kind == HEADERS {
                self.strip(flags);
            }
            if flags & END_HEADERS != 0 {
                match self.table.read(&self.block) {
                    Ok(Path::Whole) => {}
                    Ok(Path::Cut) => self.cut.add(stream & !RESERVED),
                    Err(_) => self.cut.add_all(),
                }
                self.block.clear();
                self.block.shrink_to(KEPT_BLOCK);
            }
        }
        self.head.clear();
    }

    /// Takes padding and priority from a frame's payload (RFC 9113 section 6.2); the decoder refuses what is broken.
    fn strip(&mut self, flags: u8) {
        let padded = flags & PADDED != 0;
        let padding = if padded { self.block.first().map_or(0, |length| usize::from(*length)) } else { 0 };
        let before = usize::from(padded) + if flags & PRIORITY != 0 { PRIORITY_LENGTH } else { 0 };
        self.block.truncate(self.block.len().saturating_sub(padding));
        self.block.drain(..before.min(self.block.len()));
    }
}

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: usize = 5;
const RESERVED: u32 = 1 << 31;
/// Of a frame's header.
const HEAD: usize = 9;
/// The client's connection preface (RFC 9113 section 3.4), in bytes.
const PREFACE: usize = 24;
/// Longer blocks are cut short here, and so broken: far beyond what the decoder takes.
const MOST_BLOCK: usize = 1024 * 1024;
const KEPT_BLOCK: usize = 1024;
/// Streams that wait to be looked at; then the connection is refused as a whole.
const MOST: usize = 64;
const ALL: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    }

    #[test]
    fn a_cut_path_is_seen_however_its_bytes_come() {
        let bytes = [
            vec![0; PREFACE],
            frame(4, 0, 0, &[]),
            frame(HEADERS, END_HEADERS, 1, b"\x04\x02/a"),
            frame(HEADERS, PADDED | PRIORITY, 3, b"\x02\0\0\0\0\0\x44\x04/\0\0"),
            frame(CONTINUATION, END_HEADERS, 3, b"a#b"),
            frame(0, 0, 1, b"\x04\x02/#"),
            frame(HEADERS, END_HEADERS, 5, b"\xbe"),
            frame(HEADERS, END_HEADERS, 7, b"\x84"),
        ]
        .concat();
        for size in [1, 2, 9, 10, 1000] {
            let cut = Arc::new(CutPaths::default());
            let mut targets = Targets::new(Arc::clone(&cut));
            bytes.chunks(size).for_each(|part| targets.read(part));
            assert_eq!([1, 3, 5, 7].map(|stream| cut.hold(stream)), [false, true, true, false], "{size}");
        }
    }

    #[test]
    fn nothing_passes_once_the_table_is_lost() {
        let cut = Arc::new(CutPaths::default());
        let mut targets = Targets::new(Arc::clone(&cut));
        targets.read(&[vec![0; PREFACE], frame(HEADERS, END_HEADERS, 1, b"\xff")].concat());
        assert!(cut.hold(1) && cut.hold(3));
    }
}
