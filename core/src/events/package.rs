//! The event packages: their names, their documents, how often they are told. RFC 3856, RFC 3857, RFC 3680, RFC 3842,
//! RFC 4235.

use core::time::Duration;

use crate::config::Settings;
use crate::ctx::{Extra, Refusal};
use crate::wire::{Event, Header, Message, Status};

/// An event package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Package {
    /// RFC 3856.
    Presence,
    /// Who watches whose presence: RFC 3857.
    Winfo,
    /// What is registered: RFC 3680.
    Reg,
    /// What waits in a mailbox: RFC 3842.
    MessageSummary,
    /// Who is in which call: RFC 4235.
    Dialog,
}

impl Package {
    /// All of them.
    pub(crate) const ALL: [Package; 5] =
        [Package::Presence, Package::Winfo, Package::Reg, Package::MessageSummary, Package::Dialog];

    /// Those that are switched on.
    pub(crate) fn served(settings: &Settings) -> impl Iterator<Item = Package> {
        let (presence, messages) = (settings.presence.is_some(), settings.message_summary.is_some());
        let calls = settings.calls.is_some();
        Package::ALL.into_iter().filter(move |package| match package {
            Package::MessageSummary => messages,
            Package::Dialog => calls,
            Package::Presence | Package::Winfo | Package::Reg => presence,
        })
    }

    /// Its name in Event.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Package::Presence => "presence",
            Package::Winfo => "presence.winfo",
            Package::Reg => "reg",
            Package::MessageSummary => "message-summary",
            Package::Dialog => "dialog",
        }
    }

    /// Content-Type of its documents.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Package::Presence => "application/pidf+xml",
            Package::Winfo => "application/watcherinfo+xml",
            Package::Reg => "application/reginfo+xml",
            Package::MessageSummary => "application/simple-message-summary",
            Package::Dialog => "application/dialog-info+xml",
        }
    }

    /// Shortest time between two NOTIFY requests to one subscriber (DECISIONS 28). Presence is paced by presentity.
    pub(super) const fn pacing(self) -> Duration {
        match self {
            Package::Presence => Duration::ZERO,
            Package::Winfo | Package::Reg => Duration::from_secs(5),
            // RFC 3842 s3.11, RFC 4235 s3.10.
            Package::MessageSummary | Package::Dialog => Duration::from_secs(1),
        }
    }

    /// The package an Event header names. 489 without one, and for one we do not have (RFC 6665 s4.2.1.1).
    pub(crate) fn of<'m>(settings: &Settings, msg: Message<'m>) -> Result<(Package, Event<'m>), Refusal> {
        const BAD_EVENT: Refusal = Refusal::with(Status::BAD_EVENT, Extra::AllowEvents);
        let event = msg.header(Header::Event).ok_or(BAD_EVENT)?;
        let event =
            Event::parse(event).map_err(|_| Refusal::because(Status::BAD_REQUEST, "Malformed Event"))?;
        let package = Package::served(settings).find(|package| package.name().as_bytes() == event.package);
        Ok((package.ok_or(BAD_EVENT)?, event))
    }
}
