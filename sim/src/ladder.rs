//! A tape as text that people read: one line per message, chosen header fields below it.
//!
//! ```text
//!   0.000  bob --> server  REGISTER sip:example.com SIP/2.0
//!                            CSeq: 2 REGISTER
//!   0.010  server -x  bob  SIP/2.0 401 Unauthorized       (x: lost on the way)
//! ```

use std::fmt::{self, Write as _};

use crate::Time;
use crate::message::Sip;
use crate::tape::{Fate, Line, Tape};

/// Header fields shown unless others are chosen.
pub const USUAL: &[&str] = &[
    "CSeq",
    "Contact",
    "Expires",
    "Min-Expires",
    "Retry-After",
    "Require",
    "Unsupported",
    "Flow-Timer",
    "Allow",
];

/// Draws tapes.
#[derive(Clone, Debug)]
pub struct Ladder<'t> {
    tape: &'t Tape,
    start: Time,
    headers: Vec<&'t str>,
    whole: bool,
    bodies: bool,
}

impl<'t> Ladder<'t> {
    /// Draws this tape, with times counted from `start`.
    pub fn new(tape: &'t Tape, start: Time) -> Ladder<'t> {
        Ladder { tape, start, headers: USUAL.to_vec(), whole: false, bodies: false }
    }

    /// Shows these header fields beside the usual ones.
    pub fn and(mut self, headers: &[&'t str]) -> Ladder<'t> {
        self.headers.extend(headers);
        self
    }

    /// Shows these header fields and no others.
    pub fn only(mut self, headers: &[&'t str]) -> Ladder<'t> {
        self.headers = headers.to_vec();
        self
    }

    /// Shows messages from the server whole.
    pub fn whole(mut self) -> Ladder<'t> {
        self.whole = true;
        self
    }

    /// Shows bodies too.
    pub fn bodies(mut self) -> Ladder<'t> {
        self.bodies = true;
        self
    }

    fn seconds(&self, at: Time) -> String {
        let ms = at.since(self.start).as_millis();
        format!("{:>4}.{:03}", ms / 1000, ms % 1000)
    }

    fn draw(
        &self,
        f: &mut fmt::Formatter<'_>,
        at: Time,
        names: (&str, &str),
        bytes: &[u8],
        fate: Fate,
    ) -> fmt::Result {
        let arrow = match fate {
            Fate::Arrives => "-->",
            Fate::Doubled => "=2>",
            Fate::Lost => "-x ",
            Fate::Nowhere => "-? ",
        };
        let lead = format!("{}  {} {arrow} {}  ", self.seconds(at), names.0, names.1);
        let first = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
        let first = match bytes {
            b"\r\n\r\n" => "(CRLF CRLF)".to_owned(),
            b"\r\n" => "(CRLF)".to_owned(),
            [0, 0, 0, 0] => "(four zero bytes)".to_owned(),
            [0 | 1, 1, ..] => "(STUN)".to_owned(),
            _ => printable(&String::from_utf8_lossy(first)),
        };
        writeln!(f, "{lead}{first}")?;
        let indent = " ".repeat(12);
        if self.whole && names.0 == "server" {
            let text = String::from_utf8_lossy(bytes);
            for line in text.split("\r\n").skip(1).filter(|l| !l.is_empty()) {
                writeln!(f, "{indent}{}", printable(line))?;
            }
            return Ok(());
        }
        let Ok(m) = Sip::read(bytes) else { return Ok(()) };
        for (name, value) in &m.headers {
            if self.headers.iter().any(|h| h.eq_ignore_ascii_case(name)) {
                writeln!(f, "{indent}{name}: {}", printable(value))?;
            }
        }
        if self.bodies {
            for line in String::from_utf8_lossy(&m.body).lines() {
                writeln!(f, "{indent}| {}", printable(line))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.tape.lines {
            match line {
                Line::Sent { at, from, to, bytes, fate } => self.draw(f, *at, (from, to), bytes, *fate)?,
                Line::Note { at, text } => writeln!(f, "{}  * {text}", self.seconds(*at))?,
            }
        }
        Ok(())
    }
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(out, "\\x{:02x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}
