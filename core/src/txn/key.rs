//! What a transaction is known by: the matching rules of RFC 3261 s17.2.3 and s17.1.3 as keyed hashes.
//!
//! A request is known by branch, sent-by and method (DECISIONS 15). One 128-bit hash is computed per request; its last
//! byte makes room for the method, so that the requests of one branch differ in nothing else and an ACK or a CANCEL
//! finds its INVITE by the same hash. The hash is keyed by the seed: a peer cannot make two requests collide.
//! Without the magic cookie the rules of RFC 2543 hold: Request-URI, From tag, Call-ID, CSeq number and the whole top
//! Via are hashed instead, and the To tag takes 32 bits of its own, which an ACK does not compare.

use core::fmt;

use smallvec::SmallVec;

use crate::base::{HashKey, ids};
use crate::wire::{Essentials, Host, Kind, Message, Method, Via};

const COOKIE: &[u8] = b"z9hG4bK";
const METHOD: u64 = 0xff;
const TO_TAG: u64 = 0x00ff_ffff_ff00;

type Bytes = SmallVec<[u8; 256]>;

/// The name of a server transaction, and what tells a merged request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TxnId {
    pub(super) name: Name,
    /// Hash of what a merged request shares (RFC 3261 s8.2.2.2); 0 if that check does not apply.
    pub(super) merge: u64,
    pub(super) tag: u64,
}

impl TxnId {
    /// The To tag of responses to the request: the same for its repetitions and, by RFC 3261 s9.2, its CANCEL; different
    /// for all others.
    pub(crate) fn tag(self) -> u64 {
        self.tag
    }
}

impl fmt::Debug for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxnId({:016x}{:016x})", self.name.hash, self.name.rest)
    }
}

/// 120 bits of hash and the method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name {
    /// What the table is indexed by: the same for all methods of a branch.
    pub(super) hash: u64,
    rest: u64,
}

/// What a request is named.
pub(super) struct Named {
    pub(super) name: Name,
    pub(super) rules: Rules,
    /// For the To of its responses.
    pub(super) tag: u64,
}

/// How a request names its transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rules {
    /// By the branch.
    Branch,
    /// As in RFC 2543.
    Legacy,
}

impl Named {
    fn new(wide: u128, method: Method, rules: Rules) -> Named {
        // Shown to the peer: the halves hide each other, so that it learns nothing about the table.
        Named { name: Name::new(wide, method), rules, tag: (wide >> 64) as u64 ^ wide as u64 }
    }
}

impl Name {
    fn new(wide: u128, method: Method) -> Name {
        Name { hash: (wide >> 64) as u64, rest: wide as u64 & !METHOD | method as u64 }
    }

    /// The name of the request with this method on the same branch.
    pub(super) fn with_method(self, method: Method) -> Name {
        Name { rest: self.rest & !METHOD | method as u64, ..self }
    }

    /// The same branch, whatever the method.
    pub(super) fn same_branch(self, other: Name) -> bool {
        self.hash == other.hash && (self.rest ^ other.rest) & !METHOD == 0
    }

    /// Equal but for the To tag, which only the names of RFC 2543 hold.
    pub(super) fn same_but_to_tag(self, other: Name) -> bool {
        self.hash == other.hash && (self.rest ^ other.rest) & !TO_TAG == 0
    }

    /// Of a request that came in. An ACK bears the name of its INVITE.
    pub(super) fn of_request(key: &HashKey, msg: Message<'_>, via: &Via<'_>, ess: &Essentials<'_>) -> Named {
        let method = match msg.method() {
            Method::Ack => Method::Invite,
            method => method,
        };
        let other = if method == Method::Other { ess.cseq.method_raw } else { b"" };
        if let Some(named) = Name::of_branch(key, other, method, via) {
            return named;
        }
        let uri = match msg.kind() {
            Kind::Request { uri, .. } => uri,
            Kind::Response { .. } => b"",
        };
        let number = ess.cseq.number.to_be_bytes();
        let from = ess.from.tag().unwrap_or_default();
        let wide = key.hash128(&[b"2543", other, uri, from, ess.call_id, &number, via.raw]);
        let mut named = Named::new(wide, method, Rules::Legacy);
        let to = key.hash(ess.to.tag().unwrap_or_default());
        named.name.rest = named.name.rest & !TO_TAG | to << 8 & TO_TAG;
        named
    }

    /// Of a request that is known by its branch; `other` is the name of a method that has no number.
    #[inline(always)]
    pub(super) fn of_branch(key: &HashKey, other: &[u8], method: Method, via: &Via<'_>) -> Option<Named> {
        // RFC 4475 s3.2.1: the cookie alone identifies nothing.
        let branch =
            via.branch().filter(|branch| branch.len() > COOKIE.len() && branch.starts_with(COOKIE))?;
        let mut bytes: Bytes = SmallVec::new();
        if !other.is_empty() {
            bytes.extend_from_slice(other);
            bytes.push(0);
        }
        bytes.extend_from_slice(branch);
        sent_by(via, &mut bytes);
        Some(Named::new(key.hash_wide(&bytes), method, Rules::Branch))
    }

    /// Of a request we sent, and of its responses: branch and CSeq method (RFC 3261 s17.1.3).
    pub(super) fn of_client(key: &HashKey, branch: &[u8], method: Method, method_raw: &[u8]) -> Name {
        let raw = if method == Method::Other { method_raw } else { b"" };
        Name::new(key.hash128(&[raw, branch]), method)
    }
}

/// Is a branch in the form of ours? The identifier in it cannot be guessed: whoever has it, has it from us.
pub(crate) fn is_own_branch(branch: &[u8]) -> bool {
    branch.strip_prefix(COOKIE).is_some_and(|id| ids::read(id).is_some())
}

/// What a merged request has in common with the first: From tag, Call-ID and CSeq by RFC 3261 s8.2.2.2, From URI and
/// Request-URI by DECISIONS 15. 0 where the check does not apply.
pub(super) fn merge(key: &HashKey, msg: Message<'_>, ess: &Essentials<'_>) -> u64 {
    let Kind::Request { method, method_raw, uri } = msg.kind() else { return 0 };
    if ess.to.tag().is_some() || matches!(method, Method::Register | Method::Ack | Method::Cancel) {
        return 0;
    }
    let number = ess.cseq.number.to_be_bytes();
    let from = ess.from.tag().unwrap_or_default();
    key.hash_parts(&[ess.call_id, from, &number, method_raw, ess.from.uri.raw(), uri]).max(1)
}

/// Appends the sent-by so that equal ones are equal bytes and no other bytes are.
fn sent_by(via: &Via<'_>, bytes: &mut Bytes) {
    // RFC 3261 s18.1.1: without a port it is the default one of the transport.
    let port = via.port.unwrap_or_else(|| {
        let secure = via.transport.eq_ignore_ascii_case(b"TLS") || via.transport.eq_ignore_ascii_case(b"WSS");
        if secure { 5061 } else { 5060 }
    });
    let [high, low] = port.to_be_bytes();
    // No branch and no host name holds a byte below the space.
    match via.host {
        Host::Name(name) => {
            bytes.push(1);
            bytes.extend_from_slice(name);
            let at = bytes.len() - name.len();
            bytes.get_mut(at..).unwrap_or_default().make_ascii_lowercase();
            bytes.extend_from_slice(&[0, high, low]);
        }
        Host::V4(address) => {
            let [a, b, c, d] = address.octets();
            bytes.extend_from_slice(&[2, a, b, c, d, 0, high, low]);
        }
        Host::V6(address) => {
            bytes.push(3);
            bytes.extend_from_slice(&address.octets());
            bytes.extend_from_slice(&[0, high, low]);
        }
    }
}
