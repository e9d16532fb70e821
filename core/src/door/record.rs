//! Changes as bytes, for a store that keeps no columns.
//!
//! A record is one byte of version, one byte of kind, then the fields in the order they are declared: numbers in little
//! endian, texts behind their length in 32 bits, addresses as text, an optional field behind a byte 0 or 1. A later
//! version may add kinds and fields; what was written as an earlier one is always read.
//!
//! Version 1 has no `trusted`, `instance` and `peer` of subscriptions; version 2 has these behind all other fields, and
//! differs in nothing else. What says nothing by them is written as version 1. Version 3 has bindings as they lie in memory
//! ([`StoredBinding`]), and differs in nothing else.

use core::net::SocketAddr;

use thiserror::Error;

use super::stored::{
    StoredDialog, StoredForm, StoredMessage, StoredPeer, StoredPublication, StoredStanding,
    StoredSubscription, StoredTie,
};
use super::stored_binding::StoredBinding;
use super::view::{BindingView, Change, FlowId, Transport};
use crate::base::Time;

/// The latest version, and the highest that is written or read.
pub const VERSION: u8 = 3;
/// Bindings are of this one.
const OF_BINDINGS: u8 = 3;
/// Subscriptions with more than version 1 has are of this one.
const OF_MORE: u8 = 2;

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// Written by a later version of this program.
    #[error("a record of version {0}, which is later than this program")]
    Version(u8),
    /// Too short, too long, or a field that makes no sense.
    #[error("a broken record")]
    Broken,
}

impl Change {
    /// The change as bytes.
    pub fn to_record(&self) -> Vec<u8> {
        let mut record = Vec::new();
        self.write_record(&mut record);
        record
    }

    /// The same, behind what is there.
    pub fn write_record(&self, record: &mut Vec<u8>) {
        let mut out = Out(record);
        let version = match self {
            Change::PutBinding(_) => OF_BINDINGS,
            Change::PutSubscription(stored) if !is_of_first(stored) => OF_MORE,
            _ => 1,
        };
        let out = out.byte(version);
        match self {
            Change::PutBinding(stored) => out.byte(1).all(stored.as_bytes()),
            Change::RemoveBinding { aor, id } => out.byte(2).text(aor).u64(*id),
            Change::PutPublication(stored) => out.byte(3).publication(stored),
            Change::RemovePublication { aor, lineage } => out.byte(4).text(aor).u64(*lineage),
            Change::PutSubscription(stored) if version == 1 => out.byte(5).subscription(stored),
            Change::PutSubscription(stored) => out.byte(5).subscription(stored).more_of(stored),
            Change::RemoveSubscription { id } => out.byte(6).u64(*id),
            Change::PutDecision { aor, watcher, allow } => {
                out.byte(7).text(aor).text(watcher).byte(u8::from(*allow))
            }
            Change::PutMessage(stored) => out.byte(8).message(stored),
            Change::RemoveMessage { id } => out.byte(9).u64(*id),
            Change::RefreshBinding { id, expires_at, cseq } => {
                out.byte(10).u64(*id).time(*expires_at).u32(*cseq)
            }
        };
    }

    /// Reads what [`to_record`](Self::to_record) wrote, in this version or an earlier one.
    pub fn from_record(record: &[u8]) -> Result<Change, RecordError> {
        let mut input = In(record);
        let version = match input.byte()? {
            version @ 1..=VERSION => version,
            0 => return Err(RecordError::Broken),
            later => return Err(RecordError::Version(later)),
        };
        let change = match input.byte()? {
            1 if version < OF_BINDINGS => Change::PutBinding(input.binding()?),
            1 => {
                let whole = StoredBinding::from_bytes(core::mem::take(&mut input.0));
                Change::PutBinding(whole.ok_or(RecordError::Broken)?)
            }
            2 => Change::RemoveBinding { aor: input.text()?, id: input.u64()? },
            3 => Change::PutPublication(Box::new(input.publication()?)),
            4 => Change::RemovePublication { aor: input.text()?, lineage: input.u64()? },
            5 => Change::PutSubscription(Box::new(input.subscription(version)?)),
            6 => Change::RemoveSubscription { id: input.u64()? },
            7 => Change::PutDecision { aor: input.text()?, watcher: input.text()?, allow: input.flag()? },
            8 => Change::PutMessage(Box::new(input.message()?)),
            9 => Change::RemoveMessage { id: input.u64()? },
            10 => Change::RefreshBinding { id: input.u64()?, expires_at: input.time()?, cseq: input.u32()? },
            _ => return Err(RecordError::Broken),
        };
        if input.0.is_empty() { Ok(change) } else { Err(RecordError::Broken) }
    }
}

struct Out<'o>(&'o mut Vec<u8>);

impl<'o> Out<'o> {
    fn byte(&mut self, byte: u8) -> &mut Out<'o> {
        self.0.push(byte);
        self
    }

    fn u32(&mut self, number: u32) -> &mut Out<'o> {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Out<'o> {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn time(&mut self, time: Time) -> &mut Out<'o> {
        self.u64(time.as_nanos())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Out<'o> {
        self.u32(u32::try_from(bytes.len()).expect("invariant: state is bounded far below 4 GiB"));
        self.0.extend_from_slice(bytes);
        self
    }

    fn all(&mut self, bytes: &[u8]) -> &mut Out<'o> {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Out<'o> {
        self.bytes(text.as_bytes())
    }

    fn addr(&mut self, addr: SocketAddr) -> &mut Out<'o> {
        self.text(&addr.to_string())
    }

    fn transport(&mut self, transport: Transport) -> &mut Out<'o> {
        let at = Transport::ALL.iter().position(|known| *known == transport);
        self.byte(at.unwrap_or_default() as u8)
    }

    fn publication(&mut self, stored: &StoredPublication) -> &mut Out<'o> {
        self.text(&stored.aor).u64(stored.lineage).u64(stored.etag);
        self.time(stored.received).time(stored.expires_at);
        match stored.source {
            Some(source) => self.byte(1).addr(source),
            None => self.byte(0),
        };
        match stored.tie {
            StoredTie::Free => self.byte(0),
            StoredTie::Binding(id) => self.byte(1).u64(id),
            StoredTie::Any => self.byte(2),
        };
        self.text(&stored.document)
    }

    fn message(&mut self, stored: &StoredMessage) -> &mut Out<'o> {
        self.u64(stored.id).text(&stored.aor).time(stored.received).time(stored.expires_at);
        let [from, to] = &stored.parties;
        self.bytes(from).bytes(to).bytes(&stored.lines).bytes(&stored.body).byte(stored.max_forwards)
    }

    fn subscription(&mut self, stored: &StoredSubscription) -> &mut Out<'o> {
        self.u64(stored.id).text(&stored.package).bytes(&stored.event);
        self.text(&stored.aor).text(&stored.watcher);
        self.byte(match stored.standing {
            StoredStanding::Active => 0,
            StoredStanding::Pending => 1,
            StoredStanding::Blocked => 2,
        });
        self.byte(match stored.form {
            StoredForm::Whole => 0,
            StoredForm::Changes => 1,
            StoredForm::List => 2,
        });
        self.time(stored.since).time(stored.expires_at).u32(stored.version);
        let dialog = &stored.dialog;
        let parts = [&dialog.call_id].into_iter().chain(&dialog.tags).chain(&dialog.uris);
        for part in parts.chain([&dialog.target, &dialog.routes]) {
            self.bytes(part);
        }
        self.u32(dialog.cseq).u32(dialog.their_cseq);
        self.transport(dialog.transport).addr(dialog.remote).addr(dialog.local)
    }

    /// What version 2 has of it.
    fn more_of(&mut self, stored: &StoredSubscription) -> &mut Out<'o> {
        self.byte(u8::from(stored.trusted)).bytes(&stored.dialog.instance);
        let Some(peer) = &stored.dialog.peer else { return self.byte(0) };
        self.byte(1).byte(u8::from(peer.client));
        self.u32(u32::try_from(peer.names.len()).expect("invariant: state is bounded far below 4 GiB"));
        peer.names.iter().fold(self, |out, name| out.text(name))
    }
}

/// Is there nothing in it that version 1 has no place for?
fn is_of_first(stored: &StoredSubscription) -> bool {
    !stored.trusted && stored.dialog.instance.is_empty() && stored.dialog.peer.is_none()
}

struct In<'r>(&'r [u8]);

impl<'r> In<'r> {
    fn take(&mut self, count: usize) -> Result<&'r [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RecordError::Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError::Broken)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(u8::from_le_bytes(self.fixed()?))
    }

    fn flag(&mut self) -> Result<bool, RecordError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Broken),
        }
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.fixed()?))
    }

    fn time(&mut self) -> Result<Time, RecordError> {
        self.u64().map(Time::from_nanos)
    }

    fn slice(&mut self) -> Result<&'r [u8], RecordError> {
        let length = usize::try_from(self.u32()?).map_err(|_| RecordError::Broken)?;
        self.take(length)
    }

    fn bytes(&mut self) -> Result<Box<[u8]>, RecordError> {
        self.slice().map(Into::into)
    }

    fn str(&mut self) -> Result<&'r str, RecordError> {
        core::str::from_utf8(self.slice()?).map_err(|_| RecordError::Broken)
    }

    fn text(&mut self) -> Result<Box<str>, RecordError> {
        self.str().map(Into::into)
    }

    fn addr(&mut self) -> Result<SocketAddr, RecordError> {
        self.str()?.parse().map_err(|_| RecordError::Broken)
    }

    fn transport(&mut self) -> Result<Transport, RecordError> {
        let at = usize::from(self.byte()?);
        Transport::ALL.get(at).copied().ok_or(RecordError::Broken)
    }

    fn if_there<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// As versions 1 and 2 have it.
    fn binding(&mut self) -> Result<StoredBinding, RecordError> {
        let id = self.u64()?;
        let view = BindingView {
            aor: self.text()?,
            contact: self.text()?,
            params: self.text()?,
            q: u16::try_from(self.u32()?).map_err(|_| RecordError::Broken)?,
            expires_at: self.time()?,
            since: self.time()?,
            call_id: self.text()?,
            cseq: self.u32()?,
            user_agent: self.text()?,
            instance: self.text()?,
            reg_id: self.if_there(Self::u32)?,
            path: self.text()?,
            transport: self.transport()?,
            received: self.addr()?,
            local: self.addr()?,
            flow: self.if_there(Self::u64)?.map(FlowId),
            reachable: self.flag()?,
        };
        StoredBinding::new(id, &view).ok_or(RecordError::Broken)
    }

    fn publication(&mut self) -> Result<StoredPublication, RecordError> {
        Ok(StoredPublication {
            aor: self.text()?,
            lineage: self.u64()?,
            etag: self.u64()?,
            received: self.time()?,
            expires_at: self.time()?,
            source: self.if_there(Self::addr)?,
            tie: match self.byte()? {
                0 => StoredTie::Free,
                1 => StoredTie::Binding(self.u64()?),
                2 => StoredTie::Any,
                _ => return Err(RecordError::Broken),
            },
            document: self.text()?,
        })
    }

    fn message(&mut self) -> Result<StoredMessage, RecordError> {
        Ok(StoredMessage {
            id: self.u64()?,
            aor: self.text()?,
            received: self.time()?,
            expires_at: self.time()?,
            parties: [self.bytes()?, self.bytes()?],
            lines: self.bytes()?,
            body: self.bytes()?,
            max_forwards: self.byte()?,
        })
    }

    fn subscription(&mut self, version: u8) -> Result<StoredSubscription, RecordError> {
        let mut stored = StoredSubscription {
            id: self.u64()?,
            package: self.text()?,
            event: self.bytes()?,
            aor: self.text()?,
            watcher: self.text()?,
            trusted: false,
            standing: match self.byte()? {
                0 => StoredStanding::Active,
                1 => StoredStanding::Pending,
                2 => StoredStanding::Blocked,
                _ => return Err(RecordError::Broken),
            },
            form: match self.byte()? {
                0 => StoredForm::Whole,
                1 => StoredForm::Changes,
                2 => StoredForm::List,
                _ => return Err(RecordError::Broken),
            },
            since: self.time()?,
            expires_at: self.time()?,
            version: self.u32()?,
            dialog: StoredDialog {
                call_id: self.bytes()?,
                tags: [self.bytes()?, self.bytes()?],
                uris: [self.bytes()?, self.bytes()?],
                target: self.bytes()?,
                instance: Box::default(),
                routes: self.bytes()?,
                cseq: self.u32()?,
                their_cseq: self.u32()?,
                transport: self.transport()?,
                remote: self.addr()?,
                local: self.addr()?,
                peer: None,
            },
        };
        if version > 1 {
            stored.trusted = self.flag()?;
            stored.dialog.instance = self.bytes()?;
            stored.dialog.peer = self.if_there(Self::peer)?;
        }
        Ok(stored)
    }

    fn peer(&mut self) -> Result<StoredPeer, RecordError> {
        let (client, count) = (self.flag()?, self.u32()?);
        let names = (0..count).map(|_| self.text()).collect::<Result<_, _>>()?;
        Ok(StoredPeer { names, client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::unhex;

    fn put_binding() -> Change {
        let addr = |text: &str| text.parse().expect("an address");
        let view = BindingView {
            aor: "bob@example.com".into(),
            contact: "sip:bob@192.0.2.7".into(),
            params: ";+audio".into(),
            q: 500,
            expires_at: Time::from_secs(60),
            since: Time::from_secs(30),
            call_id: "c1".into(),
            cseq: 3,
            user_agent: "Phone".into(),
            instance: "urn:uuid:1".into(),
            reg_id: Some(1),
            path: "<sip:edge;lr>".into(),
            transport: Transport::Tls,
            received: addr("192.0.2.7:5060"),
            local: addr("[2001:db8::1]:5061"),
            flow: Some(FlowId(12)),
            reachable: true,
        };
        Change::PutBinding(StoredBinding::new(7, &view).expect("short"))
    }

    fn changes() -> Vec<Change> {
        let addr = |text: &str| text.parse().expect("an address");
        let bytes = |text: &str| Box::from(text.as_bytes());
        vec![
            put_binding(),
            Change::RemoveBinding { aor: "bob@example.com".into(), id: 7 },
            Change::PutPublication(Box::new(StoredPublication {
                aor: "bob@example.com".into(),
                lineage: 1,
                etag: 2,
                received: Time::from_secs(3),
                expires_at: Time::from_secs(4),
                source: Some(addr("192.0.2.7:5060")),
                tie: StoredTie::Binding(7),
                document: "<presence/>".into(),
            })),
            Change::RemovePublication { aor: "bob@example.com".into(), lineage: 1 },
            Change::PutSubscription(Box::new(StoredSubscription {
                id: 9,
                package: "presence".into(),
                event: bytes("presence;id=1"),
                aor: "bob@example.com".into(),
                watcher: "alice@example.com".into(),
                trusted: false,
                standing: StoredStanding::Pending,
                form: StoredForm::Changes,
                since: Time::from_secs(1),
                expires_at: Time::from_secs(2),
                version: 256,
                dialog: StoredDialog {
                    call_id: bytes("c2"),
                    tags: [bytes("ours"), bytes("theirs")],
                    uris: [bytes("sip:bob@example.com"), bytes("sip:alice@example.com")],
                    target: bytes("sip:alice@192.0.2.9"),
                    instance: bytes(""),
                    routes: bytes(""),
                    cseq: 1000,
                    their_cseq: 2,
                    transport: Transport::Udp,
                    remote: addr("192.0.2.9:5060"),
                    local: addr("192.0.2.1:5060"),
                    peer: None,
                },
            })),
            Change::RemoveSubscription { id: 9 },
            Change::PutDecision { aor: "bob@example.com".into(), watcher: "eve@x".into(), allow: false },
            Change::PutMessage(Box::new(StoredMessage {
                id: 3,
                aor: "bob@example.com".into(),
                received: Time::from_secs(5),
                expires_at: Time::from_secs(6),
                parties: [bytes("<sip:alice@example.com>"), bytes("<sip:bob@example.com>")],
                lines: bytes("Content-Type: text/plain\r\n"),
                body: bytes("hello"),
                max_forwards: 69,
            })),
            Change::RemoveMessage { id: 3 },
            Change::RefreshBinding { id: 7, expires_at: Time::from_secs(61), cseq: 4 },
        ]
    }

    /// What version 1 has no place for.
    fn later() -> Vec<Change> {
        let Some(Change::PutSubscription(plain)) =
            changes().into_iter().find(|change| matches!(change, Change::PutSubscription(_)))
        else {
            panic!("one of them is a subscription");
        };
        let with = |change: fn(&mut StoredSubscription)| {
            let mut stored = plain.clone();
            change(&mut stored);
            Change::PutSubscription(stored)
        };
        vec![
            with(|stored| stored.trusted = true),
            with(|stored| stored.dialog.instance = Box::from(&b"<urn:uuid:1>"[..])),
            with(|stored| {
                let names = vec!["carrier.example".into(), "sip:carrier.example".into()];
                stored.dialog.peer = Some(StoredPeer { names, client: true });
            }),
        ]
    }

    #[test]
    fn every_change_is_read_back_as_it_was_written() {
        for change in changes().into_iter().chain(later()) {
            assert_eq!(Change::from_record(&change.to_record()), Ok(change));
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn version_one_is_written_as_it_always_was() {
        let records = changes().into_iter().skip(1).map(|change| change.to_record());
        let all: Vec<String> = records.map(|record| hex(&record)).collect();
        assert!(all.iter().all(|record| record.starts_with("01")));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn bindings_are_of_version_three_and_those_of_version_one_are_read() {
        insta::assert_snapshot!(hex(&put_binding().to_record()));
        let first = "010107000000000000000f000000626f62406578616d706c652e636f6d110000007369703a626f62403139322e302e322e37\
                     070000003b2b617564696ff4010000005847f80d00000000ac23fc06000000020000006331030000000500000050686f6e65\
                     0a00000075726e3a757569643a3101010000000d0000003c7369703a656467653b6c723e020e0000003139322e302e322e37\
                     3a35303630120000005b323030313a6462383a3a315d3a35303631010c0000000000000001";
        let mut record = vec![0; first.len() / 2];
        assert!(unhex(first.as_bytes(), &mut record));
        assert_eq!(Change::from_record(&record), Ok(put_binding()));
    }

    #[test]
    fn a_binding_whose_layout_makes_no_sense_is_broken() {
        let good = put_binding().to_record();
        for (at, byte) in [
            (44, 9),
            (44, 0xff),
            (48, 9),
            (49, 9),
            (51, 0xff),
            (53, 0xff),
            (62, 0),
            (64, 0xff),
            (79, 5),
            (86, 5),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Change::from_record(&bad), Err(RecordError::Broken), "byte {at}");
        }
    }

    #[test]
    fn what_version_one_has_no_place_for_is_of_version_two() {
        let all: Vec<String> = later().iter().map(|change| hex(&change.to_record())).collect();
        assert!(all.iter().all(|record| record.starts_with("02")));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_broken_and_what_is_later_says_so() {
        for change in changes().into_iter().chain(later()) {
            let mut record = change.to_record();
            for length in 0..record.len() {
                assert_eq!(Change::from_record(&record[..length]), Err(RecordError::Broken), "{change:?}");
            }
            record.push(0);
            assert_eq!(Change::from_record(&record), Err(RecordError::Broken));
            record[0] = 9;
            assert_eq!(Change::from_record(&record), Err(RecordError::Version(9)));
        }
    }
}
