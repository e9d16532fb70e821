//! A dialog of a phone: RFC 3261 s12.

use crate::message::{Sip, param, uri_of, without_tag};

/// One dialog of a call, early or confirmed.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The phone's own tag.
    pub local_tag: String,
    /// The tag of the other side.
    pub remote_tag: String,
    /// Its own URI, as From or To had it.
    pub local: String,
    /// The URI of the other side.
    pub remote: String,
    /// Where requests go.
    pub target: String,
    /// Through what.
    pub routes: Vec<String>,
    /// Number of the last request sent.
    pub cseq: u32,
    /// Number of the last request that came.
    pub remote_cseq: Option<u32>,
    /// A 2xx made it.
    pub confirmed: bool,
    /// It has ended.
    pub over: bool,
    /// The other side takes UPDATE.
    pub takes_update: bool,
    /// RSeq of the last reliable response that came or was sent.
    pub(super) rseq: Option<u32>,
    /// An offer of the phone's own waits for its answer.
    pub(super) offering: bool,
    /// A description came or was sent reliably: what follows is another exchange.
    pub(super) agreed: bool,
}

impl Dialog {
    /// RFC 3261 s12.1.2: made by a response to one's own INVITE.
    pub(super) fn from_response(m: &Sip) -> Dialog {
        let tag = |name: &str| m.header(name).and_then(|v| param(v, "tag")).unwrap_or_default().to_owned();
        let mut routes: Vec<String> = m.values("Record-Route").into_iter().map(str::to_owned).collect();
        routes.reverse();
        Dialog {
            local_tag: tag("From"),
            remote_tag: tag("To"),
            local: without_tag(m.header("From").unwrap_or_default()),
            remote: without_tag(m.header("To").unwrap_or_default()),
            target: m.header("Contact").map(|v| uri_of(v).to_owned()).unwrap_or_default(),
            routes,
            cseq: m.cseq().map_or(0, |(n, _)| n),
            remote_cseq: None,
            confirmed: false,
            over: false,
            takes_update: m.lists("Allow", "UPDATE"),
            rseq: None,
            offering: false,
            agreed: false,
        }
    }

    /// RFC 3261 s12.1.1: made by one's own response to an INVITE.
    pub(super) fn from_request(m: &Sip, local_tag: String, cseq: u32) -> Dialog {
        Dialog {
            local_tag,
            remote_tag: m.header("From").and_then(|v| param(v, "tag")).unwrap_or_default().to_owned(),
            local: m.header("To").unwrap_or_default().to_owned(),
            remote: without_tag(m.header("From").unwrap_or_default()),
            target: m.header("Contact").map(|v| uri_of(v).to_owned()).unwrap_or_default(),
            routes: m.values("Record-Route").into_iter().map(str::to_owned).collect(),
            cseq,
            remote_cseq: m.cseq().map(|(n, _)| n),
            confirmed: false,
            over: false,
            takes_update: m.lists("Allow", "UPDATE"),
            rseq: None,
            offering: false,
            agreed: false,
        }
    }

    /// True if a request that came is of this dialog.
    pub(super) fn is_of(&self, m: &Sip) -> bool {
        let tag = |name: &str| m.header(name).and_then(|v| param(v, "tag")).unwrap_or_default();
        self.local_tag == tag("To") && self.remote_tag == tag("From")
    }

    /// RFC 3261 s12.2.1.2: a target refresh.
    pub(super) fn refresh(&mut self, m: &Sip) {
        if let Some(contact) = m.header("Contact") {
            self.target = uri_of(contact).to_owned();
        }
        if !m.lines("Allow").is_empty() {
            self.takes_update = m.lists("Allow", "UPDATE");
        }
    }
}
