//! What a user agent calls itself is what the other one is shown, whatever is in it (RFC 3261 s25.1 quoted-string).

use super::ua::*;
use crate::door::{UaCallStep, UaRequest, UaStep};

#[test]
fn a_display_name_arrives_as_it_was_meant() {
    for name in ["", "Alice", "Alice \"A\" Liddell", "back\\slash", "Zoë, <b>; c=\"d\\\"", "\\"] {
        let mut alice = account();
        alice.display = name.into();
        let invite = begin(&mut Phone::with(alice));
        let mut bob = account();
        (bob.aor, bob.direct) = ("sip:bob@example.org".into(), true);
        let mut bob = Phone::with(bob);
        bob.hears(&invite.text.replacen("sip:bob@example.org", "sip:bob@192.0.2.1:5060", 1));
        let heard = bob.told.iter().find_map(|step| match step {
            UaStep::Call { step: UaCallStep::Incoming { display, from, .. }, .. } => {
                Some((&**display, &**from))
            }
            _ => None,
        });
        assert_eq!(heard, Some((name, "sip:alice@example.org")), "{}", invite.text);

        let mut alice = account();
        alice.display = name.into();
        let mut alice = Phone::with(alice);
        let (to, kind) = ("sip:bob@example.org".into(), "text/plain".into());
        alice.does(UaRequest::Message { to, kind, body: b"hello"[..].into() });
        let message = alice.request().text;
        bob.hears(&message.replacen("sip:bob@example.org", "sip:bob@192.0.2.1:5060", 1));
        let heard = bob.told.iter().find_map(|step| match step {
            UaStep::Message { display, .. } => Some(&**display),
            _ => None,
        });
        assert_eq!(heard, Some(name), "{message}");
    }
}
