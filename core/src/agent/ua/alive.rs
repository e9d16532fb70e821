//! Keeping the way of a registration alive, and noticing that it is dead: RFC 5626 s4.4, s3.5.
//!
//! | way | what is sent | how often | what is awaited |
//! |---|---|---|---|
//! | a connection | CRLF CRLF | four fifths to the whole of Flow-Timer, or of 120 s | CRLF within 10 s, if flows were granted |
//! | a WebSocket | a ping of it (RFC 7118 s6) | likewise | its pong within 10 s (RFC 6455 s5.5.2) |
//! | datagrams, flows granted | a STUN Binding request, again after 0.5, 1, 2, 4, 8 s | of Flow-Timer, or of 29 s | the same address as before |
//! | datagrams through a NAT, without flows | four zero bytes | of 29 s | nothing |
//! | datagrams else | nothing | | |

use core::net::SocketAddr;
use core::time::Duration;

use super::{Kit, Ua, UaKey, Uas};
use crate::base::TimerKey;
use crate::base::ids::IdKind;
use crate::ctx::{Ctx, Origin, Timer, UaTimer};
use crate::door::{CloseReason, Command, FlowId};
use crate::wire::stun;

/// RFC 5626 s4.4.1, unless the other side says how often.
const STREAM: Duration = Duration::from_secs(120);
/// RFC 5626 s4.4.2; what a NAT forgets first.
const DATAGRAM: Duration = Duration::from_secs(29);
/// RFC 5626 s4.4.1: so long an answer is waited for.
const PONG: Duration = Duration::from_secs(10);
/// RFC 8489 s6.2.1: how often a Binding request is sent.
const REQUESTS: u8 = 6;

/// The keep-alive of one registration.
#[derive(Clone, Debug, Default)]
pub(super) struct Alive {
    ping: TimerKey,
    pong: TimerKey,
    /// A Binding request without an answer, and how often it was sent.
    binding: Option<(stun::Transaction, u8)>,
    /// Where the other side sees us.
    mapped: Option<SocketAddr>,
}

impl Alive {
    /// Sends nothing more, and waits for nothing.
    pub(super) fn stop(&mut self, ctx: &mut Ctx<'_>) {
        ctx.timers.disarm(core::mem::take(&mut self.ping));
        ctx.timers.disarm(core::mem::take(&mut self.pong));
        (self.binding, self.mapped) = (None, None);
    }

    /// A Binding request, or the same once more.
    fn bind(&mut self, ctx: &mut Ctx<'_>, to: &Origin, (serial, key, i): (u32, UaKey, u16)) {
        // Whose it is, and what nobody guesses.
        let fresh = |ctx: &mut Ctx<'_>| {
            let mut id = stun::Transaction::default();
            let drawn = ctx.ids.next(IdKind::FlowToken).to_be_bytes();
            let bytes = serial.to_be_bytes().into_iter().chain(drawn);
            id.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            (id, 0)
        };
        let (id, sent) = match self.binding {
            Some(known) => known,
            None => fresh(ctx),
        };
        let mut arena = ctx.out.lend();
        let payload = stun::request(&id, arena.chunk());
        ctx.out.restore(arena);
        ctx.out.transmit(to, ctx.now, None, payload);
        self.binding = Some((id, sent + 1));
        let wait = ctx.settings.timers.t1 * (1 << sent.min(8));
        ctx.timers.disarm(self.pong);
        self.pong = ctx.timers.arm(ctx.now + wait, Timer::Ua(key.to_bits(), UaTimer::Pong(i)));
    }
}

impl Uas {
    /// The next keep-alive, in its time.
    pub(super) fn keep_alive(&mut self, ctx: &mut Ctx<'_>, key: UaKey, i: u16) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        let Some(to) = registration.to else { return };
        let told = registration.learned.flow_timer.map(|seconds| Duration::from_secs(seconds.max(5).into()));
        let learned = &registration.learned;
        let most = match to.transport.is_reliable() {
            true => told.unwrap_or(STREAM),
            false if learned.outbound => told.unwrap_or(DATAGRAM).min(DATAGRAM),
            false if learned.is_behind_nat => DATAGRAM,
            false => return registration.alive.stop(ctx),
        };
        let spread = u64::try_from((most / 5).as_millis()).unwrap_or(u64::MAX);
        let wait = most - Duration::from_millis(ctx.ids.below(IdKind::Jitter, spread));
        ctx.timers.disarm(registration.alive.ping);
        registration.alive.ping = ctx.timers.arm(ctx.now + wait, Timer::Ua(key.to_bits(), UaTimer::Ping(i)));
    }

    pub(super) fn on_ping(&mut self, ctx: &mut Ctx<'_>, key: UaKey, i: u16) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let serial = ua.serial;
        let Some(registration) = ua.registration(i) else { return };
        let alive = &mut registration.alive;
        alive.ping = TimerKey::NONE;
        let Some(to) = registration.to else { return };
        match (to.transport.is_reliable(), registration.learned.outbound) {
            (false, true) if alive.binding.is_none() => alive.bind(ctx, &to, (serial, key, i)),
            (false, true) => {}
            (reliable, outbound) => {
                ctx.out.ping(to.flow, to.remote, to.local);
                // RFC 5626 s4.4.1: only who knows of flows must answer; pings of WebSocket are answered by all.
                if reliable && (outbound || to.transport.is_web()) && alive.pong.is_none() {
                    alive.pong = ctx.timers.arm(ctx.now + PONG, Timer::Ua(key.to_bits(), UaTimer::Pong(i)));
                }
            }
        }
        self.keep_alive(ctx, key, i);
    }

    /// The other end of a connection is there.
    pub(crate) fn on_pong(&mut self, ctx: &mut Ctx<'_>, flow: FlowId) {
        for (_, ua) in self.list.iter_mut() {
            for registration in ua.registrations.iter_mut().filter(|r| r.to.is_some_and(|to| to.flow == flow))
            {
                ctx.timers.disarm(core::mem::take(&mut registration.alive.pong));
            }
        }
    }

    /// The other side says where it sees us. RFC 5626 s4.4.2: elsewhere than before is another flow.
    pub(crate) fn on_mapped(&mut self, kit: &mut Kit<'_, '_>, id: &stun::Transaction, at: SocketAddr) {
        let is_it = |alive: &Alive| alive.binding.is_some_and(|(known, _)| known == *id);
        let serial = id.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).unwrap_or_default();
        let Some(key) = self.by_serial.get(&serial).copied() else { return };
        let place = |ua: &Ua| ua.registrations.iter().position(|r| is_it(&r.alive));
        let Some(i) = self.list.get(key).and_then(place).and_then(|i| u16::try_from(i).ok()) else { return };
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        let alive = &mut registration.alive;
        alive.binding = None;
        kit.ctx.timers.disarm(core::mem::take(&mut alive.pong));
        if alive.mapped.replace(at).is_some_and(|before| before != at) {
            self.lost_way(kit, key, i);
        }
    }

    /// What is awaited has not come.
    pub(super) fn on_silence(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, i: u16) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let serial = ua.serial;
        let Some(registration) = ua.registration(i) else { return };
        let alive = &mut registration.alive;
        alive.pong = TimerKey::NONE;
        let Some(to) = registration.to else { return };
        if alive.binding.is_some_and(|(_, sent)| sent < REQUESTS) {
            return alive.bind(kit.ctx, &to, (serial, key, i));
        }
        if to.transport.is_reliable() {
            kit.ctx.out.push(Command::Close { flow: to.flow, reason: CloseReason::Idle });
            kit.ctx.flows.give_up(to.flow);
        }
        self.lost_way(kit, key, i);
    }
}
