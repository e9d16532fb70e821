//! Calls for the host: which there are, an end to one, and one of its own (RFC 3725).

use super::Engine;
use super::routes::Who;
use crate::bridge::Party;
use crate::config::uri_of;
use crate::door::{CallEnd, CallRefusal, Identity, ReplyBody, Request, RouteTarget, Scheme};
use crate::router::{self, Plan};
use crate::wire::Uri;

/// More calls than this are not shown at once.
const SHOWN: usize = 1000;

impl Engine {
    /// What the host asks of calls.
    pub(super) fn on_calls(&mut self, request: Request) -> ReplyBody {
        if self.house.settings.calls.is_none() && self.rooms.bridge.len() == 0 {
            return ReplyBody::NoCall(CallRefusal::Off);
        }
        match request {
            Request::Calls { after, limit } => {
                ReplyBody::Calls(self.rooms.bridge.views(after, limit.min(SHOWN)))
            }
            Request::Call { id } => match self.rooms.bridge.view(id) {
                Some(view) => ReplyBody::Calls(vec![view]),
                None => ReplyBody::NoCall(CallRefusal::Unknown),
            },
            Request::HangUp { id } => match self.rooms.bridge.numbered(id) {
                Some(key) => {
                    self.bridge(|bridge, kit| bridge.hang_up(kit, key, CallEnd::Host));
                    ReplyBody::Done
                }
                None => ReplyBody::NoCall(CallRefusal::Unknown),
            },
            Request::Dial { caller, callee } => match self.dial(&caller, &callee) {
                Ok(id) => ReplyBody::Dialled(id),
                Err(refusal) => ReplyBody::NoCall(refusal),
            },
            _ => ReplyBody::NoCall(CallRefusal::Unknown),
        }
    }

    fn dial(&mut self, caller: &str, callee: &str) -> Result<u64, CallRefusal> {
        if self.house.settings.calls.is_none() {
            return Err(CallRefusal::Off);
        }
        if self.rooms.draining {
            return Err(CallRefusal::Draining);
        }
        let (caller, callee) = (self.party(caller)?, self.party(callee)?);
        // Nobody is called for somebody who cannot be.
        let to_callee = self.host_calls(&caller, &callee);
        self.plan(&to_callee).map_err(|refusal| CallRefusal::Nowhere(refusal.status.0))?;
        let to_caller = self.host_calls(&callee, &caller);
        let settings = self.house.settings.clone();
        let uri = Uri::parse(caller.uri.as_bytes()).map_err(|_| CallRefusal::NotAnAddress)?;
        // His phones: neither does he forward this, nor is his voicemail to be connected with anybody.
        let targets = vec![RouteTarget::new(caller.uri.clone())];
        let plan = Plan::from_answer(&settings, &to_caller.asks_for(&uri), targets);
        let plan = plan.map_err(|refusal| CallRefusal::Nowhere(refusal.status.0))?;
        let began = self.bridge(|bridge, kit| bridge.dial(kit, caller, callee));
        let (key, id) = began.ok_or(CallRefusal::Full)?;
        self.route_call(key, Some(plan), to_caller, false);
        Ok(id)
    }

    /// Whom the host means.
    fn party(&self, text: &str) -> Result<Party, CallRefusal> {
        let settings = &self.house.settings;
        let home = settings.domains.names().first().map_or("", |name| name);
        let uri = uri_of(text, home);
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b',');
        let parsed = Uri::parse(uri.as_bytes()).ok().filter(|_| !text.is_empty() && uri.bytes().all(plain));
        let parsed = parsed.filter(|uri| uri.headers().is_empty()).ok_or(CallRefusal::NotAnAddress)?;
        let identity = Identity::nobody(Scheme::None);
        let asked = router::Asked {
            caller: router::Caller::Account(&identity),
            caller_aor: "",
            uri: &parsed,
            is_message: false,
        };
        let name = router::called(settings, &asked).text();
        Ok(Party { name, uri: uri.into() })
    }

    /// The one is called for the host, who says that the other calls.
    fn host_calls(&self, shown: &Party, called: &Party) -> Who {
        Who {
            identity: Identity::nobody(Scheme::None),
            trunk: None,
            trusted: false,
            host: true,
            aor: shown.name.clone(),
            uri: called.uri.clone(),
            origin: self.house.flows.own(),
        }
    }
}
