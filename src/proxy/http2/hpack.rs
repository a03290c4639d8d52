//! What a header block says of `:path` (RFC 7541): whether a `#` stands in it. The library's decoder makes a URI of the
//! path and leaves out what follows a `#`, so that nobody behind it can tell.
//!
//! Keeps the client's table in step, but of an entry only what is asked here.

use std::collections::VecDeque;

/// What a block says of `:path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Nothing that would be left out.
    Whole,
    /// A `#` stands in it.
    Cut,
}

/// The block breaks RFC 7541: from here on nothing can be said of this connection's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The dynamic table of one connection (RFC 7541 section 2.3.2).
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    name: Name,
    value_length: usize,
    path: Path,
}

#[derive(Clone, Copy)]
struct Name {
    length: usize,
    is: Pseudo,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pseudo {
    Path,
    Other,
}

/// A string's length once it is decoded, and what stands in it.
struct Text {
    length: usize,
    holds_number_sign: bool,
    is_path: bool,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, most: MOST_SIZE }
    }

    /// Reads one whole block, in the order of their arrival.
    pub(super) fn read(&mut self, mut block: &[u8]) -> Result<Path, Broken> {
        let mut seen = Path::Whole;
        while let [first, ..] = *block {
            let path = match first {
                0x80.. => self.indexed(integer(&mut block, 7)?)?,
                0x40.. => self.literal(&mut block, 6, Keeping::Kept)?,
                0x20.. => self.resize(integer(&mut block, 5)?)?,
                _ => self.literal(&mut block, 4, Keeping::Forgotten)?,
            };
            if path == Path::Cut {
                seen = Path::Cut;
            }
        }
        Ok(seen)
    }

    fn indexed(&self, index: usize) -> Result<Path, Broken> {
        match index.checked_sub(STATIC_NAMES.len() + 1) {
            None if index > 0 => Ok(Path::Whole),
            Some(place) => self.entries.get(place).map(|entry| entry.path).ok_or(Broken),
            None => Err(Broken),
        }
    }

    fn literal(&mut self, block: &mut &[u8], prefix: u32, keeping: Keeping) -> Result<Path, Broken> {
        let name = match integer(block, prefix)? {
            0 => {
                let Text { length, is_path, .. } = text(block)?;
                Name { length, is: if is_path { Pseudo::Path } else { Pseudo::Other } }
            }
            index => self.name(index)?,
        };
        let value = match (name.is, keeping) {
            // Its length is of no use, and a token is long.
            (Pseudo::Other, Keeping::Forgotten) => return raw(block).map(|_| Path::Whole),
            (Pseudo::Path, _) | (Pseudo::Other, Keeping::Kept) => text(block)?,
        };
        let cut = name.is == Pseudo::Path && value.holds_number_sign;
        let path = if cut { Path::Cut } else { Path::Whole };
        if keeping == Keeping::Kept {
            self.keep(Entry { name, value_length: value.length, path });
        }
        Ok(path)
    }

    fn name(&self, index: usize) -> Result<Name, Broken> {
        if let Some(place) = index.checked_sub(STATIC_NAMES.len() + 1) {
            return self.entries.get(place).map(|entry| entry.name).ok_or(Broken);
        }
        let is = if matches!(index, 4 | 5) { Pseudo::Path } else { Pseudo::Other };
        Ok(Name { length: usize::from(STATIC_NAMES[index - 1]), is })
    }

    fn keep(&mut self, entry: Entry) {
        self.evict(self.most.saturating_sub(entry.size()));
        if entry.size() <= self.most {
            self.size += entry.size();
            self.entries.push_front(entry);
        }
    }

    fn resize(&mut self, most: usize) -> Result<Path, Broken> {
        if most > MOST_SIZE {
            return Err(Broken);
        }
        self.most = most;
        self.evict(most);
        Ok(Path::Whole)
    }

    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size();
        }
    }
}

/// Whether a literal joins the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Kept,
    Forgotten,
}

impl Entry {
    /// RFC 7541 section 4.1.
    const fn size(self) -> usize {
        self.name.length + self.value_length + 32
    }
}

/// RFC 7541 section 5.1.
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Broken> {
    let (first, mut rest) = block.split_first().ok_or(Broken)?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().ok_or(Broken)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return Err(Broken);
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// RFC 7541 section 5.2, as it stands in the block; whether it is in Huffman's code.
fn raw<'b>(block: &mut &'b [u8]) -> Result<(&'b [u8], bool), Broken> {
    let coded = block.first().ok_or(Broken)? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(Broken)?;
    *block = rest;
    Ok((text, coded))
}

fn text(block: &mut &[u8]) -> Result<Text, Broken> {
    let (bytes, coded) = raw(block)?;
    let mut text = Text { length: 0, holds_number_sign: false, is_path: true };
    let mut add = |byte: u8| {
        text.is_path &= PATH.get(text.length) == Some(&byte);
        text.holds_number_sign |= byte == b'#';
        text.length += 1;
    };
    if coded {
        decode(bytes, &mut add)?;
    } else {
        bytes.iter().copied().for_each(&mut add);
    }
    text.is_path &= text.length == PATH.len();
    Ok(text)
}

/// RFC 7541 appendix B. The code is canonical: within a length, codes go up with the symbols.
fn decode(bytes: &[u8], add: &mut impl FnMut(u8)) -> Result<(), Broken> {
    let (mut code, mut length, mut first, mut place) = (0, 0, 0, 0);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| usize::from(byte >> at & 1))) {
        length += 1;
        code = code << 1 | bit;
        first <<= 1;
        let count = COUNTS.get(length).copied().ok_or(Broken)?;
        if code < first + count {
            // The last symbol is the end of the string, which no string holds.
            add(u8::try_from(SYMBOLS[place + code - first]).map_err(|_| Broken)?);
            (code, length, first, place) = (0, 0, 0, 0);
            continue;
        }
        first += count;
        place += count;
    }
    Ok(())
}

const PATH: &[u8] = b":path";
/// What we let a client's table hold: the default of `SETTINGS_HEADER_TABLE_SIZE`.
const MOST_SIZE: usize = 4096;
const SYMBOL_COUNT: usize = 257;
const LONGEST_CODE: usize = 30;

/// How many codes have each length.
static COUNTS: [usize; LONGEST_CODE + 1] = {
    let mut counts = [0; LONGEST_CODE + 1];
    let mut symbol = 0;
    while symbol < SYMBOL_COUNT {
        counts[CODE_LENGTHS[symbol] as usize] += 1;
        symbol += 1;
    }
    counts
};

/// The symbols in the order of their codes.
static SYMBOLS: [u16; SYMBOL_COUNT] = {
    let mut symbols = [0; SYMBOL_COUNT];
    let (mut length, mut place) = (1, 0);
    while length <= LONGEST_CODE {
        let mut symbol = 0_u16;
        while (symbol as usize) < SYMBOL_COUNT {
            if CODE_LENGTHS[symbol as usize] as usize == length {
                symbols[place] = symbol;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
};

/// The lengths of the static table's names (RFC 7541 appendix A).
const STATIC_NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4,
    4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

/// The lengths of the codes, in bits, by symbol.
const CODE_LENGTHS: [u8; SYMBOL_COUNT] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

#[cfg(test)]
mod tests {
    use super::*;

    type Blocks<'a> = [&'a [u8]];

    #[test]
    fn the_path_is_seen_however_it_is_written() {
        let huffman = [0x04, 0x87, 0x60, 0xd5, 0x48, 0x5f, 0x2b, 0xce, 0x9a]; // RFC 7541 C.6.1's way of coding: "/index.html"
        let cases: [(&Blocks<'_>, Result<Path, Broken>); 12] = [
            (&[b"\x82\x84"], Ok(Path::Whole)),
            (&[&huffman], Ok(Path::Whole)),
            (&[b"\x04\x03/a#"], Ok(Path::Cut)),
            (&[b"\x14\x03/#a"], Ok(Path::Cut)),
            (&[b"\x00\x05:path\x03/a#"], Ok(Path::Cut)),
            (&[b"\x04\x84\x60\x7f\xf5\xff"], Ok(Path::Cut)),
            (&[b"\x00\x01x\x03/a#"], Ok(Path::Whole)),
            (&[b"\x44\x03/a#", b"\xbe"], Ok(Path::Cut)),
            (&[b"\x44\x02/a", b"\x7e\x03/b#", b"\xbf"], Ok(Path::Whole)),
            (&[b"\x44\x03/a#", b"\x3f\x00\x20", b"\xbe"], Err(Broken)),
            (&[b"\x80"], Err(Broken)),
            (&[b"\x04\x09/a"], Err(Broken)),
        ];
        for (blocks, expected) in cases {
            let mut table = Table::new();
            let (last, before) = blocks.split_last().unwrap();
            for block in before {
                let _ = table.read(block);
            }
            assert_eq!(table.read(last), expected, "{blocks:x?}");
        }
    }

    #[test]
    fn entries_leave_the_table_as_they_do_the_librarys() {
        let mut table = Table::new();
        let long = [&b"\x40\x01x\x7f\xe0\x0e"[..], &[b'y'; 2015]].concat(); // 1 + 2015 + 32
        assert_eq!(table.read(b"\x44\x03/a#"), Ok(Path::Cut));
        assert_eq!((table.read(&long), table.read(b"\xbf")), (Ok(Path::Whole), Ok(Path::Cut)));
        assert_eq!((table.read(&long), table.read(b"\xbf")), (Ok(Path::Whole), Ok(Path::Whole)));
        assert_eq!(table.read(b"\xc0"), Err(Broken));
    }
}
