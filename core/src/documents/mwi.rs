//! Messages waiting: `application/simple-message-summary` of the package `message-summary` (RFC 3842). Not XML: lines.

use core::fmt::Write as _;

use super::xml::{DocumentError, Fault};
use crate::base::text;

/// The media type (RFC 3842 s3.5).
pub const CONTENT_TYPE: &str = "application/simple-message-summary";

/// Most lines of a summary that are read.
const LINES: usize = 64;

/// What waits in a mailbox.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Whether anything does: the lamp of the phone.
    pub waiting: bool,
    /// Whose mailbox it is, a URI; mandatory for groups.
    pub account: Option<Box<str>>,
    /// Counts of some kinds of messages.
    pub classes: Vec<(Class, Counts)>,
}

/// A kind of messages (RFC 3458 s6.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Voice mail.
    Voice,
    /// Faxes.
    Fax,
    /// Pages.
    Pager,
    /// Several media.
    Multimedia,
    /// Texts.
    Text,
    /// No kind.
    None,
}

/// How many messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Not heard yet.
    pub new: u32,
    /// Heard and kept.
    pub old: u32,
    /// Of these the urgent ones, new and old, where that is told.
    pub urgent: Option<(u32, u32)>,
}

const CLASSES: [(Class, &str); 6] = [
    (Class::Voice, "Voice-Message"),
    (Class::Fax, "Fax-Message"),
    (Class::Pager, "Pager-Message"),
    (Class::Multimedia, "Multimedia-Message"),
    (Class::Text, "Text-Message"),
    (Class::None, "None"),
];

impl Summary {
    /// The summary of a voice mailbox.
    pub fn voice(account: &str, new: u32, old: u32) -> Summary {
        Summary {
            waiting: new > 0,
            account: Some(account.into()),
            classes: vec![(Class::Voice, Counts { new, old, urgent: None })],
        }
    }

    /// The body. An account that is no URI of visible characters is left out: it could end the line.
    pub fn print(&self) -> String {
        let mut out = format!("Messages-Waiting: {}\r\n", if self.waiting { "yes" } else { "no" });
        if let Some(account) = self.account.as_deref().filter(|account| is_uri(account)) {
            let _ = write!(out, "Message-Account: {account}\r\n");
        }
        for (class, counts) in &self.classes {
            let name = CLASSES.iter().find(|(known, _)| known == class).map_or("None", |(_, name)| name);
            let _ = write!(out, "{name}: {}/{}", counts.new, counts.old);
            if let Some((new, old)) = counts.urgent {
                let _ = write!(out, " ({new}/{old})");
            }
            out.push_str("\r\n");
        }
        out
    }

    /// Reads a body. Lines it does not know are left out, as is all behind an empty line: headers of new messages.
    ///
    /// # Errors
    ///
    /// A first line that does not say whether messages wait, a known line whose counts are none, more than 64 lines.
    pub fn parse(body: &[u8]) -> Result<Summary, DocumentError> {
        let mut at = 0;
        let mut lines = body.split(|b| *b == b'\n').map(|line| {
            let from = at;
            at += line.len() + 1;
            (from, text::trim(line))
        });
        let missing = DocumentError { what: "Messages-Waiting", fault: Fault::Missing, at: 0 };
        let (_, first) = lines.find(|(_, line)| !line.is_empty()).ok_or(missing)?;
        let (name, value) = field(first).ok_or(missing)?;
        if !text::eq_ignore_case(name, b"Messages-Waiting") {
            return Err(missing);
        }
        let waiting = match value.to_ascii_lowercase().as_slice() {
            b"yes" => true,
            b"no" => false,
            _ => return Err(DocumentError { fault: Fault::Malformed, ..missing }),
        };
        let mut summary = Summary { waiting, ..Summary::default() };
        for (count, (at, line)) in lines.enumerate() {
            if line.is_empty() {
                break;
            }
            if count >= LINES {
                return Err(DocumentError { what: "message-summary", fault: Fault::TooMany, at });
            }
            let Some((name, value)) = field(line) else { continue };
            if text::eq_ignore_case(name, b"Message-Account") {
                let account = core::str::from_utf8(value).ok().filter(|account| is_uri(account));
                summary.account = summary.account.or_else(|| account.map(Box::from));
                continue;
            }
            let class = CLASSES.iter().find(|(_, known)| text::eq_ignore_case(name, known.as_bytes()));
            if let Some((class, known)) = class {
                let malformed = DocumentError { what: known, fault: Fault::Malformed, at };
                summary.classes.push((*class, counts(value).ok_or(malformed)?));
            }
        }
        Ok(summary)
    }
}

fn is_uri(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) && text.contains(':')
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at(colon);
    Some((text::trim(name), text::trim(value.get(1..)?)))
}

/// `2/8` or `2/8 (0/2)`.
fn counts(value: &[u8]) -> Option<Counts> {
    let open = value.iter().position(|b| *b == b'(');
    let (all, urgent) = value.split_at(open.unwrap_or(value.len()));
    let (new, old) = pair(all)?;
    let urgent = match urgent {
        [] => None,
        [b'(', inner @ .., b')'] => Some(pair(inner)?),
        _ => return None,
    };
    Some(Counts { new, old, urgent })
}

/// RFC 3842 s3.5: a larger count is the largest.
fn pair(text: &[u8]) -> Option<(u32, u32)> {
    let slash = text.iter().position(|b| *b == b'/')?;
    let (new, old) = text.split_at(slash);
    Some((text::clamp_u32(text::trim(new))?, text::clamp_u32(text::trim(old.get(1..)?))?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read_and_printed() {
        let body = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vmail.example.com\r\nVoice-Message: 2/8 (0/2)\r\n";
        let summary = Summary::parse(body.as_bytes()).expect("RFC 3842 s4.1");
        assert_eq!(summary.print(), body);
        assert_eq!(summary.classes, [(Class::Voice, Counts { new: 2, old: 8, urgent: Some((0, 2)) })]);

        let longer = "Messages-Waiting: yes\r\nVoice-Message: 4/8 (1/2)\r\n\r\nTo: <alice@atlanta.example.com>\r\nSubject: carpool\r\n";
        let summary = Summary::parse(longer.as_bytes()).expect("RFC 3842 s4.1");
        assert_eq!(summary.print(), "Messages-Waiting: yes\r\nVoice-Message: 4/8 (1/2)\r\n");

        let empty = Summary::voice("sip:bob@example.com", 0, 0).print();
        assert_eq!(
            empty,
            "Messages-Waiting: no\r\nMessage-Account: sip:bob@example.com\r\nVoice-Message: 0/0\r\n"
        );
    }

    #[test]
    fn every_class_is_printed() {
        let counts = Counts { new: 1, old: u32::MAX, urgent: Some((0, 1)) };
        let classes = CLASSES.iter().map(|(class, _)| (*class, counts)).collect();
        insta::assert_snapshot!(Summary { waiting: true, account: None, classes }.print());
    }

    #[test]
    fn loose_forms_are_read_and_broken_ones_refused() {
        let loose =
            b"\nMESSAGES-WAITING :NO\nvoice-message:  99999999999 / 0( 1 / 2 )\nX-Other: 1\nno colon\n";
        let summary = Summary::parse(loose).expect("loose");
        let counts = Counts { new: u32::MAX, old: 0, urgent: Some((1, 2)) };
        assert_eq!(summary, Summary { waiting: false, account: None, classes: vec![(Class::Voice, counts)] });
        for (body, what, fault) in [
            (&b""[..], "Messages-Waiting", Fault::Missing),
            (b"Voice-Message: 1/2\r\n", "Messages-Waiting", Fault::Missing),
            (b"Messages-Waiting: maybe\r\n", "Messages-Waiting", Fault::Malformed),
            (b"Messages-Waiting: yes\r\nVoice-Message: 1\r\n", "Voice-Message", Fault::Malformed),
            (b"Messages-Waiting: yes\r\nVoice-Message: 1/-2\r\n", "Voice-Message", Fault::Malformed),
            (b"Messages-Waiting: yes\r\nFax-Message: 1/2 (3/4\r\n", "Fax-Message", Fault::Malformed),
            (b"\xFF\xFE\0", "Messages-Waiting", Fault::Missing),
        ] {
            let error = Summary::parse(body).expect_err("refused");
            assert_eq!((error.what, error.fault), (what, fault), "{}", body.escape_ascii());
        }
        let many = ["Messages-Waiting: yes\r\n", &"Fax-Message: 0/0\r\n".repeat(65)].concat();
        assert_eq!(Summary::parse(many.as_bytes()).map_err(|e| e.fault), Err(Fault::TooMany));
    }

    #[test]
    fn an_account_cannot_end_its_line() {
        let mut summary = Summary::voice("sip:a@b\r\nFax-Message: 1/1", 1, 0);
        assert_eq!(summary.print(), "Messages-Waiting: yes\r\nVoice-Message: 1/0\r\n");
        summary.account = Some("sip:a@b".into());
        assert_eq!(Summary::parse(summary.print().as_bytes()), Ok(summary));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(waiting: bool, classes in proptest::collection::vec((0..6_usize, any::<(u32, u32)>(), any::<Option<(u32, u32)>>()), 0..4)) {
            let classes = classes.into_iter().map(|(class, (new, old), urgent)| (CLASSES[class].0, Counts { new, old, urgent }));
            let summary = Summary { waiting, account: Some("sip:a@b".into()), classes: classes.collect() };
            prop_assert_eq!(Summary::parse(summary.print().as_bytes()), Ok(summary));
        }

        #[test]
        fn no_bytes_are_a_panic(body: Vec<u8>, text in "[MmVF]essages?-Waiting: (yes|no)[ \r\n:/()0-9A-Za-z-]{0,60}") {
            let _ = (Summary::parse(&body), Summary::parse(text.as_bytes()));
        }
    }
}
