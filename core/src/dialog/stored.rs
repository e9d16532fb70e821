//! Dialogs that outlive the engine: as the store keeps them, and back from there.

use super::peer::Proved;
use super::reach::Aim;
use super::{Dialog, PARTS};
use crate::config::Settings;
use crate::ctx::{Flow, Origin};
use crate::door::{FlowId, StoredDialog};

impl Dialog {
    /// As the store keeps it.
    pub(crate) fn stored(&self) -> StoredDialog {
        let [call_id, own_tag, tag, own_uri, uri, target, routes, instance] = self.parts().map(Box::from);
        let Origin { transport, remote, local, .. } = self.origin;
        StoredDialog {
            call_id,
            tags: [own_tag, tag],
            uris: [own_uri, uri],
            target,
            instance,
            routes,
            cseq: self.cseq,
            their_cseq: self.their_cseq,
            transport,
            remote,
            local,
            peer: self.proved.as_ref().map(|proved| proved.stored()),
        }
    }

    /// A dialog of an earlier life, whose socket is not known yet; `None` if it is too large to be one.
    pub(crate) fn restored(settings: &Settings, stored: &StoredDialog) -> Option<Dialog> {
        let StoredDialog { call_id, tags, uris, target, instance, routes, peer, .. } = stored;
        let [own_tag, tag] = tags;
        let [own_uri, uri] = uris;
        let origin = Origin {
            flow: FlowId::default(),
            listener: 0,
            transport: stored.transport,
            remote: stored.remote,
            local: stored.local,
        };
        let mut dialog = Dialog {
            text: Box::default(),
            ends: [0; PARTS - 1],
            cseq: stored.cseq,
            their_cseq: stored.their_cseq,
            origin,
            aim: Aim::of(settings, &origin, None, target, routes),
            proved: peer.as_ref().map(|peer| Box::new(Proved::restored(peer))),
        };
        dialog.write(&[call_id, own_tag, tag, own_uri, uri, target, routes, instance]).ok()?;
        Some(dialog)
    }

    /// The same dialog as another one?
    pub(crate) fn is(&self, other: &Dialog) -> bool {
        (0..3).all(|part| self.part(part) == other.part(part))
    }

    /// Another subscription of this dialog was restored: the larger numbers hold.
    pub(crate) fn absorb(&mut self, other: &Dialog) {
        self.cseq = self.cseq.max(other.cseq);
        self.their_cseq = self.their_cseq.max(other.their_cseq);
        self.proved = self.proved.take().or_else(|| other.proved.clone());
    }

    /// Goes over this UDP socket from now on, if it is the one the peer sends to. True if it is.
    pub(crate) fn take_home(&mut self, flow: &Flow) -> bool {
        let own = self.origin.local;
        let wildcard = flow.local.ip().is_unspecified()
            && flow.local.port() == own.port()
            && flow.local.is_ipv4() == own.ip().to_canonical().is_ipv4();
        let fits = flow.local == own || wildcard;
        if fits {
            (self.origin.flow, self.origin.listener) = (flow.id, flow.listener);
        }
        fits
    }
}
