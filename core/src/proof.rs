//! Our answer to a Digest challenge: RFC 7616 s3.4, RFC 8760.

use crate::base::hash;
use crate::base::ids::IdKind;
use crate::base::text;
use crate::config::{DigestAlgorithm, HashedCredential};
use crate::ctx::Ctx;
use crate::wire::{AuthValue, Challenge, Header, Message};

/// A challenge that is to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: DigestAlgorithm,
    /// Older servers ask for no `qop`.
    qop: bool,
    uses: u32,
    /// Only the nonce was old.
    pub(crate) stale: bool,
    proxy: bool,
}

impl Asked {
    /// The first challenge of a response that we can answer: servers name the strongest first (RFC 8760 s2.3).
    pub(crate) fn of(msg: Message<'_>) -> Option<Asked> {
        let headers = [(Header::WwwAuthenticate, false), (Header::ProxyAuthenticate, true)];
        headers
            .into_iter()
            .find_map(|(header, proxy)| msg.headers(header).find_map(|value| Asked::read(value, proxy)))
    }

    fn read(value: &[u8], proxy: bool) -> Option<Asked> {
        let Ok(Challenge::Digest(digest)) = Challenge::parse(value) else { return None };
        let text = |value: AuthValue<'_>| String::from_utf8(value.bytes().collect()).ok();
        let known = DigestAlgorithm::STRONGEST_FIRST;
        let algorithm = match digest.algorithm {
            None => DigestAlgorithm::Md5,
            Some(named) => known.into_iter().find(|a| named.is_ignore_case(a.token().as_bytes()))?,
        };
        let qop = match digest.qop {
            None => false,
            Some(offered) => {
                offered.tokens().any(|token| token.eq_ignore_ascii_case(b"auth")).then_some(true)?
            }
        };
        Some(Asked {
            realm: text(digest.realm?)?,
            nonce: text(digest.nonce?)?,
            opaque: digest.opaque.and_then(text),
            algorithm,
            qop,
            uses: 0,
            stale: digest.stale.is_some_and(|stale| stale.is_ignore_case(b"true")),
            proxy,
        })
    }

    /// The header and its value for the next request.
    pub(crate) fn answer(
        &mut self,
        ctx: &mut Ctx<'_>,
        (username, password): (&str, &str),
        method: &str,
        uri: &[u8],
    ) -> (Header, String) {
        self.uses += 1;
        let hex = |hash: &[u8; 32]| {
            let mut out = Vec::new();
            text::push_hex(hash.get(..self.algorithm.len()).unwrap_or_default(), &mut out);
            out
        };
        let digest = |parts: &[&[u8]]| hex(&hash::digest(self.algorithm, parts));
        let ha1 = HashedCredential::of(self.algorithm, username, &self.realm, password);
        let mut raw = [0; 64];
        let ha1 = text::hex_into(ha1.bytes(), &mut raw);
        let ha2 = digest(&[method.as_bytes(), b":", uri]);
        let (cnonce, count) = (ctx.ids.next_text(IdKind::Cnonce), format!("{:08x}", self.uses));
        let nonce = self.nonce.as_bytes();
        let response = match self.qop {
            true => {
                digest(&[ha1, b":", nonce, b":", count.as_bytes(), b":", cnonce.as_bytes(), b":auth:", &ha2])
            }
            false => digest(&[ha1, b":", nonce, b":", &ha2]),
        };
        let (uri, response) = (String::from_utf8_lossy(uri), String::from_utf8_lossy(&response));
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={}",
            username,
            self.realm,
            self.nonce,
            self.algorithm.token()
        );
        if self.qop {
            value.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{}\"", &*cnonce));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        (if self.proxy { Header::ProxyAuthorization } else { Header::Authorization }, value)
    }
}
