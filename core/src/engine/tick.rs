//! From a due timer to the room whose it is.

use super::Engine;
use crate::base::{Key, TimerKey};
use crate::ctx::Timer;
use crate::door::{Event, PresenceCause};
use crate::presence::Recall;
use crate::stats::Counter;

impl Engine {
    /// Runs what is due, at most [`Limits::timers_per_call`](crate::config::Limits::timers_per_call) of it.
    pub(super) fn run_timers(&mut self) {
        for _ in 0..self.house.settings.limits.timers_per_call {
            let Some((_, timer)) = self.house.timers.pop(self.house.now) else { return };
            self.house.stats.count(Counter::Timers);
            self.on_timer(timer);
            self.settle_calls();
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        let rooms = &mut self.rooms;
        let mut ctx = self.house.ctx();
        match timer {
            // No room listens for the end of a server transaction yet: what comes in is answered in its pass.
            Timer::Server(key, timer) => drop(rooms.txn.on_server_timer(&mut ctx, key, timer)),
            Timer::Client(key, timer) => {
                if let Some(event) = rooms.txn.on_client_timer(&mut ctx, key, timer) {
                    self.on_client_failure(event);
                }
            }
            Timer::Subscription(key) => rooms.events.on_expiry(&mut ctx, key),
            Timer::SubscriptionPaced(key) => rooms.events.on_paced(&mut ctx, key),
            Timer::SubscriptionRepeat(key) => rooms.events.on_repeat(&mut ctx, key),
            Timer::HostPaced(key) => rooms.events.on_share(&mut ctx, key),
            Timer::Notifies => rooms.events.on_pump(),
            Timer::Publication(key) => {
                if let Some(aor) = rooms.presence.on_publication_expiry(&mut ctx, key) {
                    rooms.presence.save(&mut ctx, Recall::Never);
                    self.presence_changed(&aor, PresenceCause::PublicationEnded);
                }
            }
            Timer::Mailbox(key) => {
                if let Some(aor) = rooms.mailboxes.on_expiry(&mut ctx, key) {
                    self.mailbox_changed(&aor);
                }
            }
            Timer::PublicationGrace(key) => self.on_publication_grace(key),
            Timer::BindingLost(key) => rooms.registrar.on_lost(key),
            Timer::Paced(key) => self.on_paced(key),
            Timer::BindingExpiry(key) => rooms.registrar.on_expiry(&mut ctx, key),
            Timer::BindingExpiring(key) => rooms.registrar.on_expiring(&mut ctx, key),
            Timer::BindingPing(key) => rooms.registrar.on_ping(&mut ctx, key),
            Timer::FlowSilent(flow) => rooms.registrar.on_flow_silent(&mut ctx, flow),
            Timer::Parked(key) => self.on_parked_timer(Key::from_bits(key)),
            Timer::Nonces => rooms.auth.on_nonces_timer(&mut ctx),
            Timer::Tokens => rooms.auth.on_tokens_timer(&mut ctx),
            Timer::Users => rooms.auth.on_users_timer(&mut ctx),
            Timer::Keys(issuer) => {
                if rooms.auth.on_keys_timer(&mut ctx, issuer) {
                    self.ask_for_keys(issuer);
                }
            }
            Timer::KeptMessage(key) => rooms.messages.on_expiry(&mut ctx, key),
            Timer::Agent(key) => {
                rooms.agent.on_timer(&mut ctx, &mut rooms.txn, key);
                self.tell_wishes();
            }
            Timer::AgentFirst(key) => {
                rooms.agent.on_first(&mut ctx, key);
                self.tell_wishes();
            }
            Timer::Route(key) => self.on_route_timer(key),
            Timer::Media(ticket) => self.on_media_timer(ticket),
            Timer::Call(key, timer) => self.on_call_timer(key, timer),
            Timer::UaCall(key, what) => self.uas(|uas, kit| uas.on_call_timer(kit, key, what)),
            Timer::Ua(key, what) => self.uas(|uas, kit| uas.on_timer(kit, key, what)),
            Timer::Trunk(i, what) => self.on_trunk_timer(i, what),
            Timer::Overloaded => ctx.on_overloaded_timer(),
            Timer::Drain => {
                self.rooms.drain = TimerKey::NONE;
                self.end_calls();
                self.house.out.tell(Event::Drained);
            }
        }
    }
}
