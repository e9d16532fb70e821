//! Registrations: RFC 3261 s10.2, RFC 5626 s4.

use strowger_core::config::RegistrarConfig;
use strowger_core::door::{ReplyBody, Request, UaRefusal, UaRegistration as State, UaRequest, UaStep};

use super::net::*;
use crate::s;

fn states(steps: &[UaStep]) -> Vec<String> {
    let shown = |step: &UaStep| match step {
        UaStep::Registration { server, state } => {
            let text = format!("{state:?}");
            format!("{server} {}", text.split([' ', '{']).next().unwrap_or_default())
        }
        other => format!("{other:?}"),
    };
    steps.iter().map(shown).collect()
}

#[test]
fn it_registers_refreshes_and_goes() {
    let mut net = Net::new(1, 0);
    net.opens(ALICE, "");
    assert_eq!(net.ua(BOB, UaRequest::Register), ReplyBody::NoUa(UaRefusal::Unknown));
    assert_eq!(
        net.ua(ALICE, UaRequest::Open(Box::new(account(ALICE, "")))),
        ReplyBody::NoUa(UaRefusal::Taken)
    );
    net.does(ALICE, UaRequest::Register);
    net.run_for(1);
    insta::assert_snapshot!("register", net.last("REGISTER"));
    assert_eq!(states(&net.news(ALICE)), ["1 Registering", "1 Registered"]);
    assert_eq!(net.phones(ALICE), 1);
    // At nine tenths of an hour, or up to a twentieth of that before.
    net.run_for(3077);
    assert_eq!(net.news(ALICE), []);
    net.run_for(163);
    assert_eq!(states(&net.news(ALICE)), ["1 Refreshing", "1 Registered"]);
    net.run_for(12 * 3600);
    assert_eq!((net.phones(ALICE), net.view(ALICE).is_registered()), (1, true));
    // RFC 3261 s10.2.4: one Call-ID, and a CSeq that rises by one.
    let registers: Vec<&String> =
        net.wire.iter().map(|(_, text)| text).filter(|text| text.starts_with("REGISTER")).collect();
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).expect("a header")
    };
    let first = field(registers[0], "CSeq: ").split(' ').next().and_then(|n| n.parse::<usize>().ok());
    for (i, text) in registers.iter().enumerate() {
        assert_eq!(field(text, "Call-ID: "), field(registers[0], "Call-ID: "));
        assert_eq!(field(text, "CSeq: "), format!("{} REGISTER", first.expect("a number") + i));
    }
    net.news(ALICE);
    net.does(ALICE, UaRequest::Unregister);
    net.run_for(1);
    assert_eq!(states(&net.news(ALICE)), ["1 Unregistering", "1 Unregistered"]);
    assert_eq!(net.phones(ALICE), 0);
    insta::assert_snapshot!("unregister", net.last("REGISTER"));
    net.run_for(1);
    net.does(ALICE, UaRequest::Register);
    net.run_for(1);
    assert_eq!(net.phones(ALICE), 1);
    net.does(ALICE, UaRequest::Close);
    net.run_for(1);
    assert_eq!(net.phones(ALICE), 0);
    assert_eq!(net.news(ALICE).last(), Some(&UaStep::Closed));
    net.end();
}

#[test]
fn it_is_registered_over_a_bad_network_and_after_a_restart_of_the_server() {
    for seed in 0..30 {
        let mut net = Net::new(seed, 15);
        net.opens(ALICE, "");
        net.does(ALICE, UaRequest::Register);
        net.run_for(200);
        assert_eq!(net.phones(ALICE), 1, "seed {seed}: {:?}", net.told[ALICE]);
        net.restart();
        net.run_for(3700);
        assert_eq!(net.phones(ALICE), 1, "seed {seed}: {:?}", net.told[ALICE]);
        assert!(net.view(ALICE).is_registered());
        net.end();
    }
}

#[test]
fn what_is_too_brief_is_asked_for_longer() {
    let mut net = Net::with(2, 0, |config| {
        config.registrar = Some(RegistrarConfig { min_expires: 300, ..RegistrarConfig::default() });
    });
    let mut account = account(ALICE, "");
    account.expires = 60;
    net.does(ALICE, UaRequest::Open(Box::new(account)));
    net.does(ALICE, UaRequest::Register);
    net.run_for(1);
    assert_eq!(net.count("SIP/2.0 423"), 1);
    assert!(net.last("REGISTER").contains("Expires: 300\n"));
    net.run_for(3600);
    assert_eq!((net.count("SIP/2.0 423"), net.phones(ALICE)), (1, 1), "it is not tried again");
    net.end();
}

#[test]
fn a_name_that_is_not_to_be_read_is_not_said() {
    // RFC 7616 s3.4.4: the server asks for a hash of it.
    let mut net = Net::with(8, 0, |config| config.digest.userhash = true);
    net.registers(ALICE, "");
    let proof = net.last("REGISTER");
    let proof = proof.lines().find(|line| line.starts_with("Authorization: ")).expect("credentials");
    assert!(proof.contains(", userhash=true") && !proof.contains("username=\"alice\""), "{proof}");
    assert_eq!(net.phones(ALICE), 1);
    net.end();
}

#[test]
fn who_is_refused_says_why_and_waits_for_the_host() {
    for (user, password, status) in
        [("alice", "guess", 401), ("mallory", "bob-secret", 401), ("bob", "bob-secret", 403)]
    {
        let mut net = Net::new(3, 0);
        let mut account = account(ALICE, "");
        account.username = user.into();
        account.password = Some(strowger_core::door::Secret(password.into()));
        net.does(ALICE, UaRequest::Open(Box::new(account)));
        net.does(ALICE, UaRequest::Register);
        net.run_for(5000);
        let told = net.news(ALICE);
        assert_eq!(told.last(), Some(&UaStep::Registration { server: 1, state: State::Failed { status } }));
        assert_eq!(net.count("REGISTER"), 2, "{user}");
        net.does(ALICE, UaRequest::Register);
        net.run_for(10);
        assert!(net.count("REGISTER") > 2);
        net.does(ALICE, UaRequest::Unregister);
        net.run_for(1);
        assert_eq!(states(&net.news(ALICE)).last().map(String::as_str), Some("1 Unregistered"));
        net.end();
    }
}

#[test]
fn who_gets_no_answer_waits_longer_each_time() {
    let mut net = Net::new(4, 0);
    net.dark = true;
    net.opens(ALICE, "");
    net.does(ALICE, UaRequest::Register);
    let mut waits = Vec::new();
    for _ in 0..9 {
        net.run_for(33);
        let told = net.news(ALICE);
        let Some(UaStep::Registration { state: State::Waiting { status: 408, again }, .. }) = told.last()
        else {
            panic!("{told:?}")
        };
        let wait = again.since(net.now);
        waits.push(wait.as_secs());
        net.run_for(wait.as_secs() + 1);
    }
    // RFC 5626 s4.5: between half and the whole of 60, 120, 240 seconds, and at most half an hour.
    for (wait, most) in waits.iter().zip([60, 120, 240, 480, 960, 1800, 1800, 1800, 1800]) {
        assert!((most / 2 - 2..=most).contains(wait), "{waits:?}");
    }
    net.dark = false;
    net.run_for(1900);
    assert_eq!((net.phones(ALICE), net.view(ALICE).registrations[0].failures), (1, 0));
    net.end();
}

#[test]
fn a_connection_that_is_lost_is_made_anew_under_the_same_flow() {
    let mut net = Net::new(5, 0);
    let mut account = account(ALICE, ";transport=tcp");
    account.instance = "urn:uuid:00000000-0000-1000-8000-000A95A0E128".into();
    net.does(ALICE, UaRequest::Open(Box::new(account)));
    net.does(ALICE, UaRequest::Register);
    net.run_for(1);
    insta::assert_snapshot!("register_with_a_flow", net.last("REGISTER"));
    let view = net.view(ALICE);
    assert!(
        view.is_registered() && view.registrations[0].gruu.starts_with("sip:alice@example.com;gr="),
        "{view:?}"
    );
    // RFC 5626 s4.4.1.
    net.run_for(200);
    assert!(net.count("PING") >= 1, "{:?}", net.lines());
    net.break_streams();
    net.news(ALICE);
    net.run_for(1);
    assert_eq!(states(&net.news(ALICE)), ["1 Registering", "1 Registered"]);
    assert_eq!(net.phones(ALICE), 1, "RFC 5626 s6: one in place of the other");
    // A connection that is dead says nothing: the answer to a keep-alive is missed.
    net.dark = true;
    net.run_for(140);
    assert!(!net.view(ALICE).is_registered());
    net.dark = false;
    net.run_for(200);
    assert_eq!((net.view(ALICE).is_registered(), net.phones(ALICE)), (true, 1));
    net.end();
}

#[test]
fn over_datagrams_a_flow_is_kept_alive_by_stun_which_notices_a_nat_that_changed_its_mind() {
    let mut net = Net::new(7, 0);
    let mut account = account(ALICE, "");
    account.instance = "urn:uuid:00000000-0000-1000-8000-000A95A0E128".into();
    net.seen[ALICE] = "198.51.100.200:61000".parse().expect("an address");
    net.does(ALICE, UaRequest::Open(Box::new(account)));
    net.does(ALICE, UaRequest::Register);
    net.run_for(1);
    assert!(
        net.last("REGISTER").contains(";reg-id=1") && net.last("SIP/2.0 200").contains("Require: outbound")
    );
    net.news(ALICE);
    net.wire.clear();
    net.run_for(300);
    let asked = net.wire.iter().filter(|(at, text)| *at == ALICE && text.starts_with('\0')).count();
    assert!((10..=13).contains(&asked), "{asked}");
    assert_eq!(net.news(ALICE), []);
    // RFC 5626 s4.4.2: another address is another flow, in place of the one before.
    net.seen[ALICE] = "198.51.100.200:61001".parse().expect("an address");
    net.run_for(31);
    assert_eq!(states(&net.news(ALICE)), ["1 Registering", "1 Registered"]);
    assert_eq!(net.phones(ALICE), 1);
    net.registers(BOB, "");
    let to = "sip:alice@example.com".into();
    let id = net.begins(BOB, UaRequest::Message { to, kind: "text/plain".into(), body: b"x"[..].into() });
    net.run_for(1);
    assert!(net.news(BOB).contains(&UaStep::Sent { id, status: 200 }));
    // A server that is gone does not answer that either.
    net.dark = true;
    net.run_for(29 + 33 + 33);
    assert!(!net.view(ALICE).is_registered());
    net.dark = false;
    net.run_for(100);
    assert!(net.view(ALICE).is_registered());
    net.end();
}

#[test]
fn who_drains_goes() {
    let mut net = Net::new(6, 0);
    net.registers(ALICE, "");
    net.ask(ALICE, Request::Drain { timeout: s(60) });
    net.run_for(1);
    assert_eq!(net.phones(ALICE), 0);
    assert_eq!(net.news(ALICE).last(), Some(&UaStep::Closed));
    net.end();
}
