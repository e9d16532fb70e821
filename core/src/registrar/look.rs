//! What the host may ask of the location service: look up, list, remove, restore.

use smallvec::SmallVec;

use super::Registrar;
use super::binding::{Binding, BindingKey, Draft, Flags, NO_Q, Text};
use super::gruu::Named;
use super::nat::address_of;
use crate::config::Settings;
use crate::ctx::Ctx;
use crate::door::{BindingCause, BindingView, Change, StoredBinding, Transport};
use crate::wire::Uri;

impl Registrar {
    /// The live bindings of an AoR or a GRUU, best first; `None` if it is none of ours.
    pub(crate) fn lookup(&self, ctx: &Ctx<'_>, aor: &str) -> Option<Vec<BindingView>> {
        let settings: &Settings = ctx.settings;
        let named = with_uri(aor, |uri| self.named(ctx, settings, uri))??;
        let (record, instance) = match named {
            Named::Record(record) => (record, None),
            Named::Instance(record, binding) => (record, self.location.get(binding).map(|b| b.instance())),
            Named::Nobody | Named::Void => return Some(Vec::new()),
        };
        let ranked = self.ranked(ctx, record).into_iter();
        let wanted = ranked.filter(|(_, b)| instance.is_none_or(|i| b.instance().eq_ignore_ascii_case(i)));
        Some(wanted.filter_map(|(key, _)| self.view(ctx, key)).collect())
    }

    /// The live bindings whose Contact equals a URI (RFC 3261 s19.1.4); `None` if it is none.
    pub(crate) fn lookup_contact(&self, ctx: &Ctx<'_>, contact: &str) -> Option<Vec<BindingView>> {
        let uri = Uri::parse(contact.as_bytes()).ok()?;
        let hash = uri.hash_equivalent(self.location.hash());
        let mut found: Vec<(&str, u64, BindingKey)> = self
            .location
            .with_contact(hash)
            .filter(|(_, binding)| binding.is_live(ctx.now) && binding.contact_uri().equivalent(&uri))
            .map(|(key, binding)| (self.location.name(binding), binding.id, key))
            .collect();
        found.sort_unstable();
        Some(found.into_iter().filter_map(|(_, _, key)| self.view(ctx, key)).collect())
    }

    /// The live bindings of at most `limit` AoRs in the order of their names, behind a name.
    pub(crate) fn list(&self, ctx: &Ctx<'_>, after: Option<&str>, limit: usize) -> Vec<BindingView> {
        let records = self.location.after(after).map(|record| self.ranked(ctx, record));
        let live = records.filter(|bindings| !bindings.is_empty()).take(limit);
        live.flatten().filter_map(|(key, _)| self.view(ctx, key)).collect()
    }

    /// Removes the bindings of an AoR, or the one with a Contact; how many. `None` if the AoR is none of ours, or the
    /// Contact is no URI.
    pub(crate) fn remove(&mut self, ctx: &mut Ctx<'_>, aor: &str, contact: Option<&str>) -> Option<usize> {
        let settings: &Settings = ctx.settings;
        let named = with_uri(aor, |uri| self.named(ctx, settings, uri))??;
        let (record, of) = match named {
            Named::Record(record) => (record, None),
            Named::Instance(record, binding) => (record, Some(binding)),
            Named::Nobody | Named::Void => return Some(0),
        };
        let contact = match contact {
            Some(contact) => Some(Uri::parse(contact.as_bytes()).ok()?),
            None => None,
        };
        self.purge(ctx, record);
        let instance = of.and_then(|key| self.location.get(key)).map(Binding::instance);
        let wanted: SmallVec<[BindingKey; 8]> = self
            .location
            .of(record)
            .filter(|(_, b)| instance.is_none_or(|i| b.instance().eq_ignore_ascii_case(i)))
            .filter(|(_, b)| contact.is_none_or(|contact| b.contact_uri().equivalent(&contact)))
            .map(|(key, _)| key)
            .collect();
        self.undo.begin(false);
        self.undo.pause();
        for key in &wanted {
            self.remove_binding(ctx, *key, BindingCause::Removed);
        }
        self.undo.resume();
        Some(wanted.len())
    }

    /// Takes over a change of an earlier life: without an event, and without saving it again. What has ended meanwhile is
    /// removed from the store.
    pub(crate) fn restore(&mut self, ctx: &mut Ctx<'_>, change: Change) {
        match change {
            Change::PutBinding(stored) => self.restore_binding(ctx, &stored),
            Change::RemoveBinding { aor, id } => {
                if let Some(key) = self.binding_of(&aor, id) {
                    self.discard_silently(ctx, key);
                }
            }
            // A store that has many of them makes them part of the bindings (`Change::absorb`).
            Change::RefreshBinding { id, expires_at, cseq } => {
                let Some(key) = self.location.numbered(id) else { return };
                if let Some(binding) = self.location.get_mut(key) {
                    (binding.expires_at, binding.cseq) = (ctx.at_wall(expires_at), cseq);
                }
                if let Some(config) = ctx.settings.registrar.as_ref() {
                    self.arm_timers(ctx, config, key);
                }
            }
            // Of other rooms.
            _ => {}
        }
    }

    fn restore_binding(&mut self, ctx: &mut Ctx<'_>, stored: &StoredBinding) {
        let parts = stored.parts();
        let (id, aor) = (parts.id, parts.aor);
        let expires_at = ctx.at_wall(parts.expires_at);
        let present = self.binding_of(aor, id);
        if expires_at <= ctx.now {
            if let Some(key) = present {
                self.discard_silently(ctx, key);
            }
            if ctx.settings.tell.changes {
                ctx.out.save(Change::RemoveBinding { aor: aor.into(), id });
            }
            return;
        }
        let [contact, params, call_id, user_agent, instance, path] = parts.text.texts();
        let (received, local) = parts.text.addrs();
        let Ok(uri) = Uri::parse(contact) else { return };
        let text = Text { received, local, contact, params, call_id, user_agent, instance };
        let fits = text.bytes() + path.len() <= usize::from(u16::MAX);
        let Some(config) = ctx.settings.registrar.as_ref().filter(|_| fits) else { return };
        if let Some(key) = present {
            self.discard_silently(ctx, key);
        }
        let draft = Draft::new(&text, core::iter::once(path));
        let place = (aor, self.location.find(aor.as_bytes()));
        let key = self.location.add(place, (draft, &uri), Some(id), ctx.at_wall(parts.since));
        // The sockets of that life are gone; a UDP one with the same address takes over.
        let udp = parts.transport == Transport::Udp;
        let source = Some(received.ip().to_canonical());
        let at = address_of(&uri);
        let mut flags = Flags::default();
        flags.set(Flags::DIRECT, parts.flow.is_some());
        flags.set(Flags::FLOW_GONE, !udp);
        flags.set(Flags::NATED, parts.flow.is_some() && at.is_some() && at != source);
        flags.set(Flags::CONNECTABLE, at == source);
        flags.set(Flags::OUTBOUND, parts.reg_id != 0);
        self.location.move_to(key, parts.flow.unwrap_or_default(), parts.transport, flags);
        if let Some(binding) = self.location.get_mut(key) {
            binding.q = if parts.q == 1000 { NO_Q } else { parts.q.min(1000) };
            binding.cseq = parts.cseq;
            binding.reg_id = parts.reg_id;
            binding.expires_at = expires_at;
        }
        self.arm_timers(ctx, config, key);
        if !udp && self.location.get(key).is_some_and(|binding| !self.sockets.is_reachable(ctx, binding)) {
            self.wait_for(ctx, key);
        }
    }

    fn view(&self, ctx: &Ctx<'_>, key: BindingKey) -> Option<BindingView> {
        let binding = self.location.get(key)?;
        Some(binding.view(self.location.name(binding), self.sockets.is_reachable(ctx, binding)))
    }
}

/// Reads `user@domain` or a URI.
pub(crate) fn with_uri<R>(text: &str, read: impl FnOnce(&Uri<'_>) -> R) -> Option<R> {
    if let Ok(uri) = Uri::parse(text.as_bytes())
        && uri.is_sip()
    {
        return Some(read(&uri));
    }
    let uri = format!("sip:{text}");
    Uri::parse(uri.as_bytes()).ok().map(|uri| read(&uri))
}
