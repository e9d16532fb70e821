//! OPTIONS: what the server can do, and for those who say who they are, whether a user could be called: RFC 3261 s11,
//! DECISIONS 4.

use super::Engine;
use super::answer::{methods, options, packages};
use super::dispatch::{Asker, Pass};
use super::routes::Who;
use crate::auth::Allowed;
use crate::base::text::owned;
use crate::config::AorBuf;
use crate::ctx::Refusal;
use crate::door::{AuthVerdict, Identity, Scheme};
use crate::registrar::NextHop;
use crate::router::{self, Caller, Ended, Goal};
use crate::wire::{Header, Status, Uri};

impl Engine {
    /// What we can do, the same for everybody and every target.
    pub(super) fn serve_options(&mut self, asker: &Asker<'_>) {
        if let Some(refusal) = self.unsupported(asker) {
            return self.refuse(asker, &refusal);
        }
        self.respond(asker, Status::OK, |ctx, writer| {
            writer.list(Header::Allow, methods(ctx.settings));
            writer.header(Header::Accept, b"*/*");
            writer.header(Header::AcceptEncoding, b"identity");
            writer.header(Header::AcceptLanguage, b"en");
            writer.list(Header::Supported, options(ctx.settings));
            writer.list(Header::AllowEvents, packages(ctx.settings));
        });
        self.tell_outcome(asker, Status::OK, AuthVerdict::NotAsked);
    }

    /// RFC 3261 s11.2: somebody who proved who he is is told what an INVITE of his would be, as far as that is known without
    /// ringing anybody: 404, 403, 480. Whether a phone is busy, its 486 says.
    pub(super) fn serve_options_of(&mut self, pass: &Pass<'_>, allowed: &Allowed) {
        match self.could_be_called(pass, &allowed.identity) {
            Ok(()) => self.serve_options(pass),
            Err(refusal) => self.refuse_as(pass, &refusal, allowed.verdict),
        }
    }

    fn could_be_called(&mut self, pass: &Pass<'_>, identity: &Identity) -> Result<(), Refusal> {
        let uri = pass.ess.uri.ok_or(Refusal::plain(Status::BAD_REQUEST))?;
        let is_server = uri.is_sip() && uri.user().is_none();
        if is_server || !router::is_authenticated(Caller::Account(identity)) {
            return Ok(());
        }
        let (aor, trusted) = match self.asker(pass.ess, identity) {
            Ok(asker) => (if asker.ours { asker.aor } else { Box::default() }, asker.trusted),
            Err(_) => (Box::default(), matches!(identity.scheme, Scheme::Trusted)),
        };
        if self.house.settings.calls.is_none() {
            return self.has_a_phone(&uri);
        }
        let who = Who {
            identity: identity.clone(),
            trunk: None,
            trusted,
            host: false,
            aor,
            uri: owned(uri.raw()),
            origin: pass.origin,
        };
        // Where the host says where calls go, nobody else knows.
        let (_, Some(mut plan)) = self.plan(&who)? else { return Ok(()) };
        let (mut ended, mut passed_over) = (None, false);
        while let Some(step) = plan.next(ended) {
            for goal in &step.goals {
                match goal {
                    Goal::Uri { trunk: Some(trunk), .. } if !self.may_take(*trunk, 0) => passed_over = true,
                    goal if self.is_there(goal) => return Ok(()),
                    _ => {}
                }
            }
            ended = Some(Ended::Offline);
        }
        Err(if passed_over { Refusal::plain(Status::SERVICE_UNAVAILABLE) } else { plan.refusal().clone() })
    }

    /// Where nobody can be called.
    fn has_a_phone(&mut self, uri: &Uri<'_>) -> Result<(), Refusal> {
        let settings = self.house.settings.clone();
        let mut aor = AorBuf::new();
        let named = settings.domains.aor(uri, &mut aor);
        let Some(aor) = core::str::from_utf8(&aor).ok().filter(|_| named) else { return Ok(()) };
        if settings.accounts.by_aor(aor).is_none() && !router::has_users_elsewhere(&settings) {
            return Err(Refusal::plain(Status::NOT_FOUND));
        }
        match self.is_there(&Goal::Aor(aor.into())) {
            true => Ok(()),
            false => Err(Refusal::plain(Status::TEMPORARILY_UNAVAILABLE)),
        }
    }

    fn is_there(&mut self, goal: &Goal) -> bool {
        let (ctx, registrar) = (self.house.ctx(), &self.rooms.registrar);
        match goal {
            Goal::Aor(aor) => {
                let targets = registrar.targets(&ctx, aor.as_bytes());
                targets.iter().any(|target| !matches!(target.next, NextHop::Gone))
            }
            Goal::Uri { uri, .. } => Uri::parse(uri.as_bytes()).is_ok_and(|uri| {
                let ours = uri.host().is_some_and(|host| ctx.settings.domains.canonical(host).is_some());
                !ours || registrar.device(&ctx, &uri).is_some()
            }),
            Goal::Redirect(_) => true,
        }
    }
}
