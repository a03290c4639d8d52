//! What a client sends on a connection of HTTP/2, counted frame by frame before anything is made of it.
//!
//! Frames that cost the client nothing and us some work have an allowance each; a client that uses it up is a flood.

use std::{sync::Arc, time::Instant};

use h2::Reason;

use super::signals::Signals;

/// What a frame carries, as far as that is of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Payload {
    Body,
    Settings,
    Other,
}

/// Reads frame headers (RFC 9113 section 4.1) as they pass by.
pub(super) struct Meter {
    signals: Arc<Signals>,
    started: Instant,
    /// What is left of the preface or of a frame's payload.
    skip: usize,
    /// The header of the frame that begins.
    head: [u8; 9],
    have: usize,
    /// Whether a frame has begun yet.
    begun: bool,
    /// Whether the block that the current frame belongs to ends with it.
    ends_block: bool,
    /// What the payload that is passed over holds, and how much of the current setting is read.
    payload: Payload,
    setting: [u8; SETTING],
    setting_have: usize,
    allowances: [Allowance; KINDS],
    updates: Allowance,
}

impl Meter {
    pub(super) fn new(signals: Arc<Signals>, now: Instant) -> Self {
        Self {
            signals,
            started: now,
            skip: PREFACE,
            head: [0; 9],
            have: 0,
            begun: false,
            ends_block: false,
            payload: Payload::Other,
            setting: [0; SETTING],
            setting_have: 0,
            allowances: ALLOWANCES.map(|(most, per_second)| Allowance::full(most, per_second, now)),
            updates: Allowance::full(WINDOW_UPDATES.0, WINDOW_UPDATES.1, now),
        }
    }

    /// Counts what these bytes begin.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                if self.payload == Payload::Settings {
                    self.read_settings(&bytes[..passed]);
                }
                bytes = &bytes[passed..];
                self.end_payload();
                continue;
            }
            let taken = (self.head.len() - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == self.head.len() {
                self.have = 0;
                self.begin_frame(now);
            }
        }
    }

    /// What is left of a part of a body that has begun, in bytes.
    pub(super) const fn body_left(&self) -> usize {
        match self.payload {
            Payload::Body => self.skip,
            Payload::Settings | Payload::Other => 0,
        }
    }

    /// A client may answer what it is sent with window updates, one for each small part.
    pub(super) fn written(&mut self, bytes: usize) {
        self.updates.add(bytes.div_ceil(BYTES_PER_UPDATE));
    }

    /// Looks for `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 section 6.5.2).
    fn read_settings(&mut self, payload: &[u8]) {
        for byte in payload {
            self.setting[self.setting_have] = *byte;
            self.setting_have = (self.setting_have + 1) % SETTING;
            if let (0, [0, INITIAL_WINDOW_SIZE, value @ ..]) = (self.setting_have, self.setting) {
                self.signals.window_is(u32::from_be_bytes(value));
            }
        }
    }

    fn begin_frame(&mut self, now: Instant) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.setting_have = 0;
        self.payload = match kind {
            DATA => Payload::Body,
            SETTINGS => Payload::Settings,
            _ => Payload::Other,
        };
        if matches!(kind, HEADERS | CONTINUATION) {
            self.ends_block = flags & END_HEADERS != 0;
            if kind == HEADERS {
                self.signals.head_began(now.saturating_duration_since(self.started));
            }
        }
        let within = match kind {
            DATA if self.skip == 0 && flags & END_STREAM == 0 => self.allowances[0].take(now),
            RST_STREAM => self.allowances[1].take(now),
            SETTINGS => self.allowances[2].take(now),
            PING => self.allowances[3].take(now),
            WINDOW_UPDATE => self.updates.take(now),
            DATA | HEADERS => true,
            // Priorities, continuations, and what nobody knows.
            _ => self.allowances[4].take(now),
        };
        // RFC 9113 section 3.4: the first are settings, and not a confirmation of ours.
        let well_begun = self.begun || (kind == SETTINGS && flags & ACK == 0);
        self.begun = true;
        let fault = match (well_begun, within) {
            (false, _) => Reason::PROTOCOL_ERROR,
            (true, false) => Reason::ENHANCE_YOUR_CALM,
            (true, true) => Reason::NO_ERROR,
        };
        if fault != Reason::NO_ERROR {
            self.signals.ends_with(fault);
        }
        self.end_payload();
    }

    fn end_payload(&mut self) {
        if self.skip == 0 && self.ends_block {
            self.ends_block = false;
            self.signals.head_ended();
        }
    }
}

/// A number of frames that comes back with time.
struct Allowance {
    most: usize,
    per_second: usize,
    left: usize,
    filled: Instant,
}

impl Allowance {
    const fn full(most: usize, per_second: usize, now: Instant) -> Self {
        Self { most, per_second, left: most, filled: now }
    }

    fn add(&mut self, frames: usize) {
        self.left = (self.left + frames).min(MOST_EARNED.max(self.most));
    }

    /// Whether there is one left.
    fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let seconds = now.saturating_duration_since(self.filled).as_secs();
            if seconds > 0 {
                self.filled = now;
                self.left =
                    usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(self.per_second).min(self.most);
            }
        }
        let within = self.left > 0;
        self.left = self.left.saturating_sub(1);
        within
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// The client's connection preface (RFC 9113 section 3.4), in bytes.
const PREFACE: usize = 24;
/// One setting, in bytes (RFC 9113 section 6.5.1), and the one of interest.
const SETTING: usize = 6;
const INITIAL_WINDOW_SIZE: u8 = 4;
const KINDS: usize = 5;
/// At most so many at once, and so many more each second: empty DATA, `RST_STREAM`, SETTINGS, PING, all others.
const ALLOWANCES: [(usize, usize); KINDS] = [(100, 10), (200, 50), (100, 10), (1000, 200), (1000, 200)];
const WINDOW_UPDATES: (usize, usize) = (1000, 200);
/// What earns one window update more, in bytes sent to the client; several small frames may be in it.
const BYTES_PER_UPDATE: usize = 512;
/// Most window updates that are earned ahead.
const MOST_EARNED: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + payload, 0xff);
        bytes
    }

    struct Fed {
        meter: Meter,
        signals: Arc<Signals>,
        now: Instant,
    }

    impl Fed {
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        fn new() -> Self {
            let (signals, now) = (Arc::new(Signals::default()), Instant::now());
            let mut meter = Meter::new(Arc::clone(&signals), now);
            meter.read(&[0; PREFACE], now);
            meter.read(&frame(SETTINGS, 0, 0), now);
            Self { meter, signals, now }
        }

        /// How many of these frames it takes to be a flood.
        fn limit(&mut self, frame: &[u8]) -> usize {
            for count in 0..5000 {
                self.meter.read(frame, self.now);
                if self.signals.fault().is_some() {
                    return count;
                }
            }
            usize::MAX
        }
    }

    #[test]
    fn frames_that_cost_nothing_have_an_allowance() {
        for (name, frame, limit) in [
            ("empty DATA", frame(DATA, 0, 0), 100),
            ("DATA with padding alone is for the decoder to judge", frame(DATA, 8, 1), usize::MAX),
            ("the end of a stream", frame(DATA, END_STREAM, 0), usize::MAX),
            ("RST_STREAM", frame(RST_STREAM, 0, 4), 200),
            ("SETTINGS", frame(SETTINGS, 0, 0), 99),
            ("PING", frame(PING, 0, 8), 1000),
            ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 4), 1000),
            ("PRIORITY", frame(2, 0, 5), 1000),
            ("an unknown one", frame(0xbe, 0, 0), 1000),
            ("HEADERS", frame(HEADERS, END_HEADERS, 20), usize::MAX),
        ] {
            assert_eq!(Fed::new().limit(&frame), limit, "{name}");
        }
    }

    #[test]
    fn a_connection_begins_with_settings() {
        for (first, fault) in [
            (frame(SETTINGS, 0, 6), None),
            (frame(SETTINGS, ACK, 0), Some(Reason::PROTOCOL_ERROR)),
            (frame(PING, 0, 8), Some(Reason::PROTOCOL_ERROR)),
        ] {
            let Fed { signals, now, .. } = Fed::new();
            let mut meter = Meter::new(Arc::clone(&signals), now);
            meter.read(&[&[0; PREFACE][..], &first].concat(), now);
            assert_eq!(signals.fault(), fault);
        }
    }

    #[test]
    fn an_allowance_comes_back_with_time_and_with_what_is_sent() {
        let mut fed = Fed::new();
        for _ in 0..99 {
            fed.meter.read(&frame(SETTINGS, 0, 0), fed.now);
        }
        fed.now += Duration::from_secs(2);
        assert_eq!(fed.limit(&frame(SETTINGS, 0, 0)), 20);
        let mut fed = Fed::new();
        fed.meter.written(100 * BYTES_PER_UPDATE);
        assert_eq!(fed.limit(&frame(WINDOW_UPDATE, 0, 4)), 1100);
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let stream = [frame(HEADERS, END_HEADERS, 30), frame(DATA, 0, 7), frame(PING, 0, 8)].concat().repeat(1100);
        for size in [1, 2, 9, 10, 1000] {
            let mut fed = Fed::new();
            for (number, part) in stream.chunks(size).enumerate() {
                assert_eq!(fed.signals.fault().is_some(), number * size > 1001 * 72 - 17 + 8, "{size} {number}");
                if fed.signals.fault().is_some() {
                    break;
                }
                fed.meter.read(part, fed.now);
            }
        }
    }

    #[test]
    fn a_header_block_is_open_until_its_last_byte() {
        let mut fed = Fed::new();
        let elapsed = Duration::from_secs(3);
        let (first, last) = (frame(HEADERS, 0, 10), frame(CONTINUATION, END_HEADERS, 10));
        for (bytes, open) in [(&first[..8], false), (&first[8..], true), (&last[..18], true), (&last[18..], false)] {
            fed.meter.read(bytes, fed.now + Duration::from_secs(1));
            assert_eq!(fed.signals.waits_for_head(elapsed), open.then_some(Duration::from_secs(2)));
        }
    }

    #[test]
    fn the_window_of_new_streams_is_known_however_the_bytes_are_cut() {
        let settings = |settings: &[(u16, u32)]| {
            let mut bytes = frame(SETTINGS, 0, settings.len() * SETTING);
            bytes.truncate(9);
            for (id, value) in settings {
                bytes.extend(id.to_be_bytes());
                bytes.extend(value.to_be_bytes());
            }
            bytes
        };
        for size in [1, 2, 5, 6, 7, 100] {
            let mut fed = Fed::new();
            assert_eq!(fed.signals.window(), 65_535);
            for (sent, window) in [
                (&[(4, 0)][..], 0),
                (&[(1, 4), (4, 1000), (5, 16_384)], 1000),
                (&[(260, 0), (3, 4)], 1000),
                (&[(4, 1 << 20)], 65_535),
            ] {
                let bytes = [settings(sent), frame(PING, 0, 8)].concat();
                bytes.chunks(size).for_each(|part| fed.meter.read(part, fed.now));
                assert_eq!(fed.signals.window(), window, "{size} {sent:?}");
            }
        }
    }
}
