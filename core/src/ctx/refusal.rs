//! A refusal as a value: a status and the one header that explains it. Rooms return it; the engine writes it.

use std::borrow::Cow;

use crate::wire::{Status, StatusLine};

/// Why a request is refused, and what the answer must carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The status code.
    pub(crate) status: Status,
    /// Reason phrase instead of the standard one.
    pub(crate) reason: Option<Cow<'static, str>>,
    /// The header that goes with it.
    pub(crate) extra: Extra,
}

/// The header that explains a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Extra {
    /// None.
    None,
    /// 423: `Min-Expires`, in seconds (RFC 3261 s10.2.8).
    MinExpires(u32),
    /// 422: `Min-SE`, in seconds (RFC 4028 s9).
    MinSe(u32),
    /// 420: `Unsupported`, option tags separated by commas (RFC 3261 s8.2.2.3).
    Unsupported(Box<str>),
    /// 405: `Allow` (RFC 3261 s8.2.1).
    Allow,
    /// The same of somebody who takes these only.
    AllowOf(&'static str),
    /// 489: `Allow-Events` (RFC 6665 s8.2.2).
    AllowEvents,
    /// 415: `Accept` (RFC 3261 s8.2.3).
    Accept(&'static str),
    /// 421: `Require`, an option tag (RFC 3261 s21.4.16).
    Require(&'static str),
    /// 469: `Recv-Info`, the packages there are, separated by commas (RFC 6086 s4.2.2).
    RecvInfo(Box<str>),
    /// 503: `Retry-After`, in seconds.
    RetryAfter(u32),
}

/// As many bytes of a phrase of the host are sent, in whole characters.
const PHRASE: usize = 128;

/// Only what is shorter than an hour may be refused as too brief.
const HOUR: u32 = 3600;

impl Refusal {
    /// 423 if and only if 0 < asked < one hour and below our minimum, in seconds: RFC 3261 s10.3 step 7, RFC 6665
    /// s4.2.1.1, RFC 3903 s6 step 4.
    pub(crate) fn if_too_brief(asked: u32, min: u32) -> Result<(), Refusal> {
        match (1..min.min(HOUR)).contains(&asked) {
            true => Err(Refusal::with(Status::INTERVAL_TOO_BRIEF, Extra::MinExpires(min))),
            false => Ok(()),
        }
    }

    /// A refusal without a header.
    pub(crate) const fn plain(status: Status) -> Refusal {
        Refusal { status, reason: None, extra: Extra::None }
    }

    /// A refusal with a reason phrase of its own.
    pub(crate) const fn because(status: Status, reason: &'static str) -> Refusal {
        Refusal { status, reason: Some(Cow::Borrowed(reason)), extra: Extra::None }
    }

    /// What the host says: 300 to 699, anything else is 500; a phrase on one line, of [`PHRASE`] bytes at most (RFC 3261
    /// s25.1: a CR or LF would begin a line of its own).
    pub(crate) fn of_host(status: u16, phrase: Option<Box<str>>) -> Refusal {
        if !(300..700).contains(&status) {
            return Refusal::plain(Status::SERVER_ERROR);
        }
        let reason = phrase.map(|phrase| {
            let mut room = Some(PHRASE);
            let fits = |c: &char| {
                room = room.and_then(|room| room.checked_sub(c.len_utf8()));
                room.is_some()
            };
            let line = phrase.chars().map(|c| if c.is_control() { ' ' } else { c }).take_while(fits);
            line.collect::<String>().trim().to_owned()
        });
        let reason = reason.filter(|phrase| !phrase.is_empty()).map(Cow::Owned);
        Refusal { status: Status(status), reason, extra: Extra::None }
    }

    /// The status line it is written with.
    pub(crate) fn line(&self) -> StatusLine<'_> {
        self.reason.as_deref().map_or(self.status.into(), |phrase| (self.status, phrase).into())
    }

    /// A refusal with a header.
    pub(crate) const fn with(status: Status, extra: Extra) -> Refusal {
        Refusal { status, reason: None, extra }
    }
}
