//! Authentication: one pure decision about a request out of dialog, from its credentials, the configuration, the keys
//! and the time (RFC 3261 s22, RFC 7616, RFC 8760, RFC 8898).
//!
//! [`Auth::check`] proves *who* sent a request. Whether that identity may act for an address of record is asked of
//! [`Identity::owns`] by the room that knows the AoR. ACK and CANCEL are never checked (RFC 3261 s22.1).
//!
//! | credentials                         | verdict                                    |
//! |-------------------------------------|--------------------------------------------|
//! | none for our realm                  | challenge, `Missing`                       |
//! | right, nonce fresh, count new       | allow, `Ok`                                |
//! | right, nonce stale                  | challenge `stale=true`, `Stale`            |
//! | right, count used before            | challenge `stale=true`, `Replay`           |
//! | nonce not ours                      | challenge, `Missing`                       |
//! | wrong password, unknown user        | challenge, `Wrong`, `UnknownUser`          |
//! | unreadable                          | 400, `Malformed`                           |
//! | of a scheme not taken here          | challenge, `NotAllowed`                    |
//! | token bad, expired, for others      | challenge with `error`, distinct verdicts  |
//! | token good, owns no address here    | 403, `NotAllowed`                          |
//! | keys or store cannot be asked       | 503, `Unavailable`                         |
//!
//! An unknown user and a wrong password take the same path: the same bytes but for the nonce, the same hashing.

mod cache;
mod challenge;
mod digest;
mod identity;
mod info;
mod nonce;
mod policy;
mod request;
mod users;
mod verdict;

#[cfg(feature = "jwt")]
mod bearer;
#[cfg(feature = "jwt")]
mod claims;
#[cfg(feature = "jwt")]
mod jwks;
#[cfg(feature = "jwt")]
mod revoked;

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;

use crate::base::hash::{DigestAlgorithm, sha256};
use crate::base::{HashKey, IdKind, Ids, Time, TimerKey, text};
use crate::config::{DigestConfig, HashedCredential, Settings};
use crate::ctx::{Ctx, Origin, Refusal, Timer};
#[cfg(feature = "jwt")]
use crate::door::Secret;
use crate::door::{AuthVerdict, CredentialsAnswer, Identity, IntrospectAnswer, KeysAnswer, Revoked, Scheme};
use crate::wire::{DigestCredentials, Kind, Message, Method, Status};

use challenge::{BearerChallenge, BearerError, DigestChallenge};
use digest::{Answer, KnownA2, Unusable};
use info::Qop;
use nonce::{Count, Nonce, NonceKey, NonceText, Nonces};
use policy::Asked;
use request::{Request, Shown};
use users::Users;
use verdict::{allow, malformed, unavailable};

pub(crate) use challenge::Challenge;
pub(crate) use info::AuthInfo;
pub(crate) use verdict::{Allowed, Need, Verdict, Wait};

/// A question for keys without an answer for so long has failed, and may be asked again.
pub(crate) const KEYS_PATIENCE: Duration = Duration::from_secs(30);
/// Nonces forgotten in one go when their time is over; the rest follows at once.
const EXPIRED_PER_CALL: usize = 4096;

/// Decides who sent a request, and remembers what that takes: used nonce counts, keys, good tokens.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    /// 256 bits of the seed, for what the configuration gives no key for.
    drawn: Secrets,
    nonces: Nonces,
    nonces_timer: TimerKey,
    known_a2: KnownA2,
    users: Users,
    nobody: Arc<Identity>,
    trusted: Arc<Identity>,
    #[cfg(feature = "jwt")]
    bearer: bearer::Bearer,
}

#[derive(Clone, Debug)]
struct Secrets {
    nonce: HashKey,
    /// For each algorithm the `HA1` of a password nobody has: an unknown user costs what a wrong password costs.
    dummies: [HashedCredential; 3],
}

impl Auth {
    /// For an engine with these settings.
    pub(crate) fn new(ids: &mut Ids, settings: &Settings) -> Auth {
        let secret = ids.secret(IdKind::Nonce);
        let mut hex = [0; 64];
        let password = text::hex_into(&sha256(&[b"dummy", &secret]), &mut hex);
        let password = core::str::from_utf8(password).expect("invariant: hexadecimal is ASCII");
        let dummies = [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256]
            .map(|algorithm| HashedCredential::of(algorithm, "", "", password));
        let drawn = Secrets { nonce: derived(b"nonce", &secret), dummies };
        let whoever = |scheme| {
            Arc::new(Identity {
                scheme,
                account: "".into(),
                aors: Vec::new(),
                scopes: Vec::new(),
                foreign_contacts: true,
            })
        };
        Auth {
            nonces: Nonces::new(nonce_key(&settings.digest, &drawn), settings.digest.boot_epoch),
            nonces_timer: TimerKey::NONE,
            known_a2: KnownA2::default(),
            users: Users::new(ids.hash_key()),
            nobody: whoever(Scheme::None),
            trusted: whoever(Scheme::Trusted),
            #[cfg(feature = "jwt")]
            bearer: bearer::Bearer::new(ids.hash_key(), settings.jwt.as_ref()),
            drawn,
        }
    }

    /// Takes over new settings, which are those of `ctx`. True if answers to questions for keys asked before must not
    /// be taken any more: their issuers may be others now.
    pub(crate) fn reload(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let digest = &ctx.settings.digest;
        self.nonces.rekey(nonce_key(digest, &self.drawn), digest.boot_epoch);
        ctx.timers.disarm(core::mem::take(&mut self.nonces_timer));
        self.arm_nonces(ctx);
        // The realm, the domains or the store may be others now.
        self.users.clear(ctx);
        #[cfg(feature = "jwt")]
        return self.bearer.reload(ctx);
        #[cfg(not(feature = "jwt"))]
        false
    }

    /// Decides about a request out of dialog. Never to be asked about ACK and CANCEL.
    ///
    /// After [`Verdict::Park`] it is asked again about the same request, with what was found out.
    pub(crate) fn check(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        method: Method,
        waiting: Wait,
    ) -> Verdict {
        let settings = Arc::clone(ctx.settings);
        let schemes = match policy::asked(&settings, origin, method) {
            Asked::Nothing => return allow(&self.nobody, AuthVerdict::NotAsked),
            Asked::Trusted => return allow(&self.trusted, AuthVerdict::Ok(Scheme::Trusted)),
            Asked::Denied => {
                return Verdict::Refuse(Refusal::plain(Status::FORBIDDEN), AuthVerdict::NotAllowed);
            }
            Asked::Credentials(schemes) => schemes,
        };
        let request = Request { settings: &settings, origin, msg, method, schemes };
        match request.credentials() {
            Shown::Digest(credentials) => self.check_digest(ctx, &request, &credentials, waiting),
            Shown::Bearer(token) => self.check_bearer(ctx, &request, token, &waiting),
            Shown::Nothing => self.challenge(ctx, &request, AuthVerdict::Missing),
            Shown::NotTaken => self.challenge(ctx, &request, AuthVerdict::NotAllowed),
            Shown::Malformed => malformed(),
        }
    }

    /// Issuers whose keys are to be asked for now: at the start and after a reload.
    pub(crate) fn wants_keys_at_start(&mut self, ctx: &mut Ctx<'_>) -> Vec<u16> {
        #[cfg(feature = "jwt")]
        return self.bearer.wants_keys(ctx);
        #[cfg(not(feature = "jwt"))]
        {
            let _ = ctx;
            Vec::new()
        }
    }

    /// Takes the answer to a question for keys. Those who wait are to be checked again with [`Wait::KeysDone`].
    pub(crate) fn keys_answer(&mut self, ctx: &mut Ctx<'_>, issuer: u16, answer: KeysAnswer) {
        #[cfg(feature = "jwt")]
        self.bearer.keys_answer(ctx, issuer, answer);
        #[cfg(not(feature = "jwt"))]
        let _ = (ctx, issuer, answer);
    }

    /// Takes what an authorization server says of the token with this SHA-256. Those who wait are to be checked again with
    /// [`Wait::KeysDone`].
    pub(crate) fn introspected(&mut self, ctx: &mut Ctx<'_>, name: &[u8; 32], answer: &IntrospectAnswer) {
        #[cfg(feature = "jwt")]
        self.bearer.introspected(ctx, name, answer);
        #[cfg(not(feature = "jwt"))]
        let _ = (ctx, name, answer);
    }

    /// The keys of an issuer want a refresh; true if they are to be asked for.
    pub(crate) fn on_keys_timer(&mut self, ctx: &mut Ctx<'_>, issuer: u16) -> bool {
        #[cfg(feature = "jwt")]
        return self.bearer.on_keys_timer(ctx, issuer);
        #[cfg(not(feature = "jwt"))]
        {
            let _ = (ctx, issuer);
            false
        }
    }

    /// The oldest remembered nonces are past their lifetime.
    pub(crate) fn on_nonces_timer(&mut self, ctx: &mut Ctx<'_>) {
        self.nonces_timer = TimerKey::NONE;
        self.nonces.expire(ctx.now, ctx.settings.digest.nonce_lifetime, EXPIRED_PER_CALL);
        self.arm_nonces(ctx);
    }

    /// The oldest remembered tokens are past their life.
    pub(crate) fn on_tokens_timer(&mut self, ctx: &mut Ctx<'_>) {
        #[cfg(feature = "jwt")]
        self.bearer.on_tokens_timer(ctx);
        #[cfg(not(feature = "jwt"))]
        let _ = ctx;
    }

    /// The first users of the store are known for too long.
    pub(crate) fn on_users_timer(&mut self, ctx: &mut Ctx<'_>) {
        self.users.on_timer(ctx);
    }

    /// The store says something else of a user now.
    pub(crate) fn forget_user(&mut self, name: &str) {
        self.users.forget(name);
    }

    /// Takes tokens of an issuer back, until this wall time. False if no more can be remembered.
    pub(crate) fn revoke(&mut self, ctx: &mut Ctx<'_>, issuer: &str, what: &Revoked, until: Time) -> bool {
        #[cfg(feature = "jwt")]
        let remembered = self.bearer.revoke(ctx, issuer, what, until);
        #[cfg(not(feature = "jwt"))]
        let remembered = {
            let _ = (ctx, issuer, what, until);
            true
        };
        remembered
    }

    /// How many users of the store, and revocations of tokens, are remembered.
    pub(crate) fn remembered(&self) -> (usize, usize) {
        #[cfg(feature = "jwt")]
        let revocations = self.bearer.revocations();
        #[cfg(not(feature = "jwt"))]
        let revocations = 0;
        (self.users.len(), revocations)
    }

    /// How many nonces are remembered.
    pub(crate) fn nonces(&self) -> usize {
        self.nonces.len()
    }

    /// How many tokens are remembered.
    pub(crate) fn tokens(&self) -> usize {
        #[cfg(feature = "jwt")]
        return self.bearer.tokens();
        #[cfg(not(feature = "jwt"))]
        0
    }

    fn check_digest(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_>,
        shown: &DigestCredentials<'_>,
        waiting: Wait,
    ) -> Verdict {
        let &Request { settings, origin, msg, method, .. } = request;
        let config = &settings.digest;
        // The nonce first. A client that was never challenged sends an empty one (RFC 8760 s2.7), and one of another
        // life of the server was not ours; both learn the right one, and cost one hash.
        let nonce = shown.nonce.map_or(&b""[..], |value| value.raw());
        let nonce = self.nonces.verify(ctx.now, nonce, bound_source(config, origin), config.nonce_lifetime);
        if nonce == Nonce::Forged {
            return self.challenge(ctx, request, AuthVerdict::Missing);
        }
        let answer = match Answer::read(shown, config.allow_no_qop) {
            Ok(answer) => answer,
            Err(Unusable::Algorithm) => return self.challenge(ctx, request, AuthVerdict::NotAllowed),
            Err(Unusable::Malformed) => return malformed(),
        };
        let Kind::Request { method_raw, uri, .. } = msg.kind() else { return malformed() };
        // RFC 7616 s3.4.6, DECISIONS 7: what was signed is what is asked for.
        let agrees = digest::uri_agrees(settings, uri, answer.uri) || policy::through_proxy(settings, origin);
        if !agrees || (method == Method::Register && !digest::is_ours(settings, answer.uri)) {
            let refusal = Refusal::because(Status::BAD_REQUEST, "Digest uri does not match");
            return Verdict::Refuse(refusal, AuthVerdict::Refused);
        }

        // Known and unknown users take the same path from here on: only the secret differs.
        let local = answer.user.account(&settings.accounts, answer.algorithm);
        let mut remembered = false;
        let foreign = match (local, answer.user.name()) {
            (None, Some(name)) if config.foreign_store => {
                // What the store has just said counts more than what is remembered.
                let first = matches!(waiting, Wait::First | Wait::KeysDone);
                let known = if first { self.users.find(ctx, name, answer.algorithm) } else { None };
                remembered = known.is_some();
                match known {
                    Some(known) => Some(known),
                    None => match foreign(&answer, name, settings, waiting) {
                        Foreign::Known(credential, identity) => {
                            self.users.keep(ctx, (credential.clone(), Arc::clone(&identity)));
                            Some((credential, identity))
                        }
                        Foreign::Unknown => {
                            self.users.forget(name);
                            None
                        }
                        Foreign::Ask(need) => return Verdict::Park(need),
                        Foreign::Unavailable => return unavailable(),
                    },
                }
            }
            _ => None,
        };
        let usable = local.filter(|account| policy::accepts(settings, origin, account, answer.algorithm));
        let credential = match &foreign {
            Some((credential, _)) => Some(credential),
            None => usable.and_then(|account| account.credential(answer.algorithm)),
        };
        let [md5, sha256, sha512_256] = &self.drawn.dummies;
        let dummy = match answer.algorithm {
            DigestAlgorithm::Md5 => md5,
            DigestAlgorithm::Sha256 => sha256,
            DigestAlgorithm::Sha512_256 => sha512_256,
        };
        let proof = answer.proof(credential.unwrap_or(dummy));
        let a2 = answer.a2(&mut self.known_a2, method_raw, msg.body());
        let expected = answer.expected(&proof, &a2.request);
        // A right answer to a dummy cannot be: it would take the key.
        if !answer.matches(&expected) || credential.is_none() {
            // He may have another password by now: the store is asked, as it is for who is not known.
            if let Some(name) = answer.user.name().filter(|_| remembered) {
                return Verdict::Park(credentials_of(&answer, name, settings));
            }
            let known = local.is_some() || foreign.is_some();
            let verdict = if known { AuthVerdict::Wrong } else { AuthVerdict::UnknownUser };
            let verdict = self.challenge(ctx, request, verdict);
            // Also for local accounts: else time would tell them from those of the store.
            let delay = config.foreign_store && !config.foreign_delay.is_zero();
            return if delay { Verdict::Delay(Box::new(verdict), config.foreign_delay) } else { verdict };
        }
        let identity = match (foreign, local) {
            (Some((_, identity)), _) => identity,
            (None, Some(account)) => Arc::clone(&account.identity),
            (None, None) => return self.challenge(ctx, request, AuthVerdict::UnknownUser),
        };
        let Nonce::Fresh { key, age } = nonce else {
            return self.challenge(ctx, request, AuthVerdict::Stale);
        };
        if answer.qop != Qop::None && self.record(ctx, key, answer.count) == Count::Replayed {
            let mut verdict = self.challenge(ctx, request, AuthVerdict::Replay);
            if let Verdict::Challenge(challenge, _) = &mut verdict {
                challenge.replayed = Some(identity);
            }
            return verdict;
        }
        // RFC 7616 s3.5: as the response, but with an empty method and the body of our response.
        let rspauth = match answer.qop {
            Qop::None => [0; 32],
            Qop::Auth | Qop::AuthInt => answer.expected(&proof, &a2.response),
        };
        let info = self.info(ctx, request, &answer, rspauth, age);
        Verdict::Allow(Allowed { identity, verdict: AuthVerdict::Ok(Scheme::Digest), info })
    }

    fn record(&mut self, ctx: &mut Ctx<'_>, key: NonceKey, count: u32) -> Count {
        let count = self.nonces.record(key, count, ctx.settings.limits.nonces);
        if self.nonces_timer.is_none() {
            self.arm_nonces(ctx);
        }
        count
    }

    fn arm_nonces(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(at) = self.nonces.next_expiry(ctx.settings.digest.nonce_lifetime) {
            self.nonces_timer = ctx.timers.arm(at, Timer::Nonces);
        }
    }

    fn info(
        &self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_>,
        answer: &Answer<'_>,
        rspauth: [u8; 32],
        age: Duration,
    ) -> Option<AuthInfo> {
        let config = &request.settings.digest;
        let share = config.nonce_lifetime.as_nanos() * u128::from(config.next_nonce_percent) / 100;
        let due = config.next_nonce_percent > 0 && age.as_nanos() >= share;
        let next = due.then(|| self.mint(ctx, request));
        (answer.qop != Qop::None || next.is_some()).then(|| AuthInfo {
            algorithm: answer.algorithm,
            qop: answer.qop,
            rspauth,
            cnonce: answer.cnonce.into(),
            count: answer.count_text,
            next,
        })
    }

    fn mint(&self, ctx: &mut Ctx<'_>, request: &Request<'_>) -> NonceText {
        self.nonces.mint(ctx.ids, ctx.now, bound_source(&request.settings.digest, request.origin))
    }

    #[cfg(feature = "jwt")]
    fn check_bearer(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_>,
        token: &[u8],
        waiting: &Wait,
    ) -> Verdict {
        use bearer::{Ask, Token};
        let ask = match waiting {
            Wait::First => Ask::May,
            Wait::KeysDone | Wait::WithCredentials(_) => Ask::Done,
            Wait::Final => Ask::TooLate,
        };
        match self.bearer.check(ctx, token, ask) {
            Token::Good(identity) => allow(&identity, AuthVerdict::Ok(Scheme::Bearer)),
            Token::Bad(verdict, error) => self.challenge_with(ctx, request, verdict, Some(error)),
            Token::NoAor => Verdict::Refuse(Refusal::plain(Status::FORBIDDEN), AuthVerdict::NotAllowed),
            Token::NeedKeys(issuer) => Verdict::Park(Need::Keys(issuer)),
            Token::NeedIntrospection(name) => {
                Verdict::Park(Need::Introspection { name, token: Secret(token.into()) })
            }
            Token::Unavailable => unavailable(),
        }
    }

    #[cfg(not(feature = "jwt"))]
    fn check_bearer(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_>,
        _token: &[u8],
        _waiting: &Wait,
    ) -> Verdict {
        self.challenge_with(ctx, request, AuthVerdict::NotAllowed, Some(BearerError::InvalidToken))
    }

    fn challenge(&mut self, ctx: &mut Ctx<'_>, request: &Request<'_>, verdict: AuthVerdict) -> Verdict {
        self.challenge_with(ctx, request, verdict, None)
    }

    /// Everything that would be accepted is offered (DECISIONS 6). If nothing can be, the answer is 403: a 401 must
    /// carry a challenge (RFC 3261 s22.2).
    fn challenge_with(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_>,
        verdict: AuthVerdict,
        error: Option<BearerError>,
    ) -> Verdict {
        let Request { settings, origin, schemes, .. } = request;
        let digest = schemes.digest.then(|| {
            let algorithms = policy::algorithms(settings, origin, request.claimed_account());
            // A used count is answered like a used nonce: the password was right, only the nonce must be another.
            let stale = matches!(verdict, AuthVerdict::Stale | AuthVerdict::Replay);
            DigestChallenge { algorithms, nonce: self.mint(ctx, request), stale }
        });
        let digest = digest.filter(|digest| !digest.algorithms.is_empty());
        let offered = settings.jwt.as_ref().is_some_and(|jwt| jwt.authz_server.is_some());
        let bearer = (schemes.bearer && offered).then_some(BearerChallenge { error });
        if digest.is_none() && bearer.is_none() {
            return Verdict::Refuse(Refusal::plain(Status::FORBIDDEN), verdict);
        }
        Verdict::Challenge(Challenge { digest, bearer, replayed: None }, verdict)
    }
}

/// What is known about a user who is no local account.
enum Foreign {
    Known(HashedCredential, Arc<Identity>),
    Unknown,
    /// The store must be asked first.
    Ask(Need),
    /// The store cannot be asked.
    Unavailable,
}

fn foreign(answer: &Answer<'_>, name: &str, settings: &Settings, waiting: Wait) -> Foreign {
    match waiting {
        Wait::First | Wait::KeysDone => Foreign::Ask(credentials_of(answer, name, settings)),
        Wait::WithCredentials(CredentialsAnswer::Known { credential, aors })
            if credential.algorithm == answer.algorithm =>
        {
            let aors = identity::canonical_aors(aors.iter().map(|aor| &**aor), &settings.domains);
            let account = name.into();
            let scheme = Scheme::Digest;
            let identity = Identity { scheme, account, aors, scopes: Vec::new(), foreign_contacts: false };
            Foreign::Known(credential, Arc::new(identity))
        }
        Wait::WithCredentials(CredentialsAnswer::Known { .. } | CredentialsAnswer::Unknown) => {
            Foreign::Unknown
        }
        Wait::WithCredentials(CredentialsAnswer::Unavailable) | Wait::Final => Foreign::Unavailable,
    }
}

fn credentials_of(answer: &Answer<'_>, name: &str, settings: &Settings) -> Need {
    Need::Credentials {
        username: name.into(),
        realm: settings.digest.realm.as_str().into(),
        algorithm: answer.algorithm,
    }
}

fn nonce_key(config: &DigestConfig, drawn: &Secrets) -> HashKey {
    if config.secret.0 == [0; 32] { drawn.nonce } else { derived(b"nonce", &config.secret.0) }
}

fn derived(purpose: &[u8], secret: &[u8; 32]) -> HashKey {
    let hash = sha256(&[purpose, secret]);
    let mut words = hash.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    HashKey::new([words.next().unwrap_or_default(), words.next().unwrap_or_default()])
}

fn bound_source(config: &DigestConfig, origin: &Origin) -> Option<IpAddr> {
    config.bind_source.then(|| origin.remote.ip())
}

#[cfg(test)]
mod tests;
