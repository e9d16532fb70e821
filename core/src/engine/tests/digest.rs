//! Requests whose sender proves who he is, through the engine's doors: what repeats itself (DECISIONS 16), and what only
//! they are told (DECISIONS 4).

use super::messages::{messages, text};
use super::*;
use crate::base::hash::{DigestAlgorithm, digest};
use crate::config::CallsConfig;
use crate::door::{AuthVerdict, Scheme};

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

/// What an OPTIONS of bob is answered with, once he has proved who he is.
fn options(host: &mut Host, uri: &str, n: u32) -> String {
    let challenge = shown(&host.udp(&request("OPTIONS", uri, 2 * n, "")));
    assert!(challenge.contains("SIP/2.0 401"), "{challenge}");
    let answer =
        shown(&host.udp(&request("OPTIONS", uri, 2 * n + 1, &proof(&challenge, BOB, "OPTIONS", uri))));
    answer.lines().find(|line| line.starts_with("SIP/2.0 ")).unwrap_or_default().to_owned()
}

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

#[test]
fn who_proves_who_he_is_learns_by_options_what_a_call_would_come_to() {
    let mut table = String::new();
    for calls in [true, false] {
        let mut config = config();
        config.policies.options = AuthPolicy::Digest;
        config.calls = calls.then(CallsConfig::default);
        for name in ["carol", "dave"] {
            let password = Some(Secret("secret".to_owned()));
            let mut account = AccountConfig { username: name.into(), password, ..AccountConfig::default() };
            account.forward.do_not_disturb = name == "dave";
            config.accounts.push(account);
        }
        let mut host = Host::new(config);
        for (n, user) in [(1, "bob"), (3, "dave")] {
            let password = if user == "bob" { "zanzibar" } else { "secret" };
            let register = |n, more: &str| {
                let text = request(
                    "REGISTER",
                    "sip:example.com",
                    n,
                    &format!("Contact: <sip:x@192.0.2.9>\r\n{more}"),
                );
                String::from_utf8(text).expect("ASCII").replace("sip:bob@", &format!("sip:{user}@"))
            };
            let challenge = shown(&host.udp(register(n, "").as_bytes()));
            let proof = proof(&challenge, (user, password), "REGISTER", "sip:example.com");
            assert_eq!(status(&host.udp(register(n + 1, &proof).as_bytes())), Some(200));
        }
        for (n, uri) in (10..).zip([
            "sip:example.com",
            "sip:bob@example.com",
            "sip:alice@example.com",
            "sip:dave@example.com",
            "sip:nobody@example.com",
            "sip:carol@else.example",
            "tel:+4420",
        ]) {
            let calls = if calls { "calls" } else { "none" };
            let _ = writeln!(table, "{calls:6} {uri:24} {}", options(&mut host, uri, n));
        }
    }
    insta::assert_snapshot!(table);
}

/// FEATURES F10: what is told of a request says who sent it, once that is proved, and of nobody else.
#[test]
fn the_outcome_of_a_request_names_who_proved_to_have_sent_it() {
    let mut config = config();
    config.tell.outcomes = true;
    let mut host = Host::new(config);
    let told = |commands: &[Command]| {
        let outcome = commands.iter().find_map(|command| match command {
            Command::Tell(Event::Outcome(outcome)) => Some(outcome.clone()),
            _ => None,
        });
        let outcome = outcome.expect("told");
        let who = outcome.identity.map(|who| (who.account.to_string(), who.aors.clone(), who.scheme));
        (outcome.status, outcome.auth, who)
    };
    let bob = || Some(("bob".to_owned(), vec!["bob@example.com".into()], Scheme::Digest));
    let contact = "Contact: <sip:bob@192.0.2.9:5060>\r\n";
    let register =
        |n: u32, more: &str| request("REGISTER", "sip:example.com", n, &format!("{contact}{more}"));
    let challenged = host.udp(&register(1, ""));
    assert_eq!(told(&challenged), (401, AuthVerdict::Missing, None));
    let challenge = shown(&challenged);
    let by = |who| proof(&challenge, who, "REGISTER", "sip:example.com");
    assert_eq!(told(&host.udp(&register(2, &by(("bob", "guess"))))), (401, AuthVerdict::Wrong, None));
    assert_eq!(told(&host.udp(&register(3, &by(("mallory", "x"))))), (401, AuthVerdict::UnknownUser, None));
    assert_eq!(told(&host.udp(&register(4, &by(BOB)))), (200, AuthVerdict::Ok(Scheme::Digest), bob()));
    // A refresh says nothing new, and takes a short way.
    let next = shown(&host.udp(&register(5, "")));
    let again = register(6, &proof(&next, BOB, "REGISTER", "sip:example.com"));
    assert_eq!(told(&host.udp(&again)), (200, AuthVerdict::Ok(Scheme::Digest), bob()));
    // Bob he is, and alice he is not.
    let next = shown(&host.udp(&register(7, "")));
    let register = String::from_utf8(register(8, &proof(&next, BOB, "REGISTER", "sip:example.com")));
    let alices = register.expect("ASCII").replace("To: <sip:bob@", "To: <sip:alice@");
    assert_eq!(told(&host.udp(alices.as_bytes())), (403, AuthVerdict::NotAllowed, bob()));
    let open = host.udp(&request("OPTIONS", "sip:example.com", 9, ""));
    assert_eq!(told(&open), (200, AuthVerdict::NotAsked, None));
}
