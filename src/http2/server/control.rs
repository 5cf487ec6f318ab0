//! Frames that carry no message: windows, settings, pings, priorities.

use std::time::Instant;

use h2::Reason;

use super::{
    conn::{Conn, FAREWELL, Fault, Leaving},
    flow::Overflow,
    frame::{self, Header, flag, kind, setting},
    receive::{Done, FRAME_SIZE, PROTOCOL, connection},
};

/// WINDOW_UPDATE frames that one DATA frame explains, and how many are put aside at most.
const UPDATES_PER_DATA: u32 = 4;
const UPDATES_DUE_MAX: u32 = 100_000;

impl Conn {
    pub(super) fn window_update(&mut self, header: &Header, payload: &[u8], now: Instant) -> Done {
        let bytes = payload.try_into().map_err(|_| FRAME_SIZE)?;
        let room = i64::from(u32::from_be_bytes(bytes) & u32::MAX >> 1);
        if self.updates_due > 0 {
            self.updates_due -= 1;
        } else if !self.control.allows(now) {
            return Err(connection(Reason::ENHANCE_YOUR_CALM));
        }
        let id = header.stream;
        if id == 0 {
            if room == 0 {
                return Err(PROTOCOL);
            }
            self.send_window
                .add(room)
                .map_err(|Overflow| connection(Reason::FLOW_CONTROL_ERROR))?;
            self.waiting.append(&mut self.starved);
            return Ok(());
        }
        if id > self.last_stream && self.leaving < Leaving::Told {
            return Err(PROTOCOL);
        }
        let Some(at) = self.streams.find(id) else {
            return Ok(());
        };
        if room == 0 {
            return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR));
        }
        let Some(stream) = self.streams.get_mut(at) else {
            return Ok(());
        };
        stream
            .send_window
            .add(room)
            .map_err(|Overflow| Fault::Stream(id, Reason::FLOW_CONTROL_ERROR))?;
        if std::mem::take(&mut stream.starved) {
            self.ready.mark(at.slot);
        }
        Ok(())
    }

    pub(super) fn settings(&mut self, header: &Header, payload: &[u8]) -> Done {
        if header.stream != 0 {
            return Err(PROTOCOL);
        }
        if header.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(FRAME_SIZE);
            }
            self.settings_due = self.settings_due.checked_sub(1).ok_or(PROTOCOL)?;
            return Ok(());
        }
        for (name, value) in frame::settings(payload).ok_or(FRAME_SIZE)? {
            match name {
                setting::HEADER_TABLE_SIZE => {
                    self.encoder.allow(usize::try_from(value).unwrap_or(usize::MAX));
                }
                setting::ENABLE_PUSH if value > 1 => return Err(PROTOCOL),
                setting::ENABLE_CONNECT_PROTOCOL if value > 1 => return Err(PROTOCOL),
                setting::INITIAL_WINDOW_SIZE => self.resize_windows(value)?,
                // All our frames are of the size that every peer takes.
                setting::MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => return Err(PROTOCOL),
                _ => {}
            }
        }
        self.settings_seen = true;
        frame::frame(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(())
    }

    /// RFC 9113 section 6.9.2: all streams' windows change with the one that they begin with.
    fn resize_windows(&mut self, bytes: u32) -> Done {
        if i64::from(bytes) > frame::WINDOW_MAX {
            return Err(PROTOCOL);
        }
        let more = i64::from(bytes) - i64::from(self.first_window);
        self.first_window = bytes;
        for (slot, stream) in self.streams.iter_mut() {
            stream
                .send_window
                .add(more)
                .map_err(|Overflow| connection(Reason::FLOW_CONTROL_ERROR))?;
            if std::mem::take(&mut stream.starved) {
                self.ready.mark(slot);
            }
        }
        Ok(())
    }

    pub(super) fn ping(&mut self, header: &Header, payload: &[u8]) -> Done {
        if header.stream != 0 {
            return Err(PROTOCOL);
        }
        if payload.len() != FAREWELL.len() {
            return Err(FRAME_SIZE);
        }
        if !header.has(flag::ACK) {
            frame::frame(&mut self.out, kind::PING, flag::ACK, 0, payload);
        } else if payload == FAREWELL {
            self.tell();
        }
        Ok(())
    }

    /// Priorities are not followed (RFC 9113 section 5.3.2), and neither are those of RFC 9218: answers take turns.
    pub(super) fn priority(&mut self, header: &Header, payload: &[u8]) -> Done {
        let id = header.stream;
        if id == 0 {
            return Err(PROTOCOL);
        }
        let wrong = match payload.try_into() {
            Err(_) => Reason::FRAME_SIZE_ERROR,
            Ok(priority) if frame::dependency(priority) == id => Reason::PROTOCOL_ERROR,
            Ok(_) => return Ok(()),
        };
        match self.streams.find(id) {
            Some(_) => Err(Fault::Stream(id, wrong)),
            None => Err(connection(wrong)), // an idle stream must not be reset (RFC 9113 section 6.4)
        }
    }

    /// Nothing is to be done: a client that leaves closes by itself, once it has its answers.
    pub(super) fn goaway(header: &Header, payload: &[u8]) -> Done {
        match (header.stream, payload.len()) {
            (0, 8..) => Ok(()),
            (0, _) => Err(FRAME_SIZE),
            _ => Err(PROTOCOL),
        }
    }

    /// A DATA frame was sent: the client may tell about its windows.
    pub(super) fn expect_updates(&mut self) {
        self.updates_due = (self.updates_due + UPDATES_PER_DATA).min(UPDATES_DUE_MAX);
    }
}
