//! Who we are, in requests of ours: the answer to a Digest challenge (RFC 7616 s3.4, RFC 8760), and tokens (RFC 8898).

use crate::base::hash;
use crate::base::ids::IdKind;
use crate::base::text;
use crate::config::{DigestAlgorithm, HashedCredential};
use crate::ctx::{Ctx, Origin};
use crate::door::AgentToken;
use crate::wire::{AuthValue, Challenge, Header, Message};

/// A challenge that is to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: DigestAlgorithm,
    qop: Qop,
    /// Our name is not to be read (RFC 7616 s3.4.4).
    hashed: bool,
    uses: u32,
    /// Only the nonce was old.
    pub(crate) stale: bool,
    proxy: bool,
}

/// What a response protects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Qop {
    /// Older servers ask for none.
    None,
    Auth,
    AuthInt,
}

impl Asked {
    /// The first challenge of a response that we can answer: servers name the strongest first (RFC 8760 s2.3).
    pub(crate) fn of(msg: Message<'_>) -> Option<Asked> {
        let headers = [(Header::WwwAuthenticate, false), (Header::ProxyAuthenticate, true)];
        headers.into_iter().find_map(|(header, proxy)| {
            msg.headers(header).find_map(|value| Asked::read(value, proxy, false))
        })
    }

    /// `whole`: a challenge that wants the body protected can be answered too.
    fn read(value: &[u8], proxy: bool, whole: bool) -> Option<Asked> {
        let Ok(Challenge::Digest(digest)) = Challenge::parse(value) else { return None };
        let text = |value: AuthValue<'_>| String::from_utf8(value.bytes().collect()).ok();
        let known = DigestAlgorithm::STRONGEST_FIRST;
        let algorithm = match digest.algorithm {
            None => DigestAlgorithm::Md5,
            Some(named) => known.into_iter().find(|a| named.is_ignore_case(a.token().as_bytes()))?,
        };
        let qop = match digest.qop {
            None => Qop::None,
            Some(offered) => {
                let has = |name: &[u8]| offered.tokens().any(|token| token.eq_ignore_ascii_case(name));
                match () {
                    _ if has(b"auth") => Qop::Auth,
                    _ if whole && has(b"auth-int") => Qop::AuthInt,
                    _ => return None,
                }
            }
        };
        Some(Asked {
            realm: text(digest.realm?)?,
            nonce: text(digest.nonce?)?,
            opaque: digest.opaque.and_then(text),
            algorithm,
            qop,
            hashed: digest.userhash.is_some_and(|hashed| hashed.is_ignore_case(b"true")),
            uses: 0,
            stale: digest.stale.is_some_and(|stale| stale.is_ignore_case(b"true")),
            proxy,
        })
    }

    /// The header and its value for the next request.
    pub(crate) fn answer(
        &mut self,
        ctx: &mut Ctx<'_>,
        account: (&str, &str),
        method: &str,
        uri: &[u8],
    ) -> (Header, String) {
        self.answer_whole(ctx, account, method, (uri, b""))
    }

    /// The same for a request with this body.
    fn answer_whole(
        &mut self,
        ctx: &mut Ctx<'_>,
        (username, password): (&str, &str),
        method: &str,
        (uri, body): (&[u8], &[u8]),
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
        let ha2 = match self.qop {
            Qop::AuthInt => digest(&[method.as_bytes(), b":", uri, b":", &digest(&[body])]),
            Qop::None | Qop::Auth => digest(&[method.as_bytes(), b":", uri]),
        };
        let qop = if self.qop == Qop::AuthInt { "auth-int" } else { "auth" };
        let (cnonce, count) = (ctx.ids.next_text(IdKind::Cnonce), format!("{:08x}", self.uses));
        let nonce = self.nonce.as_bytes();
        let response = match self.qop {
            Qop::None => digest(&[ha1, b":", nonce, b":", &ha2]),
            Qop::Auth | Qop::AuthInt => {
                let (count, cnonce, qop) = (count.as_bytes(), cnonce.as_bytes(), qop.as_bytes());
                digest(&[ha1, b":", nonce, b":", count, b":", cnonce, b":", qop, b":", &ha2])
            }
        };
        let (uri, response) = (String::from_utf8_lossy(uri), String::from_utf8_lossy(&response));
        let name = match self.hashed {
            true => digest(&[username.as_bytes(), b":", self.realm.as_bytes()]),
            false => username.into(),
        };
        // What is hashed is what the challenge meant; what is sent says it as the challenge did.
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\", algorithm={}",
            text::quotable(&String::from_utf8_lossy(&name)),
            text::quotable(&self.realm),
            text::quotable(&self.nonce),
            text::quotable(&uri),
            self.algorithm.token()
        );
        if self.qop != Qop::None {
            value.push_str(&format!(", qop={qop}, nc={count}, cnonce=\"{}\"", &*cnonce));
        }
        if self.hashed {
            value.push_str(", userhash=true");
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque=\"{}\"", text::quotable(opaque)));
        }
        (if self.proxy { Header::ProxyAuthorization } else { Header::Authorization }, value)
    }
}

/// What a user agent proves itself by.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    /// For Digest.
    pub(crate) username: &'a str,
    /// For Digest.
    pub(crate) password: Option<&'a str>,
    /// For Bearer.
    pub(crate) token: Option<&'a AgentToken>,
}

impl Means<'_> {
    /// RFC 8898 s4: a token is said where nobody listens.
    fn token_towards(&self, to: &Origin) -> Option<&str> {
        let token = self.token.filter(|token| token.in_clear || to.transport.is_secure())?;
        Some(&token.token.0)
    }
}

/// What was asked of us, by the other side and by a proxy on the way to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proofs {
    asked: [Option<Box<Asked>>; 2],
    /// Our token was said, and is not good.
    token_refused: [bool; 2],
    /// A proxy takes tokens. To the other side they are said without being asked for.
    proxy_takes_tokens: bool,
}

impl Proofs {
    /// Takes the challenges of a 401 or 407. False if there is nothing to say to one of them that was not said: `first`,
    /// if what was said before belongs to an earlier request, whose nonce may have grown old without a word.
    pub(crate) fn learn(&mut self, msg: Message<'_>, to: &Origin, means: &Means<'_>, first: bool) -> bool {
        let mut learned = false;
        for (i, header) in [Header::WwwAuthenticate, Header::ProxyAuthenticate].into_iter().enumerate() {
            let proxy = i == 1;
            if msg.header(header).is_none() {
                continue;
            }
            if !self.learn_one(i, msg, to, means, (header, proxy, first)) {
                return false;
            }
            learned = true;
        }
        learned
    }

    fn learn_one(
        &mut self,
        i: usize,
        msg: Message<'_>,
        to: &Origin,
        means: &Means<'_>,
        (header, proxy, first): (Header, bool, bool),
    ) -> bool {
        let (Some(asked), Some(refused)) = (self.asked.get_mut(i), self.token_refused.get_mut(i)) else {
            return false;
        };
        let can = means.token_towards(to).is_some() && !*refused;
        let said = can && (!proxy || self.proxy_takes_tokens);
        let bearer = |value: &[u8]| matches!(Challenge::parse(value), Ok(Challenge::Bearer(_)));
        if can && !said && msg.headers(header).any(bearer) {
            self.proxy_takes_tokens = true;
            return true;
        }
        *refused |= said;
        if means.password.is_none() {
            return false;
        }
        let new = msg.headers(header).find_map(|value| Asked::read(value, proxy, true));
        let Some(new) = new.filter(|new| asked.is_none() || new.stale || first) else { return false };
        *asked = Some(Box::new(new));
        true
    }

    /// A new token, or another password: what was refused is tried again.
    pub(crate) fn renew(&mut self) {
        *self = Proofs::default();
    }

    /// The headers of the next request, and their values.
    pub(crate) fn headers(
        &mut self,
        ctx: &mut Ctx<'_>,
        to: &Origin,
        means: &Means<'_>,
        method: &str,
        what: (&[u8], &[u8]),
    ) -> Vec<(Header, String)> {
        let mut out = Vec::new();
        let token = means.token_towards(to);
        for (i, header) in [Header::Authorization, Header::ProxyAuthorization].into_iter().enumerate() {
            let wanted = i == 0 || self.proxy_takes_tokens;
            match (token, self.token_refused.get(i)) {
                (Some(token), Some(false)) if wanted => {
                    out.push((header, format!("Bearer {token}")));
                    continue;
                }
                _ => {}
            }
            if let (Some(Some(asked)), Some(password)) = (self.asked.get_mut(i), means.password) {
                out.push(asked.answer_whole(ctx, (means.username, password), method, what));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ctx::fixture::Fixture;
    use crate::wire::Credentials;

    /// What may be meant by a quoted string.
    const MEANT: &str = "[ -~äß]{0,20}";

    proptest! {
        #[test]
        fn credentials_say_what_the_challenge_and_the_account_mean(
            (realm, nonce, username) in (MEANT, MEANT, MEANT),
            opaque in proptest::option::of(MEANT),
            algorithm in 0..3_usize,
            qop in proptest::option::of(prop_oneof![Just("auth"), Just("auth-int"), Just("auth,auth-int")]),
            (userhash, proxy) in any::<(bool, bool)>(),
        ) {
            let algorithm = DigestAlgorithm::STRONGEST_FIRST[algorithm];
            let quoted = |text: &str| format!("\"{}\"", text::quotable(text));
            let mut challenge = format!(
                "Digest realm={}, nonce={}, algorithm={}", quoted(&realm), quoted(&nonce), algorithm.token()
            );
            if let Some(opaque) = &opaque {
                challenge += &format!(", opaque={}", quoted(opaque));
            }
            if let Some(qop) = qop {
                challenge += &format!(", qop=\"{qop}\"");
            }
            if userhash {
                challenge += ", userhash=true";
            }
            let mut asked = Asked::read(challenge.as_bytes(), proxy, true).expect("one we can answer");
            let mut fixture = Fixture::new();
            for uses in 1..3_u32 {
                let (header, value) = asked.answer(&mut fixture.ctx(), (&username, "secret"), "REGISTER", b"sip:h;x=\"y\"");
                prop_assert_eq!(header == Header::ProxyAuthorization, proxy);
                let said = match Credentials::parse(value.as_bytes()) {
                    Ok(Credentials::Digest(digest)) => digest,
                    other => panic!("{other:?}: {value}"),
                };
                let is = |said: Option<AuthValue<'_>>, meant: &str| said.is_some_and(|said| said.is(meant.as_bytes()));
                prop_assert!(is(said.realm, &realm) && is(said.nonce, &nonce), "{}", value);
                prop_assert!(is(said.uri, "sip:h;x=\"y\"") && is(said.algorithm, algorithm.token()), "{}", value);
                prop_assert_eq!(said.opaque.map(|said| said.bytes().collect()), opaque.clone().map(String::into_bytes));
                prop_assert_eq!(is(said.username, &username), !userhash, "{}", value);
                prop_assert_eq!(said.qop.is_some(), qop.is_some());
                prop_assert_eq!(said.nc.map(|nc| nc.raw().to_vec()), qop.map(|_| format!("{uses:08x}").into_bytes()));
                prop_assert_eq!(said.userhash.is_some(), userhash);
                prop_assert_eq!(said.response.map(|hash| hash.raw().len()), Some(2 * algorithm.len()));
            }
        }
    }
}
