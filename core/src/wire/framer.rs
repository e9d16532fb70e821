//! Framing of messages and keep-alives on a stream. RFC 3261 s7.5, s18.3, RFC 5626 s4.4.1.
//!
//! | state   | sees                                | becomes | gives                          |
//! |---------|-------------------------------------|---------|--------------------------------|
//! | between | CRLF                                | between | `Pong`, `Ping`, nothing        |
//! | between | a byte no start line begins with    | bad     | `Bad(NotSip)`                  |
//! | between | another byte                        | head    |                                |
//! | head    | a first line that is no start line  | bad     | `Bad(NotSip)`                  |
//! | head    | no empty line within the limit      | bad     | `Bad(HeadTooLong)`             |
//! | head    | an empty line, and a faulty length  | bad     | `Bad(NoLength, BadLength, TooLong)` |
//! | head    | an empty line                       | body    |                                |
//! | body    | all of it                           | between | `Message`                      |
//!
//! What comes out depends on the bytes alone, not on how they were cut into pieces. No byte of a head is looked at again
//! when the next piece comes. The buffer holds what was pushed and not yet taken, and nothing between messages.

use memchr::{memchr, memchr_iter};

use super::Header;
use super::parse::declared_length;
use super::scan::{self, Folding};
use crate::base::text;

/// Why a stream could not be framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFrame {
    /// The head has no end within the limit.
    HeadTooLong,
    /// No Content-Length on a stream (RFC 3261 s18.3).
    NoLength,
    /// Content-Length is not a number, negative, or given twice with different values.
    BadLength,
    /// Head and body together exceed the limit.
    TooLong,
    /// What came is not SIP at all.
    NotSip,
}

/// What comes out of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'f> {
    /// One complete message, without line ends before it.
    Message(&'f [u8]),
    /// Double CRLF between messages: a keep-alive to be answered with [`Framer::PONG`].
    Ping,
    /// CRLF between messages: the answer to a ping.
    Pong,
    /// The stream cannot be framed any further, and nothing more comes out.
    Bad {
        /// The message head as far as it was read and is useful, for an answer; may be empty.
        head: &'f [u8],
        /// What was wrong.
        reason: BadFrame,
    },
}

/// Cuts the bytes of one stream into frames: [`push`](Framer::push) what was read, then call [`next`](Framer::next)
/// until it gives `None`.
///
/// ```
/// use strowger_core::wire::framer::{Frame, Framer};
///
/// let mut framer = Framer::new(65_535);
/// framer.push(b"\r\n\r\nOPTIONS sip:a@b SIP/2.0\r\nl: 2\r\n");
/// assert_eq!(framer.next(), Some(Frame::Ping));
/// assert_eq!(framer.next(), None);
/// framer.push(b"\r\nhi\r\n");
/// assert_eq!(framer.next(), Some(Frame::Message(b"OPTIONS sip:a@b SIP/2.0\r\nl: 2\r\n\r\nhi")));
/// assert_eq!(framer.next(), None);
/// ```
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    // Where the next frame begins.
    at: usize,
    state: State,
    limit: usize,
    opened: bool,
    half_ping: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Between,
    Head {
        // Where the line begins that has no end yet, and up to where it was looked at, both from `at`.
        line: usize,
        seen: usize,
    },
    Body {
        len: usize,
    },
    Bad,
}

/// A frame as lengths of bytes at `at`.
enum Step {
    Message(usize),
    Ping,
    Pong,
    Bad(usize, BadFrame),
}

impl Framer {
    /// What a keep-alive is, as the side that opened the connection sends it (RFC 5626 s4.4.1).
    pub const PING: &'static [u8] = b"\r\n\r\n";
    /// The answer to it.
    pub const PONG: &'static [u8] = b"\r\n";

    /// For a connection the peer opened, whose peer sends pings: every second CRLF in a row is one. Messages longer than
    /// `message_bytes` are not framed.
    pub fn new(message_bytes: usize) -> Framer {
        Framer {
            buffer: Vec::new(),
            at: 0,
            state: State::Between,
            limit: message_bytes,
            opened: false,
            half_ping: false,
        }
    }

    /// For a connection we opened, whose peer answers pings: every CRLF is a pong.
    pub fn opened(message_bytes: usize) -> Framer {
        Framer { opened: true, ..Framer::new(message_bytes) }
    }

    /// Adds what was read. Dropped once the stream is bad.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Bad) {
            return;
        }
        // Moving the rest pays off when it is no longer than what was taken.
        if self.at > 0 && self.buffer.len() - self.at <= self.at {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more is pushed.
    #[expect(clippy::should_implement_trait, reason = "a frame borrows from the framer")]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        let step = self.step();
        if step.is_none() && self.at == self.buffer.len() {
            // A connection with nothing on it holds no memory.
            self.buffer = Vec::new();
            self.at = 0;
        }
        match step? {
            Step::Message(len) => {
                self.at += len;
                Some(Frame::Message(self.buffer.get(self.at - len..self.at)?))
            }
            Step::Ping => Some(Frame::Ping),
            Step::Pong => Some(Frame::Pong),
            Step::Bad(len, reason) => {
                let from = self.at;
                self.state = State::Bad;
                self.buffer.truncate(from + len);
                self.at = self.buffer.len();
                Some(Frame::Bad { head: self.buffer.get(from..)?, reason })
            }
        }
    }

    /// How many bytes there are of a message that is not complete.
    pub fn buffered(&self) -> usize {
        match self.state {
            State::Between | State::Bad => 0,
            State::Head { .. } | State::Body { .. } => self.buffer.len() - self.at,
        }
    }

    fn step(&mut self) -> Option<Step> {
        loop {
            let rest = self.buffer.get(self.at..)?;
            match self.state {
                State::Between => match rest {
                    [b'\r', b'\n', ..] => {
                        self.at += 2;
                        if self.opened {
                            return Some(Step::Pong);
                        }
                        self.half_ping = !self.half_ping;
                        if !self.half_ping {
                            return Some(Step::Ping);
                        }
                    }
                    [] | [b'\r'] => return None,
                    [b'\n', ..] => self.at += 1,
                    [first, ..] => {
                        self.half_ping = false;
                        if !text::is(*first, text::TOKEN) {
                            return Some(Step::Bad(0, BadFrame::NotSip));
                        }
                        self.state = State::Head { line: 0, seen: 0 };
                    }
                },
                State::Head { line, seen } => {
                    let Some(n) = memchr(b'\n', rest.get(seen..)?) else {
                        self.state = State::Head { line, seen: rest.len() };
                        return (rest.len() > self.limit)
                            .then_some(Step::Bad(self.limit, BadFrame::HeadTooLong));
                    };
                    let end = seen + n + 1;
                    if end > self.limit {
                        return Some(Step::Bad(self.limit, BadFrame::HeadTooLong));
                    }
                    match rest.get(line..end)? {
                        b"\r\n" | b"\n" => match body_length(rest.get(..end)?) {
                            Ok(len) if len <= self.limit - end => self.state = State::Body { len: end + len },
                            Ok(_) => return Some(Step::Bad(end, BadFrame::TooLong)),
                            Err(reason) => return Some(Step::Bad(end, reason)),
                        },
                        first if line == 0 && !scan::may_be_start(without_line_end(first)) => {
                            return Some(Step::Bad(end, BadFrame::NotSip));
                        }
                        _ => self.state = State::Head { line: end, seen: end },
                    }
                }
                State::Body { len } if rest.len() >= len => {
                    self.state = State::Between;
                    return Some(Step::Message(len));
                }
                State::Body { .. } | State::Bad => return None,
            }
        }
    }
}

/// The Content-Length of a complete head.
fn body_length(head: &[u8]) -> Result<usize, BadFrame> {
    let mut next = 0;
    let values = memchr_iter(b'\n', head).filter_map(|end| {
        let at = core::mem::replace(&mut next, end + 1);
        // Most lines need not be read: each is when it is parsed.
        if !may_be_length(head.get(at..)?) {
            return None;
        }
        let folding = if at == 0 { Folding::Refused } else { Folding::Allowed };
        let line = scan::line(head, at, folding)?;
        let field = scan::field(head, at, line.content_end).ok()?;
        head.get(field.value_start..field.value_end).filter(|_| field.header == Header::ContentLength)
    });
    match declared_length(values) {
        Ok(Some(len)) => Ok(len),
        // RFC 3261 s18.3: on a stream there is no other way to know where the body ends.
        Ok(None) => Err(BadFrame::NoLength),
        Err(_) => Err(BadFrame::BadLength),
    }
}

/// False if a line that begins so has another header.
fn may_be_length(line: &[u8]) -> bool {
    match line {
        [b'l' | b'L', b':' | b' ' | b'\t', ..] => true,
        [b'c' | b'C', ..] => line.get(..14).is_some_and(|name| name.eq_ignore_ascii_case(b"Content-Length")),
        _ => false,
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Bounds, Layout, parse};

    const INVITE: &str =
        "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length :\r\n\t5\r\n\r\na\r\n\r\n";
    const OK: &str = "SIP/2.0 200 OK\nl: 0\n\n";

    #[derive(Clone, PartialEq, Eq, Debug)]
    enum Seen {
        Message(String),
        Ping,
        Pong,
        Bad(String, BadFrame),
    }

    fn drain(framer: &mut Framer, seen: &mut Vec<Seen>) {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        while let Some(frame) = framer.next() {
            seen.push(match frame {
                Frame::Message(m) => Seen::Message(text(m)),
                Frame::Ping => Seen::Ping,
                Frame::Pong => Seen::Pong,
                Frame::Bad { head, reason } => Seen::Bad(text(head), reason),
            });
        }
    }

    fn all(mut framer: Framer, pieces: &[&[u8]]) -> Vec<Seen> {
        let mut seen = Vec::new();
        for piece in pieces {
            framer.push(piece);
            drain(&mut framer, &mut seen);
        }
        seen
    }

    fn frames(text: &str) -> Vec<Seen> {
        all(Framer::new(200), &[text.as_bytes()])
    }

    fn bad(text: &str) -> (String, BadFrame) {
        match &frames(text)[..] {
            [Seen::Bad(head, reason)] => (head.clone(), *reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_cut_where_their_length_says() {
        assert_eq!(
            frames(&format!("{INVITE}{OK}\r\n{INVITE}")),
            [Seen::Message(INVITE.into()), Seen::Message(OK.into()), Seen::Message(INVITE.into())]
        );
    }

    #[test]
    fn an_accepted_stream_is_pinged_by_each_pair_of_line_ends() {
        assert_eq!(frames("\r\n\r\n"), [Seen::Ping]);
        assert_eq!(frames("\r\n\r\n\r\n\r\n"), [Seen::Ping, Seen::Ping]);
        assert_eq!(frames("\r\n"), []);
        assert_eq!(
            frames(&format!("\r\n\r\n{OK}\r\n\r\n")),
            [Seen::Ping, Seen::Message(OK.into()), Seen::Ping]
        );
        // RFC 3261 s7.5: a line end before a message means nothing, and is no half of a later ping.
        assert_eq!(frames(&format!("\r\n{OK}\r\n")), [Seen::Message(OK.into())]);
        assert_eq!(frames(&format!("\n\n{OK}")), [Seen::Message(OK.into())]);
    }

    #[test]
    fn an_opened_stream_is_answered_by_each_line_end() {
        let text = format!("\r\n{OK}\r\n");
        let seen = all(Framer::opened(200), &[text.as_bytes()]);
        assert_eq!(seen, [Seen::Pong, Seen::Message(OK.into()), Seen::Pong]);
    }

    #[test]
    fn a_stream_that_cannot_be_framed_says_why_and_ends() {
        let head = "OPTIONS sip:a@b SIP/2.0\r\n";
        assert_eq!(bad(&format!("{head}\r\nrest")), (format!("{head}\r\n"), BadFrame::NoLength));
        for length in ["five", "-1", "", "1, 1", "1\r\nContent-Length: 2"] {
            let head = format!("{head}l: {length}\r\n\r\n");
            assert_eq!(bad(&format!("{head}rest")), (head, BadFrame::BadLength), "{length}");
        }
        for length in ["200", "99999999999999999999"] {
            let head = format!("{head}l: {length}\r\n\r\n");
            assert_eq!(bad(&format!("{head}rest")), (head, BadFrame::TooLong), "{length}");
        }
        assert_eq!(bad("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ("GET / HTTP/1.1\r\n".into(), BadFrame::NotSip));
        assert_eq!(bad("\x16\x03\x01"), (String::new(), BadFrame::NotSip));
        assert_eq!(bad(" OPTIONS"), (String::new(), BadFrame::NotSip));
        let endless = format!("{head}Subject: {}", "x".repeat(300));
        assert_eq!(bad(&endless), (endless[..200].into(), BadFrame::HeadTooLong));
        assert_eq!(bad(&"x".repeat(300)), ("x".repeat(200), BadFrame::HeadTooLong));

        let mut framer = Framer::new(200);
        framer.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(framer.next(), Some(Frame::Bad { .. })));
        framer.push(OK.as_bytes());
        assert_eq!(framer.next(), None);
        assert_eq!(framer.buffered(), 0);
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit() {
        let message = format!("SIP/2.0 200 OK\r\nl: 166\r\n\r\n{}", "x".repeat(166));
        assert_eq!(all(Framer::new(message.len()), &[message.as_bytes()]), [Seen::Message(message.clone())]);
        let seen = all(Framer::new(message.len() - 1), &[message.as_bytes()]);
        assert!(matches!(seen[..], [Seen::Bad(_, BadFrame::TooLong)]));
    }

    #[test]
    fn other_versions_and_odd_start_lines_are_framed() {
        for line in ["OPTIONS sip:a@b SIP/7.0", "OPTIONS  sip:a@b SIP/2.0 ", "SIP/2.0 99999 x"] {
            let message = format!("{line}\r\nl: 0\r\n\r\n");
            assert_eq!(frames(&message), [Seen::Message(message)]);
        }
    }

    #[test]
    fn a_silent_stream_holds_no_memory() {
        let mut framer = Framer::new(65_535);
        framer.push(INVITE.as_bytes());
        framer.push(b"\r\n");
        drain(&mut framer, &mut Vec::new());
        assert_eq!((framer.buffer.capacity(), framer.buffered()), (0, 0));
        framer.push(b"INVITE");
        drain(&mut framer, &mut Vec::new());
        assert_eq!(framer.buffered(), 6);
    }

    #[test]
    fn a_dribbled_message_of_the_largest_size_is_taken_byte_by_byte() {
        let head = format!("OPTIONS sip:a@b SIP/2.0\r\nl: 30000\r\n{}\r\n", "Subject: x\r\n".repeat(2_900));
        let message = format!("{head}{}", "y".repeat(30_000));
        let mut framer = Framer::new(65_535);
        let mut seen = Vec::new();
        for byte in message.as_bytes() {
            framer.push(&[*byte]);
            drain(&mut framer, &mut seen);
        }
        assert_eq!(seen, [Seen::Message(message)]);
    }

    #[test]
    fn pipelined_messages_do_not_pile_up() {
        let mut framer = Framer::new(65_535);
        let stream = INVITE.repeat(1_000);
        let mut messages = 0;
        for piece in stream.as_bytes().chunks(100) {
            framer.push(piece);
            while framer.next().is_some() {
                messages += 1;
            }
        }
        assert_eq!(messages, 1_000);
        let mut framer = Framer::new(65_535);
        for piece in stream.as_bytes().chunks(70) {
            framer.push(piece);
            framer.next();
            assert!(framer.buffer.capacity() <= 1_024, "{}", framer.buffer.capacity());
        }
    }

    fn length_line() -> impl Strategy<Value = String> {
        let names = prop::sample::select(vec![
            "Content-Length",
            "content-length",
            "CONTENT-LENGTH",
            "l",
            "L",
            "ll",
            "Content-Lengths",
            "Contact",
            " l",
            "Content-Type",
        ]);
        let gaps = prop::sample::select(vec![":", " :", "\t: ", ":\r\n ", ": \n\t", ""]);
        let values = prop::sample::select(vec!["5", "6", "", "x", "5\r\n 6", "l: 7", "\r5"]);
        let ends = prop::sample::select(vec!["\r\n", "\n"]);
        (names, gaps, values, ends).prop_map(|(name, gap, value, end)| format!("{name}{gap}{value}{end}"))
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(INVITE.to_owned()),
            Just(OK.to_owned()),
            Just("\r\n".to_owned()),
            Just("\r\n\r\n".to_owned()),
            Just("\n".to_owned()),
            Just("OPTIONS sip:a@b SIP/2.0\r\n".to_owned()),
            Just("l: 3\r\n\r\n".to_owned()),
            "[a-zA-Z0-9 :/\r\n.]{0,20}",
        ]
    }

    proptest! {
        #[test]
        fn the_same_comes_out_for_any_split(
            pieces in proptest::collection::vec(piece(), 0..8),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
            opened in any::<bool>(),
        ) {
            let text = pieces.concat();
            let bytes = text.as_bytes();
            let framer = || if opened { Framer::opened(150) } else { Framer::new(150) };
            let whole = all(framer(), &[bytes]);
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(&all(framer(), &parts), &whole);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&all(framer(), &single), &whole);
        }

        /// The length is that of the lines as they are parsed, however they are written.
        #[test]
        fn no_line_that_has_a_length_is_passed_over(lines in proptest::collection::vec(length_line(), 0..4)) {
            let head = format!("INVITE sip:a@b SIP/2.0\r\n{}\r\n", lines.concat());
            let mut at = 0;
            let mut folding = Folding::Refused;
            let fields = core::iter::from_fn(|| {
                let line = scan::line(head.as_bytes(), at, folding)?;
                let field = scan::field(head.as_bytes(), at, line.content_end);
                (at, folding) = (line.end, Folding::Allowed);
                Some(field)
            });
            let lengths = fields.filter_map(|field| field.ok().filter(|f| f.header == Header::ContentLength));
            let values = lengths.filter_map(|f| head.as_bytes().get(f.value_start..f.value_end));
            let expected = match declared_length(values) {
                Ok(Some(length)) => Ok(length),
                Ok(None) => Err(BadFrame::NoLength),
                Err(_) => Err(BadFrame::BadLength),
            };
            prop_assert_eq!(body_length(head.as_bytes()), expected);
        }

        #[test]
        fn a_framed_message_parses_to_exactly_itself(mut raw in Just(INVITE.as_bytes().to_vec()), edits in
            proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
            for (at, byte) in edits {
                let at = at.index(raw.len());
                raw[at] = byte;
            }
            let mut framer = Framer::new(65_535);
            framer.push(&raw);
            while let Some(frame) = framer.next() {
                let Frame::Message(bytes) = frame else { continue };
                let mut layout = Layout::new();
                if let Ok(message) = parse(bytes, &mut layout, &Bounds::default()) {
                    prop_assert_eq!(message.raw(), bytes);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            all(Framer::new(100), &[&raw]);
        }
    }
}
