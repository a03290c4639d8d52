use super::{BadReply, Framing, LIMITS};
use crate::policy::head::{has_control, is_length, is_token};

/// Checks a whole head, its empty line included, in which every LF stands behind a CR.
pub(super) fn check_reply_head(head: &[u8]) -> Result<Framing, BadReply> {
    let mut line_ends = memchr::memchr_iter(b'\n', &head[..head.len().saturating_sub(2)]);
    let first = line_ends.next().ok_or(BadReply::StatusLine)?;
    let status = check_status_line(&head[..first - 1])?;
    let mut fields = Fields::default();
    let mut start = first + 1;
    for (place, end) in line_ends.enumerate() {
        if place == LIMITS.lines {
            return Err(BadReply::TooLarge);
        }
        fields.add(&head[start..end - 1])?;
        start = end + 1;
    }
    fields.framing(status)
}

#[derive(Clone, Copy)]
struct Status {
    minor: u8,
    code: u16,
}

/// `HTTP/1.x SP 3DIGIT [SP text]` (RFC 9112 section 4). The second space is not insisted on: it says nothing.
fn check_status_line(line: &[u8]) -> Result<Status, BadReply> {
    let (Some(b"HTTP/1."), Some([minor @ (b'0' | b'1'), b' ', code @ ..])) = (line.get(..7), line.get(7..)) else {
        return Err(BadReply::StatusLine);
    };
    let (Some([hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9']), Some(text)) =
        (code.get(..3), code.get(3..))
    else {
        return Err(BadReply::StatusLine);
    };
    if has_control(text) || text.first().is_some_and(|byte| *byte != b' ') {
        return Err(BadReply::StatusLine);
    }
    let digit = |digit: &u8| u16::from(digit - b'0');
    Ok(Status { minor: minor - b'0', code: digit(hundreds) * 100 + digit(tens) * 10 + digit(ones) })
}

/// The header fields that decide where a reply ends.
#[derive(Default)]
struct Fields<'h> {
    content_length: Option<&'h [u8]>,
    transfer_encoding: Option<&'h [u8]>,
}

impl<'h> Fields<'h> {
    fn add(&mut self, line: &'h [u8]) -> Result<(), BadReply> {
        let colon = memchr::memchr(b':', line).ok_or(BadReply::HeaderLine)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !is_token(name) || has_control(value) {
            return Err(BadReply::HeaderLine);
        }
        let (slot, fault) = match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => (&mut self.content_length, BadReply::ContentLength),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                (&mut self.transfer_encoding, BadReply::TransferEncoding)
            }
            _ => return Ok(()),
        };
        if slot.replace(value.trim_ascii()).is_some() { Err(fault) } else { Ok(()) }
    }

    fn framing(&self, status: Status) -> Result<Framing, BadReply> {
        let length = self.content_length.map(length).transpose()?;
        let coded = match self.transfer_encoding {
            None => false,
            Some(coding) if coding.eq_ignore_ascii_case(b"identity") => false,
            // A length beside chunks, and chunks in HTTP/1.0, are what two readers of one reply disagree about.
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") && length.is_none() && status.minor == 1 => true,
            Some(_) => return Err(BadReply::TransferEncoding),
        };
        Ok(match (status.code, length) {
            (101 | 204 | 304, _) => Framing::Other,
            (100..=199, _) => Framing::Interim,
            _ if coded => Framing::Chunked,
            (_, Some(length)) if self.transfer_encoding.is_some() => Framing::Plain(length),
            _ => Framing::Other,
        })
    }
}

fn length(value: &[u8]) -> Result<u64, BadReply> {
    if !is_length(value) {
        return Err(BadReply::ContentLength);
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}
