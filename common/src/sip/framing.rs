//! Codec: cutting a stream into messages (RFC 3261 18.3, RFC 5626 3.5.1).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::error::FramingError;
use super::name::HeaderName;
use super::text;
use crate::limits::SipLimits;

/// Finds the messages in a stream. What has been looked at is not looked at again when more octets come.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    state: State,
    message_bytes_max: usize,
    lone_crlf: bool,
}

/// What a stream is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// One message, head and body, for [`super::Message::parse`].
    Message(Bytes),
    /// CRLF CRLF: to be answered with one CRLF (RFC 5626 4.4.1).
    KeepAlivePing,
    /// CRLF: the answer to a ping of ours.
    KeepAlivePong,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// At a message's start.
    Between,
    /// In a head; no end of it before `searched`.
    Head { searched: usize },
    /// The head is known; the message has `length` octets.
    Body { length: usize },
    /// Framing is lost.
    Failed(FramingError),
}

impl Framer {
    /// A framer at the start of a stream.
    #[must_use]
    pub fn new(limits: SipLimits) -> Self {
        Self {
            buffer: BytesMut::new(),
            state: State::Between,
            message_bytes_max: limits.message_bytes_max,
            lone_crlf: false,
        }
    }

    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many octets wait for the rest of their message.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame, or `None` until more comes. A message without Content-Length has no body.
    ///
    /// # Errors
    /// When the stream cannot be framed any more; then every further call says so too.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means not yet, which is not what an iterator means"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FramingError> {
        let result = self.step();
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.buffer.clear();
        }
        result
    }

    fn step(&mut self) -> Result<Option<Frame>, FramingError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        if self.state == State::Between {
            if let Some(keep_alive) = self.keep_alive() {
                return Ok(Some(keep_alive));
            }
            if matches!(self.buffer.as_ref(), [] | [b'\r'] | [b'\r', b'\n', b'\r']) {
                return Ok(None);
            }
            self.state = State::Head { searched: 0 };
        }
        if let State::Head { searched } = self.state {
            let Some(head_len) = self.head_end(searched)? else {
                return Ok(None);
            };
            let body_len = content_length(text::cut(&self.buffer, 0, head_len))?;
            let length = head_len.saturating_add(body_len);
            if length > self.message_bytes_max {
                return Err(FramingError::TooLarge);
            }
            self.state = State::Body { length };
        }
        let State::Body { length } = self.state else {
            return Ok(None);
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.state = State::Between;
        self.lone_crlf = false;
        Ok(Some(Frame::Message(self.buffer.split_to(length).freeze())))
    }

    /// Line ends between messages. A ping may come in halves: the first half then looks like a pong, which does no
    /// harm, and the second makes it a ping.
    fn keep_alive(&mut self) -> Option<Frame> {
        let stray = self.buffer.iter().take_while(|b| **b == b'\n').count();
        self.buffer.advance(stray);
        match self.buffer.as_ref() {
            [b'\r', b'\n', b'\r', b'\n', ..] => {
                self.buffer.advance(4);
                self.lone_crlf = false;
                Some(Frame::KeepAlivePing)
            }
            [b'\r', b'\n', b'\r'] => None,
            [b'\r', b'\n', ..] => {
                self.buffer.advance(2);
                self.lone_crlf = !self.lone_crlf;
                Some(if !self.lone_crlf {
                    Frame::KeepAlivePing
                } else {
                    Frame::KeepAlivePong
                })
            }
            _ => None,
        }
    }

    /// Where the body begins. Searches on from `searched`.
    fn head_end(&mut self, searched: usize) -> Result<Option<usize>, FramingError> {
        let mut at = searched;
        while let Some(found) = memchr(b'\n', text::after(&self.buffer, at)) {
            let line_end = at + found + 1;
            match text::after(&self.buffer, line_end) {
                [b'\n', ..] => return Ok(Some(line_end + 1)),
                [b'\r', b'\n', ..] => return Ok(Some(line_end + 2)),
                [] | [b'\r'] => {
                    // The line end is looked at again when more has come.
                    at = line_end - 1;
                    break;
                }
                _ => at = line_end,
            }
        }
        if memchr(b'\n', text::after(&self.buffer, at)).is_none() {
            at = self.buffer.len();
        }
        self.state = State::Head { searched: at };
        if self.buffer.len() > self.message_bytes_max {
            return Err(FramingError::TooLarge);
        }
        Ok(None)
    }
}

/// The Content-Length of a head, 0 when it has none. Several that agree are taken as one.
fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    let mut found = None;
    let mut lines = head.split(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        let Some(colon) = memchr(b':', line) else {
            continue;
        };
        let name = text::trim_end(text::cut(line, 0, colon));
        if HeaderName::from_bytes(name) != HeaderName::ContentLength {
            continue;
        }
        let mut value = text::trim(text::after(line, colon + 1));
        while let Some(fold) = lines.next_if(|next| matches!(next, [b' ' | b'\t', ..])) {
            let fold = text::trim(fold);
            match (value, fold) {
                (_, []) => {}
                ([], _) => value = fold,
                _ => return Err(FramingError::ContentLength),
            }
        }
        let length = text::number(value).ok_or(FramingError::ContentLength)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if found.is_some_and(|earlier| earlier != length) {
            return Err(FramingError::ContentLengthConflict);
        }
        found = Some(length);
    }
    Ok(found.unwrap_or(0))
}

#[cfg(test)]
mod tests;
