//! Globally routable user agent URIs, RFC 5627.
//!
//! A public GRUU is the AoR with `gr=` and the instance: it needs no state and is valid as long as the AoR. A temporary one
//! hides both: its user part is sealed and encrypted (a synthetic nonce, so that the same mint never repeats itself and no
//! two can be linked), and leads back to the record, the instance and its epoch. A new Call-ID of the instance, or its
//! last binding gone, begins a new epoch and voids the old ones (s5.1, s5.3). They do not outlive the process, whose seed
//! is fresh at every start; s5.3 asks clients to bear that.

use super::Registrar;
use super::binding::{Binding, BindingKey};
use super::location::RecordKey;
use crate::base::text::{self, Push};
use crate::base::{HashKey, Key};
use crate::config::{AorBuf, Settings};
use crate::ctx::Ctx;
use crate::wire::Uri;

/// Begins the user part of a temporary GRUU.
const PREFIX: &[u8] = b"tgruu.";
const SEAL: usize = 12;
const BODY: usize = 20;
const RAW: usize = SEAL + BODY;
const TEXT: usize = text::base64url_len(RAW);

/// Makes temporary GRUUs and reads them.
#[derive(Clone, Debug)]
pub(super) struct Mint(HashKey);

/// What a temporary GRUU leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) record: RecordKey,
    /// Of the instance.
    pub(super) instance: u32,
    pub(super) epoch: u32,
    /// Makes each one different.
    pub(super) number: u32,
}

impl Mint {
    pub(super) fn new(key: HashKey) -> Mint {
        Mint(key)
    }

    /// The short form of an instance.
    pub(super) fn instance(&self, instance: &[u8]) -> u32 {
        let folded: smallvec::SmallVec<[u8; 64]> = instance.iter().map(u8::to_ascii_lowercase).collect();
        self.0.hash128(&[b"instance", &folded]) as u32
    }

    pub(super) fn user(&self, origin: &Origin) -> [u8; TEXT] {
        let mut raw = [0; RAW];
        let (seal, body) = raw.split_at_mut(SEAL);
        let fields: [&[u8]; 4] = [
            &origin.record.to_bits().to_be_bytes(),
            &origin.instance.to_be_bytes(),
            &origin.epoch.to_be_bytes(),
            &origin.number.to_be_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            if let Some(out) = body.get_mut(at..at + field.len()) {
                out.copy_from_slice(field);
            }
            at += field.len();
        }
        seal.copy_from_slice(&self.seal(body));
        self.cross(seal, body);
        let mut out = [0; TEXT];
        text::base64url(&raw, &mut out);
        out
    }

    pub(super) fn read(&self, user: &[u8]) -> Option<Origin> {
        let mut raw = [0; RAW];
        if text::unbase64url(user.strip_prefix(PREFIX)?, &mut raw)?.len() != RAW {
            return None;
        }
        let (seal, body) = raw.split_at_mut(SEAL);
        self.cross(seal, body);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&*seal, &self.seal(body)[..])) {
            return None;
        }
        let number = |at: usize| {
            let bytes = body.get(at..).and_then(|b| b.first_chunk::<4>()).copied().unwrap_or_default();
            u32::from_be_bytes(bytes)
        };
        Some(Origin {
            record: Key::from_bits(u64::from(number(0)) << 32 | u64::from(number(4))),
            instance: number(8),
            epoch: number(12),
            number: number(16),
        })
    }

    fn seal(&self, body: &[u8]) -> [u8; SEAL] {
        let mac = self.0.hash128(&[b"seal", body]).to_be_bytes();
        mac.first_chunk().copied().unwrap_or_default()
    }

    /// Encrypts and decrypts: the seal is the nonce.
    fn cross(&self, seal: &[u8], body: &mut [u8]) {
        for (i, block) in body.chunks_mut(16).enumerate() {
            let stream = self.0.hash128(&[b"stream", seal, &[i as u8]]).to_be_bytes();
            block.iter_mut().zip(stream).for_each(|(b, s)| *b ^= s);
        }
    }
}

/// Appends the public GRUU of an instance (RFC 5627 s3.1.1, appendix A.1).
pub(super) fn write_public(out: &mut impl Push, secure: bool, aor: &str, instance: &[u8]) {
    out.push_bytes(if secure { b"sips:" } else { b"sip:" });
    out.push_bytes(aor.as_bytes());
    out.push_bytes(b";gr=");
    for byte in instance {
        if text::is(*byte, text::PARAM) {
            out.push_byte(*byte);
        } else {
            let mut hex = [0; 2];
            text::hex_into(&[*byte], &mut hex);
            out.push_byte(b'%');
            out.push_bytes(&hex.map(|c| c.to_ascii_uppercase()));
        }
    }
}

/// What a URI of one of our domains stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Named {
    /// An AoR with bindings.
    Record(RecordKey),
    /// One instance of it: the one this binding is of.
    Instance(RecordKey, BindingKey),
    /// One of ours without bindings now: 480.
    Nobody,
    /// A temporary GRUU that is not, or no more, valid: 404 (RFC 5627 s6.1).
    Void,
}

impl Registrar {
    /// Appends the temporary GRUU of a binding, if one was minted: the newest of its instance (RFC 5627 s5.2).
    pub(super) fn write_temporary(
        &self,
        out: &mut impl Push,
        secure: bool,
        aor: &str,
        binding: &Binding,
    ) -> bool {
        let siblings = self.location.of(binding.record).map(|(_, other)| other);
        let same = siblings.filter(|other| text::eq_ignore_case(other.instance(), binding.instance()));
        let number = same.map(|other| other.gruu).max().unwrap_or(0);
        let (Some((_, domain)), true) = (aor.rsplit_once('@'), number != 0) else { return false };
        let instance = self.gruus.instance(binding.instance());
        let origin = Origin { record: binding.record, instance, epoch: binding.epoch, number };
        out.push_bytes(if secure { b"sips:" } else { b"sip:" });
        out.push_bytes(PREFIX);
        out.push_bytes(&self.gruus.user(&origin));
        out.push_byte(b'@');
        out.push_bytes(domain.as_bytes());
        out.push_bytes(b";gr");
        true
    }

    /// What a URI stands for; `None` if it is of no domain of ours.
    pub(super) fn named(&self, ctx: &Ctx<'_>, settings: &Settings, uri: &Uri<'_>) -> Option<Named> {
        let mut aor = AorBuf::new();
        if !settings.domains.aor(uri, &mut aor) {
            return None;
        }
        let Some(gr) = uri.params().find(b"gr") else {
            return Some(self.location.find(&aor).map_or(Named::Nobody, Named::Record));
        };
        let of_instance = |record: RecordKey, same: &dyn Fn(&Binding) -> bool| {
            let mut bindings = self.location.of(record).filter(|(_, binding)| binding.is_live(ctx.now));
            bindings.find(|(_, binding)| same(binding)).map(|(key, _)| Named::Instance(record, key))
        };
        match gr.raw {
            // RFC 5627 s3.1.1: the value is the instance.
            Some(instance) => {
                let found = self.location.find(&aor).and_then(|record| {
                    of_instance(record, &|binding| is_escaped_instance(instance, binding.instance()))
                });
                Some(found.unwrap_or(Named::Nobody))
            }
            // RFC 5627 s3.1.2: nothing but the user part tells.
            None => {
                let found = self.gruus.read(uri.user().unwrap_or_default()).and_then(|origin| {
                    of_instance(origin.record, &|binding| {
                        binding.epoch == origin.epoch
                            && !binding.instance().is_empty()
                            && self.gruus.instance(binding.instance()) == origin.instance
                    })
                });
                Some(found.unwrap_or(Named::Void))
            }
        }
    }
}

fn is_escaped_instance(mut escaped: &[u8], instance: &[u8]) -> bool {
    let mut plain = instance.iter();
    while let Some((byte, _)) = text::unescape_next(&mut escaped) {
        if !plain.next().is_some_and(|b| b.eq_ignore_ascii_case(&byte)) {
            return false;
        }
    }
    plain.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u32) -> Origin {
        Origin { record: Key::from_bits(0x1_0000_0002), instance: 7, epoch: 3, number }
    }

    #[test]
    fn a_temporary_gruu_leads_back_and_cannot_be_altered() {
        let mint = Mint::new(HashKey::new([1, 2]));
        let mut user = PREFIX.to_vec();
        user.extend(mint.user(&origin(9)));
        assert_eq!(mint.read(&user), Some(origin(9)));
        for i in PREFIX.len()..user.len() {
            let mut forged = user.clone();
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(mint.read(&forged), None, "byte {i}");
        }
        assert_eq!(Mint::new(HashKey::new([1, 3])).read(&user), None);
    }

    #[test]
    fn two_temporary_gruus_of_one_phone_share_nothing() {
        let mint = Mint::new(HashKey::new([1, 2]));
        let (a, b) = (mint.user(&origin(1)), mint.user(&origin(2)));
        let same = a.iter().zip(b).filter(|(a, b)| **a == *b).count();
        assert!(same < 8, "{same} of {} characters are the same", a.len());
    }

    #[test]
    fn an_instance_survives_its_escaping() {
        let mut out = Vec::new();
        write_public(&mut out, false, "bob@example.com", b"urn:x-odd:a b;\"c");
        assert_eq!(out, b"sip:bob@example.com;gr=urn:x-odd:a%20b%3B%22c");
        assert!(is_escaped_instance(b"urn:x-odd:a%20b%3B%22c", b"URN:x-odd:a b;\"c"));
        assert!(!is_escaped_instance(b"urn:x-odd:a", b"urn:x-odd:ab"));
    }
}
