//! One binding: an address of record leads to this contact until then. RFC 3261 s10, RFC 5626 s6.
//!
//! All text of a binding is one boxed blob; spans say where each part lies. A refresh that changes nothing of it leaves
//! it alone.

use core::net::SocketAddr;

use super::location::RecordKey;
use crate::base::text::{owned, trim};
use crate::base::{ADDR_BYTES, Addr, Key, Time, TimerKey};
use crate::door::{BindingView, FlowId, Laid, Parts, StoredBinding, Transport};
use crate::wire::Uri;

/// Names a binding while it lives.
pub(crate) type BindingKey = Key<Binding>;

/// More of a User-Agent than this is not kept: it informs people, and nothing depends on it.
const AGENT_BYTES: usize = 256;
/// `q` was not given; it counts as 1 (RFC 3261 s20.10) and is not echoed.
pub(super) const NO_Q: u16 = u16::MAX;

/// What is known about how a contact can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags(u8);

impl Flags {
    /// The REGISTER had one Via: flow and source are the phone's own.
    pub(super) const DIRECT: Flags = Flags(1);
    /// The phone believes to be at another address than the one it is seen at.
    pub(super) const NATED: Flags = Flags(2);
    /// Outbound (RFC 5626) was granted.
    pub(super) const OUTBOUND: Flags = Flags(4);
    /// The contact lies elsewhere, and the account may have such ones (DECISIONS 8).
    pub(super) const FOREIGN: Flags = Flags(8);
    /// The contact names an address that a request may be sent to without the flow: the source's own.
    pub(super) const CONNECTABLE: Flags = Flags(16);
    /// The flow is gone.
    pub(super) const FLOW_GONE: Flags = Flags(32);
    /// Via named another address than the source.
    pub(super) const DISPLACED: Flags = Flags(64);
    /// The account might have foreign contacts.
    pub(super) const MAY_BE_FOREIGN: Flags = Flags(128);
    /// What the others were concluded from.
    const GROUNDS: Flags = Flags(1 | 64 | 128);

    pub(super) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// True if both stand on the same grounds.
    pub(super) fn agrees_with(self, other: Flags) -> bool {
        (self.0 ^ other.0) & Flags::GROUNDS.0 == 0
    }

    pub(super) fn set(&mut self, flag: Flags, on: bool) {
        if on {
            self.0 |= flag.0;
        } else {
            self.0 &= !flag.0;
        }
    }
}

impl core::fmt::Debug for Flags {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Flags({:#08b})", self.0)
    }
}

/// A binding as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    blob: Box<[u8]>,
    /// Ends of the addresses, the contact, its parameters, the Call-ID, the User-Agent, the instance; the Path is the
    /// rest.
    ends: [u16; 6],
    /// Thousandths, or [`NO_Q`].
    pub(super) q: u16,
    pub(super) transport: Transport,
    pub(super) flags: Flags,
    /// RFC 5626 `reg-id`; 0 for none.
    pub(super) reg_id: u32,
    pub(super) cseq: u32,
    /// Temporary GRUUs minted in an earlier epoch of the instance are void; 0 without an instance.
    pub(super) epoch: u32,
    /// Number of the last temporary GRUU minted for it; 0 for none.
    pub(super) gruu: u32,
    /// What was asked for by the REGISTER that wrote it, as a hash (`unchanged`); 0 if that must be read again.
    /// Changed by `Location::set_asked`.
    pub(super) asked: u64,
    /// The seconds asked for, or ours if that was left to us.
    pub(super) requested: u32,
    pub(super) record: RecordKey,
    /// Names it in the store; unique within the AoR.
    pub(super) id: u64,
    pub(super) since: Time,
    pub(super) refreshed: Time,
    pub(super) expires_at: Time,
    pub(super) flow: FlowId,
    /// Its end, or the notice of it.
    pub(super) expiry: TimerKey,
    /// The next keep-alive of a NATed UDP binding; of a stream that is gone, the end of the grace to come back.
    pub(super) ping: TimerKey,
}

impl Binding {
    /// A binding with this text; the caller fills in the rest.
    pub(super) fn new(text: Draft, record: RecordKey, id: u64, now: Time) -> Binding {
        Binding {
            blob: text.bytes.into_boxed_slice(),
            ends: text.ends,
            q: NO_Q,
            transport: Transport::Udp,
            flags: Flags::default(),
            reg_id: 0,
            cseq: 0,
            epoch: 0,
            gruu: 0,
            asked: 0,
            requested: 0,
            record,
            id,
            since: now,
            refreshed: now,
            expires_at: now,
            flow: FlowId(0),
            expiry: TimerKey::NONE,
            ping: TimerKey::NONE,
        }
    }

    /// Takes over new text: in place if nothing changed its length.
    pub(super) fn rewrite(&mut self, text: Draft) {
        self.blob = text.bytes.into_boxed_slice();
        self.ends = text.ends;
    }

    fn laid(&self) -> Laid<'_> {
        Laid { blob: &self.blob, ends: self.ends }
    }

    fn part(&self, number: usize) -> &[u8] {
        self.laid().part(number)
    }

    /// The Contact URI as registered.
    pub(super) fn contact(&self) -> &[u8] {
        self.part(1)
    }

    /// The same, read.
    pub(super) fn contact_uri(&self) -> Uri<'_> {
        Uri::parse(self.contact()).expect("invariant: only a contact that parses is stored")
    }

    /// Other Contact parameters, each with its semicolon.
    pub(super) fn params(&self) -> &[u8] {
        self.part(2)
    }

    pub(super) fn call_id(&self) -> &[u8] {
        self.part(3)
    }

    pub(super) fn user_agent(&self) -> &[u8] {
        self.part(4)
    }

    /// `+sip.instance` without quotes and brackets; empty for none.
    pub(super) fn instance(&self) -> &[u8] {
        self.part(5)
    }

    /// Path values joined by `, `; empty for none.
    pub(super) fn path(&self) -> &[u8] {
        self.part(6)
    }

    /// Where the REGISTER came from.
    pub(super) fn received(&self) -> SocketAddr {
        self.laid().addrs().0
    }

    /// Our address it came to.
    pub(super) fn local(&self) -> SocketAddr {
        self.laid().addrs().1
    }

    /// True if the text but for the contact is this already, and there is no Path.
    pub(super) fn says(&self, text: &Text<'_>) -> bool {
        self.call_id() == text.call_id
            && self.user_agent() == text.agent()
            && self.params() == text.params
            && self.instance() == text.instance
            && self.path().is_empty()
            && self.received() == text.received
            && self.local() == text.local
    }

    /// Priority in thousandths.
    pub(super) fn priority(&self) -> u16 {
        if self.q == NO_Q { 1000 } else { self.q }
    }

    pub(super) fn is_live(&self, now: Time) -> bool {
        self.expires_at > now
    }

    /// Its stream is gone, and the time in which it may come back unnoticed is not over.
    pub(super) fn is_waited_for(&self) -> bool {
        self.flags.has(Flags::FLOW_GONE) && !self.ping.is_none()
    }

    /// The flow the REGISTER came over, if it was the phone's own and is still there.
    pub(super) fn own_flow(&self) -> Option<FlowId> {
        (self.flags.has(Flags::DIRECT) && !self.flags.has(Flags::FLOW_GONE)).then_some(self.flow)
    }

    /// As the world may see it.
    pub(super) fn view(&self, aor: &str, reachable: bool) -> BindingView {
        BindingView {
            aor: aor.into(),
            contact: owned(self.contact()),
            params: owned(self.params()),
            q: self.priority(),
            expires_at: self.expires_at,
            since: self.since,
            call_id: owned(self.call_id()),
            cseq: self.cseq,
            user_agent: owned(self.user_agent()),
            instance: owned(self.instance()),
            reg_id: (self.reg_id != 0).then_some(self.reg_id),
            path: owned(self.path()),
            transport: self.transport,
            received: self.received(),
            local: self.local(),
            flow: self.own_flow(),
            reachable,
        }
    }

    /// As a store keeps it: since when and until when it is, by the wall clock. The next life finds out by itself whether it
    /// can be reached.
    pub(super) fn stored(&self, aor: &str, [since, expires_at]: [Time; 2]) -> StoredBinding {
        StoredBinding::pack(&Parts {
            id: self.id,
            expires_at,
            since,
            flow: self.own_flow(),
            cseq: self.cseq,
            reg_id: self.reg_id,
            q: self.priority(),
            transport: self.transport,
            reachable: !self.flags.has(Flags::FLOW_GONE),
            aor,
            text: self.laid(),
        })
    }
}

/// The parts of a binding's text but for the Path, from wherever they come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) received: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) contact: &'a [u8],
    pub(super) params: &'a [u8],
    pub(super) call_id: &'a [u8],
    pub(super) user_agent: &'a [u8],
    pub(super) instance: &'a [u8],
}

impl Text<'_> {
    /// Never less than the blob will take.
    pub(super) fn bytes(&self) -> usize {
        let parts = [self.contact, self.params, self.call_id, self.agent(), self.instance];
        2 * ADDR_BYTES + parts.iter().map(|part| part.len()).sum::<usize>()
    }

    fn agent(&self) -> &[u8] {
        trim(self.user_agent.get(..AGENT_BYTES).unwrap_or(self.user_agent))
    }
}

/// The text of a binding, ready to be stored.
#[derive(Debug)]
pub(super) struct Draft {
    bytes: Vec<u8>,
    ends: [u16; 6],
}

impl Draft {
    /// Lays the parts out, and the Path values joined by `, `. The caller has checked that they fit 16 bits.
    pub(super) fn new<'p>(text: &Text<'_>, path: impl Iterator<Item = &'p [u8]>) -> Draft {
        let parts = [text.contact, text.params, text.call_id, text.agent(), text.instance];
        let (received, local) = (Addr::of(text.received), Addr::of(text.local));
        let clean_from = received.as_bytes().len() + local.as_bytes().len();
        // Exactly what is needed, so that nothing is copied to make it so; a Path is seldom there.
        let len = clean_from + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut draft = Draft { bytes: Vec::with_capacity(len), ends: [0; 6] };
        draft.bytes.extend_from_slice(received.as_bytes());
        draft.bytes.extend_from_slice(local.as_bytes());
        let [addrs, ends @ ..] = &mut draft.ends;
        *addrs = clean_from as u16;
        for (part, end) in parts.into_iter().zip(ends) {
            draft.bytes.extend_from_slice(part);
            *end = draft.bytes.len() as u16;
        }
        for (i, value) in path.enumerate() {
            draft.bytes.extend_from_slice(if i > 0 { b", " } else { b"" });
            draft.bytes.extend_from_slice(value);
        }
        // What a fold leaves inside a quoted string or a User-Agent is a space (RFC 3261 s7.3.1).
        let stored = draft.bytes.get_mut(clean_from..).unwrap_or_default();
        if memchr::memchr2(b'\r', b'\n', stored).is_some() {
            stored.iter_mut().filter(|b| matches!(b, b'\r' | b'\n')).for_each(|b| *b = b' ');
        }
        draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Text<'static> {
        Text {
            received: "192.0.2.7:5062".parse().expect("address"),
            local: "[fe80::1%3]:5060".parse().expect("address"),
            contact: b"sip:bob@192.0.2.7:5062",
            params: b";+audio",
            call_id: b"1@here",
            user_agent: b"Phone\r\n 1",
            instance: b"urn:uuid:1",
        }
    }

    fn path() -> impl Iterator<Item = &'static [u8]> {
        [&b"<sip:edge;lr>"[..], b"<sip:inner>"].into_iter()
    }

    #[test]
    fn every_part_is_read_back() {
        let binding = Binding::new(Draft::new(&text(), path()), Key::from_bits(0), 1, Time::ZERO);
        let view = binding.view("bob@example.com", true);
        assert_eq!(view.received, text().received);
        assert_eq!(view.local, text().local);
        assert_eq!(&*view.contact, "sip:bob@192.0.2.7:5062");
        assert_eq!(&*view.params, ";+audio");
        assert_eq!(&*view.call_id, "1@here");
        assert_eq!(&*view.user_agent, "Phone   1");
        assert_eq!(&*view.instance, "urn:uuid:1");
        assert_eq!(&*view.path, "<sip:edge;lr>, <sip:inner>");
    }

    #[test]
    fn text_is_rewritten_as_a_whole() {
        let mut binding = Binding::new(Draft::new(&text(), path()), Key::from_bits(0), 1, Time::ZERO);
        let longer = Text { call_id: b"33@here", ..text() };
        binding.rewrite(Draft::new(&longer, core::iter::empty()));
        assert_eq!((binding.call_id(), binding.path()), (&b"33@here"[..], &b""[..]));
        assert!(!binding.says(&text()), "another Call-ID");
        assert!(binding.says(&Text { user_agent: b"Phone   1", ..longer }));
    }

    #[test]
    fn a_long_user_agent_is_cut() {
        let long = [b'x'; 1000];
        let draft = Draft::new(&Text { user_agent: &long, ..text() }, core::iter::empty());
        assert_eq!(Binding::new(draft, Key::from_bits(0), 1, Time::ZERO).user_agent().len(), AGENT_BYTES);
    }
}
