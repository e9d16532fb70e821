//! Which dialog a Replaces header names: RFC 3891.

use crate::base::text;
use crate::ctx::Refusal;
use crate::wire::{Header, Message, Status, Uri};

/// What Replaces says (RFC 3891 s6.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Replaces {
    pub(crate) call_id: Box<[u8]>,
    pub(crate) to_tag: Box<[u8]>,
    pub(crate) from_tag: Box<[u8]>,
    pub(crate) early_only: bool,
}

/// RFC 3891 s3: more than one, or one that cannot be read.
const BAD: Refusal = Refusal::because(Status::BAD_REQUEST, "Bad Replaces");

impl Replaces {
    /// That of an INVITE, if it has one.
    pub(crate) fn of(msg: Message<'_>) -> Result<Option<Replaces>, Refusal> {
        let mut values = msg.headers(Header::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        // RFC 3891 s3, RFC 3911 s4: Join contradicts it.
        if values.next().is_some() || msg.header(Header::Join).is_some() {
            return Err(BAD);
        }
        Replaces::read(value).map(Some).ok_or(BAD)
    }

    /// The one among the headers of a URI, with its escapes undone.
    pub(crate) fn of_uri(uri: &Uri<'_>) -> Result<Option<Replaces>, Refusal> {
        let headers = uri.headers().split(|b| *b == b'&');
        let mut values = headers.filter_map(|header| {
            let at = header.iter().position(|b| *b == b'=')?;
            let (name, value) = header.split_at_checked(at)?;
            name.eq_ignore_ascii_case(b"Replaces").then_some(value.get(1..)?)
        });
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(BAD);
        }
        let mut plain = Vec::new();
        let mut rest = value;
        while let Some((byte, _)) = text::unescape_next(&mut rest) {
            plain.push(byte);
        }
        Replaces::read(&plain).map(Some).ok_or(BAD)
    }

    /// A value; `None` if it does not name one dialog.
    pub(crate) fn read(value: &[u8]) -> Option<Replaces> {
        let mut early_only = false;
        let [call_id, to_tag, from_tag] = tags(value, [b"to-tag", b"from-tag"], |name| {
            early_only |= name.eq_ignore_ascii_case(b"early-only");
        })?;
        Some(Replaces { call_id, to_tag, from_tag, early_only })
    }

    /// As the header says it.
    pub(crate) fn value(&self) -> Box<str> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let early = if self.early_only { ";early-only" } else { "" };
        let (call_id, to, from) = (text(&self.call_id), text(&self.to_tag), text(&self.from_tag));
        format!("{call_id};to-tag={to};from-tag={from}{early}").into()
    }
}

/// A Call-ID with two tags of these names, each once; `None` if it is not that.
pub(crate) fn tags(value: &[u8], names: [&[u8]; 2], mut other: impl FnMut(&[u8])) -> Option<[Box<[u8]>; 3]> {
    let is_word = |word: &&[u8]| {
        !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';'))
    };
    let mut parts = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let call_id = parts.next().filter(is_word)?.into();
    let (mut first, mut second) = (None, None);
    for part in parts {
        let mut halves = part.splitn(2, |b| *b == b'=').map(<[u8]>::trim_ascii);
        let (name, value) = (halves.next()?, halves.next());
        let tag = match names.iter().position(|own| own.eq_ignore_ascii_case(name)) {
            Some(0) => &mut first,
            Some(_) => &mut second,
            None => {
                other(name);
                continue;
            }
        };
        if tag.replace(value.filter(is_word)?.into()).is_some() {
            return None;
        }
    }
    Some([call_id, first?, second?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_one_dialog_or_is_none() {
        let read = |text: &str| Replaces::read(text.as_bytes()).map(|replaces| replaces.value());
        for (text, value) in [
            ("98732@sip.example.com\r\n ;from-tag=r33th4x0r;to-tag=ff87ff", ""),
            ("98732@sip.example.com ;from-tag=r3;to-tag=ff", "98732@sip.example.com;to-tag=ff;from-tag=r3"),
            ("a;to-tag=1;from-tag=2;early-only", "a;to-tag=1;from-tag=2;early-only"),
            ("a;TO-TAG = 1;From-Tag=2;x=y;EARLY-ONLY", "a;to-tag=1;from-tag=2;early-only"),
            ("87134@171.161.34.23;to-tag=24796;from-tag=0", "87134@171.161.34.23;to-tag=24796;from-tag=0"),
        ] {
            let value = if value.is_empty() {
                "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r"
            } else {
                value
            };
            assert_eq!(read(text).as_deref(), Some(value));
        }
        for bad in [
            "",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;from-tag=1",
            "a;to-tag=;from-tag=2",
            "a;to-tag;from-tag=2",
            "a;to-tag=1;from-tag=2;to-tag=3",
            "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2",
            "a\r\nX: y;to-tag=1;from-tag=2",
            "a;to-tag=1\r\nX: y;from-tag=2",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
