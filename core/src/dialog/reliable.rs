//! Provisional responses that are acknowledged, as messages say them: RFC 3262.

use core::time::Duration;

use crate::base::ids::IdKind;
use crate::base::text::clamp_u32;
use crate::ctx::Ctx;
use crate::wire::{Header, Message, Method, Writer};

/// The option tag.
pub(crate) const TAG: &[u8] = b"100rel";

/// What the caller says of reliable provisional responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wants {
    Nothing,
    /// They may be sent.
    Supports,
    /// All have to be.
    Requires,
}

impl Wants {
    pub(crate) fn of(invite: Message<'_>) -> Wants {
        match () {
            _ if invite.has_token(Header::Require, TAG) => Wants::Requires,
            _ if invite.has_token(Header::Supported, TAG) => Wants::Supports,
            _ => Wants::Nothing,
        }
    }
}

/// RFC 3262 s7.1: the number of a reliable provisional response.
pub(crate) fn number_of(msg: Message<'_>) -> Option<u32> {
    let rseq = msg.header(Header::Rseq).filter(|_| msg.has_token(Header::Require, TAG))?;
    clamp_u32(rseq).filter(|number| *number > 0)
}

/// RFC 3262 s7.2: the numbers of the response, and of the INVITE it was to.
pub(crate) fn acknowledged(prack: Message<'_>) -> Option<(u32, u32)> {
    let mut words =
        prack.header(Header::Rack)?.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let numbers = (clamp_u32(words.next()?)?, clamp_u32(words.next()?)?);
    let invite = words.next()? == Method::Invite.as_str().as_bytes();
    (invite && words.next().is_none()).then_some(numbers)
}

/// The number of our next one, behind this one; 0 before the first. RFC 3262 s3: that is any below 2^31.
pub(crate) fn next_number(ctx: &mut Ctx<'_>, last: u32) -> u32 {
    match last {
        0 => 1 + ctx.ids.below(IdKind::Cseq, (1 << 31) - 2) as u32,
        last => last.saturating_add(1),
    }
}

/// So long after it was sent, one is repeated for this time. RFC 3262 s3: at T1, then twice as long each time, without end
/// at T2.
pub(crate) fn waited(t1: Duration, sent: u8) -> Duration {
    t1 * ((2_u32 << sent.min(8)) - 1)
}

/// RAck of this response to this INVITE.
pub(crate) fn write_rack(writer: &mut Writer<'_>, number: u32, invite: u32) {
    writer.value(Header::Rack, |value| {
        value.number(u64::from(number));
        value.literal(" ");
        value.number(u64::from(invite));
        value.literal(" INVITE");
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Bounds, Layout, parse};

    fn read<T>(lines: &str, act: impl FnOnce(Message<'_>) -> T) -> T {
        let text = format!(
            "PRACK sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 PRACK\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        let mut layout = Layout::new();
        act(parse(text.as_bytes(), &mut layout, &Bounds::default()).expect("a request"))
    }

    #[test]
    fn what_a_prack_acknowledges_is_two_numbers_and_the_method() {
        assert_eq!(read("RAck: 776656 1 INVITE\r\n", acknowledged), Some((776_656, 1)));
        assert_eq!(read("RAck: 776656\t 1  INVITE \r\n", acknowledged), Some((776_656, 1)));
        for line in [
            "",
            "RAck: 1 INVITE\r\n",
            "RAck: 1 2 UPDATE\r\n",
            "RAck: 1 2 INVITE x\r\n",
            "RAck: x 2 INVITE\r\n",
        ] {
            assert_eq!(read(line, acknowledged), None, "{line}");
        }
    }

    #[test]
    fn a_number_counts_only_where_it_is_required() {
        assert_eq!(read("RSeq: 7\r\nRequire: 100rel\r\n", number_of), Some(7));
        assert_eq!(read("RSeq: 7\r\n", number_of), None);
        assert_eq!(read("Require: 100rel\r\n", number_of), None);
    }
}
