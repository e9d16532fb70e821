//! Who the other side of a dialog proved to be, and who may speak for it: DECISIONS 2.
//!
//! Whoever knows both tags of a dialog is in it, wherever he comes from. But who proved by a certificate who he is stays
//! that one: what comes over another connection has to come from somebody with a name of his.
//!
//! | he proved to be somebody | what comes another way proves | |
//! |---|---|---|
//! | nobody asked him | anything | is in the dialog |
//! | by the certificate of a client | one of his names | is in the dialog |
//! | the same | another name, or nothing | 403 |
//! | as a server that we called | one of his names, or nothing: nobody may have asked | is in the dialog |
//! | the same | another name | 403 |
//!
//! What a dialog that outlives the engine knows of that is stored with it.

use super::Dialog;
use crate::ctx::{Ctx, Origin, Refusal};
use crate::door::{FlowId, PeerIdentity, StoredPeer};
use crate::wire::Status;

/// Who he proved to be.
#[derive(Clone, Debug)]
pub(super) struct Proved {
    who: PeerIdentity,
    /// On a connection that he opened: he can do so again.
    client: bool,
}

impl Proved {
    /// On this connection, if he did.
    pub(super) fn on(ctx: &Ctx<'_>, flow: FlowId) -> Option<Box<Proved>> {
        // A certificate without a name proves nothing that could be asked for again.
        let who = ctx.flows.peer(flow).filter(|who| !who.names.is_empty())?.clone();
        Some(Box::new(Proved { who, client: !flow.is_dialled() }))
    }

    /// As the store keeps it.
    pub(super) fn stored(&self) -> StoredPeer {
        StoredPeer { names: self.who.names.clone(), client: self.client }
    }

    /// In an earlier life.
    pub(super) fn restored(stored: &StoredPeer) -> Proved {
        let StoredPeer { names, client } = stored.clone();
        Proved { who: PeerIdentity { names }, client }
    }
}

impl Dialog {
    /// Remembers who the other side proved to be on the connection that leads to it.
    pub(super) fn learn_peer(&mut self, ctx: &Ctx<'_>) {
        if self.proved.is_none() {
            self.proved = Proved::on(ctx, self.origin.flow);
        }
    }

    /// May a request that came this way be one of the other side?
    pub(crate) fn check_peer(&mut self, ctx: &Ctx<'_>, origin: &Origin) -> Result<(), Refusal> {
        self.learn_peer(ctx);
        if origin.flow == self.origin.flow {
            return Ok(());
        }
        let now = Proved::on(ctx, origin.flow);
        let Some(known) = &mut self.proved else {
            self.proved = now;
            return Ok(());
        };
        let fits = match &now {
            Some(now) => now.who.shares_name(&known.who),
            None => !known.client,
        };
        if !fits {
            return Err(Refusal::because(Status::FORBIDDEN, "Another Peer"));
        }
        known.client |= now.is_some_and(|now| now.client);
        Ok(())
    }
}
