//! The refresh that says nothing new, which is nearly every REGISTER a server sees: RFC 3261 s10.2.4.
//!
//! A phone refreshes with the request it registered with, but for branch, tags, CSeq and credentials. A hash of all that
//! was read, checked and matched then is kept with the binding; a request of the same hash is granted without doing that
//! again. What the hash leaves out must not change what a REGISTER does: that is the rule for whoever adds to `read`.

use core::net::SocketAddr;

use super::binding::Flags;
use super::location::RecordKey;
use super::update::may_be_foreign;
use super::{Registered, Registrar, nat};
use crate::base::{Fold, HashKey};
use crate::config::RegistrarConfig;
use crate::ctx::{Ctx, Origin};
use crate::door::{BindingCause, Identity};
use crate::wire::{Essentials, Header, Message};

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

    /// How often the short way was taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// What a REGISTER with one contact asks for, and from where; 0 if that must be read each time.
    pub(super) fn asked(
        &self,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
        may_be_foreign: bool,
    ) -> u64 {
        let once = [Header::Contact, Header::Supported].into_iter().all(|header| !msg.has_several(header));
        let Some(contact) = msg.header(Header::Contact) else { return 0 };
        if !once || msg.header(Header::Path).is_some() {
            return 0;
        }
        let mut hash = Fold::new(&self.key)
            .number(self.settings)
            .number(origin.flow.0)
            .number(
                origin.transport as u64
                    | u64::from(ess.is_direct) << 8
                    | u64::from(may_be_foreign) << 9
                    | u64::from(nat::is_displaced(origin, ess)) << 10,
            )
            .bytes(contact)
            .bytes(msg.uri_raw().unwrap_or_default())
            .bytes(ess.call_id);
        for addr in [origin.remote, origin.local] {
            hash = match addr {
                SocketAddr::V4(v4) => hash.number(u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port())),
                SocketAddr::V6(v6) => hash
                    .bytes(&v6.ip().octets())
                    .number(u64::from(v6.scope_id()) << 16 | u64::from(v6.port())),
            };
        }
        // An empty value is not the same as none.
        for header in [Header::Expires, Header::Supported, Header::UserAgent] {
            hash = match msg.header(header) {
                Some(value) => hash.bytes(value),
                None => hash.number(0),
            };
        }
        hash.finish().max(1)
    }
}

impl Registrar {
    /// The settings are others from now on.
    pub(crate) fn reload(&mut self) {
        self.same.settings += 1;
    }

    /// Serves a REGISTER that asks again, from the same place, for what the one binding of a record was granted on. `None`
    /// if it is any other, and then nothing is done. Who asks owns the record.
    pub(super) fn refresh_unchanged(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        record: RecordKey,
        (origin, msg, ess): (&Origin, Message<'_>, &Essentials<'_>),
        who: &Identity,
    ) -> Option<Registered> {
        let (key, binding) = self.location.only(record)?;
        let is_due = binding.asked != 0
            && ess.cseq.number > binding.cseq
            && binding.is_live(ctx.now)
            && !binding.flags.has(Flags::FLOW_GONE)
            && binding.asked == self.same.asked(origin, msg, ess, may_be_foreign(who));
        if !is_due {
            return None;
        }
        #[cfg(test)]
        {
            self.same.taken += 1;
        }
        self.undo.begin(ctx.settings.tell.changes);
        self.undo.note(self.location.name(binding), binding.id, || Some(Box::new(binding.clone())));
        let outbound = binding.flags.has(Flags::OUTBOUND);
        let save = self.grant(ctx, config, (key, BindingCause::Refreshed), (msg, ess));
        let registered = Registrar::registered(Some(record), (origin, msg, ess), outbound, save);
        self.watch_if_told(ctx, config, origin, &registered);
        Some(registered)
    }
}
