//! Event and Subscription-State: RFC 6665 s8.2, s8.4.

use nom::Parser;
use nom::sequence::delimited;

use super::grammar::{space, token};
use super::{Fault, Params, ParseError};
use crate::base::text::{self, clamp_u32};

/// The Event header.
#[derive(Clone, Copy, Debug)]
pub struct Event<'m> {
    /// The package with its templates: `presence`, `presence.winfo`.
    pub package: &'m [u8],
    /// The parameters.
    pub params: Params<'m>,
}

impl<'m> Event<'m> {
    /// Reads a whole Event header.
    pub fn parse(input: &'m [u8]) -> Result<Event<'m>, ParseError> {
        let (package, params) = token_and_params(input).map_err(|fault| ParseError::new("Event", fault))?;
        // RFC 6665 s8.4: event-package *( "." event-template ), each a token without dots.
        if package.split(|byte| *byte == b'.').any(<[u8]>::is_empty) {
            return Err(ParseError::new("Event", Fault::Malformed));
        }
        let event = Event { package, params };
        // RFC 6665 s8.4: "id" EQUAL token. What is quoted would be read otherwise where it is repeated without quotes.
        if event.id().is_some_and(|id| !text::is_token(id)) {
            return Err(ParseError::new("Event", Fault::Malformed));
        }
        Ok(event)
    }

    /// The `id` parameter, which tells subscriptions of one dialog apart; an empty one is none.
    pub fn id(&self) -> Option<&'m [u8]> {
        self.params.value(b"id").filter(|id| !id.is_empty())
    }

    /// Whether both name the same subscription of a dialog.
    // RFC 6665 s8.2.1: package and id are compared byte by byte; other parameters do not count.
    pub fn matches(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id() == other.id()
    }
}

/// The state in Subscription-State.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubState<'m> {
    /// `active`
    Active,
    /// `pending`
    Pending,
    /// `terminated`
    Terminated,
    /// Another token; RFC 6665 s4.1.3 takes it as active.
    Other(&'m [u8]),
}

/// The Subscription-State header.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionState<'m> {
    /// The state.
    pub state: SubState<'m>,
    /// The parameters.
    pub params: Params<'m>,
}

impl<'m> SubscriptionState<'m> {
    /// Reads a whole Subscription-State header.
    pub fn parse(input: &'m [u8]) -> Result<SubscriptionState<'m>, ParseError> {
        let (state, params) =
            token_and_params(input).map_err(|fault| ParseError::new("Subscription-State", fault))?;
        let state = match state {
            name if name.eq_ignore_ascii_case(b"active") => SubState::Active,
            name if name.eq_ignore_ascii_case(b"pending") => SubState::Pending,
            name if name.eq_ignore_ascii_case(b"terminated") => SubState::Terminated,
            name => SubState::Other(name),
        };
        Ok(SubscriptionState { state, params })
    }

    /// The `reason` as written: `deactivated`, `timeout`, `noresource`.
    pub fn reason(&self) -> Option<&'m [u8]> {
        self.params.value(b"reason")
    }

    /// The `expires` in seconds; `None` also if it is no number.
    pub fn expires(&self) -> Option<u32> {
        self.params.value(b"expires").and_then(clamp_u32)
    }

    /// The `retry-after` in seconds; `None` also if it is no number.
    pub fn retry_after(&self) -> Option<u32> {
        self.params.value(b"retry-after").and_then(clamp_u32)
    }
}

fn token_and_params(input: &[u8]) -> Result<(&[u8], Params<'_>), Fault> {
    let (rest, name) = delimited(space, token, space).parse(input).map_err(|_| Fault::Malformed)?;
    Ok((name, Params::header(rest, |_, _| {})?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_package_and_id() {
        let event = Event::parse(b" presence.winfo ; id=7;x=\"a;b\"").expect("well-formed");
        assert_eq!((event.package, event.id()), (&b"presence.winfo"[..], Some(&b"7"[..])));
        assert_eq!(Event::parse(b"presence").expect("well-formed").id(), None);
        assert_eq!(Event::parse(b"presence;id=").expect("well-formed").id(), None);
    }

    #[test]
    fn events_match_byte_by_byte_in_package_and_id() {
        let event = |text: &'static str| Event::parse(text.as_bytes()).expect("well-formed");
        for (a, b, same) in [
            ("presence", "presence", true),
            ("presence", "presence;other=1", true),
            ("presence;id=a", "presence;ID=a", true),
            ("presence;id=a", "presence;id=A", false),
            ("presence", "presence;id=a", false),
            ("presence", "Presence", false),
            ("presence", "presence.winfo", false),
        ] {
            assert_eq!(event(a).matches(&event(b)), same, "{a} and {b}");
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for text in [
            "",
            ";id=1",
            "presence.",
            ".winfo",
            "a..b",
            "presence winfo",
            "presence,dialog",
            "a;=1",
            "a;id=\"b;c\"",
        ] {
            assert!(Event::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_subscription_state_shows_its_parameters() {
        let state =
            SubscriptionState::parse(b"Terminated;reason=noresource;retry-after=30").expect("well-formed");
        assert_eq!(state.state, SubState::Terminated);
        assert_eq!((state.reason(), state.retry_after()), (Some(&b"noresource"[..]), Some(30)));
        let state = SubscriptionState::parse(b"active;expires=99999999999").expect("well-formed");
        assert_eq!((state.state, state.expires()), (SubState::Active, Some(u32::MAX)));
        let state = SubscriptionState::parse(b"waiting;expires=soon").expect("well-formed");
        assert_eq!((state.state, state.expires()), (SubState::Other(b"waiting"), None));
        assert!(SubscriptionState::parse(b"active;expires=1, pending").is_err());
    }
}
