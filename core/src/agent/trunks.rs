//! Trunks: do they answer (OPTIONS, RFC 3261 s11), and are we registered there (RFC 3261 s10.2).
//!
//! | | |
//! |---|---|
//! | OPTIONS is answered, but not with 503 | it is up |
//! | 503, no answer, no way there | it is down: no call is sent there until it answers again |
//! | REGISTER is accepted | registered; refreshed at nine tenths of what was granted (`send`) |
//! | 401, 407, 423 | answered at once, within bounds (`send`) |
//! | anything else, no answer, no way there | tried again after 30 s, then twice as long each time, up to half an hour, or when it says |
//!
//! Where it is reached is found out anew for each OPTIONS and each attempt to register (RFC 3263). Calls to the Contact that
//! was registered are of that trunk: its user part is derived from the password there, and known to nobody else.

use core::time::Duration;

use super::Registering;
use crate::base::text::{self, owned};
use crate::base::{TimerKey, hash};
use crate::config::{DigestAlgorithm, Settings, TrunkConfig};
use crate::ctx::{Ctx, Origin, Timer, TrunkTimer};
use crate::dialog::Dialog;
use crate::door::{AgentAccount, AgentHop, AgentWish, Event, Secret, TrunkEvent, TrunkStep};
use crate::txn::{Transactions, Usage};
use crate::wire::{Header, Method, Uri};

/// What a trunk may send.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY";
/// How long after the start, and after a new configuration, trunks are asked first.
const FIRST: Duration = Duration::from_millis(500);
/// How long until a registration is tried again at first, and at last.
const AGAIN: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(1800);

/// One trunk, as long as its configuration stays.
#[derive(Clone, Debug)]
struct Trunk {
    config: TrunkConfig,
    down: bool,
    registered: bool,
    /// How often in a row it was not registered.
    failures: u32,
    /// The user part of our Contact there; empty if we do not register.
    contact: Box<str>,
    /// Counts the times it was looked for, so that an old answer is known.
    generation: u32,
    /// What is to be done when it is found.
    wants: Wants,
    qualify: TimerKey,
    register: TimerKey,
}

/// What is to be done when a trunk is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wants {
    qualify: bool,
    register: bool,
}

/// All trunks of the configuration, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trunks {
    list: Vec<Trunk>,
    draining: bool,
}

impl Trunks {
    /// The trunks of a configuration. What is as it was goes on as it did; the numbers of those that are to be registered no
    /// more are given back.
    pub(crate) fn configure(&mut self, ctx: &mut Ctx<'_>) -> Vec<u16> {
        let settings = ctx.settings.clone();
        let new = settings.calls.as_ref().map_or(&[][..], |calls| &calls.trunks);
        let mut old = core::mem::take(&mut self.list).into_iter();
        let mut left = Vec::new();
        for (i, config) in (0..=u16::MAX).zip(new) {
            let trunk = match old.next() {
                Some(same) if same.config == *config => same,
                other => {
                    self.leave(ctx, other, i, &mut left);
                    Trunk::begin(ctx, i, config)
                }
            };
            self.list.push(trunk);
        }
        let gone = self.list.len();
        for (i, other) in old.enumerate() {
            self.leave(ctx, Some(other), u16::try_from(gone + i).unwrap_or(u16::MAX), &mut left);
        }
        left
    }

    fn leave(&self, ctx: &mut Ctx<'_>, trunk: Option<Trunk>, i: u16, left: &mut Vec<u16>) {
        let Some(trunk) = trunk else { return };
        ctx.timers.disarm(trunk.qualify);
        ctx.timers.disarm(trunk.register);
        if trunk.config.register {
            left.push(i);
        }
    }

    /// How many do not answer.
    pub(crate) fn down(&self) -> usize {
        self.list.iter().filter(|trunk| trunk.down).count()
    }

    /// At how many we are registered.
    pub(crate) fn registered(&self) -> usize {
        self.list.iter().filter(|trunk| trunk.registered).count()
    }

    /// Does it not answer?
    pub(crate) fn is_down(&self, i: u16) -> bool {
        self.list.get(usize::from(i)).is_some_and(|trunk| trunk.down)
    }

    /// The trunk at which this was registered as our Contact.
    pub(crate) fn of_contact(&self, uri: &Uri<'_>) -> Option<u16> {
        let user = uri.user()?;
        let is_it = |trunk: &Trunk| !trunk.contact.is_empty() && trunk.contact.as_bytes() == user;
        self.list.iter().position(is_it).and_then(|i| u16::try_from(i).ok())
    }

    /// No new calls are taken: nothing is registered any more. Those that were.
    pub(crate) fn drain(&mut self, ctx: &mut Ctx<'_>) -> Vec<u16> {
        self.draining = true;
        let mut left = Vec::new();
        for (i, trunk) in (0..=u16::MAX).zip(&mut self.list) {
            ctx.timers.disarm(core::mem::take(&mut trunk.qualify));
            ctx.timers.disarm(core::mem::take(&mut trunk.register));
            trunk.wants = Wants::default();
            if trunk.config.register {
                left.push(i);
            }
        }
        left
    }

    /// It is time to do something with a trunk. Its URI, and a number for the answer where that is; `None` if there is no
    /// such trunk.
    pub(crate) fn on_timer(
        &mut self,
        ctx: &mut Ctx<'_>,
        i: u16,
        what: TrunkTimer,
    ) -> Option<(Box<str>, u32)> {
        let trunk = self.list.get_mut(usize::from(i)).filter(|_| !self.draining)?;
        // Should nobody answer.
        match what {
            TrunkTimer::Qualify => {
                trunk.wants.qualify = true;
                let every = trunk.config.qualify.unwrap_or(AGAIN);
                trunk.qualify = ctx.timers.arm(ctx.now + every, Timer::Trunk(i, what));
            }
            TrunkTimer::Register => {
                trunk.wants.register = true;
                trunk.register = ctx.timers.arm(ctx.now + LONGEST, Timer::Trunk(i, what));
            }
        }
        trunk.generation = trunk.generation.wrapping_add(1);
        Some((trunk.config.uri.as_str().into(), trunk.generation))
    }

    /// Where it was looked for, if this is the answer that is waited for: what is to be done there.
    pub(crate) fn found(&mut self, i: u16, generation: u32) -> Option<Wants> {
        let trunk = self.list.get_mut(usize::from(i)).filter(|trunk| trunk.generation == generation)?;
        Some(core::mem::take(&mut trunk.wants)).filter(|wants| *wants != Wants::default())
    }

    /// Asks a trunk whether it is there, if that is to be done; `None` if there is no way.
    pub(crate) fn probe(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        (i, wants): (u16, Wants),
        to: Option<&Origin>,
    ) {
        if !wants.qualify {
            return;
        }
        let uri = self.list.get(usize::from(i)).map(|trunk| trunk.config.uri.clone()).unwrap_or_default();
        let sent = to.is_some_and(|to| ask(ctx, txn, i, to, &uri));
        if !sent {
            self.heard(ctx, i, Err("no way there"));
        }
    }

    /// What is to be registered at a trunk, if it is to be: the wish, and the user part of the Contact.
    pub(crate) fn registration(
        &mut self,
        ctx: &mut Ctx<'_>,
        (i, wants): (u16, Wants),
        to: Option<&Origin>,
    ) -> Option<(AgentWish, Registering)> {
        let trunk = self.list.get(usize::from(i)).filter(|_| wants.register)?;
        let Some(to) = to else {
            self.not_registered(ctx, i, "no way there", None);
            return None;
        };
        let TrunkConfig { username, password, register_as, register_expires, uri, .. } = &trunk.config;
        let password = password.as_ref().map_or("", |password| password.0.as_str());
        let wish = AgentWish {
            id: id_of(i),
            account: AgentAccount {
                uri: register_as.as_str().into(),
                username: username.as_str().into(),
                password: Secret(password.into()),
                token: None,
            },
            hop: AgentHop { flow: to.flow, remote: to.remote, local: to.local },
            uri: uri.as_str().into(),
            event: Box::default(),
            expires: u32::try_from(register_expires.as_secs()).unwrap_or(3600),
        };
        Some((
            wish,
            Registering {
                contact: trunk.contact.clone(),
                instance: Box::default(),
                reg_id: 0,
                sips: true,
                allow: ALLOW,
            },
        ))
    }

    /// OPTIONS was answered.
    pub(crate) fn on_response(&mut self, ctx: &mut Ctx<'_>, i: u64, status: u16) {
        match (status, u16::try_from(i)) {
            (503, Ok(i)) => self.heard(ctx, i, Err("503")),
            (200.., Ok(i)) => self.heard(ctx, i, Ok(())),
            _ => {}
        }
    }

    /// It was not.
    pub(crate) fn on_failure(&mut self, ctx: &mut Ctx<'_>, i: u64) {
        if let Ok(i) = u16::try_from(i) {
            self.heard(ctx, i, Err("no answer"));
        }
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, i: u16, heard: Result<(), &str>) {
        let Some(trunk) = self.list.get_mut(usize::from(i)) else { return };
        let was = core::mem::replace(&mut trunk.down, heard.is_err());
        match heard {
            Err(reason) if !was => tell(ctx, trunk, TrunkStep::Down { reason: reason.into() }),
            Ok(()) if was => tell(ctx, trunk, TrunkStep::Up),
            _ => {}
        }
    }

    /// We are registered there, for so many seconds.
    pub(crate) fn is_registered(&mut self, ctx: &mut Ctx<'_>, i: u16, expires: u32) {
        let Some(trunk) = self.list.get_mut(usize::from(i)) else { return };
        (trunk.registered, trunk.failures) = (true, 0);
        ctx.timers.disarm(core::mem::take(&mut trunk.register));
        tell(ctx, trunk, TrunkStep::Registered { expires });
    }

    /// We are not, or no more: it is tried again.
    pub(crate) fn not_registered(&mut self, ctx: &mut Ctx<'_>, i: u16, reason: &str, wait: Option<Duration>) {
        let draining = self.draining;
        // It was given up, and another configuration has taken its place.
        if reason.is_empty() && !draining {
            return;
        }
        let Some(trunk) = self.list.get_mut(usize::from(i)) else { return };
        let was = core::mem::take(&mut trunk.registered);
        if draining {
            if was {
                tell(ctx, trunk, TrunkStep::Unregistered);
            }
            return;
        }
        let wait = wait.unwrap_or(Duration::ZERO).max(AGAIN * (1 << trunk.failures.min(6))).min(LONGEST);
        trunk.failures += 1;
        let again = ctx.now + wait;
        ctx.timers.disarm(trunk.register);
        trunk.register = ctx.timers.arm(again, Timer::Trunk(i, TrunkTimer::Register));
        tell(ctx, trunk, TrunkStep::NotRegistered { reason: reason.into(), again });
    }
}

impl Trunk {
    fn begin(ctx: &mut Ctx<'_>, i: u16, config: &TrunkConfig) -> Trunk {
        let mut arm = |on: bool, what| match on {
            true => ctx.timers.arm(ctx.now + FIRST, Timer::Trunk(i, what)),
            false => TimerKey::NONE,
        };
        let qualify = arm(config.qualify.is_some(), TrunkTimer::Qualify);
        let register = arm(config.register, TrunkTimer::Register);
        Trunk {
            config: config.clone(),
            down: false,
            registered: false,
            failures: 0,
            contact: if config.register { contact(config) } else { Box::default() },
            generation: 0,
            wants: Wants::default(),
            qualify,
            register,
        }
    }
}

/// The number of the wish to be registered at a trunk: hosts have none so large.
pub(crate) fn id_of(trunk: u16) -> u64 {
    u64::MAX - u64::from(trunk)
}

/// The trunk of a wish.
pub(crate) fn trunk_of_id(id: u64) -> Option<u16> {
    u16::try_from(u64::MAX - id).ok()
}

/// The same after a restart, so that calls to what was registered before arrive; guessed by nobody.
fn contact(config: &TrunkConfig) -> Box<str> {
    let password = config.password.as_ref().map_or("", |password| password.0.as_str());
    let parts: [&[u8]; 6] = [
        b"contact at trunk:",
        config.name.as_bytes(),
        b":",
        config.username.as_bytes(),
        b":",
        password.as_bytes(),
    ];
    let hash = hash::digest(DigestAlgorithm::Sha256, &parts);
    let mut out = b"t".to_vec();
    text::push_hex(hash.get(..12).unwrap_or_default(), &mut out);
    owned(&out)
}

fn tell(ctx: &mut Ctx<'_>, trunk: &Trunk, step: TrunkStep) {
    ctx.out.tell(Event::Trunk(Box::new(TrunkEvent { name: trunk.config.name.as_str().into(), step })));
}

/// False if it cannot be sent.
fn ask(ctx: &mut Ctx<'_>, txn: &mut Transactions, i: u16, to: &Origin, uri: &str) -> bool {
    let own = format!("sip:{}", home(ctx.settings));
    let dialog = Dialog::inviting(ctx, to, own.as_bytes(), uri.as_bytes(), uri.as_bytes());
    let Some(mut dialog) = dialog else { return false };
    dialog.advance();
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = dialog.request(ctx, &mut arena, Method::Options, &dialog.straight());
    writer.prepared(&ctx.settings.agent_line);
    writer.header(Header::Accept, b"application/sdp");
    let payload = writer.finish();
    ctx.out.restore(arena);
    let usage = Usage::Trunk(i.into());
    txn.send(ctx, &addressed.to, Method::Options, usage, &addressed.branch, payload).is_ok()
}

fn home(settings: &Settings) -> &str {
    settings.domains.names().first().map_or("localhost", |name| name)
}
