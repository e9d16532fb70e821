//! Who sent a call on, and why: Diversion (RFC 5806), History-Info (RFC 7044), causes of RFC 4458.

use core::fmt::Write;

use crate::wire::Header;

/// Why a call was sent on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Cause {
    /// Each call is.
    Unconditional,
    /// All phones were busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// There was no phone.
    Unavailable,
    /// The user did not want to be disturbed.
    DoNotDisturb,
    /// A phone redirected it (3xx).
    Deflection,
}

impl Cause {
    /// The value of the URI parameter `cause` (RFC 4458 s2): what has no code of its own there is 404, "not available".
    pub(crate) const fn code(self) -> u16 {
        match self {
            Cause::Unconditional => 302,
            Cause::Busy => 486,
            Cause::NoAnswer => 408,
            Cause::Unavailable => 503,
            Cause::DoNotDisturb => 404,
            Cause::Deflection => 480,
        }
    }

    /// The `reason` of Diversion (RFC 5806 s4).
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Cause::Unconditional => "unconditional",
            Cause::Busy => "user-busy",
            Cause::NoAnswer => "no-answer",
            Cause::Unavailable => "unavailable",
            Cause::DoNotDisturb => "do-not-disturb",
            Cause::Deflection => "deflection",
        }
    }

    /// The response that was had, or stands for what was known without asking; none for what did not ask.
    const fn response(self) -> Option<u16> {
        match self {
            Cause::Unconditional => None,
            Cause::Busy => Some(486),
            Cause::NoAnswer => Some(408),
            Cause::Unavailable | Cause::DoNotDisturb => Some(480),
            Cause::Deflection => Some(302),
        }
    }
}

/// One who sent the call on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Diversion {
    /// His address: a URI without parameters.
    pub(crate) by: Box<str>,
    /// Why.
    pub(crate) cause: Cause,
    /// Where to: a URI.
    pub(crate) to: Box<str>,
}

/// All who sent the call on, the first one first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Diversions(Vec<Diversion>);

impl Diversions {
    /// Adds the last one.
    pub(super) fn push(&mut self, by: &str, cause: Cause, to: &str) {
        self.0.push(Diversion { by: format!("sip:{by}").into(), cause, to: to.into() });
    }

    /// Diversion and History-Info as name and value; nothing if nobody sent the call on. Diversion lines of the caller's
    /// side come behind these; his History-Info is not sent on beside this one, for both count from 1.
    pub(crate) fn lines(&self) -> Vec<(Box<str>, Box<str>)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        // RFC 5806 s4: the last one stands first.
        let diversion = |one: &Diversion| format!("<{}>;reason={};counter=1", one.by, one.cause.reason());
        let diversions: Vec<String> = self.0.iter().rev().map(diversion).collect();
        let line = |header: Header, values: &[String]| (header.name().into(), values.join(", ").into());
        vec![line(Header::Diversion, &diversions), line(Header::HistoryInfo, &self.history())]
    }

    /// RFC 7044 s10: each entry is derived from the one before it, which carries the response it earned.
    fn history(&self) -> Vec<String> {
        let mut entries = Vec::with_capacity(self.0.len() + 1);
        let mut index = String::from("1");
        let mut target = self.0.first().map_or(String::new(), |first| first.by.to_string());
        let mut behind = String::new();
        for one in &self.0 {
            let escaped = one.cause.response().map_or(String::new(), |code| reason(&target, code));
            entries.push(format!("<{target}{escaped}>;index={index}{behind}"));
            behind = format!(";mp={index}");
            index.push_str(".1");
            target = with_cause(&one.to, one.cause);
        }
        entries.push(format!("<{target}>;index={index}{behind}"));
        entries
    }
}

/// RFC 7044 s5.1: a Reason in the headers of the URI. Only a SIP URI has headers.
fn reason(target: &str, code: u16) -> String {
    if target.starts_with("tel:") { String::new() } else { format!("?Reason=SIP%3Bcause%3D{code}") }
}

/// RFC 4458 s2: why the call comes there.
pub(super) fn with_cause(uri: &str, cause: Cause) -> String {
    let (uri, _) = uri.split_once('?').unwrap_or((uri, ""));
    match uri.contains(";cause=") {
        true => uri.into(),
        false => format!("{uri};cause={}", cause.code()),
    }
}

/// RFC 4458 s2: whose voicemail it is, and why the call comes there.
pub(super) fn mailbox(voicemail: &str, aor: &str, cause: Cause) -> String {
    let (voicemail, _) = voicemail.split_once('?').unwrap_or((voicemail, ""));
    let mut uri = String::from(voicemail);
    uri.push_str(";target=sip:");
    for byte in aor.bytes() {
        match byte {
            // RFC 3261 s25.1: what a parameter shows unescaped.
            b if crate::base::text::is(b, crate::base::text::PARAM) => uri.push(char::from(b)),
            b => {
                // Writing to a text has no failure of its own.
                let _ = write!(uri, "%{b:02X}");
            }
        }
    }
    with_cause(&uri, cause)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{NameAddr, split};

    const ALL: [Cause; 6] = [
        Cause::Unconditional,
        Cause::Busy,
        Cause::NoAnswer,
        Cause::Unavailable,
        Cause::DoNotDisturb,
        Cause::Deflection,
    ];

    proptest! {
        #[test]
        fn whoever_sent_a_call_on_is_read_with_his_reason_and_in_order(
            steps in proptest::collection::vec(
                ("[a-z0-9.+-]{1,8}@[a-z]{1,8}", 0..6_usize, "(sip:[a-z]{1,8}@[a-z]{1,8}(;x=y)?|tel:\\+[0-9]{3,9})"), 1..5),
        ) {
            let mut diversions = Diversions::default();
            for (by, cause, to) in &steps {
                diversions.push(by, ALL[*cause], to);
            }
            let lines = diversions.lines();
            let [(_, diversion), (_, history)] = &lines[..] else { panic!("{lines:?}") };
            let read = |line: &str| -> Vec<(String, Vec<(String, String)>)> {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                split::commas(line.as_bytes()).map(|value| {
                    let addr = NameAddr::parse(value).expect("well-formed");
                    let params = addr.params.iter().map(|param| (text(param.name), text(param.raw.unwrap_or_default())));
                    (text(addr.uri.raw()), params.collect())
                }).collect()
            };
            let param = |params: &[(String, String)], name: &str| {
                params.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            let last_first: Vec<_> = read(diversion).into_iter()
                .map(|(uri, params)| (uri, param(&params, "reason").unwrap_or_default())).collect();
            let meant = steps.iter().rev().map(|(by, cause, _)| (format!("sip:{by}"), ALL[*cause].reason().to_owned()));
            prop_assert_eq!(last_first, meant.collect::<Vec<_>>());

            let entries = read(history);
            prop_assert_eq!(entries.len(), steps.len() + 1);
            let mut index = String::from("1");
            for (i, (uri, params)) in entries.iter().enumerate() {
                prop_assert_eq!(param(params, "index"), Some(index.clone()));
                let before = index.strip_suffix(".1").map(str::to_owned);
                prop_assert_eq!(param(params, "mp"), before);
                let target = match i.checked_sub(1).and_then(|before| steps.get(before)) {
                    Some((_, cause, to)) => with_cause(to, ALL[*cause]),
                    None => format!("sip:{}", steps[0].0),
                };
                prop_assert_eq!(uri.split('?').next(), Some(&*target));
                index.push_str(".1");
            }
        }
    }
}
