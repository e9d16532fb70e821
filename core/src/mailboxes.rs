//! What waits in mailboxes: the state behind the package `message-summary` (RFC 3842).
//!
//! The host says it, or a messaging server by PUBLISH (RFC 3903): soft state with an entity tag, that ends when it is not
//! refreshed. A mailbox has one publisher; who publishes anew takes the place of the one before, whose tag is void then.
//! Of what the host and the publisher say, the newest holds. A mailbox about which nothing was said is not kept, and has
//! no messages.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::base::ids::{self, IdKind};
use crate::base::{Key, Slab, Time, TimerKey};
use crate::config::MessageSummaryConfig;
use crate::ctx::{Ctx, Extra, Published, Refusal, Timer};
use crate::documents::mwi::{self, Summary};
use crate::stats::Counter;
use crate::wire::{Header, Message, Status};

/// Largest body of a messaging server that is read, in bytes.
const LARGEST: usize = 16 << 10;

/// What a messaging server published.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    mailbox: Box<str>,
    etag: u64,
    said: Time,
    summary: Summary,
    timer: TimerKey,
}

#[derive(Clone, Debug, Default)]
struct Mailbox {
    own: Option<(Time, Summary)>,
    published: Option<Key<Publication>>,
}

/// All mailboxes about which something was said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailboxes {
    boxes: BTreeMap<Box<str>, Mailbox>,
    publications: Slab<Publication>,
}

impl Mailboxes {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.boxes.len()
    }

    /// What is known of a mailbox.
    pub(crate) fn summary(&self, aor: &str) -> Option<&Summary> {
        let mailbox = self.boxes.get(aor)?;
        let published = mailbox.published.and_then(|key| self.publications.get(key));
        match (&mailbox.own, published) {
            (Some((said, own)), Some(published)) if published.said < *said => Some(own),
            (_, Some(published)) => Some(&published.summary),
            (own, None) => own.as_ref().map(|(_, own)| own),
        }
    }

    /// The body for a subscriber. Of a mailbox about which nothing is known: no messages.
    pub(crate) fn document(&self, config: &MessageSummaryConfig, aor: &str) -> String {
        let mut summary = self.summary(aor).cloned().unwrap_or_default();
        // RFC 3842 s3.5: always named, since a group must be.
        summary.account.get_or_insert_with(|| config.account_of(aor).into());
        summary.print()
    }

    /// The host says what waits, or takes back what it said. True if that changes anything.
    pub(crate) fn say(
        &mut self,
        ctx: &Ctx<'_>,
        aor: &str,
        summary: Option<Summary>,
    ) -> Result<bool, Refusal> {
        let before = self.summary(aor).cloned();
        match summary {
            Some(summary) => self.find_or_add(ctx, aor)?.own = Some((ctx.now, summary)),
            None => {
                if let Some(mailbox) = self.boxes.get_mut(aor) {
                    mailbox.own = None;
                }
                self.tidy(aor);
            }
        }
        Ok(self.summary(aor) != before.as_ref())
    }

    /// A messaging server publishes; its sender may. RFC 3903 s6, from step 3 on.
    pub(crate) fn publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &MessageSummaryConfig,
        msg: Message<'_>,
        aor: &str,
    ) -> Result<Published, Refusal> {
        let known = self.boxes.get(aor).and_then(|mailbox| mailbox.published);
        let mut etags = msg.headers(Header::SipIfMatch);
        let known = match (etags.next(), etags.next()) {
            (None, _) => None,
            (Some(etag), None) if !etag.contains(&b',') => {
                let is_it = |key: &Key<Publication>| {
                    self.publications.get(*key).is_some_and(|p| ids::read(etag) == Some(p.etag))
                };
                let precondition = Refusal::plain(Status::CONDITIONAL_REQUEST_FAILED);
                Some(known.filter(is_it).ok_or(precondition)?)
            }
            (Some(_), _) => return Err(Refusal::because(Status::BAD_REQUEST, "More Than One Entity Tag")),
        };
        let asked = msg.expires().unwrap_or(config.publish_default_expires);
        Refusal::if_too_brief(asked, config.publish_min_expires)?;
        let expires = asked.min(config.publish_max_expires);
        let summary = match msg.body() {
            [] => None,
            _ => Some(read_body(msg)?),
        };
        let before = self.summary(aor).cloned();
        let etag = ctx.ids.next(IdKind::Etag);
        match (known, summary) {
            (None, None) => return Err(Refusal::because(Status::BAD_REQUEST, "Missing Body")),
            (Some(key), _) if expires == 0 => {
                self.close(ctx, key);
            }
            (None, Some(_)) if expires == 0 => {}
            (None, Some(summary)) => self.open(ctx, aor, etag, summary, expires)?,
            (Some(key), summary) => {
                let now = ctx.now;
                if let Some(publication) = self.publications.get_mut(key) {
                    publication.etag = etag;
                    if let Some(summary) = summary {
                        (publication.said, publication.summary) = (now, summary);
                    }
                }
                self.arm(ctx, key, expires);
            }
        }
        let changed = self.summary(aor) != before.as_ref();
        Ok(Published { etag: ids::write(etag), expires, changed })
    }

    fn open(
        &mut self,
        ctx: &mut Ctx<'_>,
        aor: &str,
        etag: u64,
        summary: Summary,
        expires: u32,
    ) -> Result<(), Refusal> {
        let before = self.find_or_add(ctx, aor)?.published;
        if let Some(before) = before.and_then(|key| self.publications.remove(key)) {
            ctx.timers.disarm(before.timer);
            ctx.stats.count(Counter::PublicationsEnded);
        }
        let (mailbox, said) = (aor.into(), ctx.now);
        let publication = Publication { mailbox, etag, said, summary, timer: TimerKey::NONE };
        let key = self.publications.insert(publication);
        if let Some(mailbox) = self.boxes.get_mut(aor) {
            mailbox.published = Some(key);
        }
        self.arm(ctx, key, expires);
        ctx.stats.count(Counter::Published);
        Ok(())
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, key: Key<Publication>, expires: u32) {
        let Some(publication) = self.publications.get_mut(key) else { return };
        ctx.timers.disarm(publication.timer);
        let deadline = ctx.now + Duration::from_secs(u64::from(expires));
        publication.timer = ctx.timers.arm(deadline, Timer::Mailbox(key.to_bits()));
    }

    /// A messaging server did not refresh what it published; the mailbox, if that changes it.
    pub(crate) fn on_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) -> Option<Box<str>> {
        let key = Key::from_bits(bits);
        let aor = self.publications.get(key)?.mailbox.clone();
        let before = self.summary(&aor).cloned();
        self.close(ctx, key);
        (self.summary(&aor) != before.as_ref()).then_some(aor)
    }

    fn close(&mut self, ctx: &mut Ctx<'_>, key: Key<Publication>) {
        let Some(publication) = self.publications.remove(key) else { return };
        ctx.timers.disarm(publication.timer);
        ctx.stats.count(Counter::PublicationsEnded);
        if let Some(mailbox) = self.boxes.get_mut(&publication.mailbox) {
            mailbox.published = None;
        }
        self.tidy(&publication.mailbox);
    }

    fn find_or_add(&mut self, ctx: &Ctx<'_>, aor: &str) -> Result<&mut Mailbox, Refusal> {
        if self.boxes.len() >= ctx.settings.limits.mailboxes && !self.boxes.contains_key(aor) {
            return Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(30)));
        }
        Ok(self.boxes.entry(aor.into()).or_default())
    }

    fn tidy(&mut self, aor: &str) {
        if self.boxes.get(aor).is_some_and(|mailbox| mailbox.own.is_none() && mailbox.published.is_none()) {
            self.boxes.remove(aor);
        }
    }
}

/// What a PUBLISH or a NOTIFY of a messaging server says.
pub(crate) fn read_body(msg: Message<'_>) -> Result<Summary, Refusal> {
    let kind = msg.header(Header::ContentType).unwrap_or_default();
    let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let encoding = msg.header(Header::ContentEncoding).unwrap_or_default();
    let plain = encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity");
    if !kind.eq_ignore_ascii_case(mwi::CONTENT_TYPE.as_bytes()) || !plain {
        return Err(Refusal::with(Status::UNSUPPORTED_MEDIA_TYPE, Extra::Accept(mwi::CONTENT_TYPE)));
    }
    if msg.body().len() > LARGEST {
        return Err(Refusal::plain(Status::ENTITY_TOO_LARGE));
    }
    let malformed = Refusal::because(Status::BAD_REQUEST, "Malformed Message Summary");
    Summary::parse(msg.body()).map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ctx::fixture::{Fixture, with_message};

    const BOB: &str = "bob@example.com";

    fn publish(room: &mut Mailboxes, fixture: &mut Fixture, more: &str, body: &str) -> Result<String, u16> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/simple-message-summary\n" };
        let text = format!(
            "PUBLISH sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\nFrom: <sip:vm@a>;tag=1\n\
             To: <sip:bob@example.com>\nCall-ID: 1\nCSeq: 1 PUBLISH\nEvent: message-summary\n{kind}{more}Content-Length: {}\n\n{body}",
            body.replace('\n', "\r\n").len()
        );
        let config = MessageSummaryConfig::default();
        with_message(&text, |msg| {
            let published = room.publish(&mut fixture.ctx(), &config, msg, BOB);
            published
                .map(|p| format!("{} {}", String::from_utf8_lossy(p.etag.as_bytes()), p.changed))
                .map_err(|refusal| refusal.status.0)
        })
    }

    fn waits(room: &Mailboxes) -> Option<bool> {
        room.summary(BOB).map(|summary| summary.waiting)
    }

    #[test]
    fn the_newest_word_holds_and_what_ends_gives_way_to_what_was_said_before() {
        let (mut room, mut fixture) = (Mailboxes::default(), Fixture::new());
        assert_eq!(room.say(&fixture.ctx(), BOB, Some(Summary::voice("sip:x@y", 0, 4))), Ok(true));
        fixture.advance(Duration::from_secs(1));
        assert!(publish(&mut room, &mut fixture, "Expires: 60\n", "Messages-Waiting: yes\n").is_ok());
        assert_eq!(waits(&room), Some(true));
        fixture.advance(Duration::from_secs(1));
        assert_eq!(room.say(&fixture.ctx(), BOB, Some(Summary::voice("sip:x@y", 0, 5))), Ok(true));
        assert_eq!(waits(&room), Some(false));
        assert_eq!(room.say(&fixture.ctx(), BOB, None), Ok(true));
        assert_eq!(waits(&room), Some(true));
        fixture.advance(Duration::from_secs(60));
        let Some(Timer::Mailbox(bits)) = fixture.due() else { panic!("a timer") };
        assert_eq!(room.on_expiry(&mut fixture.ctx(), bits).as_deref(), Some(BOB));
        assert_eq!((waits(&room), room.len(), fixture.timers.len()), (None, 0, 0));
    }

    #[test]
    fn an_entity_tag_is_good_once_and_the_next_publisher_takes_the_mailbox() {
        let (mut room, mut fixture) = (Mailboxes::default(), Fixture::new());
        let etag = |answer: Result<String, u16>| answer.expect("served").split(' ').next().map(str::to_owned);
        let first = etag(publish(&mut room, &mut fixture, "", "Messages-Waiting: yes\n")).expect("a tag");
        let with = |tag: &str| format!("SIP-If-Match: {tag}\n");
        let second = etag(publish(&mut room, &mut fixture, &with(&first), "")).expect("a tag");
        assert_ne!(first, second);
        assert_eq!(publish(&mut room, &mut fixture, &with(&first), ""), Err(412));
        let other = etag(publish(&mut room, &mut fixture, "", "Messages-Waiting: no\n")).expect("a tag");
        assert_eq!((waits(&room), room.publications.len()), (Some(false), 1));
        assert_eq!(publish(&mut room, &mut fixture, &with(&second), ""), Err(412));
        assert!(publish(&mut room, &mut fixture, &format!("Expires: 0\n{}", with(&other)), "").is_ok());
        assert_eq!((room.len(), fixture.timers.len()), (0, 0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (mut room, mut fixture) = (Mailboxes::default(), Fixture::new());
        for (more, body, status) in [
            ("", "", 400),
            ("", "Voice-Message: 1/2\n", 400),
            ("SIP-If-Match: x\n", "Messages-Waiting: yes\n", 412),
            ("SIP-If-Match: x, y\n", "Messages-Waiting: yes\n", 400),
            ("Expires: 5\n", "Messages-Waiting: yes\n", 423),
            ("Content-Encoding: gzip\n", "Messages-Waiting: yes\n", 415),
        ] {
            assert_eq!(publish(&mut room, &mut fixture, more, body), Err(status), "{more}{body}");
        }
        let large = format!("Messages-Waiting: yes\n{}", "X-A: b\n".repeat(4_000));
        assert_eq!(publish(&mut room, &mut fixture, "", &large), Err(413));
        assert_eq!(room.len(), 0);
        let mut config = Config::new("example.com");
        config.limits.mailboxes = 0;
        assert_eq!(publish(&mut room, &mut Fixture::with(config), "", "Messages-Waiting: yes\n"), Err(503));
    }

    #[test]
    fn the_account_is_named_as_configured_unless_the_server_names_it() {
        let (mut room, fixture) = (Mailboxes::default(), &mut Fixture::new());
        let config = |account: &str| MessageSummaryConfig { account: account.into(), ..Default::default() };
        let body = |room: &Mailboxes, account: &str| room.document(&config(account), BOB);
        assert_eq!(body(&room, ""), "Messages-Waiting: no\r\nMessage-Account: sip:bob@example.com\r\n");
        assert_eq!(
            body(&room, "sip:{user}@vm.{domain}"),
            "Messages-Waiting: no\r\nMessage-Account: sip:bob@vm.example.com\r\n"
        );
        let own = Summary { waiting: true, ..Summary::default() };
        room.say(&fixture.ctx(), BOB, Some(own)).expect("room");
        assert_eq!(
            body(&room, "sip:*97@{domain}"),
            "Messages-Waiting: yes\r\nMessage-Account: sip:*97@example.com\r\n"
        );
        room.say(&fixture.ctx(), BOB, Some(Summary::voice("sip:a@b", 2, 1))).expect("room");
        assert_eq!(
            body(&room, "sip:*97@{domain}"),
            "Messages-Waiting: yes\r\nMessage-Account: sip:a@b\r\nVoice-Message: 2/1\r\n"
        );
    }
}
