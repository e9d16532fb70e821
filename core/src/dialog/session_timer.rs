//! Session timers of a dialog: what is agreed, and what the answer to a refresh means. RFC 4028, DECISIONS 25. Whose dialog
//! it is acts on it.
//!
//! Both ends agree on an interval and on who refreshes; each INVITE and UPDATE with its 2xx agrees anew. What one leg of
//! a bridge agrees says nothing of the other: two bridges in a row, or a phone without timers, change nothing.
//!
//! A refresh is UPDATE without an offer where the peer takes that, else INVITE with what it was sent last (`o=` as it
//! was: nothing has changed).
//!
//! | it is answered | then |
//! |---|---|
//! | 2xx | agreed anew |
//! | 491 | again after 2.1 to 4 s if the Call-ID is ours, else after up to 2 s |
//! | 422 with a Min-SE | again at once, with that |
//! | 405, 501 to UPDATE | again at once, as INVITE |
//! | 500, 503 with a Retry-After of up to a minute | again after that |
//! | 408, 481, nothing | the call is over |
//! | else | again when half the time is gone that is left; over when none is left |

use core::time::Duration;

use crate::base::ids::IdKind;
use crate::base::text::clamp_u32;
use crate::base::{Time, TimerKey};
use crate::config::Settings;
use crate::ctx::{Ctx, Extra, Refusal, Timer};
use crate::txn::ClientKey;
use crate::wire::{Header, Message, Method, Params, Status, Writer, split};

/// The option tag.
pub(crate) const TAG: &[u8] = b"timer";

/// RFC 4028 s10: who gets no refresh hangs up this long before the end, or a third of the interval.
const GRACE: Duration = Duration::from_secs(32);

/// More than this is not waited for, whoever asks (one day, in seconds).
const LONGEST: u32 = 86_400;

/// RFC 4028 s4: an interval that is recommended, in seconds.
const USUAL: u32 = 1800;

/// RFC 4028 s5: less may not be asked for.
const LEAST: u32 = 90;

/// Who refreshes, in the roles of the request that agreed on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl Refresher {
    fn other(self) -> Refresher {
        match self {
            Refresher::Uac => Refresher::Uas,
            Refresher::Uas => Refresher::Uac,
        }
    }
}

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Said {
    /// Its sender knows of session timers.
    pub(crate) supports: bool,
    pub(crate) expires: Option<u32>,
    pub(crate) refresher: Option<Refresher>,
    /// Min-SE; 0 for none.
    pub(crate) min_se: u32,
}

impl Said {
    pub(crate) fn of(msg: Message<'_>) -> Said {
        let value = msg.header(Header::SessionExpires).unwrap_or_default();
        let (number, params) = match split::find(value, b';') {
            Some(at) => (value.get(..at).unwrap_or_default(), value.get(at..).unwrap_or_default()),
            None => (value, &[][..]),
        };
        let refresher = Params::parse(params).ok().and_then(|params| params.value(b"refresher"));
        let number_of = |value: &[u8]| clamp_u32(value.split(|b| *b == b';').next()?.trim_ascii());
        Said {
            supports: [Header::Supported, Header::Require].iter().any(|header| msg.has_token(*header, TAG)),
            expires: clamp_u32(number.trim_ascii()),
            refresher: match refresher {
                Some(value) if value.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
                Some(value) if value.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
                _ => None,
            },
            min_se: msg.header(Header::MinSe).and_then(number_of).unwrap_or(0),
        }
    }
}

/// What we want when we are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wish {
    pub(crate) expires: u32,
    pub(crate) min_se: u32,
    /// Who did it until now.
    pub(crate) refresher: Option<Refresher>,
}

/// What is agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    pub(crate) expires: u32,
    pub(crate) refresher: Refresher,
    /// Both know of it; else it is a matter of ours, and nothing ends when it is not refreshed.
    pub(crate) agreed: bool,
    /// The peer has to understand the answer (RFC 4028 s9).
    pub(crate) require: bool,
}

/// RFC 4028 s9: the answer to a request; `Err` is the Min-SE of a 422.
pub(crate) fn grant(said: Said, wish: Wish) -> Result<Terms, u32> {
    // Who does not know of timers cannot do better when it is refused: what a proxy asked too much is not granted.
    let asked = said.expires.filter(|expires| said.supports || *expires >= wish.min_se);
    let most = wish.expires.max(said.min_se.min(LONGEST));
    let expires = match asked {
        Some(expires) if expires < wish.min_se => return Err(wish.min_se),
        Some(expires) => expires.min(most),
        None => most,
    };
    let refresher = match said.refresher.filter(|_| asked.is_some()) {
        _ if !said.supports => Refresher::Uas,
        Some(chosen) => chosen,
        // A phone that promises to refresh and does not would lose its call.
        None => wish.refresher.unwrap_or(Refresher::Uas),
    };
    Ok(Terms { expires, refresher, agreed: said.supports || asked.is_some(), require: said.supports })
}

/// RFC 4028 s7.2: what a 2xx to a request of ours, which asked for this, agrees to.
pub(crate) fn granted(said: Said, asked: u32) -> Terms {
    match said.expires {
        Some(expires) => Terms {
            // Nobody makes us send one request after the other.
            expires: expires.clamp(GRACE.as_secs() as u32, LONGEST),
            refresher: said.refresher.unwrap_or(Refresher::Uac),
            agreed: true,
            require: false,
        },
        None => Terms { expires: asked, refresher: Refresher::Uac, agreed: false, require: false },
    }
}

impl Terms {
    /// As the 2xx says it.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        if self.agreed {
            write_expires(writer, self.expires, Some(self.refresher));
        }
        if self.require {
            writer.header(Header::Require, TAG);
        }
    }
}

/// Session-Expires.
fn write_expires(writer: &mut Writer<'_>, expires: u32, refresher: Option<Refresher>) {
    writer.value(Header::SessionExpires, |value| {
        value.number(u64::from(expires));
        match refresher {
            Some(Refresher::Uac) => value.literal(";refresher=uac"),
            Some(Refresher::Uas) => value.literal(";refresher=uas"),
            None => {}
        }
    });
}

/// What the settings say: Session-Expires and Min-SE. `None` if there are no session timers. An engine without calls of its
/// own has those of user agents, with the values that RFC 4028 s4 and s5 recommend.
fn wanted(settings: &Settings) -> Option<(u32, u32)> {
    match &settings.calls {
        Some(calls) if !calls.session_timers => None,
        Some(calls) => {
            let min_se = calls.min_se.max(LEAST);
            Some((calls.session_expires.max(min_se), min_se))
        }
        None => Some((USUAL, LEAST)),
    }
}

/// Are there session timers?
pub(crate) fn is_on(settings: &Settings) -> bool {
    wanted(settings).is_some()
}

/// RFC 4028 s9: 422 to a request that asks for too little.
pub(crate) fn refuse_if_brief(settings: &Settings, msg: Message<'_>) -> Result<(), Refusal> {
    let Some((expires, min_se)) = wanted(settings) else { return Ok(()) };
    match grant(Said::of(msg), Wish { expires, min_se, refresher: None }) {
        Ok(_) => Ok(()),
        Err(min_se) => Err(Refusal::with(Status::SESSION_INTERVAL_TOO_SMALL, Extra::MinSe(min_se))),
    }
}

/// What an INVITE of ours that begins a call asks for; `min_se` is that of a 422, or 0.
pub(crate) fn write_first(settings: &Settings, writer: &mut Writer<'_>, min_se: u32) {
    let Some((expires, least)) = wanted(settings) else { return };
    // RFC 4028 s7.1: who refreshes is for the other side to say.
    write_expires(writer, expires.max(min_se), None);
    if min_se > 0 || least > LEAST {
        writer.number(Header::MinSe, least.max(min_se));
    }
}

/// The Min-SE of a 422 that makes it worth to ask again: more than this was asked for, or `known`.
pub(crate) fn longer(settings: &Settings, refusal: Message<'_>, known: u32) -> Option<u32> {
    let min_se = Said::of(refusal).min_se;
    let (expires, _) = wanted(settings)?;
    (min_se > expires.max(known) && min_se <= LONGEST).then_some(min_se)
}

/// What is to be done about a refresh that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Nothing, until it is time.
    Wait,
    /// It goes out again.
    Again,
    /// The call is over.
    End,
}

/// The session timer of a dialog.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionTimer {
    /// The peer takes UPDATE: it says so in Allow.
    pub(crate) takes_update: bool,
    /// It does not: it says so there.
    pub(crate) refuses_update: bool,
    /// We made the Call-ID (RFC 3261 s14.1).
    pub(crate) owns: bool,
    /// The largest Min-SE it said; 0 for none.
    pub(crate) min_se: u32,
    /// In seconds; 0 before the first agreement.
    interval: u32,
    /// It is for us to refresh.
    pub(crate) ours: bool,
    agreed: bool,
    /// When something is to be done.
    pub(crate) due: Option<Time>,
    /// When the session ends if nobody refreshes it.
    pub(crate) ends: Option<Time>,
    timer: TimerKey,
    /// Our refresh that is not answered yet.
    pub(crate) refreshing: Option<ClientKey>,
}

impl SessionTimer {
    pub(crate) fn hear_allow(&mut self, msg: Message<'_>) {
        if msg.header(Header::Allow).is_some() {
            // The case of a method counts (RFC 3261 s7.1).
            const UPDATE: &[u8] = b"UPDATE";
            let names = |value: &[u8]| {
                memchr::memchr_iter(b'U', value).any(|at| {
                    let ends = |byte: Option<&u8>| byte.is_none_or(|b| *b == b',' || b.is_ascii_whitespace());
                    let (before, here) = value.split_at_checked(at).unwrap_or_default();
                    here.starts_with(UPDATE) && ends(before.last()) && ends(here.get(UPDATE.len()))
                })
            };
            self.takes_update = msg.headers(Header::Allow).any(names);
            self.refuses_update = !self.takes_update;
        }
    }

    /// RFC 4028 s7.4: the largest Min-SE of a dialog is what each request in it says.
    pub(crate) fn hear_request(&mut self, msg: Message<'_>) {
        self.min_se = self.min_se.max(Said::of(msg).min_se.min(LONGEST));
        self.hear_allow(msg);
    }

    /// The interval our requests in this dialog ask for (RFC 4028 s7.4).
    pub(crate) fn asks(&self, settings: &Settings) -> u32 {
        let (usual, least) = wanted(settings).unwrap_or_default();
        let interval = if self.interval > 0 && self.agreed { self.interval } else { usual };
        interval.max(self.min_se).max(least)
    }

    /// What a request of ours within the call says.
    pub(crate) fn write(&self, settings: &Settings, writer: &mut Writer<'_>) {
        let Some((_, least)) = wanted(settings).filter(|_| self.interval > 0) else { return };
        // The other one may not know of it.
        let refresher = if self.ours { Refresher::Uac } else { Refresher::Uas };
        write_expires(writer, self.asks(settings), Some(refresher));
        if self.min_se > 0 || least > LEAST {
            writer.number(Header::MinSe, self.min_se.max(least));
        }
    }

    /// What our 2xx to this request says. `None` without session timers.
    pub(crate) fn grant(&self, settings: &Settings, request: Message<'_>) -> Option<Terms> {
        let (expires, min_se) = wanted(settings)?;
        let so_far = if self.ours { Refresher::Uas } else { Refresher::Uac };
        let refresher = Some(so_far).filter(|_| self.interval > 0);
        grant(Said::of(request), Wish { expires, min_se, refresher }).ok()
    }

    /// What a 2xx to a request of ours agreed to.
    pub(crate) fn granted(&self, settings: &Settings, response: Message<'_>) -> Option<Terms> {
        wanted(settings)?;
        Some(granted(Said::of(response), self.asks(settings)))
    }

    /// It begins anew; we sent the request, or answered it. `wake` is whose it is.
    pub(crate) fn begin(&mut self, ctx: &mut Ctx<'_>, wake: Timer, terms: Terms, role: Refresher) {
        let whole = Duration::from_secs(u64::from(terms.expires));
        (self.interval, self.agreed) = (terms.expires, terms.agreed);
        self.ours = terms.refresher == role;
        debug_assert!(self.ours || terms.refresher == role.other());
        self.ends = terms.agreed.then_some(ctx.now + whole);
        self.due = Some(ctx.now + if self.ours { whole / 2 } else { whole - GRACE.min(whole / 3) });
        self.arm(ctx, wake);
    }

    /// How a refresh goes out now: as UPDATE, or as INVITE if there is something to say in one. Until it is answered only
    /// the end may come.
    pub(crate) fn refresh(&mut self, ctx: &mut Ctx<'_>, wake: Timer, says: bool) -> Method {
        match self.ends.map(|ends| ends.since(ctx.now)) {
            Some(left) => self.postpone(ctx, wake, left),
            None => self.stop(ctx),
        }
        if self.takes_update || !says { Method::Update } else { Method::Invite }
    }

    /// What the answer to a refresh means, but for a 2xx: the table above. `says` as when it went out.
    pub(crate) fn refused(
        &mut self,
        ctx: &mut Ctx<'_>,
        wake: Timer,
        (method, says): (Method, bool),
        (status, msg): (u16, Message<'_>),
    ) -> Next {
        match status {
            408 | 481 => return Next::End,
            491 => {
                // RFC 3261 s14.1, in steps of 10 ms.
                let (least, span) = if self.owns { (210, 191) } else { (0, 201) };
                let wait = least + ctx.ids.below(IdKind::Jitter, span);
                self.postpone(ctx, wake, Duration::from_millis(wait * 10));
            }
            422 => {
                let known = self.asks(ctx.settings);
                if let Some(min_se) = longer(ctx.settings, msg, known) {
                    self.min_se = min_se;
                    return Next::Again;
                }
                self.put_off(ctx, wake);
            }
            405 | 501 if method == Method::Update && says && self.takes_update => {
                self.takes_update = false;
                return Next::Again;
            }
            500 | 503 if msg.retry_after().is_some_and(|after| after <= 60) => {
                let after = msg.retry_after().unwrap_or(0);
                self.postpone(ctx, wake, Duration::from_secs(u64::from(after.max(1))));
            }
            _ => self.put_off(ctx, wake),
        }
        Next::Wait
    }

    /// It is our refresh that was answered.
    pub(crate) fn is_refresh(&mut self, client: ClientKey) -> bool {
        self.refreshing.take_if(|refreshing| *refreshing == client).is_some()
    }

    /// Something is to be done later; not later than the end.
    pub(crate) fn postpone(&mut self, ctx: &mut Ctx<'_>, wake: Timer, wait: Duration) {
        let at = ctx.now + wait;
        self.due = Some(self.ends.map_or(at, |ends| at.min(ends)));
        self.arm(ctx, wake);
    }

    /// It was refused, for whatever reason: again when half the time is gone that is left.
    pub(crate) fn put_off(&mut self, ctx: &mut Ctx<'_>, wake: Timer) {
        let left = match self.ends {
            Some(ends) => ends.since(ctx.now),
            None => Duration::from_secs(u64::from(self.interval)),
        };
        self.postpone(ctx, wake, if left > GRACE { left / 2 } else { left });
    }

    /// Somebody else has it from now on, or something else is due.
    pub(crate) fn arm(&mut self, ctx: &mut Ctx<'_>, wake: Timer) {
        ctx.timers.disarm(core::mem::take(&mut self.timer));
        if let Some(due) = self.due {
            self.timer = ctx.timers.arm(due, wake);
        }
    }

    /// Nothing is to be done any more.
    pub(crate) fn stop(&mut self, ctx: &mut Ctx<'_>) {
        self.due = None;
        ctx.timers.disarm(core::mem::take(&mut self.timer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(refresher: Option<Refresher>) -> &'static str {
        match refresher {
            None => "none",
            Some(Refresher::Uac) => "uac",
            Some(Refresher::Uas) => "uas",
        }
    }

    const CHOICES: [Option<Refresher>; 3] = [None, Some(Refresher::Uac), Some(Refresher::Uas)];

    #[test]
    fn the_table_of_those_who_ask_us() {
        let mut out = String::from("timer  asks  by    until now  > says  by   Require\n");
        for supports in [false, true] {
            for expires in [None, Some(60), Some(90), Some(600), Some(7200)] {
                for refresher in CHOICES {
                    for so_far in CHOICES {
                        if expires.is_none() && refresher.is_some() {
                            continue;
                        }
                        let said = Said { supports, expires, refresher, min_se: 0 };
                        let wish = Wish { expires: 1800, min_se: 90, refresher: so_far };
                        let then = match grant(said, wish) {
                            Err(min_se) => format!("422, Min-SE: {min_se}"),
                            Ok(terms) => {
                                let said = if terms.agreed { terms.expires.to_string() } else { "-".into() };
                                let by = name(Some(terms.refresher));
                                format!("{said:<5} {by}  {}", if terms.require { "timer" } else { "-" })
                            }
                        };
                        let asked = expires.map_or("-".into(), |expires| expires.to_string());
                        let (by, so_far) = (name(refresher), name(so_far));
                        out.push_str(&format!("{supports:<6} {asked:<5} {by:<5} {so_far:<10} > {then}\n"));
                    }
                }
            }
        }
        insta::assert_snapshot!(out);
    }

    #[test]
    fn the_table_of_those_we_ask() {
        let mut out = String::from("says  by    > every  by   both know\n");
        for expires in [None, Some(1), Some(90), Some(1800), Some(u32::MAX)] {
            for refresher in CHOICES {
                let said = Said { supports: true, expires, refresher, min_se: 0 };
                let Terms { expires: every, refresher: by, agreed, .. } = granted(said, 1800);
                let says = expires.map_or("-".into(), |expires| expires.to_string());
                let (refresher, by) = (name(refresher), name(Some(by)));
                out.push_str(&format!("{says:<10} {refresher:<5} > {every:<6} {by}  {agreed}\n"));
            }
        }
        insta::assert_snapshot!(out);
    }

    #[test]
    fn what_is_granted_lies_between_what_both_want() {
        for expires in (0..4000).step_by(37) {
            for min_se in [0, 90, 300, 2000, 3000] {
                for ours in [90, 600, 1800] {
                    let said = Said { supports: true, expires: Some(expires), refresher: None, min_se };
                    let wish = Wish { expires: ours, min_se: 90, refresher: None };
                    let Ok(terms) = grant(said, wish) else {
                        assert!(expires < 90);
                        continue;
                    };
                    assert!(terms.expires <= expires, "RFC 4028 s9: never more than was asked");
                    assert!(terms.expires >= min_se.min(expires) && terms.expires >= 90);
                }
            }
        }
    }
}
