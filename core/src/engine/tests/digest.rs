//! Requests whose sender proves who he is, through the engine's doors: what repeats itself
//! (DECISIONS 16).

use super::messages::{messages, text};
use super::*;
use crate::base::hash::{DigestAlgorithm, digest};

/// The answer to a challenge, as a line.
fn proof(challenge: &str, (user, password): (&str, &str), method: &str, uri: &str) -> String {
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|s| s.split('"').next()).expect("a nonce");
    let hex = |text: String| {
        let hash = digest(DigestAlgorithm::Sha256, &[text.as_bytes()]);
        hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let ha1 = hex(format!("{user}:example.com:{password}"));
    let ha2 = hex(format!("{method}:{uri}"));
    let response = hex(format!("{ha1}:{nonce}:00000001:cn:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=SHA-256, qop=auth, cnonce=\"cn\", nc=00000001\r\n"
    )
}

const BOB: (&str, &str) = ("bob", "zanzibar");

#[test]
fn a_register_whose_transaction_was_forgotten_is_answered_again_and_changes_nothing() {
    let mut config = messages();
    config.policies.register = AuthPolicy::Any;
    config.limits.transaction_bytes = 64 << 10;
    (config.tell.bindings, config.tell.changes) = (true, true);
    let mut host = Host::new(config);
    let contact = "Contact: <sip:bob@192.0.2.9:5060>\r\n";
    let challenge = shown(&host.udp(&request("REGISTER", "sip:example.com", 1, contact)));
    let proof = proof(&challenge, BOB, "REGISTER", "sip:example.com");
    let register = request("REGISTER", "sip:example.com", 2, &format!("{contact}{proof}"));
    let commands = host.udp(&register);
    assert_eq!(status(&commands), Some(200));
    assert!(commands.iter().any(|c| matches!(c, Command::Save(..))), "{}", shown(&commands));
    let forgotten = |host: &Host| host.engine.stats().counter(Counter::TransactionsForgotten);
    let full = (0..1000).find(|n| {
        host.alice(&text(*n, "sip:nobody@elsewhere.invalid", "", "hi"));
        forgotten(&host) > 0
    });
    assert!(full.is_some(), "the budget is never full");
    assert_eq!(forgotten(&host), 1);
    let again = host.udp(&register);
    assert_eq!(status(&again), Some(200), "{}", shown(&again));
    assert!(shown(&again).contains("\nContact: <sip:bob@192.0.2.9:5060>;expires="), "{}", shown(&again));
    assert_eq!((again.len(), host.engine.sizes().bindings), (1, 1), "{}", shown(&again));
    // Whoever saw the request on its way is not shown where bob is.
    let register = String::from_utf8(register).expect("ASCII");
    for thief in ["192.0.2.66:5060", "192.0.2.9:5066"] {
        let stolen = host.over(UDP, thief, &register);
        assert_eq!((status(&stolen), stolen.len()), (Some(401), 1), "{}", shown(&stolen));
    }
    // Nor is anything done that was not asked for then.
    let other = register.replace("<sip:bob@192.0.2.9:5060>", "<sip:bob@192.0.2.9:5061>");
    assert_eq!(status(&host.udp(other.as_bytes())), Some(401));
    assert_eq!(host.engine.sizes().bindings, 1);
}
