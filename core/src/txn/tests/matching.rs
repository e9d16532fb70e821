//! What matches what: RFC 3261 s17.2.3, s9.2, s8.2.2.2, DECISIONS 15.

use super::*;

fn is_new(found: RequestMatch) -> bool {
    matches!(found, RequestMatch::New(_))
}

/// The request as sent first opens a transaction; `other` is matched against it.
#[track_caller]
fn against(first: &str, other: &str) -> RequestMatch {
    let mut world = World::new(Over::Udp);
    world.open(first);
    world.receive(other)
}

#[test]
fn a_request_that_comes_again_is_absorbed() {
    let first = request("MESSAGE", "1");
    assert_eq!(against(&first, &first), RequestMatch::Absorbed);
}

#[test]
fn nothing_is_kept_of_a_request_that_opens_no_transaction() {
    let mut world = World::new(Over::Udp);
    assert!(is_new(world.receive(&request("OPTIONS", "1"))));
    assert!(is_new(world.receive(&request("OPTIONS", "1"))));
    world.assert_nothing_left();
}

#[test]
fn the_source_address_is_no_part_of_the_match() {
    let mut world = World::new(Over::Udp);
    world.open(&request("REGISTER", "1"));
    world.over = Over::Tcp;
    assert_eq!(world.receive(&request("REGISTER", "1")), RequestMatch::Absorbed);
}

#[test]
fn twins_are_told_apart_by_branch_sent_by_and_method() {
    let first = request("REGISTER", "1");
    assert!(is_new(against(&first, &request("REGISTER", "2"))));
    assert!(is_new(against(&first, &first.replace("192.0.2.9:5060", "192.0.2.8:5060"))));
    assert!(is_new(against(&first, &first.replace("192.0.2.9:5060", "192.0.2.9:5061"))));
    assert!(is_new(against(&first, &first.replace("192.0.2.9:5060", "host.example.com:5060"))));
    assert!(is_new(against(&first, &request("OPTIONS", "1"))));
    assert!(is_new(against(&request("FROBNICATE", "1"), &request("REGISTER", "1"))));
    assert!(is_new(against(&request("FROBNICATE", "1"), &request("DEFENESTRATE", "1"))));
    assert_eq!(against(&request("FROBNICATE", "1"), &request("FROBNICATE", "1")), RequestMatch::Absorbed);
}

#[test]
fn equal_spellings_of_sent_by_match() {
    let at = |host: &str| request("REGISTER", "1").replace("192.0.2.9:5060", host);
    assert_eq!(against(&at("Phone.Example.COM"), &at("phone.example.com:5060")), RequestMatch::Absorbed);
    assert_eq!(against(&at("[2001:DB8::1]:5060"), &at("[2001:db8:0:0:0:0:0:1]")), RequestMatch::Absorbed);
    let tls = |host: &str| at(host).replace("SIP/2.0/UDP", "SIP/2.0/TLS");
    assert_eq!(against(&tls("192.0.2.9"), &tls("192.0.2.9:5061")), RequestMatch::Absorbed);
}

#[test]
fn branch_and_sent_by_do_not_flow_into_each_other() {
    let first = request("REGISTER", "1").replace("192.0.2.9:5060", "a.example.com");
    let other = request("REGISTER", "1a").replace("192.0.2.9:5060", ".example.com".trim_start_matches('.'));
    assert!(is_new(against(&first, &other)));
}

#[test]
fn a_cookie_alone_is_no_branch() {
    // RFC 4475 s3.2.1.
    let bare = request_with("REGISTER", ";branch=z9hG4bK");
    assert_eq!(against(&bare, &bare), RequestMatch::Absorbed);
    assert!(is_new(against(&bare, &bare.replace("CSeq: 1", "CSeq: 2"))));
}

#[test]
fn without_the_cookie_the_rules_of_rfc_2543_hold() {
    for via in ["", ";branch=1"] {
        let first = request_with("INVITE", via);
        assert_eq!(against(&first, &first), RequestMatch::Absorbed);
        for (part, other) in [
            ("sip:bob@example.com SIP", "sip:carol@example.com SIP"),
            ("tag=a", "tag=other"),
            ("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b"),
            ("Call-ID: c1", "Call-ID: c2"),
            ("CSeq: 1", "CSeq: 2"),
        ] {
            assert!(first.contains(part));
            assert!(is_new(against(&first, &first.replacen(part, other, 1))), "{part}");
        }
        assert!(is_new(against(&first, &request_with("BYE", via))));
        let other_path = first.replacen("192.0.2.9:5060", "192.0.2.9:5060;hidden", 1);
        assert!(matches!(against(&first, &other_path), RequestMatch::Merged(_)));
    }
}

#[test]
fn without_the_cookie_an_ack_must_bear_the_to_tag_of_the_response() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request_with("INVITE", ""));
    world.respond(key, 486);
    let ack = request_with("ACK", "");
    assert_eq!(world.receive(&ack), RequestMatch::Ack, "no tag");
    let tagged =
        |tag: &str| ack.replace("To: <sip:bob@example.com>", &format!("To: <sip:bob@example.com>;tag={tag}"));
    assert_eq!(world.receive(&tagged("x")), RequestMatch::Ack, "another's tag");
    assert_eq!(world.receive(&tagged("b")), RequestMatch::Absorbed);
    assert_eq!(world.receive(&tagged("b")), RequestMatch::Absorbed, "again");
    world.run_out();
    world.assert_nothing_left();
}

#[test]
fn a_cancel_finds_the_request_of_its_branch() {
    let mut world = World::new(Over::Udp);
    let invite = world.open(&request("INVITE", "1"));
    let found = |found| match found {
        RequestMatch::Cancel { invite, .. } => invite,
        other => panic!("not a CANCEL but {other:?}"),
    };
    assert_eq!(found(world.receive(&request("CANCEL", "1"))), Some(invite));
    assert!(world.txn.is_pending_invite(invite));
    assert_eq!(found(world.receive(&request("CANCEL", "2"))), None);
    let cancel = world.open(&request("CANCEL", "1"));
    assert_ne!(cancel, invite);
    assert_eq!(world.receive(&request("CANCEL", "1")), RequestMatch::Absorbed);
    world.respond(cancel, 200);
    world.respond(invite, 487);
    assert!(!world.txn.is_pending_invite(invite));
}

#[test]
fn a_cancel_of_another_method_is_known_and_changes_nothing() {
    let mut world = World::new(Over::Udp);
    let message = world.open(&request("MESSAGE", "1"));
    let RequestMatch::Cancel { invite, .. } = world.receive(&request("CANCEL", "1")) else {
        panic!("a CANCEL")
    };
    assert_eq!(invite, Some(message));
    assert!(!world.txn.is_pending_invite(message));
}

#[test]
fn without_the_cookie_a_cancel_finds_its_invite_too() {
    let mut world = World::new(Over::Udp);
    let invite = world.open(&request_with("INVITE", ""));
    let RequestMatch::Cancel { invite: found, .. } = world.receive(&request_with("CANCEL", "")) else {
        panic!("a CANCEL")
    };
    assert_eq!(found, Some(invite));
}

#[test]
fn an_ack_of_no_transaction_is_for_the_tu() {
    let mut world = World::new(Over::Udp);
    assert_eq!(world.receive(&request("ACK", "1")), RequestMatch::Ack);
    world.open(&request("REGISTER", "1"));
    assert_eq!(world.receive(&request("ACK", "1")), RequestMatch::Ack, "of a branch that is no INVITE");
}

#[test]
fn the_same_request_by_another_path_is_merged() {
    let mut world = World::new(Over::Udp);
    let first = world.open(&request("INVITE", "1"));
    let RequestMatch::Merged(id) = world.receive(&request("INVITE", "2")) else { panic!("merged") };
    world.respond(first, 486);
    assert!(
        matches!(world.receive(&request("INVITE", "2")), RequestMatch::Merged(_)),
        "while the first is remembered"
    );
    // RFC 3261 s8.2.2.2: 482 goes to the transaction of the second.
    let origin = world.origin();
    let second = with_message(&request("INVITE", "2"), |msg| {
        let via = msg.via().expect("a Via");
        world.txn.open(&mut world.fx.ctx(), &origin, &via, id, msg.method()).expect("there is room")
    });
    world.respond(second, 482);
    assert_eq!(world.receive(&request("INVITE", "2")), RequestMatch::Absorbed);
    world.run_out();
    assert!(is_new(world.receive(&request("INVITE", "3"))));
    world.assert_nothing_left();
}

#[test]
fn what_differs_in_more_than_the_path_is_not_merged() {
    let first = request("INVITE", "1");
    let second = request("INVITE", "2");
    for (part, other) in [
        ("sip:bob@example.com SIP", "sip:bob@192.0.2.33 SIP"),
        ("<sip:alice@example.com>", "<sip:mallory@example.com>"),
        ("tag=a", "tag=b"),
        ("Call-ID: c1", "Call-ID: c2"),
        ("CSeq: 1", "CSeq: 2"),
        ("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=b"),
    ] {
        assert!(second.contains(part));
        assert!(is_new(against(&first, &second.replacen(part, other, 1))), "{part}");
    }
}

#[test]
fn register_is_never_merged() {
    // RFC 3263 s4.3: a client that gave up on one server tries the next with the same Call-ID and CSeq.
    assert!(is_new(against(&request("REGISTER", "1"), &request("REGISTER", "2"))));
}

#[test]
fn another_hash_key_matches_the_same() {
    let run = |seed| {
        let mut world = World::seeded(Over::Udp, Config::new("example.com"), seed);
        let mut found = Vec::new();
        for text in
            ["INVITE", "OPTIONS", "REGISTER", "CANCEL", "ACK", "INVITE"].map(|method| request(method, "1"))
        {
            found.push(match world.receive(&text) {
                RequestMatch::New(_) => {
                    world.open(&text);
                    "new"
                }
                RequestMatch::Absorbed => "absorbed",
                RequestMatch::Cancel { invite: Some(_), .. } => "cancel",
                RequestMatch::Cancel { .. } => "stray cancel",
                RequestMatch::Ack => "ack",
                RequestMatch::Merged(_) => "merged",
            });
        }
        found
    };
    assert_eq!(run([1; 32]), ["new", "new", "new", "cancel", "ack", "absorbed"]);
    assert_eq!(run([1; 32]), run([2; 32]));
}
