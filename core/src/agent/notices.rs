//! NOTIFY that the host has sent to phones which did not ask for it: `check-sync` to make them read their configuration
//! again, `message-summary` to those that cannot subscribe. Each phone is told once, and what it says is the host's.
//!
//! RFC 6665 s4.2.2 knows no such NOTIFY; phones take it all the same, as what belongs to no subscription:
//! `Subscription-State: terminated`.

use crate::base::text::{self, owned};
use crate::base::{Key, Slab};
use crate::ctx::{Ctx, Locate, Reached};
use crate::dialog::{DATAGRAM, Dialog, Way};
use crate::door::{DeviceTold, Notice, NoticeRefusal, ReplyBody};
use crate::stats::Counter;
use crate::txn::{Transactions, Usage};
use crate::wire::{Event, Header, Method, Uri};

/// Names a request while it is on its way.
type LegKey = Key<Leg>;

/// One request to a phone.
#[derive(Clone, Debug)]
struct Leg {
    notice: Key<Going>,
    /// Its place among the results.
    at: usize,
}

/// One wish of the host.
#[derive(Clone, Debug)]
struct Going {
    reply: Option<u64>,
    told: Vec<DeviceTold>,
    /// Phones that have not answered.
    open: usize,
}

/// All that are on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices {
    legs: Slab<Leg>,
    going: Slab<Going>,
}

/// What the host gives may be put into a header: nothing of it begins another.
pub(crate) fn check(notice: &Notice, longest: usize) -> Result<(), NoticeRefusal> {
    let plain = |text: &str| text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if !plain(&notice.event) || Event::parse(notice.event.as_bytes()).is_err() {
        return Err(NoticeRefusal::BadEvent);
    }
    if notice.body.is_empty() {
        return Ok(());
    }
    let kind = notice.kind.split(';').next().and_then(|kind| kind.trim_end().split_once('/'));
    let known = kind.is_some_and(|(a, b)| text::is_token(a.as_bytes()) && text::is_token(b.as_bytes()));
    if !plain(&notice.kind) || !known {
        return Err(NoticeRefusal::BadContentType);
    }
    match notice.body.len() + 1024 > longest {
        true => Err(NoticeRefusal::TooLarge),
        false => Ok(()),
    }
}

impl Notices {
    /// How many phones have not answered.
    pub(crate) fn len(&self) -> usize {
        self.legs.len()
    }

    /// Tells these phones of a user; the reply follows when all have answered, or will not.
    pub(crate) fn send(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        phones: &dyn Locate,
        (reply, aor, notice): (Option<u64>, &str, &Notice),
        reached: &[Reached<'_>],
    ) {
        let key = self.going.insert(Going { reply, told: Vec::with_capacity(reached.len()), open: 0 });
        for (at, phone) in reached.iter().enumerate() {
            let mut way = Way::to_phone(phone.to, phone.contact, phone.path);
            // DECISIONS 14.
            if notice.body.len() > DATAGRAM - 600 && !phone.to.transport.is_reliable() {
                let contact = Uri::parse(phone.contact).ok();
                let stream = contact.and_then(|uri| phones.flow_of(ctx, aor, b"", &uri, true));
                match stream {
                    Some(stream) => way.to = stream,
                    None => ctx.stats.count(Counter::LargeDatagrams),
                }
            }
            let leg = self.legs.insert(Leg { notice: key, at });
            let sent = write(ctx, txn, aor, notice, &way, leg);
            let contact = owned(phone.contact);
            let status = if sent { 0 } else { 503 };
            if !sent {
                self.legs.remove(leg);
            }
            if let Some(going) = self.going.get_mut(key) {
                going.open += usize::from(sent);
                going.told.push(DeviceTold { contact, remote: way.to.remote, status });
            }
        }
        self.finish(ctx, key);
    }

    /// A phone answered.
    pub(crate) fn on_response(&mut self, ctx: &mut Ctx<'_>, bits: u64, status: u16) {
        if status >= 200 {
            self.heard(ctx, bits, status);
        }
    }

    /// A phone did not, or could not be reached.
    pub(crate) fn on_failure(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        self.heard(ctx, bits, 408);
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, bits: u64, status: u16) {
        let Some(leg) = self.legs.remove(LegKey::from_bits(bits)) else { return };
        let Some(going) = self.going.get_mut(leg.notice) else { return };
        going.open -= 1;
        if let Some(told) = going.told.get_mut(leg.at) {
            told.status = status;
        }
        self.finish(ctx, leg.notice);
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>, key: Key<Going>) {
        if self.going.get(key).is_some_and(|going| going.open == 0)
            && let Some(going) = self.going.remove(key)
        {
            ctx.out.reply(going.reply, ReplyBody::Notified(going.told));
        }
    }
}

/// False if there is no room for it.
fn write(
    ctx: &mut Ctx<'_>,
    txn: &mut Transactions,
    aor: &str,
    notice: &Notice,
    way: &Way<'_>,
    leg: LegKey,
) -> bool {
    let uri = format!("sip:{aor}");
    let Some(mut dialog) = Dialog::inviting(ctx, &way.to, uri.as_bytes(), uri.as_bytes(), b"") else {
        return false;
    };
    dialog.advance();
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = dialog.request(ctx, &mut arena, Method::Notify, way);
    writer.prepared(&ctx.settings.agent_line);
    writer.header(Header::Event, notice.event.as_bytes());
    writer.header(Header::SubscriptionState, b"terminated");
    if !notice.body.is_empty() {
        writer.body(notice.kind.as_bytes(), &notice.body);
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    let usage = Usage::Notice(leg.to_bits());
    txn.send(ctx, &addressed.to, Method::Notify, usage, &addressed.branch, payload).is_ok()
}
