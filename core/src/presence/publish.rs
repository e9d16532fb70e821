//! PUBLISH: the event state compositor of RFC 3903, and the same for what the host publishes.
//!
//! The checks stand in the order of RFC 3903 s6. An entity tag is drawn anew for each 200 and never again.

use core::net::SocketAddr;
use core::time::Duration;

use super::tie::Tie;
use super::{PIDF, Presence, PresentityKey, Recall};
use crate::base::ids::{self, IdKind};
use crate::base::{Key, Time, TimerKey};
use crate::config::PresenceConfig;
use crate::ctx::{Ctx, Extra, Origin, Published, Refusal, Timer};
use crate::documents::Bounds;
use crate::documents::pidf::Pidf;
use crate::stats::Counter;
use crate::wire::{Essentials, Header, Message, Status};

/// Names a publication while it lives.
pub(super) type PublicationKey = Key<Publication>;

/// One publication.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) presentity: PresentityKey,
    /// The entity tag of the newest 200.
    pub(super) etag: u64,
    /// The same over all refreshes.
    pub(super) lineage: u64,
    /// When its body came.
    pub(super) received: Time,
    pub(super) document: Pidf,
    /// Where the publisher is.
    pub(super) source: SocketAddr,
    pub(super) expires_at: Time,
    pub(super) timer: TimerKey,
    /// What it lives with.
    pub(super) tie: Tie,
    /// It says nothing any more: what it was tied to is gone.
    pub(super) hidden: bool,
    /// What it was tied to has ended a moment ago.
    pub(super) grace: TimerKey,
}

impl Presence {
    /// Serves a PUBLISH for a presentity that its sender owns.
    pub(crate) fn publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &PresenceConfig,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
        aor: &str,
    ) -> Result<Published, Refusal> {
        // RFC 3903 s6 step 3: one entity tag at most, and it must be known.
        let mut etags = msg.headers(Header::SipIfMatch);
        let known = match (etags.next(), etags.next()) {
            (None, _) => None,
            (Some(etag), None) if !etag.contains(&b',') => {
                Some(self.with_etag(aor, etag).ok_or(PRECONDITION_FAILED)?)
            }
            (Some(_), _) => {
                return Err(Refusal::because(Status::BAD_REQUEST, "More Than One Entity Tag"));
            }
        };
        // Step 4.
        let asked = msg.expires().unwrap_or(config.publish_default_expires);
        Refusal::if_too_brief(asked, config.publish_min_expires)?;
        let expires = asked.min(config.publish_max_expires);
        // Step 5.
        let document = match msg.body() {
            [] => None,
            body => Some(read_body(config, msg, ess, body)?),
        };
        match (known, document) {
            (None, None) => Err(Refusal::because(Status::BAD_REQUEST, "Missing Body")),
            (None, Some(document)) => self.open(ctx, aor, expires, document, origin.remote),
            (Some(key), document) => Ok(self.modify(ctx, key, expires, document, origin.remote)),
        }
    }

    pub(super) fn with_etag(&self, aor: &str, etag: &[u8]) -> Option<PublicationKey> {
        let etag = ids::read(etag)?;
        let presentity = self.presentities.get(self.find(aor)?)?;
        let is_it = |key: &&PublicationKey| self.publications.get(**key).is_some_and(|p| p.etag == etag);
        presentity.publications.iter().find(is_it).copied()
    }

    fn open(
        &mut self,
        ctx: &mut Ctx<'_>,
        aor: &str,
        expires: u32,
        document: Pidf,
        source: SocketAddr,
    ) -> Result<Published, Refusal> {
        let etag = ctx.ids.next(IdKind::Etag);
        if expires == 0 {
            // Published and gone: nobody could have seen it.
            return Ok(Published { etag: ids::write(etag), expires, changed: false });
        }
        let limits = &ctx.settings.limits;
        let own =
            self.find(aor).and_then(|key| self.presentities.get(key)).map_or(0, |p| p.publications.len());
        if self.publications.len() >= limits.publications || own >= limits.publications_per_presentity {
            ctx.stats.count(Counter::Overload);
            return Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(30)));
        }
        let presentity = self.find_or_add(aor);
        let lineage = ctx.ids.next(IdKind::Etag);
        let key = self.publications.insert(Publication {
            presentity,
            etag,
            lineage,
            received: ctx.wall(),
            document,
            source,
            expires_at: ctx.now,
            timer: TimerKey::NONE,
            tie: Tie::Free,
            hidden: false,
            grace: TimerKey::NONE,
        });
        if let Some(presentity) = self.presentities.get_mut(presentity) {
            presentity.publications.push(key);
        }
        self.note(ctx, presentity, lineage, None);
        self.arm(ctx, key, expires);
        ctx.stats.count(Counter::Published);
        Ok(Published { etag: ids::write(etag), expires, changed: true })
    }

    fn modify(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: PublicationKey,
        expires: u32,
        document: Option<Pidf>,
        source: SocketAddr,
    ) -> Published {
        let etag = ctx.ids.next(IdKind::Etag);
        if let Some(before) = self.publications.get(key).filter(|_| ctx.settings.tell.changes).cloned() {
            self.note(ctx, before.presentity, before.lineage, Some(&before));
        }
        if expires == 0 {
            self.close(ctx, key);
            return Published { etag: ids::write(etag), expires, changed: true };
        }
        let mut changed = false;
        if let Some(publication) = self.publications.get_mut(key) {
            publication.etag = etag;
            publication.source = source;
            // The same again is no news: neither its age nor its place changes.
            if let Some(document) = document.filter(|document| publication.document != *document) {
                changed = true;
                publication.document = document;
                publication.received = ctx.wall();
            }
        }
        self.arm(ctx, key, expires);
        Published { etag: ids::write(etag), expires, changed }
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, key: PublicationKey, expires: u32) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        ctx.timers.disarm(publication.timer);
        publication.expires_at = ctx.now + Duration::from_secs(u64::from(expires));
        publication.timer = ctx.timers.arm(publication.expires_at, Timer::Publication(key.to_bits()));
    }

    /// A publication was not refreshed in time; the presentity it was of.
    pub(crate) fn on_publication_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) -> Option<Box<str>> {
        let key = PublicationKey::from_bits(bits);
        self.publications.get_mut(key)?.timer = TimerKey::NONE;
        let publication = self.publications.get(key)?;
        let (presentity, lineage) = (publication.presentity, publication.lineage);
        self.note(ctx, presentity, lineage, None);
        self.close(ctx, key)?;
        Some(self.presentities.get(presentity)?.aor.clone())
    }

    fn close(&mut self, ctx: &mut Ctx<'_>, key: PublicationKey) -> Option<PresentityKey> {
        ctx.stats.count(Counter::PublicationsEnded);
        self.close_quietly(ctx, key)
    }

    pub(super) fn close_quietly(&mut self, ctx: &mut Ctx<'_>, key: PublicationKey) -> Option<PresentityKey> {
        let publication = self.publications.remove(key)?;
        ctx.timers.disarm(publication.timer);
        ctx.timers.disarm(publication.grace);
        if let Some(presentity) = self.presentities.get_mut(publication.presentity) {
            presentity.publications.retain(|other| *other != key);
        }
        Some(publication.presentity)
    }

    /// All publications of a presentity end. True if there were any.
    pub(crate) fn end_of(&mut self, ctx: &mut Ctx<'_>, aor: &str) -> bool {
        let Some(presentity) = self.find(aor) else { return false };
        let keys =
            self.presentities.get(presentity).map(|known| known.publications.clone()).unwrap_or_default();
        for key in &keys {
            let Some(publication) = self.publications.get(*key) else { continue };
            self.note(ctx, presentity, publication.lineage, None);
            self.close(ctx, *key);
            self.save(ctx, Recall::Never);
        }
        !keys.is_empty()
    }

    /// What the host says about a presentity, in place of what it said before. Nothing takes it back; it is refused only
    /// when there are too many publications.
    pub(crate) fn publish_own(
        &mut self,
        ctx: &mut Ctx<'_>,
        aor: &str,
        document: Option<Pidf>,
        expires: u32,
    ) -> Result<bool, Refusal> {
        let key = self.find(aor).and_then(|key| self.presentities.get(key)).and_then(|presentity| {
            let own = |key: &&PublicationKey| self.publications.get(**key).is_some_and(|p| p.source == HOST);
            presentity.publications.iter().find(own).copied()
        });
        Ok(match (key, document) {
            (Some(key), Some(document)) => self.modify(ctx, key, expires, Some(document), HOST).changed,
            (Some(key), None) => self.modify(ctx, key, 0, None, HOST).changed,
            (None, Some(document)) => self.open(ctx, aor, expires, document, HOST)?.changed,
            (None, None) => false,
        })
    }
}

/// The source of what the host publishes: no phone has it.
pub(super) const HOST: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), 0);

const PRECONDITION_FAILED: Refusal = Refusal::plain(Status::CONDITIONAL_REQUEST_FAILED);

/// RFC 3903 s6 step 5: a type we know, not too large, and well-formed.
fn read_body(
    config: &PresenceConfig,
    msg: Message<'_>,
    ess: &Essentials<'_>,
    body: &[u8],
) -> Result<Pidf, Refusal> {
    let kind = msg.header(Header::ContentType).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let plain = |encoding: &[u8]| encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity");
    if !kind.eq_ignore_ascii_case(PIDF.as_bytes())
        || !plain(msg.header(Header::ContentEncoding).unwrap_or_default())
    {
        return Err(Refusal::with(Status::UNSUPPORTED_MEDIA_TYPE, Extra::Accept(PIDF)));
    }
    if body.len() > config.max_document_bytes {
        return Err(Refusal::plain(Status::ENTITY_TOO_LARGE));
    }
    let document = Pidf::parse(body, &Bounds::default())
        .map_err(|_| Refusal::because(Status::BAD_REQUEST, "Malformed Presence Document"))?;
    // RFC 3903 s6: what is published is about whom it is sent to.
    let about = ess.uri.is_some_and(|uri| document.is_about(&uri)) || document.is_about(&ess.to.uri);
    match about {
        true => Ok(document),
        false => Err(Refusal::because(Status::BAD_REQUEST, "Document of Another Entity")),
    }
}
