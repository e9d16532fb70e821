//! In which form a subscriber is told: the document of its package, changes of it (RFC 5263), or a list (RFC 4662).

use super::{End, Events, Package, SubscriptionKey};
use crate::ctx::{Ctx, Extra, Refusal};
use crate::documents::{diff, rlmi};
use crate::door::SaveSeq;
use crate::wire::{Header, Message, Params, Status};

/// The option tag of lists (RFC 4662 s7.1).
pub(crate) const EVENTLIST: &str = "eventlist";

/// In which form a subscriber is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Form {
    /// The whole document each time.
    #[default]
    Plain,
    /// The whole document, then what has changed.
    Diff,
    /// Several documents, with a table of contents.
    List,
}

/// How far a subscriber is, where that matters to what it is told next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Progress {
    /// In which form it is told.
    pub(crate) form: Form,
    /// It shall be told everything, whatever it was told before.
    pub(crate) whole: bool,
    /// Of a list: members told so far.
    pub(crate) members: u32,
    /// The version of what it was told last.
    pub(crate) changes: u64,
}

impl Progress {
    /// Of a subscriber that was told nothing.
    pub(crate) fn new(form: Form) -> Progress {
        Progress { form, whole: true, ..Progress::default() }
    }
}

/// A body of a NOTIFY.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'b> {
    /// Its Content-Type.
    pub(crate) kind: &'b str,
    /// Its bytes.
    pub(crate) bytes: &'b [u8],
    /// How far the subscriber is with it.
    pub(crate) progress: Progress,
    /// There is more that did not fit.
    pub(crate) more: bool,
    /// It is held until this change is durable.
    pub(crate) after: Option<SaveSeq>,
}

impl Form {
    /// The form a subscriber asks for by its Accept, which is one of the package unless it subscribes to a list. 406 if
    /// there is none that it takes.
    pub(crate) fn of(package: Package, is_list: bool, msg: Message<'_>) -> Result<Form, Refusal> {
        let takes = |kind: &str| quality(msg, kind).is_some_and(|quality| quality > 0);
        let form = match package {
            _ if is_list => {
                // RFC 4662 s4.1: a list cannot be told otherwise.
                let supports =
                    |header| msg.values(header).any(|tag| tag.eq_ignore_ascii_case(EVENTLIST.as_bytes()));
                if !supports(Header::Supported) && !supports(Header::Require) {
                    return Err(Refusal::with(Status::EXTENSION_REQUIRED, Extra::Require(EVENTLIST)));
                }
                let all = [rlmi::CONTENT_TYPE, "multipart/related", package.kind()];
                all.into_iter().all(takes).then_some(Form::List)
            }
            // RFC 5263 s4.3: who names changes and does not like them less.
            Package::Presence if names(msg, diff::CONTENT_TYPE) => {
                let (diff, plain) = (quality(msg, diff::CONTENT_TYPE), quality(msg, package.kind()));
                match (diff.unwrap_or(0), plain.unwrap_or(0)) {
                    (0, 0) => None,
                    (diff, plain) if diff >= plain => Some(Form::Diff),
                    _ => Some(Form::Plain),
                }
            }
            _ => takes(package.kind()).then_some(Form::Plain),
        };
        form.ok_or(Refusal::with(Status::NOT_ACCEPTABLE, Extra::None))
    }
}

impl Events {
    /// A NOTIFY was not taken: what comes next must not build on it.
    pub(super) fn not_taken(&mut self, key: SubscriptionKey) {
        if let Some(sub) = self.store.get_mut(key) {
            sub.progress.whole = true;
        }
    }

    /// There is nothing that a subscriber who is due may be told.
    pub(crate) fn skip(&mut self, key: SubscriptionKey, progress: Progress) {
        if let Some(sub) = self.store.get_mut(key) {
            (sub.due, sub.urgent) = (false, false);
            sub.progress = progress;
        }
    }

    /// Who subscribes: a canonical AoR, or empty.
    pub(crate) fn watcher(&self, key: SubscriptionKey) -> &str {
        self.store.both(key).map_or("", |(_, shared)| &shared.watcher)
    }

    /// Those who watch a list are told all of it at once, or him alone if somebody is named.
    /// True if there is anybody.
    pub(crate) fn renew_list(&mut self, ctx: &mut Ctx<'_>, list: &str, watcher: Option<&str>) -> bool {
        let mut anybody = false;
        for key in self.watching_list(list) {
            if watcher.is_none_or(|name| name == self.watcher(key)) {
                anybody = true;
                self.not_taken(key);
                self.mark(ctx, key);
            }
        }
        anybody
    }

    /// Subscriptions to a list end, for a reason that depends on who watches.
    pub(crate) fn end_list(&mut self, ctx: &mut Ctx<'_>, list: &str, why: impl Fn(&str) -> Option<End>) {
        for key in self.watching_list(list) {
            let Some(end) = why(self.watcher(key)) else { continue };
            if let Some(sub) = self.store.get_mut(key) {
                sub.end = Some(end);
                (sub.in_flight, sub.due) = (false, false);
            }
            self.mark(ctx, key);
        }
    }

    /// True if its next NOTIFY is its last.
    pub(crate) fn is_ending(&self, key: SubscriptionKey) -> bool {
        self.store.get(key).is_some_and(|sub| sub.end.is_some())
    }

    fn watching_list(&self, list: &str) -> Vec<SubscriptionKey> {
        let keys = self.store.of(&self.hash, Package::Presence, list);
        keys.iter().filter(|key| self.form(**key) == Form::List).copied().collect()
    }

    /// True if somebody watches this list as one.
    pub(crate) fn is_list_watched(&self, list: &str) -> bool {
        let keys = self.store.of(&self.hash, Package::Presence, list);
        keys.iter().any(|key| self.form(*key) == Form::List)
    }

    /// In which form a subscriber is told.
    pub(crate) fn form(&self, key: SubscriptionKey) -> Form {
        self.store.get(key).map_or(Form::Plain, |sub| sub.progress.form)
    }
}

/// Does Accept name this type itself?
fn names(msg: Message<'_>, kind: &str) -> bool {
    msg.values(Header::Accept).any(|value| media(value).0.eq_ignore_ascii_case(kind.as_bytes()))
}

/// How much a type is wanted, in thousandths: by what Accept says most closely about it, and wholly without Accept (RFC
/// 6665 s4.2.1.1). `None` if nothing is said about it.
fn quality(msg: Message<'_>, kind: &str) -> Option<u32> {
    let family = kind.split('/').next().unwrap_or_default();
    let mut values = msg.values(Header::Accept).peekable();
    if values.peek().is_none() {
        return Some(1_000);
    }
    let mut best: Option<(u8, u32)> = None;
    for (range, quality) in values.map(media) {
        let closeness = match range {
            _ if range.eq_ignore_ascii_case(kind.as_bytes()) => 3,
            b"*/*" => 1,
            _ => match range.strip_suffix(b"/*") {
                Some(wide) if wide.eq_ignore_ascii_case(family.as_bytes()) => 2,
                _ => continue,
            },
        };
        if best.is_none_or(|(close, _)| closeness > close) {
            best = Some((closeness, quality));
        }
    }
    best.map(|(_, quality)| quality)
}

/// A media range of Accept, and its `q` in thousandths.
fn media(value: &[u8]) -> (&[u8], u32) {
    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
    let (range, parameters) = value.split_at(end);
    let parameters = Params::parse(parameters).unwrap_or_default();
    let quality = parameters.value(b"q").map_or(1_000, thousandths);
    (range.trim_ascii(), quality)
}

/// RFC 3261 s25.1 qvalue.
fn thousandths(value: &[u8]) -> u32 {
    let digit = |at: usize| value.get(at).filter(|b| b.is_ascii_digit()).map_or(0, |b| u32::from(b - b'0'));
    match value.first() {
        Some(b'1') => 1_000,
        Some(b'0') => digit(2) * 100 + digit(3) * 10 + digit(4),
        _ => 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::fixture::with_message;

    fn of(package: Package, is_list: bool, more: &str) -> Result<Form, u16> {
        let text = format!(
            "SUBSCRIBE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\n{more}Content-Length: 0\n\n"
        );
        with_message(&text, |msg| Form::of(package, is_list, msg).map_err(|refusal| refusal.status.0))
    }

    #[test]
    fn accept_decides_between_documents_and_changes_of_them() {
        for (accept, expected) in [
            ("", Ok(Form::Plain)),
            ("application/pidf+xml", Ok(Form::Plain)),
            ("*/*", Ok(Form::Plain)),
            ("application/*;q=0.5", Ok(Form::Plain)),
            ("application/pidf+xml, application/pidf-diff+xml", Ok(Form::Diff)),
            ("Application/PIDF-diff+xml;q=0.4, */*;q=0.3", Ok(Form::Diff)),
            ("application/pidf+xml;q=0.3, application/pidf-diff+xml;q=1", Ok(Form::Diff)),
            ("application/pidf+xml, application/pidf-diff+xml;q=0.999", Ok(Form::Plain)),
            ("application/pidf+xml, application/pidf-diff+xml;q=0", Ok(Form::Plain)),
            ("application/pidf-diff+xml", Ok(Form::Diff)),
            ("application/pidf-diff+xml;q=0", Err(406)),
            ("text/*", Err(406)),
            ("application/pidf+xml;q=0, */*", Err(406)),
        ] {
            let line = if accept.is_empty() { String::new() } else { format!("Accept: {accept}\n") };
            assert_eq!(of(Package::Presence, false, &line), expected, "{accept}");
        }
        assert_eq!(of(Package::Reg, false, "Accept: application/pidf-diff+xml\n"), Err(406));
    }

    #[test]
    fn a_list_wants_its_extension_and_its_types() {
        let all = "Accept: application/pidf+xml, application/rlmi+xml;q=0.1, multipart/related\n";
        for (more, expected) in [
            ("Supported: replaces, Eventlist\n", Ok(Form::List)),
            ("Require: eventlist\n", Ok(Form::List)),
            ("Supported: replaces\n", Err(421)),
            ("", Err(421)),
        ] {
            assert_eq!(of(Package::Presence, true, more), expected, "{more}");
            assert_eq!(of(Package::Presence, true, &format!("{more}{all}")), expected, "{more}");
        }
        for accept in ["application/pidf+xml", "application/rlmi+xml, multipart/related", "application/*"] {
            let more = format!("Supported: eventlist\nAccept: {accept}\n");
            assert_eq!(of(Package::Presence, true, &more), Err(406), "{accept}");
        }
    }
}
