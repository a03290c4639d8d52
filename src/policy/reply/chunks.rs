use super::BadReply;

/// Where a chunked body is (RFC 9112 section 7.1). The parser behind us takes a bare LF within a chunk's extension, a size
/// of no digits, and anything for a trailer.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the digits of a size: how many, and what they say.
    Size {
        digits: u8,
        size: u64,
    },
    /// In the extension behind a size.
    Extension {
        size: u64,
    },
    /// Behind the CR of a size's line.
    SizeLf {
        size: u64,
    },
    /// In the bytes of a chunk.
    Data {
        left: u64,
    },
    /// Behind the bytes of a chunk, and behind the CR there.
    DataCr,
    DataLf,
    /// In the trailers: how many bytes they have, how many their line has.
    Trailer {
        bytes: usize,
        line: usize,
    },
    /// Behind the CR of a trailer's line.
    TrailerLf {
        bytes: usize,
        line: usize,
    },
    /// Behind the end. What follows belongs to nothing, which the parser finds for itself.
    End,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    pub(super) fn look_at(&mut self, mut bytes: &[u8]) -> Result<(), BadReply> {
        while let [first, rest @ ..] = bytes {
            if let Place::Data { left } = self.place {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[taken..];
                let left = left - taken as u64;
                self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
                continue;
            }
            self.place = self.place.behind(*first)?;
            bytes = rest;
        }
        Ok(())
    }
}

impl Place {
    /// Where the next byte leads, which is none of a chunk's data.
    fn behind(self, byte: u8) -> Result<Self, BadReply> {
        Ok(match (self, byte) {
            (Self::Size { digits: digits @ 0..=15, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                Self::Size { digits: digits + 1, size: size << 4 | hex(byte) }
            }
            (Self::Size { digits: 1.., size } | Self::Extension { size }, b'\r') => Self::SizeLf { size },
            (Self::Size { digits: 1.., size }, b';' | b' ' | b'\t')
            | (Self::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => Self::Extension { size },
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer { bytes: 0, line: 0 },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::default(),
            (Self::Trailer { bytes, line }, b'\r') => Self::TrailerLf { bytes, line },
            (Self::Trailer { bytes: bytes @ ..MOST_TRAILER_BYTES, line }, b'\t' | b' '..=b'~' | 0x80..) => {
                Self::Trailer { bytes: bytes + 1, line: line + 1 }
            }
            (Self::TrailerLf { line: 0, .. }, b'\n') | (Self::End, _) => Self::End,
            (Self::TrailerLf { bytes, .. }, b'\n') => Self::Trailer { bytes, line: 0 },
            (
                Self::Size { .. }
                | Self::Extension { .. }
                | Self::SizeLf { .. }
                | Self::Data { .. }
                | Self::DataCr
                | Self::DataLf
                | Self::Trailer { .. }
                | Self::TrailerLf { .. },
                _,
            ) => return Err(BadReply::Chunk),
        })
    }
}

fn hex(digit: u8) -> u64 {
    char::from(digit).to_digit(16).map_or(0, u64::from)
}

const MOST_TRAILER_BYTES: usize = 8 * 1024;
