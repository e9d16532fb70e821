//! Client-initiated connections, RFC 5626 s5 and s6: reg-id, flows and their death.
//!
//! We are no edge proxy (s5): no Path or Record-Route of ours names a flow, so there are no flow tokens, nor a 430.
//!
//! A stream that ends makes its contacts unreachable at once if nobody can connect to them (DECISIONS 11); their bindings
//! stay until they expire, and a new flow of the phone brings them back.

use core::time::Duration;

use smallvec::SmallVec;

use super::Registrar;
use super::binding::{BindingKey, Flags};
use super::read::{Request, Wanted};
use crate::base::TimerKey;
use crate::config::{OutboundMode, RegistrarConfig};
use crate::ctx::{Ctx, Refusal, Timer};
use crate::door::{BindingCause, CloseReason, Command, Event, FlowDownReason, FlowId, Transport};
use crate::wire::Status;

/// RFC 5626 s5.4: how much longer than Flow-Timer a flow may be silent.
const GRACE: Duration = Duration::from_secs(30);

/// RFC 5626 s6: which contacts are bound by (instance, reg-id), and whether outbound is granted.
pub(super) fn apply(
    config: &RegistrarConfig,
    request: &Request<'_, '_>,
    plan: &mut [Wanted<'_>],
) -> Result<(), Refusal> {
    for wanted in plan.iter_mut() {
        // RFC 5626 s6: a reg-id without an instance is ignored.
        if wanted.instance.is_empty() || config.outbound == OutboundMode::Off {
            wanted.reg_id = 0;
        }
    }
    if plan.iter().all(|wanted| wanted.reg_id == 0) {
        return Ok(());
    }
    // RFC 5626 s6: who is not the first hop needs a Path whose first URI has `ob`.
    if !request.direct && !request.path_has_ob {
        if request.supports(b"outbound") {
            return Err(Refusal::plain(Status::FIRST_HOP_LACKS_OUTBOUND));
        }
        plan.iter_mut().for_each(|wanted| wanted.reg_id = 0);
        return Ok(());
    }
    let kept = plan.iter().filter(|wanted| !wanted.is_removal());
    if kept.clone().count() > 1 && kept.clone().any(|wanted| wanted.reg_id != 0) {
        return Err(Refusal::because(Status::BAD_REQUEST, "One Contact per Flow"));
    }
    for wanted in plan.iter_mut().filter(|wanted| wanted.reg_id != 0) {
        wanted.flags.set(Flags::OUTBOUND, true);
    }
    Ok(())
}

/// True if the client keeps such a flow alive when told to by Flow-Timer. A browser has no means to (RFC 7118 s6 leaves
/// it to WebSocket pings).
pub(super) fn keeps_alive(transport: Transport) -> bool {
    !transport.is_web()
}

impl Registrar {
    /// Expects keep-alives on a stream from now on.
    pub(super) fn watch(&mut self, ctx: &mut Ctx<'_>, config: &RegistrarConfig, flow: FlowId) {
        let Some(silence) = self.location.silence_mut(flow) else { return };
        ctx.timers.disarm(*silence);
        let limit = Duration::from_secs(u64::from(config.flow_timer)) + GRACE;
        *silence = ctx.timers.arm(ctx.now + limit, Timer::FlowSilent(flow.0));
    }

    /// Something was heard on a flow.
    pub(crate) fn keepalive(&mut self, ctx: &mut Ctx<'_>, flow: FlowId) {
        let watched = self.location.silence_mut(flow).is_some_and(|silence| !silence.is_none());
        if let (true, Some(config)) = (watched, ctx.settings.registrar.as_ref()) {
            self.watch(ctx, config, flow);
        }
    }

    /// RFC 5626 s5.4: nothing was heard on a flow for longer than Flow-Timer and grace: it is dead.
    pub(crate) fn on_flow_silent(&mut self, ctx: &mut Ctx<'_>, flow: u64) {
        let flow = FlowId(flow);
        self.flow_down(ctx, flow, FlowDownReason::Idle);
        self.tell_pending(ctx);
        ctx.out.push(Command::Close { flow, reason: CloseReason::Idle });
    }

    /// A flow is gone.
    pub(crate) fn flow_down(&mut self, ctx: &mut Ctx<'_>, flow: FlowId, _reason: FlowDownReason) {
        self.forget_socket(flow);
        let mut lost: SmallVec<[BindingKey; 4]> = self.location.on_flow(flow).into();
        lost.sort_unstable();
        if lost.is_empty() {
            return;
        }
        if ctx.settings.tell.bindings {
            self.pending.push(Command::Tell(Event::FlowLost { flow, bindings: lost.len() }));
        }
        for key in lost {
            let Some(binding) = self.location.get(key) else { continue };
            let mut flags = binding.flags;
            flags.set(Flags::FLOW_GONE, true);
            let silence = self.location.move_to(key, flow, binding.transport, flags);
            ctx.timers.disarm(silence);
            let binding = self.location.get(key);
            if binding.is_some_and(|binding| !self.sockets.is_reachable(ctx, binding)) {
                self.wait_for(ctx, key);
                self.note(ctx, key, BindingCause::Unreachable);
            }
        }
    }

    /// DECISIONS 11: for presence a phone whose flow is gone is there for a while yet.
    pub(super) fn wait_for(&mut self, ctx: &mut Ctx<'_>, key: BindingKey) {
        let grace = ctx.settings.presence.as_ref().map_or(Duration::ZERO, |config| config.offline_grace);
        let Some(binding) = self.location.get_mut(key).filter(|_| !grace.is_zero()) else { return };
        ctx.timers.disarm(binding.ping);
        binding.ping = ctx.timers.arm(ctx.now + grace, Timer::BindingLost(key.to_bits()));
    }

    /// A phone did not come back in time.
    pub(crate) fn on_lost(&mut self, bits: u64) {
        let key = BindingKey::from_bits(bits);
        let Some(binding) = self.location.get_mut(key) else { return };
        binding.ping = TimerKey::NONE;
        if let Some(binding) = self.location.get(key) {
            self.touched.push(self.location.name(binding).into());
        }
    }

    /// A phone came back over another flow: its old stream is of no more use, and a request sent there would be lost.
    pub(super) fn retire_later(&mut self, ctx: &Ctx<'_>, old: FlowId, new: FlowId) {
        let stream = ctx.flows.get(old).is_some_and(|flow| flow.transport.is_reliable());
        if old != new && stream && self.location.on_flow(old).is_empty() {
            self.pending.push(Command::Close { flow: old, reason: CloseReason::Replaced });
        }
    }
}
