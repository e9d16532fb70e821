//! The refresh that says nothing new, which is nearly every REGISTER a server sees: RFC 3261 s10.2.4.
//!
//! A phone refreshes with the request it registered with, but for branch, tags, CSeq and credentials. A hash of all that
//! was read, checked and matched then is kept with the binding; a request of the same hash is granted without doing that
//! again. What the hash leaves out must not change what a REGISTER does, nor whether it is well-formed: that is the rule
//! for whoever adds to `read`.

use core::net::SocketAddr;

use super::binding::{Binding, BindingKey, Flags};
use super::location::RecordKey;
use super::undo::Before;
use super::update::may_be_foreign;
use super::{Registered, Registrar, nat};
use crate::base::{Fold, HashKey, Time};
use crate::ctx::{Ctx, Origin};
use crate::door::{BindingCause, Identity};
use crate::wire::{Essentials, Header, Message, Via};

/// A REGISTER, and what of it is new each time and was read.
#[derive(Clone, Copy)]
pub(crate) struct Fresh<'r, 'm> {
    pub(crate) origin: &'r Origin,
    pub(crate) msg: Message<'m>,
    /// The topmost Via.
    pub(crate) via: &'r Via<'m>,
    /// There is no other Via.
    pub(crate) is_direct: bool,
    /// The number of CSeq.
    pub(crate) number: u32,
}

impl<'r, 'm> Fresh<'r, 'm> {
    pub(super) fn of(origin: &'r Origin, msg: Message<'m>, ess: &'r Essentials<'m>) -> Fresh<'r, 'm> {
        Fresh { origin, msg, via: &ess.via, is_direct: ess.is_direct, number: ess.cseq.number }
    }
}

/// The one binding of a record, which a REGISTER asks for again.
#[derive(Clone, Copy)]
pub(crate) struct Again {
    record: RecordKey,
    binding: BindingKey,
}

/// What is hashed, and under which settings.
#[derive(Clone, Debug)]
pub(super) struct Same {
    key: HashKey,
    /// Counts the settings there were: what was granted under others is read again.
    settings: u64,
    #[cfg(test)]
    taken: usize,
}

impl Same {
    pub(super) fn new(key: HashKey) -> Same {
        Same {
            key,
            settings: 0,
            #[cfg(test)]
            taken: 0,
        }
    }
}

impl Registrar {
    /// How often the short way was taken.
    #[cfg(test)]
    pub(crate) fn short_ways(&self) -> usize {
        self.same.taken
    }

    /// The settings are others from now on.
    pub(crate) fn reload(&mut self) {
        self.same.settings += 1;
    }

    /// What a REGISTER with one contact asks for, and from where; 0 if that must be read each time. Who asks is not part
    /// of it.
    pub(crate) fn asked(&self, fresh: &Fresh<'_, '_>) -> u64 {
        let &Fresh { origin, msg, via, is_direct, .. } = fresh;
        let once = [Header::Contact, Header::Supported].into_iter().all(|header| !msg.has_several(header));
        let Some(contact) = msg.header(Header::Contact) else { return 0 };
        if !once || msg.header(Header::Path).is_some() {
            return 0;
        }
        let mut hash = Fold::new(&self.same.key)
            .number(self.same.settings)
            .number(origin.flow.0)
            .number(
                origin.transport as u64
                    | u64::from(is_direct) << 8
                    | u64::from(nat::is_displaced(origin, via, is_direct)) << 9,
            )
            .bytes(contact)
            .bytes(msg.uri_raw().unwrap_or_default());
        for addr in [origin.remote, origin.local] {
            hash = match addr {
                SocketAddr::V4(v4) => hash.number(u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port())),
                SocketAddr::V6(v6) => hash
                    .bytes(&v6.ip().octets())
                    .number(u64::from(v6.scope_id()) << 16 | u64::from(v6.port())),
            };
        }
        // An empty value is not the same as none.
        for header in [
            Header::To,
            Header::CallId,
            Header::MaxForwards,
            Header::Expires,
            Header::Supported,
            Header::UserAgent,
        ] {
            hash = match msg.header(header) {
                Some(value) => hash.bytes(value),
                None => hash.number(0),
            };
        }
        hash.finish().max(1)
    }

    /// The binding of which a REGISTER asks again for what it was granted on. All that goes into the hash is well-formed
    /// then, says what it said, and is to be granted to whoever [may ask](Self::may_ask) for it.
    pub(crate) fn recognise(&self, now: Time, asked: u64, number: u32) -> Option<Again> {
        let key = self.location.asked(asked)?;
        let binding = self.location.get(key)?;
        let is_again = number > binding.cseq
            && binding.is_live(now)
            && !binding.flags.has(Flags::FLOW_GONE)
            && self.location.only(binding.record).is_some();
        is_again.then_some(Again { record: binding.record, binding: key })
    }

    /// Whether this is somebody for whom the binding may be refreshed as it is: the owner of the record, with the rights
    /// of the one it was granted to.
    pub(crate) fn may_ask(&self, again: Again, who: &Identity) -> bool {
        let is_his = |binding: &Binding| {
            who.owns(self.location.name(binding))
                && binding.flags.has(Flags::MAY_BE_FOREIGN) == may_be_foreign(who)
        };
        self.location.get(again.binding).is_some_and(is_his)
    }

    /// Grants once more what was granted before.
    pub(crate) fn refresh(
        &mut self,
        ctx: &mut Ctx<'_>,
        again: Again,
        fresh: &Fresh<'_, '_>,
    ) -> Option<Registered> {
        let settings = ctx.settings;
        let config = settings.registrar.as_ref()?;
        let binding = self.location.get(again.binding)?;
        #[cfg(test)]
        {
            self.same.taken += 1;
        }
        self.undo.begin(ctx.settings.tell.may_fail());
        self.undo.note(self.location.name(binding), binding.id, || Before::times(binding));
        let outbound = binding.flags.has(Flags::OUTBOUND);
        let save = self.grant(
            ctx,
            config,
            (again.binding, BindingCause::Refreshed, true),
            (fresh.msg, fresh.number),
        );
        let registered = Registrar::registered(Some(again.record), fresh, outbound, save);
        self.watch_if_told(ctx, config, fresh.origin, &registered);
        Some(registered)
    }
}
