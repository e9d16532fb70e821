//! Bearer tokens: JWTs checked against the keys of their issuer (RFC 8898 s2.2, RFC 7519 s7.2, RFC 8725, RFC 9068 s4).
//!
//! Cheap checks come first: form, header, claims; then the key by `kid` and `alg`; then the signature. A `kid` nobody
//! has heard of has the keys fetched again, once, and not before `refetch_interval` has passed since the last time:
//! a storm of invented names makes one query. What was accepted is remembered by its hash.

mod introspection;

use core::time::Duration;
use std::sync::Arc;

use super::KEYS_PATIENCE;
use super::cache::Cache;
use super::challenge::BearerError;
use super::claims::{Claims, Fault, Header};
use super::identity;
use super::jwks::{Found, KeyPrint, KeySet, VerifyKey};
use super::revoked::Revocations;
use crate::base::hash::sha256;
use crate::base::text;
use crate::base::{HashKey, Time, TimerKey};
use crate::config::{Domains, IssuerConfig, JwtConfig};
use crate::ctx::{Ctx, Timer};
use crate::door::{AuthVerdict, Identity, KeysAnswer, Revoked, Scheme};
use crate::stats::Counter;

/// Longest wait between two attempts after failures.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// First wait after a failure while there is no key at all.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);

/// What a token proves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// Who it speaks for.
    Good(Arc<Identity>),
    /// Nothing: challenge with this error.
    Bad(AuthVerdict, BearerError),
    /// Somebody who owns no address of record here.
    NoAor,
    /// The keys of this issuer must be asked for.
    NeedKeys(u16),
    /// An authorization server must be asked about it, under the name of its SHA-256.
    NeedIntrospection([u8; 32]),
    /// There are no keys and none can be had now.
    Unavailable,
}

/// Whether keys may still be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// They may.
    May,
    /// They were; decide with what is there.
    Done,
    /// They were, and no answer came in time.
    TooLate,
}

#[derive(Clone, Debug, Default)]
struct Issuer {
    keys: Option<KeySet>,
    /// When they were asked for and not yet answered.
    asked: Option<Time>,
    /// Not to be asked for before.
    not_before: Time,
    failures: u32,
    /// To be asked for again as soon as no question is under way: they may be others since it was asked.
    due: bool,
    /// When they want a refresh.
    refresh_at: Option<Time>,
    timer: TimerKey,
}

/// A token that was found good. It is named by its SHA-256, so that one with the same claims and another signature is
/// another one.
#[derive(Clone, Debug)]
struct Good {
    identity: Arc<Identity>,
    proof: Proof,
    issued_at: Option<Time>,
    session: Option<Box<str>>,
    id: Option<Box<str>>,
}

/// How it was found good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    /// By this key of this issuer.
    Signed(u16, KeyPrint),
    /// An authorization server said so.
    Introspected,
}

/// Everything that concerns tokens.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    config: Option<JwtConfig>,
    issuers: Vec<Issuer>,
    tokens: Cache<Good>,
    /// What is known to be worth nothing, for a short time: so that it is not asked about with each request.
    refused: Cache<Token>,
    revoked: Revocations,
    timer: TimerKey,
}

impl Bearer {
    pub(super) fn new(hash_key: HashKey, config: Option<&JwtConfig>) -> Bearer {
        let issuers = config.map_or(0, |jwt| jwt.issuers.len());
        Bearer {
            config: config.cloned(),
            issuers: vec![Issuer::default(); issuers],
            tokens: Cache::new(hash_key),
            refused: Cache::new(hash_key),
            revoked: Revocations::new(hash_key),
            timer: TimerKey::NONE,
        }
    }

    /// Takes over a new configuration. Keys of issuers that stay are kept until there is an answer to the question for new
    /// ones: who reloads may have taken one back. True if the configuration differs: tokens are judged anew, and answers to
    /// questions asked before would be for other issuers.
    pub(super) fn reload(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let differs = self.configure(ctx);
        self.issuers.iter_mut().for_each(|issuer| issuer.due = true);
        differs
    }

    fn configure(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let new = ctx.settings.jwt.as_ref();
        if new == self.config.as_ref() {
            return false;
        }
        let mut old: Vec<(IssuerConfig, Issuer)> = self
            .config
            .take()
            .map_or(Vec::new(), |c| c.issuers)
            .into_iter()
            .zip(self.issuers.drain(..))
            .collect();
        for (_, issuer) in &mut old {
            ctx.timers.disarm(issuer.timer);
            // An answer under way may be for another index now.
            (issuer.timer, issuer.asked) = (TimerKey::NONE, None);
        }
        for (i, config) in new.map_or(&[][..], |jwt| &jwt.issuers).iter().enumerate() {
            let same =
                |(was, _): &(IssuerConfig, Issuer)| was.issuer == config.issuer && was.jwks == config.jwks;
            let mut issuer = old.iter().position(same).map(|at| old.swap_remove(at).1).unwrap_or_default();
            issuer.arm(ctx, i as u16);
            self.issuers.push(issuer);
        }
        self.config = new.cloned();
        self.tokens.clear();
        self.refused.clear();
        ctx.timers.disarm(core::mem::take(&mut self.timer));
        self.arm(ctx);
        true
    }

    /// What a token proves at this time.
    pub(super) fn check(&mut self, ctx: &mut Ctx<'_>, token: &[u8], ask: Ask) -> Token {
        let settings = Arc::clone(ctx.settings);
        let Some(config) = settings.jwt.as_ref() else {
            return Token::Bad(AuthVerdict::NotAllowed, BearerError::InvalidToken);
        };
        let bad = |verdict| Token::Bad(verdict, BearerError::InvalidToken);
        if token.len() > settings.limits.token_bytes {
            return bad(AuthVerdict::Malformed);
        }
        let hash = sha256(&[token]);
        let wall = ctx.wall();
        if let Some(good) = self.tokens.hit(&hash, wall) {
            ctx.stats.count(Counter::TokenHits);
            return Token::Good(Arc::clone(&good.identity));
        }
        if config.introspection.is_some() && introspection::is_opaque(token) {
            return self.opaque(ctx, &hash, ask);
        }
        let parts = match Parts::read(token, |issuer| config.aor_claim_of(issuer)) {
            Ok(parts) => parts,
            Err(Fault::Malformed) => return bad(AuthVerdict::Malformed),
            Err(Fault::Refused) => return bad(AuthVerdict::Refused),
        };
        let Parts { header, claims, signed, signature } = &parts;
        let Some(index) = config.issuers.iter().position(|issuer| issuer.issuer == claims.issuer) else {
            return bad(AuthVerdict::Refused);
        };
        let Some(issuer) = config.issuers.get(index) else { return bad(AuthVerdict::Refused) };
        let named = claims.audience.iter().any(|aud| issuer.audiences.contains(aud));
        if !named || !issuer.algorithms.contains(&header.algorithm) {
            return bad(AuthVerdict::Refused);
        }
        if !claims.alive(wall, config.leeway) {
            return bad(AuthVerdict::Expired);
        }
        if self.revoked.has(claims, wall) {
            return bad(AuthVerdict::Refused);
        }
        let print = match self.key(ctx, index as u16, header, config, ask) {
            Ok(key) => {
                ctx.stats.count(Counter::TokenVerifications);
                if !key.verifies(header.algorithm, signed, signature) {
                    return bad(AuthVerdict::Wrong);
                }
                *key.print()
            }
            Err(token) => return token,
        };
        let until = claims.expires + config.leeway;
        let scopes = [config.scope.as_deref(), issuer.scope.as_deref()];
        self.believe(ctx, &hash, claims, &scopes, Proof::Signed(index as u16, print), until)
    }

    /// What claims that are true are worth; if anything, until this wall time.
    fn believe(
        &mut self,
        ctx: &mut Ctx<'_>,
        hash: &[u8; 32],
        claims: &Claims,
        scopes: &[Option<&str>],
        proof: Proof,
        until: Time,
    ) -> Token {
        let mut wanted = scopes.iter().flatten().flat_map(|scope| scope.split(' '));
        if !wanted.all(|scope| scope.is_empty() || claims.scopes.iter().any(|own| own == scope)) {
            return Token::Bad(AuthVerdict::NotAllowed, BearerError::InvalidScope);
        }
        let identity = Arc::new(identity(claims, &ctx.settings.domains));
        if identity.aors.is_empty() {
            return Token::NoAor;
        }
        let good = Good {
            identity: Arc::clone(&identity),
            proof,
            issued_at: claims.issued_at,
            session: claims.session.as_deref().map(Into::into),
            id: claims.id.as_deref().map(Into::into),
        };
        self.tokens.insert(hash, good, until, ctx.settings.limits.tokens);
        self.arm(ctx);
        Token::Good(identity)
    }

    fn key(
        &mut self,
        ctx: &Ctx<'_>,
        index: u16,
        header: &Header,
        config: &JwtConfig,
        ask: Ask,
    ) -> Result<&VerifyKey, Token> {
        let unavailable = Err(Token::Unavailable);
        let Some(issuer) = self.issuers.get_mut(usize::from(index)) else { return unavailable };
        let may_ask = issuer.may_ask(ctx.now, config.refetch_interval);
        let known = issuer.keys.is_some();
        // The search comes twice because a found key cannot be held over the note that keys were asked for.
        let found = issuer.keys.as_ref().map(|keys| keys.find(header.kid.as_deref(), header.algorithm));
        match found {
            Some(Found::Unfit) => return Err(Token::Bad(AuthVerdict::Refused, BearerError::InvalidToken)),
            Some(Found::Unknown) | None => {
                if may_ask && ask == Ask::May {
                    issuer.asked.get_or_insert(ctx.now);
                    return Err(Token::NeedKeys(index));
                }
                if !known || ask == Ask::TooLate {
                    return unavailable;
                }
                return Err(Token::Bad(AuthVerdict::Refused, BearerError::InvalidToken));
            }
            Some(Found::Key(_)) => {}
        }
        match issuer.keys.as_ref().map(|keys| keys.find(header.kid.as_deref(), header.algorithm)) {
            Some(Found::Key(key)) => Ok(key),
            _ => unavailable,
        }
    }

    /// Takes the answer to a question for keys.
    pub(super) fn keys_answer(&mut self, ctx: &mut Ctx<'_>, index: u16, answer: KeysAnswer) {
        let settings = Arc::clone(ctx.settings);
        let Some(config) = settings.jwt.as_ref() else { return };
        let Some(issuer_config) = config.issuers.get(usize::from(index)) else { return };
        let Some(issuer) = self.issuers.get_mut(usize::from(index)) else { return };
        if issuer.asked.take().is_none() {
            return;
        }
        let read = match &answer {
            KeysAnswer::Document { json, max_age } => KeySet::parse(&json.0).map(|keys| (keys, *max_age)),
            KeysAnswer::Unavailable => None,
        };
        match read {
            Some((keys, max_age)) => {
                let IssuerConfig { keys_min_age, keys_max_age, .. } = *issuer_config;
                let age =
                    max_age.unwrap_or(keys_max_age).min(keys_max_age).max(keys_min_age).max(FIRST_BACK_OFF);
                self.tokens.retain(|_, good| match &good.proof {
                    Proof::Signed(by, key) => *by != index || keys.contains(key),
                    Proof::Introspected => true,
                });
                issuer.keys = Some(keys);
                issuer.failures = 0;
                issuer.not_before = ctx.now + config.refetch_interval;
                issuer.refresh_at = Some(ctx.now + age);
            }
            // The old keys stay in force: an issuer that is down must not lock everybody out.
            None => issuer.failed(ctx.now, config.refetch_interval),
        }
        if core::mem::take(&mut issuer.due) {
            issuer.refresh_at = Some(ctx.now);
        }
        issuer.arm(ctx, index);
    }

    /// The keys of an issuer want a refresh: whether to ask for them.
    pub(super) fn on_keys_timer(&mut self, ctx: &mut Ctx<'_>, index: u16) -> bool {
        let settings = Arc::clone(ctx.settings);
        let Some(config) = settings.jwt.as_ref() else { return false };
        let Some(issuer) = self.issuers.get_mut(usize::from(index)) else { return false };
        issuer.timer = TimerKey::NONE;
        // Armed anew at once, so that a question that is never answered is asked again.
        issuer.refresh_at = Some(ctx.now + KEYS_PATIENCE);
        issuer.arm(ctx, index);
        if issuer.is_waiting(ctx.now) {
            return false;
        }
        if issuer.asked.take().is_some() {
            issuer.failed(ctx.now, config.refetch_interval);
            issuer.arm(ctx, index);
            return false;
        }
        (issuer.asked, issuer.due) = (Some(ctx.now), false);
        true
    }

    /// Issuers whose keys are not there, or may be others, and are not asked for: at the start, and after a reload.
    pub(super) fn wants_keys(&mut self, ctx: &mut Ctx<'_>) -> Vec<u16> {
        let mut wanted = Vec::new();
        for (i, issuer) in self.issuers.iter_mut().enumerate() {
            if (issuer.keys.is_none() || issuer.due) && issuer.asked.is_none() {
                (issuer.asked, issuer.due) = (Some(ctx.now), false);
                issuer.refresh_at = Some(ctx.now + KEYS_PATIENCE);
                issuer.arm(ctx, i as u16);
                wanted.push(i as u16);
            }
        }
        wanted
    }

    /// The oldest remembered tokens are past their life.
    pub(super) fn on_tokens_timer(&mut self, ctx: &mut Ctx<'_>) {
        self.timer = TimerKey::NONE;
        let wall = ctx.wall();
        self.tokens.expire(wall);
        self.refused.expire(wall);
        self.revoked.expire(wall);
        self.arm(ctx);
    }

    /// Takes tokens back until this wall time, when they would be dead anyhow. False if no more can be remembered.
    pub(super) fn revoke(&mut self, ctx: &mut Ctx<'_>, issuer: &str, what: &Revoked, until: Time) -> bool {
        let config = self.config.as_ref();
        let ours = |proof: Proof| match proof {
            Proof::Signed(index, _) => config
                .and_then(|jwt| jwt.issuers.get(usize::from(index)))
                .is_some_and(|one| one.issuer == issuer),
            Proof::Introspected => {
                config.and_then(|jwt| jwt.introspection.as_ref()).is_some_and(|asked| asked.issuer == issuer)
            }
        };
        self.tokens.retain(|_, good| {
            let meant = match what {
                Revoked::Subject { subject, issued_before } => {
                    good.identity.account == *subject && good.issued_at.is_none_or(|at| at < *issued_before)
                }
                Revoked::Session { sid } => good.session.as_ref() == Some(sid),
                Revoked::Token { jti } => good.id.as_ref() == Some(jti),
            };
            !(meant && ours(good.proof))
        });
        let wall = ctx.wall();
        self.revoked.expire(wall);
        let remembered =
            until <= wall || self.revoked.add(issuer, what, until, ctx.settings.limits.revocations);
        // What dies first may be another one now.
        ctx.timers.disarm(core::mem::take(&mut self.timer));
        self.arm(ctx);
        remembered
    }

    /// How many takings-back are remembered.
    pub(super) fn revocations(&self) -> usize {
        self.revoked.len()
    }

    /// How many tokens are remembered.
    pub(super) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>) {
        if self.timer.is_none()
            && let Some(death) =
                [self.tokens.next_death(), self.refused.next_death(), self.revoked.next_death()]
                    .into_iter()
                    .flatten()
                    .min()
        {
            // The timer runs on the engine's time, the token dies by the wall's. A clock that is set meanwhile makes
            // the sweep early or late, which is harmless: every hit looks at the wall itself.
            self.timer = ctx.timers.arm(ctx.now + death.since(ctx.wall()), Timer::Tokens);
        }
    }
}

impl Issuer {
    fn is_waiting(&self, now: Time) -> bool {
        self.asked.is_some_and(|asked| now.since(asked) < KEYS_PATIENCE)
    }

    /// Whether a request may wait for keys: for those that are under way, or for new ones if it is time.
    fn may_ask(&mut self, now: Time, refetch_interval: Duration) -> bool {
        if self.is_waiting(now) {
            return true;
        }
        if self.asked.take().is_some() {
            self.failed(now, refetch_interval);
        }
        self.not_before <= now
    }

    fn failed(&mut self, now: Time, refetch_interval: Duration) {
        let first = if self.keys.is_some() { refetch_interval.max(FIRST_BACK_OFF) } else { FIRST_BACK_OFF };
        let longest = LONGEST_BACK_OFF.max(first);
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait;
        self.refresh_at = Some(now + wait);
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, index: u16) {
        ctx.timers.disarm(self.timer);
        self.timer = match self.refresh_at {
            Some(at) => ctx.timers.arm(at, Timer::Keys(index)),
            None => TimerKey::NONE,
        };
    }
}

/// A token taken apart, nothing of it believed yet.
struct Parts<'m> {
    header: Header,
    claims: Claims,
    signed: &'m [u8],
    signature: Vec<u8>,
}

impl<'m> Parts<'m> {
    fn read<'c>(token: &'m [u8], aor_claim: impl FnOnce(&str) -> &'c str) -> Result<Parts<'m>, Fault> {
        // RFC 7515 s7.1: three parts. Five would be an encrypted token, which is not taken.
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Fault::Malformed);
        };
        let decode = |range: core::ops::Range<usize>| {
            let part = token.get(range).unwrap_or_default();
            let mut bytes = vec![0; part.len()];
            let len = text::unbase64url(part, &mut bytes).ok_or(Fault::Malformed)?.len();
            bytes.truncate(len);
            Ok(bytes)
        };
        let header = Header::parse(&decode(0..first)?)?;
        let claims = Claims::parse(&decode(first + 1..second)?, aor_claim)?;
        let signature = decode(second + 1..token.len())?;
        Ok(Parts { header, claims, signed: token.get(..second).unwrap_or_default(), signature })
    }
}

fn identity(claims: &Claims, domains: &Domains) -> Identity {
    let aors = identity::canonical_aors(claims.aors.iter().map(String::as_str), domains);
    let scopes = claims.scopes.iter().map(|s| s.as_str().into()).collect();
    let account = claims.subject.as_str().into();
    Identity { scheme: Scheme::Bearer, account, aors, scopes, foreign_contacts: false }
}
