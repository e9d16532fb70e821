//! A binding as a store keeps it: one piece of memory, which is its record too.
//!
//! Each new binding makes one, which is queued, written and freed: that costs one allocation, and nothing is translated.
//! The layout, in little endian: [`HEAD`] bytes of numbers, the address of record, and the blob that the registrar keeps.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};

use super::view::{BindingView, FlowId, Transport};
use crate::base::text::owned;
use crate::base::{ADDR_BYTES, Addr, Time, read_addr};

/// Bytes of numbers: of the binding, when it ends, since when it is, its flow, CSeq, `reg-id` (0 for none), length of the
/// address of record, `q`, transport, flags, ends within the blob, and its own.
const HEAD: usize = 62;
const EXPIRES_AT: usize = 8;
const CSEQ: usize = 32;
const REACHABLE: u8 = 1;
const HAS_FLOW: u8 = 2;

/// A binding with the number that names it in the store. Times are those of the wall clock.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredBinding(Box<[u8]>);

impl StoredBinding {
    /// What is seen of it, under its number, which is unique among all bindings and never used again. `None` if its texts
    /// are longer together than 64 KiB.
    pub fn new(id: u64, view: &BindingView) -> Option<StoredBinding> {
        let BindingView { contact, params, call_id, user_agent, instance, path, .. } = view;
        let texts = [contact, params, call_id, user_agent, instance, path].map(|text| text.as_bytes());
        let mut blob =
            Vec::with_capacity(2 * ADDR_BYTES + texts.iter().map(|text| text.len()).sum::<usize>());
        blob.extend_from_slice(Addr::of(view.received).as_bytes());
        blob.extend_from_slice(Addr::of(view.local).as_bytes());
        let mut ends = [0; 6];
        // The last one ends where the blob does.
        for (text, end) in [&b""[..]].iter().chain(&texts).zip(&mut ends) {
            blob.extend_from_slice(text);
            *end = u16::try_from(blob.len()).ok()?;
        }
        blob.extend_from_slice(path.as_bytes());
        u16::try_from(blob.len()).ok()?;
        Some(StoredBinding::pack(&Parts {
            id,
            expires_at: view.expires_at,
            since: view.since,
            flow: view.flow,
            cseq: view.cseq,
            reg_id: view.reg_id.unwrap_or(0),
            q: view.q,
            transport: view.transport,
            reachable: view.reachable,
            aor: &view.aor,
            text: Laid { blob: &blob, ends },
        }))
    }

    pub(crate) fn pack(parts: &Parts<'_>) -> StoredBinding {
        let mut bytes = Vec::with_capacity(HEAD + parts.aor.len() + parts.text.blob.len());
        let mut head = [0; HEAD];
        let transport = Transport::ALL.iter().position(|known| *known == parts.transport).unwrap_or_default();
        let flags = u8::from(parts.reachable) * REACHABLE + u8::from(parts.flow.is_some()) * HAS_FLOW;
        let mut place = &mut head[..];
        let mut put = |number: &[u8]| {
            if let Some((at, rest)) = core::mem::take(&mut place).split_at_mut_checked(number.len()) {
                at.copy_from_slice(number);
                place = rest;
            }
        };
        put(&parts.id.to_le_bytes());
        put(&parts.expires_at.as_nanos().to_le_bytes());
        put(&parts.since.as_nanos().to_le_bytes());
        put(&parts.flow.unwrap_or_default().0.to_le_bytes());
        put(&parts.cseq.to_le_bytes());
        put(&parts.reg_id.to_le_bytes());
        put(&(parts.aor.len() as u32).to_le_bytes());
        put(&parts.q.to_le_bytes());
        put(&[transport as u8, flags]);
        parts.text.ends.iter().for_each(|end| put(&end.to_le_bytes()));
        put(&(parts.text.blob.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(parts.aor.as_bytes());
        bytes.extend_from_slice(parts.text.blob);
        StoredBinding(bytes.into())
    }

    /// Takes bytes that [`as_bytes`](Self::as_bytes) gave, and no others.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<StoredBinding> {
        read(bytes).map(|_| StoredBinding(bytes.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number that names it.
    pub fn id(&self) -> u64 {
        self.0.first_chunk().map_or(0, |id| u64::from_le_bytes(*id))
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        read(&self.0).expect("invariant: only what can be read is made")
    }

    /// The address of record, canonical.
    pub fn aor(&self) -> &str {
        self.parts().aor
    }

    /// When it ends.
    pub fn expires_at(&self) -> Time {
        self.parts().expires_at
    }

    /// It lasts longer, by the REGISTER of that CSeq.
    pub(super) fn refresh(&mut self, expires_at: Time, cseq: u32) {
        let mut put = |at: usize, number: &[u8]| {
            if let Some(place) = self.0.get_mut(at..at + number.len()) {
                place.copy_from_slice(number);
            }
        };
        put(EXPIRES_AT, &expires_at.as_nanos().to_le_bytes());
        put(CSEQ, &cseq.to_le_bytes());
    }

    /// As the world may see it.
    pub fn view(&self) -> BindingView {
        let parts = self.parts();
        let (received, local) = parts.text.addrs();
        let [contact, params, call_id, user_agent, instance, path] = parts.text.texts().map(owned);
        BindingView {
            aor: parts.aor.into(),
            contact,
            params,
            q: parts.q,
            expires_at: parts.expires_at,
            since: parts.since,
            call_id,
            cseq: parts.cseq,
            user_agent,
            instance,
            reg_id: (parts.reg_id != 0).then_some(parts.reg_id),
            path,
            transport: parts.transport,
            received,
            local,
            flow: parts.flow,
            reachable: parts.reachable,
        }
    }
}

impl fmt::Debug for StoredBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBinding").field("id", &self.id()).field("view", &self.view()).finish()
    }
}

/// What is in it.
pub(crate) struct Parts<'p> {
    pub(crate) id: u64,
    pub(crate) expires_at: Time,
    pub(crate) since: Time,
    pub(crate) flow: Option<FlowId>,
    pub(crate) cseq: u32,
    pub(crate) reg_id: u32,
    pub(crate) q: u16,
    pub(crate) transport: Transport,
    pub(crate) reachable: bool,
    pub(crate) aor: &'p str,
    pub(crate) text: Laid<'p>,
}

/// Where the REGISTER came from and our address it came to, and behind them the texts, one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Laid<'b> {
    pub(crate) blob: &'b [u8],
    /// Ends of the addresses, the contact, its parameters, the Call-ID, the User-Agent, the instance; the Path is the rest.
    pub(crate) ends: [u16; 6],
}

impl<'b> Laid<'b> {
    /// The addresses are 0, the contact 1, and so on.
    pub(crate) fn part(self, number: usize) -> &'b [u8] {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).map_or(self.blob.len(), |end| usize::from(*end));
        self.blob.get(usize::from(start)..end).unwrap_or_default()
    }

    /// Where the REGISTER came from, and our address it came to.
    pub(crate) fn addrs(self) -> (SocketAddr, SocketAddr) {
        let none = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let (received, behind) = read_addr(self.part(0)).unwrap_or((none, b""));
        (received, read_addr(behind).map_or(none, |(local, _)| local))
    }

    /// The contact, its parameters, the Call-ID, the User-Agent, the instance and the Path.
    pub(crate) fn texts(self) -> [&'b [u8]; 6] {
        core::array::from_fn(|text| self.part(text + 1))
    }
}

/// Reads all of it; `None` if anything makes no sense.
fn read(mut rest: &[u8]) -> Option<Parts<'_>> {
    fn take<'r, const N: usize>(rest: &mut &'r [u8]) -> Option<&'r [u8; N]> {
        let (taken, behind) = rest.split_first_chunk()?;
        *rest = behind;
        Some(taken)
    }
    let u64 = |rest: &mut _| take(rest).map(|bytes| u64::from_le_bytes(*bytes));
    let u32 = |rest: &mut _| take(rest).map(|bytes| u32::from_le_bytes(*bytes));
    let u16 = |rest: &mut _| take(rest).map(|bytes| u16::from_le_bytes(*bytes));
    let id = u64(&mut rest)?;
    let (expires_at, since) = (Time::from_nanos(u64(&mut rest)?), Time::from_nanos(u64(&mut rest)?));
    let flow = u64(&mut rest)?;
    let (cseq, reg_id, aor) = (u32(&mut rest)?, u32(&mut rest)?, u32(&mut rest)?);
    let q = u16(&mut rest)?;
    let [transport, flags] = *take(&mut rest)?;
    let mut ends = [0; 6];
    for end in &mut ends {
        *end = u16(&mut rest)?;
    }
    let length = u16(&mut rest)?;
    let (aor, blob) = rest.split_at_checked(aor as usize)?;
    let text = Laid { blob, ends };
    let (_, local) = read_addr(text.part(0))?;
    let (_, behind) = read_addr(local)?;
    let fits = usize::from(length) == blob.len() && ends.iter().chain([&length]).is_sorted();
    if !fits || !behind.is_empty() || flags > REACHABLE + HAS_FLOW {
        return None;
    }
    Some(Parts {
        id,
        expires_at,
        since,
        flow: (flags & HAS_FLOW != 0).then_some(FlowId(flow)),
        cseq,
        reg_id,
        q,
        transport: *Transport::ALL.get(usize::from(transport))?,
        reachable: flags & REACHABLE != 0,
        aor: core::str::from_utf8(aor).ok()?,
        text,
    })
}
