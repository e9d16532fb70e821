//! What a request is refused for whoever's it is, and where it wants to go on to: RFC 3261 s8.2, s16.4, DECISIONS 8.

use super::Engine;
use super::dispatch::{Asker, Pass};
use crate::config::{AorBuf, Settings};
use crate::ctx::{Extra, Origin, Refusal};
use crate::door::{Identity, Scheme};
use crate::registrar;
use crate::router::{self, Caller};
use crate::wire::{self, Header, Message, Method, NameAddr, Status, UriScheme};

impl Engine {
    /// What can be refused without knowing who asks: nothing here depends on any user.
    pub(super) fn inspect(&self, pass: &Pass<'_>) -> Result<(), Refusal> {
        let settings = &self.house.settings;
        let in_dialog = pass.ess.to.tag().is_some();
        match pass.method {
            // RFC 3261 s8.2.1, s21.5.2: a method never heard of is 501, one that is switched off is 405. Both say what there is.
            Method::Other => return Err(Refusal::with(Status::NOT_IMPLEMENTED, Extra::Allow)),
            Method::Register if settings.registrar.is_some() => {}
            Method::Options if !in_dialog => {}
            Method::Message if settings.messages.is_some() && !in_dialog => {}
            Method::Subscribe if settings.has_events() && !in_dialog => {}
            Method::Publish if settings.has_publications() && !in_dialog => {}
            Method::Invite if settings.calls.is_some() && !in_dialog => {}
            // DECISIONS 24: nobody transfers a call that is not his, or that he does not name.
            Method::Refer if settings.calls.is_some() && !in_dialog => {
                if pass.msg.header(Header::TargetDialog).is_none() {
                    return Err(Refusal::plain(Status::FORBIDDEN));
                }
            }
            Method::Notify
                if !in_dialog && settings.message_summary.as_ref().is_some_and(|m| m.accept_notify) => {}
            // RFC 3261 s12.2.2: there is no such dialog.
            _ if in_dialog && pass.method != Method::Register => {
                return Err(Refusal::plain(Status::NO_TRANSACTION));
            }
            // RFC 3261 s15.1.2, RFC 3262 s3, RFC 6086 s4.2.2: these are known, and only ever in a dialog.
            Method::Bye | Method::Prack | Method::Update | Method::Info if settings.calls.is_some() => {
                return Err(Refusal::plain(Status::NO_TRANSACTION));
            }
            _ => return Err(Refusal::with(Status::METHOD_NOT_ALLOWED, Extra::Allow)),
        }
        // RFC 3261 s8.2.2.1: only URIs of schemes we serve.
        let Some(uri) = pass.ess.uri else { return Err(Refusal::plain(Status::BAD_REQUEST)) };
        // DECISIONS 9: a call to `urn:service:sos` is one whatever else is served.
        let urgent = pass.method == Method::Invite && uri.scheme() == UriScheme::Urn;
        if !urgent && !matches!(uri.scheme(), UriScheme::Sip | UriScheme::Sips | UriScheme::Tel) {
            return Err(Refusal::plain(Status::UNSUPPORTED_URI_SCHEME));
        }
        if pass.method == Method::Options {
            // DECISIONS 20: a draining server says so to whoever probes it.
            if self.rooms.draining {
                return Err(Refusal::with(
                    Status::SERVICE_UNAVAILABLE,
                    Extra::RetryAfter(super::host::DRAIN_RETRY_AFTER),
                ));
            }
            return Ok(());
        }
        // Where a call or a message goes is a matter of who asks.
        if matches!(pass.method, Method::Invite | Method::Message | Method::Refer) {
            return Ok(());
        }
        // RFC 3261 s10.3 step 1: bindings of other domains are not kept here, and nothing is relayed there.
        let ours = uri.host().is_some_and(|host| is_ours(settings, host, &pass.origin));
        if !ours {
            return Err(Refusal::plain(Status::NOT_FOUND));
        }
        Ok(())
    }

    /// RFC 3261 s8.2.2.3: option tags in Require that we do not have.
    pub(super) fn unsupported(&self, asker: &Asker<'_>) -> Option<Refusal> {
        asker.msg.header(Header::Require)?;
        let is_known = |tag: &[u8]| {
            super::answer::options(&self.house.settings).any(|own| own.as_bytes().eq_ignore_ascii_case(tag))
        };
        missing(asker.msg.values(Header::Require).take(self.house.settings.limits.values), is_known)
    }

    /// Whether Route names nobody but us. Those values are popped, which is all there is to do: no request of ours carries
    /// what came in one.
    #[inline]
    pub(super) fn ends_here(&self, origin: &Origin, msg: Message<'_>) -> bool {
        msg.header(Header::Route).is_none() || self.is_route_to_us(origin, msg)
    }

    #[inline(never)]
    fn is_route_to_us(&self, origin: &Origin, msg: Message<'_>) -> bool {
        let settings = &self.house.settings;
        msg.values(Header::Route).all(|value| {
            NameAddr::parse(value).is_ok_and(|route| registrar::names_us(settings, origin, &route.uri))
        })
    }

    /// DECISIONS 8: a Route that leads on to somebody else is for those who may relay, and for trunks. It is not followed
    /// for them either: where a call or a message goes is a matter of its Request-URI.
    pub(super) fn refuse_if_routed_on(&self, pass: &Pass<'_>, who: &Identity) -> Result<(), Refusal> {
        if self.ends_here(&pass.origin, pass.msg) {
            return Ok(());
        }
        let settings = &self.house.settings;
        let (source, peer) =
            (pass.origin.remote.ip().to_canonical(), self.house.flows.peer(pass.origin.flow));
        let mut aor = AorBuf::new();
        settings.domains.aor(&pass.ess.from.uri, &mut aor);
        let aor = core::str::from_utf8(&aor).ok().filter(|aor| who.owns(aor)).unwrap_or_default();
        let caller = match who.scheme {
            Scheme::Trusted => Caller::Trusted,
            _ => Caller::Account(who),
        };
        let may = router::trunk_of(settings, source, pass.origin.listener, peer).is_some()
            || router::may_relay(settings, caller, aor);
        may.then_some(()).ok_or(Refusal::because(Status::FORBIDDEN, "Route Leads Elsewhere"))
    }
}

/// The 420 for what is required and not known, if there is such (RFC 3261 s8.2.2.3).
pub(super) fn missing<'m>(
    required: impl Iterator<Item = &'m [u8]>,
    is_known: impl Fn(&[u8]) -> bool,
) -> Option<Refusal> {
    let unknown: Vec<_> = required.filter(|tag| !is_known(tag)).map(String::from_utf8_lossy).collect();
    let all = || Extra::Unsupported(unknown.join(", ").into());
    (!unknown.is_empty()).then(|| Refusal::with(Status::BAD_EXTENSION, all()))
}

/// True for a configured domain, and for the very address the request was sent to.
fn is_ours(settings: &Settings, host: wire::Host<'_>, origin: &Origin) -> bool {
    settings.domains.canonical(host).is_some()
        || host.ip().is_some_and(|ip| ip == origin.local.ip().to_canonical())
}
