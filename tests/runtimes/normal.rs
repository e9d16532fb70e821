//! What differs from run to run, and means nothing: names that are minted, ports, the time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Values by the order in which they appear.
#[derive(Default)]
pub(crate) struct Normal {
    seen: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
    ports: BTreeMap<String, String>,
}

/// Where a minted value begins and which byte ends it, and what it is called.
const MINTED: [(&str, &str, &str); 16] = [
    (";tag=", ";> \r\n", "tag"),
    ("to-tag=", ";> \r\n%", "tag"),
    ("from-tag=", ";> \r\n%", "tag"),
    ("branch=", ";> \r\n,", "branch"),
    ("nonce=\"", "\"", "nonce"),
    ("opaque=\"", "\"", "opaque"),
    ("rspauth=\"", "\"", "rspauth"),
    ("SIP-ETag: ", "\r\n", "etag"),
    ("Call-ID: ", "\r\n", "call-id"),
    ("CSeq: ", " ", "cseq"),
    ("Replaces: ", ";\r\n", "call-id"),
    ("Contact: <sip:", "@>", "contact"),
    ("temp-gruu=\"", "\"", "gruu"),
    ("pub-gruu=\"", "\"", "gruu"),
    (" id=\"", "\"", "id"),
    ("boundary=\"", "\"", "boundary"),
];

/// What only tells the time.
const TIMED: [(&str, &str); 4] =
    [("Date: ", "\r\n"), ("expires=", ";> ,\r\n"), ("<timestamp>", "<"), ("duration=", ";\r\n")];

impl Normal {
    /// This port belongs to somebody.
    pub(crate) fn port(&mut self, port: u16, name: &str) {
        self.ports.insert(port.to_string(), format!("[{name}]"));
    }

    /// The message as a transcript shows it.
    pub(crate) fn message(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (begin, end, kind) in MINTED {
            text = replace(&text, begin, end, |value| self.name(value, kind));
        }
        if text.contains("<timestamp>") {
            // Its fraction has as many digits as it needs.
            text = replace(&text, "Content-Length: ", "\r\n", |_| "*".into());
        }
        for (begin, end) in TIMED {
            text = replace(&text, begin, end, |_| "*".into());
        }
        self.numbers(&text).replace("\r\n", "\n")
    }

    fn name(&mut self, value: &str, kind: &'static str) -> String {
        // What phones mint is the same each time, and so is what is nobody's. An address of IPv6 is somebody's.
        if value.is_empty() || value.starts_with('[') && !value.starts_with("[::1]") {
            return value.into();
        }
        let is_phones = ["alice", "bob", "carol", "z9hG4bK-"].iter().any(|own| value.starts_with(own))
            || kind == "cseq" && value.len() < 4;
        if is_phones {
            return value.into();
        }
        if let Some(known) = self.seen.get(value) {
            return known.clone();
        }
        let count = self.counts.entry(kind).or_insert(0);
        *count += 1;
        let name = format!("[{kind} {count}]");
        self.seen.insert(value.into(), name.clone());
        name
    }

    /// Numbers that are ports of somebody.
    fn numbers(&self, text: &str) -> String {
        let mut out = String::new();
        let mut number = String::new();
        for c in text.chars().chain([' ']) {
            if c.is_ascii_digit() {
                number.push(c);
                continue;
            }
            let known = self.ports.get(&number).filter(|_| out.ends_with([':', '=']));
            out += known.unwrap_or(&number);
            number.clear();
            out.push(c);
        }
        out.pop();
        out
    }
}

/// Replaces each value between `begin` and one of `end`.
fn replace(text: &str, begin: &str, end: &str, mut by: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(begin) {
        let (head, tail) = rest.split_at(at + begin.len());
        let length = tail.find(|c| end.contains(c)).unwrap_or(tail.len());
        let _ = write!(out, "{head}{}", by(&tail[..length]));
        rest = &tail[length..];
    }
    out + rest
}
