//! The steps of RFC 3261 s10.3, one table after the other; every kind of 200 and refusal as it leaves.

use insta::assert_snapshot;

use super::{Phone, World, refuse_past};
use crate::config::{IpNet, MaxContacts, PathMode};
use crate::door::Transport;

fn bob() -> Phone {
    Phone::at("198.51.100.7:5062")
}

#[test]
fn a_first_registration_is_answered_with_its_contact() {
    let mut world = World::new();
    let phone = bob().header("User-Agent: Phone/1").header("Supported: path, outbound, gruu");
    assert_snapshot!(world.send(&phone), @r"
    SIP/2.0 200 OK
    Contact: <sip:bob@198.51.100.7:5062>;expires=3600
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    ");
    assert_snapshot!(world.commands(), @"Registered bob@example.com sip:bob@198.51.100.7:5062");
    let [view] = &world.lookup("sip:bob@EXAMPLE.com;user=phone")[..] else { panic!("one binding") };
    assert_eq!((&*view.user_agent, &*view.call_id, view.cseq), ("Phone/1", "1@phone", 1));
    assert_eq!((view.transport, view.received), (Transport::Udp, phone.remote));
    assert!(view.reachable);
}

#[test]
fn all_current_bindings_are_listed_each_with_what_is_left() {
    let mut world = World::new();
    world.send(&bob());
    world.sleep(600);
    let other = Phone::at("198.51.100.8:5060")
        .call("2@phone", 7)
        .contact("<sip:bob@198.51.100.8>;q=0.25;expires=120");
    assert_snapshot!(world.send(&other), @r"
    SIP/2.0 200 OK
    Contact: <sip:bob@198.51.100.7:5062>;expires=3000
    Contact: <sip:bob@198.51.100.8>;q=0.25;expires=120
    Date: Tue, 14 Nov 2023 22:23:20 GMT
    ");
    // A query changes nothing and sees the same.
    let mut query = bob().call("3@phone", 1);
    query.contacts.clear();
    world.commands();
    world.sleep(60);
    assert_snapshot!(world.send(&query), @r"
    SIP/2.0 200 OK
    Contact: <sip:bob@198.51.100.7:5062>;expires=2940
    Contact: <sip:bob@198.51.100.8>;q=0.25;expires=60
    Date: Tue, 14 Nov 2023 22:24:20 GMT
    ");
    assert_eq!(world.commands(), "");
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:5062", "sip:bob@198.51.100.8"]);
}

#[test]
fn a_contact_is_echoed_as_it_came() {
    let mut world = World::new();
    let odd = r#""B, ob" <sip:%62ob@198.51.100.7:5062;transport=UDP;x=%3b?h=1>;+sip.ice;reg-id=4;methods="INVITE,ACK;x";q=1;Expires=900;+sip.instance="<urn:uuid:f8>""#;
    assert_snapshot!(world.send(&bob().contact(odd)), @r#"
    SIP/2.0 200 OK
    Contact: <sip:%62ob@198.51.100.7:5062;transport=UDP;x=%3b?h=1>;+sip.ice;methods="INVITE,ACK;x";q=1.0;expires=900;+sip.instance="<urn:uuid:f8>";reg-id=4
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    "#);
    assert_eq!(&*world.lookup("bob@example.com")[0].params, ";+sip.ice;methods=\"INVITE,ACK;x\"");
}

#[test]
fn who_does_not_own_the_aor_is_refused_before_anything_is_looked_up() {
    let mut world = World::new();
    let mut phone = bob();
    phone.user = "alice";
    assert_snapshot!(world.send(&phone), @"SIP/2.0 403 Forbidden");
    // A name that contains ours is not ours; the case of a user counts.
    for user in ["bobby", "bo", "Bob", "bob%00"] {
        phone.user = user;
        assert_eq!(world.send(&phone), "SIP/2.0 403 Forbidden", "{user}");
    }
    phone.user = "%62ob";
    assert!(world.send(&phone).starts_with("SIP/2.0 200"));
}

#[test]
fn another_domain_is_not_found() {
    let mut world = World::of(|config| {
        config.domains.push(crate::config::DomainConfig { name: "other.org".into(), aliases: vec![] })
    });
    let text = bob().request().replace("To: <sip:bob@example.com>", "To: <sip:bob@elsewhere.net>");
    let origin = bob().origin(&world);
    assert_snapshot!(world.register(&origin, &text), @"SIP/2.0 404 Not Found");
    for (uri, to, status) in [
        ("sip:other.org", "sip:bob@example.com", 404),
        ("sip:192.0.2.1", "sip:bob@example.com", 200),
        ("sip:EXAMPLE.com:5060;transport=udp", "sips:bob@Example.COM:5061", 200),
        ("sip:example.com", "sip:example.com", 404),
        ("sip:example.com", "tel:+15551234", 400),
    ] {
        let text = bob().request().replace("sip:example.com SIP", &format!("{uri} SIP"));
        let text = text.replace("To: <sip:bob@example.com>", &format!("To: <{to}>"));
        let answer = world.register(&origin, &text);
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{uri} {to}: {answer}");
        world.registrar.remove(&mut world.fixture.ctx(), "bob@example.com", None);
    }
}

#[test]
fn a_wildcard_must_be_alone_and_with_expires_zero() {
    let mut world = World::new();
    world.send(&bob());
    let star = |expires: &str| bob().call("1@phone", 2).without_expires().contact("*").header(expires);
    assert_snapshot!(world.send(&star("Expires: 3600")), @"SIP/2.0 400 Wildcard Needs Expires 0");
    assert_eq!(world.send(&star("X: y")), "SIP/2.0 400 Wildcard Needs Expires 0");
    assert_eq!(world.send(&star("Expires: nonsense")), "SIP/2.0 400 Wildcard Needs Expires 0");
    let both = star("Expires: 0").and_contact("<sip:bob@198.51.100.7:5062>");
    assert_eq!(world.send(&both), "SIP/2.0 400 Wildcard Needs Expires 0");
    assert_eq!(world.send(&star("Expires: 0").and_contact("*")), "SIP/2.0 400 Wildcard Needs Expires 0");
    assert_eq!(world.contacts().len(), 1);
    assert_snapshot!(world.send(&star("Expires: 0")), @r"
    SIP/2.0 200 OK
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    ");
    world.assert_empty();
}

#[test]
fn a_wildcard_removes_all_or_none() {
    let mut world = World::new();
    world.send(&bob().call("a", 5));
    world.send(&Phone::at("198.51.100.8:5060").call("b", 5));
    // The binding of call b has a CSeq that is not lower: the request fails, and the one of call a stays.
    let star = |call, cseq| bob().without_expires().contact("*").header("Expires: 0").call(call, cseq);
    assert_snapshot!(world.send(&star("b", 4)), @"SIP/2.0 500 CSeq Out of Order");
    assert_eq!(world.send(&star("b", 5)), "SIP/2.0 500 CSeq Out of Order");
    assert_eq!(world.contacts().len(), 2);
    world.commands();
    assert!(world.send(&star("b", 6)).starts_with("SIP/2.0 200"));
    assert_snapshot!(world.commands(), @r"
    Unregistered bob@example.com sip:bob@198.51.100.7:5062
    Unregistered bob@example.com sip:bob@198.51.100.8:5060
    ");
    world.assert_empty();
}

#[test]
fn expiry_is_chosen_by_the_contact_then_the_header_then_the_default() {
    for (contact, header, granted) in [
        (";expires=900", "Expires: 1200", 900),
        ("", "Expires: 1200", 1200),
        ("", "X: y", 3600),
        (";expires=soon", "Expires: 1200", 3600),
        (";expires", "Expires: 1200", 3600),
        (";expires=\"900\"", "Expires: 1200", 900),
        (";expires=-1", "Expires: 1200", 3600),
        ("", "Expires: later", 3600),
        ("", "Expires: 7201", 7200),
        // What other servers take for a removal.
        (";expires=4294967296", "X: y", 7200),
        (";expires=99999999999999999999999", "X: y", 7200),
        ("", "Expires: 4294967295", 7200),
        (";expires=60", "X: y", 60),
        (";EXPIRES=61", "Expires: 0", 61),
    ] {
        let mut world = World::new();
        let phone =
            bob().without_expires().contact(&format!("<sip:bob@198.51.100.7:5062>{contact}")).header(header);
        let answer = world.send(&phone);
        assert!(answer.contains(&format!(";expires={granted}\n")), "{contact} {header}: {answer}");
        world.sleep(granted - 1);
        assert_eq!(world.contacts().len(), 1);
        world.sleep(1);
        world.assert_empty();
    }
}

#[test]
fn too_brief_is_said_only_below_the_minimum_and_an_hour() {
    let brief = |expires| bob().without_expires().header(&format!("Expires: {expires}"));
    let mut world = World::new();
    assert_snapshot!(world.send(&brief(59)), @r"
    SIP/2.0 423 Interval Too Brief
    Min-Expires: 60
    ");
    assert_eq!(world.send(&brief(1)), "SIP/2.0 423 Interval Too Brief\nMin-Expires: 60");
    assert!(world.send(&brief(0)).starts_with("SIP/2.0 200"), "0 is a removal");
    assert!(world.send(&brief(60)).starts_with("SIP/2.0 200"));
    let mut strict = World::with(|config| (config.min_expires, config.nat_max_expires) = (3600, 3600));
    assert_eq!(strict.send(&brief(3599)), "SIP/2.0 423 Interval Too Brief\nMin-Expires: 3600");
    assert!(strict.send(&brief(3600)).contains("expires=3600"), "an hour is never too brief");
}

#[test]
fn one_brief_contact_fails_the_whole_request() {
    let mut world = World::new();
    let phone = bob().and_contact("<sip:bob@198.51.100.9>;expires=5");
    assert!(world.send(&phone).starts_with("SIP/2.0 423"));
    world.assert_empty();
}

#[test]
fn order_within_a_call_is_by_cseq() {
    let mut world = World::new();
    world.send(&bob().call("a", 10));
    let moved = |call, cseq| bob().contact("<sip:bob@198.51.100.7:5062>;q=0.5").call(call, cseq);
    for (call, cseq, status) in
        [("a", 9, 500), ("a", 10, 500), ("a", 11, 200), ("b", 1, 200), ("b", 1, 200), ("b", 0, 500)]
    {
        let answer = world.send(&moved(call, cseq));
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{call} {cseq}: {answer}");
    }
    let remove = |cseq| bob().call("b", cseq).without_expires().header("Expires: 0");
    assert_snapshot!(world.send(&remove(1)), @"SIP/2.0 500 CSeq Out of Order");
    assert_eq!(world.contacts().len(), 1);
    assert!(world.send(&remove(2)).starts_with("SIP/2.0 200"));
    world.assert_empty();
    assert!(world.send(&remove(2)).starts_with("SIP/2.0 200"), "what is gone may be removed");
}

#[test]
fn one_contact_out_of_order_fails_the_whole_request() {
    let mut world = World::new();
    world.send(&bob().call("a", 10));
    world.commands();
    let both = bob()
        .call("a", 9)
        .contact("<sip:bob@198.51.100.9>")
        .and_contact("<sip:bob@198.51.100.7:5062>;expires=0");
    assert_snapshot!(world.send(&both), @"SIP/2.0 500 CSeq Out of Order");
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:5062"]);
    assert_eq!(world.commands(), "");
}

#[test]
fn the_last_accepted_request_repeated_is_answered_again() {
    let mut world = World::new();
    let phone = bob().call("a", 10);
    let first = world.send(&phone);
    world.commands();
    assert_eq!(world.send(&phone), first);
    assert_eq!(world.commands(), "", "and changes nothing");
    // Not from elsewhere, and not with another contact.
    let mut elsewhere = phone.clone();
    elsewhere.remote = "203.0.113.5:5062".parse().expect("an address");
    assert!(world.send(&elsewhere).starts_with("SIP/2.0 500"));
    assert!(world.send(&phone.clone().and_contact("<sip:bob@198.51.100.9>")).starts_with("SIP/2.0 500"));
}

#[test]
fn a_replayed_register_is_known_for_a_repetition_only_if_it_is_the_last() {
    let mut world = World::new();
    let repeated = |world: &mut World, phone: &Phone| {
        let origin = phone.origin(world);
        crate::ctx::fixture::with_message(&phone.request(), |msg| {
            let ess = msg.essentials().expect("complete");
            world.registrar.repeated(&mut world.fixture.ctx(), &origin, msg, &ess).is_some()
        })
    };
    let mut phone = bob().call("a", 10);
    assert!(!repeated(&mut world, &phone));
    world.send(&phone);
    assert!(repeated(&mut world, &phone));
    phone.again();
    assert!(!repeated(&mut world, &phone));
    world.send(&phone);
    assert!(repeated(&mut world, &phone));
    phone.remote.set_port(9);
    assert!(!repeated(&mut world, &phone));
}

#[test]
fn equal_uris_are_one_contact() {
    let mut world = World::new();
    for (i, uri) in [
        "sip:bob@198.51.100.7:5062",
        "SIP:%62ob@198.51.100.7:5062",
        "sip:bob@198.51.100.7:5062;x=1",
        "sip:bob@198.51.100.7:5062;y=2",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = world.send(&bob().contact(&format!("<{uri}>")).call("a", i as u32 + 1));
        assert!(answer.contains(uri), "{uri} is echoed as it came last: {answer}");
        assert_eq!(world.contacts(), [uri]);
    }
    // RFC 3261 s19.1.4: the user is compared with case, a missing port is not 5060, and parameters may count.
    for uri in
        ["sip:Bob@198.51.100.7:5062", "sip:bob@198.51.100.7", "sip:bob@198.51.100.7:5062;transport=tcp"]
    {
        world.send(&bob().contact(&format!("<{uri}>")).call(uri, 1));
    }
    assert_eq!(world.contacts().len(), 4);
}

#[test]
fn the_same_contact_twice_counts_once() {
    let mut world = World::new();
    let phone = bob().and_contact("<SIP:bob@198.51.100.7:5062>;expires=100");
    assert_snapshot!(world.send(&phone), @r"
    SIP/2.0 200 OK
    Contact: <SIP:bob@198.51.100.7:5062>;expires=100
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    ");
}

#[test]
fn several_contacts_are_added_and_removed_in_one_request() {
    let mut world = World::new();
    let two = bob().contact("<sip:bob@198.51.100.7:5062>, <sip:bob@198.51.100.7:5064>;q=0.1");
    world.send(&two.clone().and_contact("<sip:bob@198.51.100.7:5066>;q=0.2;expires=300"));
    assert_eq!(world.contacts().len(), 3);
    world.commands();
    let change = two
        .call("1@phone", 2)
        .contact("<sip:bob@198.51.100.7:5062>;expires=0")
        .and_contact("<sip:bob@198.51.100.7:5064>;q=0.9")
        .and_contact("<sip:bob@198.51.100.7:5068>;expires=0");
    assert_snapshot!(world.send(&change), @r"
    SIP/2.0 200 OK
    Contact: <sip:bob@198.51.100.7:5064>;q=0.9;expires=3600
    Contact: <sip:bob@198.51.100.7:5066>;q=0.2;expires=300
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    ");
    assert_snapshot!(world.commands(), @r"
    Unregistered bob@example.com sip:bob@198.51.100.7:5062
    Refreshed bob@example.com sip:bob@198.51.100.7:5064
    ");
}

#[test]
fn faulty_contacts_are_refused() {
    let mut world = World::new();
    let mut answers = String::new();
    for contact in [
        "<sip:bob@>",
        "<sip:bob@198.51.100.7>;q=7",
        "<sip:bob@198.51.100.7>;q=x",
        "<tel:+15551234>",
        "<mailto:bob@example.com>",
        "<sip:bob@example.com>",
        "<sip:bob@EXAMPLE.com:5060;transport=tcp>",
        "<sips:bob@example.com>",
        "<sip:carol@192.0.2.1>",
        "<sip:carol@192.0.2.1:5060>",
        "<sip:carol@198.51.100.7;maddr=192.0.2.1>",
        "<sips:bob@198.51.100.7>",
    ] {
        answers.push_str(&format!("{contact}: {}\n", world.send(&bob().contact(contact))));
    }
    assert_snapshot!(answers, @r"
    <sip:bob@>: SIP/2.0 400 Malformed Contact
    <sip:bob@198.51.100.7>;q=7: SIP/2.0 400 Malformed q
    <sip:bob@198.51.100.7>;q=x: SIP/2.0 400 Malformed q
    <tel:+15551234>: SIP/2.0 403 Contact Must Be a SIP URI
    <mailto:bob@example.com>: SIP/2.0 403 Contact Must Be a SIP URI
    <sip:bob@example.com>: SIP/2.0 403 Contact Names This Server
    <sip:bob@EXAMPLE.com:5060;transport=tcp>: SIP/2.0 403 Contact Names This Server
    <sips:bob@example.com>: SIP/2.0 403 Contact Names This Server
    <sip:carol@192.0.2.1>: SIP/2.0 403 Contact Names This Server
    <sip:carol@192.0.2.1:5060>: SIP/2.0 403 Contact Names This Server
    <sip:carol@198.51.100.7;maddr=192.0.2.1>: SIP/2.0 403 Contact Names This Server
    <sips:bob@198.51.100.7>: SIP/2.0 400 SIPS Contact Needs SIPS Throughout
    ");
    world.assert_empty();
    // A softphone beside the server, on another port, is not the server.
    let mut neighbour = bob().contact("<sip:bob@192.0.2.1:5070>");
    neighbour.remote = "192.0.2.1:5070".parse().expect("an address");
    assert!(world.send(&neighbour).starts_with("SIP/2.0 200"));
}

#[test]
fn a_sips_contact_needs_sips_all_the_way() {
    let mut world = World::new();
    let tls = world.connect(Transport::Tls, "198.51.100.7:40000");
    let phone = bob().over(tls).contact("<sips:bob@198.51.100.7:5061>");
    assert!(world.send(&phone).starts_with("SIP/2.0 400"), "the Request-URI is sip");
    let mut secure = phone.clone();
    secure.uri = "sips:example.com";
    assert!(
        world.send(&secure.clone().and_contact("<sip:bob@198.51.100.7:5070>")).starts_with("SIP/2.0 400")
    );
    assert!(world.send(&secure).starts_with("SIP/2.0 200"));
    // RFC 5630 s5.1.1.1: the sip form of the same contact replaces it.
    assert!(
        world
            .send(&bob().over(tls).contact("<sip:bob@198.51.100.7:5061>").call("b", 1))
            .starts_with("SIP/2.0 200")
    );
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:5061"]);
}

#[test]
fn past_the_most_contacts_the_oldest_goes_or_the_new_one() {
    let phone = |i: u32| Phone::at(&format!("198.51.100.{i}:5060")).call(&format!("{i}"), 1);
    let mut world = World::with(|config| config.max_contacts = 2);
    world.send(&phone(1));
    world.sleep(1);
    world.send(&phone(2));
    world.sleep(1);
    world.send(&Phone { cseq: 2, ..phone(1) });
    world.commands();
    world.sleep(1);
    world.send(&phone(3));
    assert_snapshot!(world.commands(), @r"
    Replaced bob@example.com sip:bob@198.51.100.2:5060
    Registered bob@example.com sip:bob@198.51.100.3:5060
    ");
    let three = phone(4).and_contact("<sip:bob@198.51.100.5>").and_contact("<sip:bob@198.51.100.6>");
    assert_snapshot!(world.send(&three), @"SIP/2.0 403 Too Many Contacts");
    // Room made in the same request counts.
    let swap = phone(4)
        .and_contact("<sip:bob@198.51.100.1:5060>;expires=0")
        .and_contact("<sip:bob@198.51.100.3:5060>");
    assert!(world.send(&swap).starts_with("SIP/2.0 200"));
    assert_eq!(world.contacts().len(), 2);

    let mut strict = World::with(refuse_past(2));
    strict.send(&phone(1));
    strict.send(&phone(2));
    assert_eq!(strict.send(&phone(3)), "SIP/2.0 403 Too Many Contacts");
    assert!(strict.send(&Phone { cseq: 2, ..phone(1) }).starts_with("SIP/2.0 200"));
}

#[test]
fn limits_are_answers() {
    let mut world = World::of(|config| {
        config.limits.contacts_per_request = 2;
        config.limits.bindings = 3;
        config.limits.aors = 2;
        config.limits.binding_bytes = 300;
    });
    let many = bob().and_contact("<sip:bob@198.51.100.9>").and_contact("<sip:bob@198.51.100.10>");
    assert_snapshot!(world.send(&many), @"SIP/2.0 400 Too Many Contacts");
    let long = bob().contact(&format!("<sip:bob@198.51.100.9;x={}>", "y".repeat(300)));
    assert_snapshot!(world.send(&long), @"SIP/2.0 400 Contact Too Large");
    world.who.scheme = crate::door::Scheme::None;
    let user = |user| Phone { user, ..bob() };
    world.send(&user("u1"));
    world.send(&user("u2"));
    assert_snapshot!(world.send(&user("u3")), @r"
    SIP/2.0 503 Service Unavailable
    Retry-After: 30
    ");
    world.send(&Phone::at("198.51.100.8:5060").call("b", 1));
    world.send(&Phone { user: "u1", ..Phone::at("198.51.100.8:5060").call("b", 1) });
    assert!(
        world
            .send(&Phone { user: "u2", ..Phone::at("198.51.100.8:5060").call("b", 1) })
            .starts_with("SIP/2.0 503")
    );
    assert!(
        world.send(&Phone { cseq: 2, ..user("u2") }).starts_with("SIP/2.0 200"),
        "a refresh takes no room"
    );
}

#[test]
fn path_is_taken_from_configured_edges_only() {
    let via_edge = || {
        let mut phone = bob()
            .header("Path: <sip:a@edge.example.net;lr>, <sip:inner.example.net;lr>")
            .header("Supported: path")
            .header("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx");
        phone.remote = "203.0.113.9:5060".parse().expect("an address");
        phone
    };
    let mut world = World::new();
    assert_snapshot!(world.send(&via_edge()), @r"
    SIP/2.0 420 Bad Extension
    Unsupported: path
    ");
    let edges = || PathMode::From(vec![IpNet::parse("203.0.113.0/24").expect("a network")]);
    let mut world = World::with(|config| {
        config.path = edges();
        config.service_route = vec!["<sip:orig@example.com;lr>".into()];
    });
    assert_snapshot!(world.send(&via_edge()), @r"
    SIP/2.0 200 OK
    Contact: <sip:bob@198.51.100.7:5062>;expires=3600
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    Path: <sip:a@edge.example.net;lr>, <sip:inner.example.net;lr>
    Service-Route: <sip:orig@example.com;lr>
    ");
    let view = &world.lookup("bob@example.com")[0];
    assert_eq!(&*view.path, "<sip:a@edge.example.net;lr>, <sip:inner.example.net;lr>");
    assert_eq!(view.flow, None, "it came through a proxy");
    let mut stranger = via_edge();
    stranger.remote = "198.51.100.77:5060".parse().expect("an address");
    assert!(world.send(&stranger).starts_with("SIP/2.0 420"));
    let broken = Phone { headers: vec!["Path: <tel:1>".into()], ..via_edge() };
    assert_snapshot!(world.send(&broken), @"SIP/2.0 400 Malformed Path");
}

#[test]
fn jitter_shortens_within_its_share_and_never_below_the_minimum() {
    let mut world = World::with(|config| config.expires_jitter_percent = 50);
    let mut seen = std::collections::BTreeSet::new();
    let mut phone = bob();
    for _ in 0..50 {
        world.send(phone.again());
        let left = world.lookup("bob@example.com")[0].expires_at.since(world.fixture.now).as_secs();
        assert!((1800..=3600).contains(&left), "{left}");
        seen.insert(left);
    }
    assert!(seen.len() > 20, "{seen:?}");
    let mut short = bob().without_expires().header("Expires: 61");
    for cseq in 100..120 {
        short.cseq = cseq;
        world.send(&short);
        let left = world.lookup("bob@example.com")[0].expires_at.since(world.fixture.now).as_secs();
        assert!((60..=61).contains(&left), "{left}");
    }
}

#[test]
fn an_ended_binding_is_gone_before_its_timer_runs() {
    let mut world = World::new();
    world.send(&bob());
    world.commands();
    world.fixture.advance(core::time::Duration::from_secs(3600));
    assert_eq!(world.contacts(), [""; 0]);
    // It does not order requests any more either, and its end is told before the new beginning.
    assert!(world.send(&bob()).starts_with("SIP/2.0 200"));
    assert_snapshot!(world.commands(), @r"
    Expired bob@example.com sip:bob@198.51.100.7:5062
    Registered bob@example.com sip:bob@198.51.100.7:5062
    ");
    world.sleep(3600);
    world.assert_empty();
}

#[test]
fn the_end_is_announced_where_wanted() {
    let mut world = World::with(|config| config.expiring_notice = core::time::Duration::from_secs(30));
    world.send(&bob());
    world.commands();
    world.sleep(3569);
    assert_eq!(world.commands(), "");
    world.sleep(1);
    assert_snapshot!(world.commands(), @"Expiring bob@example.com sip:bob@198.51.100.7:5062");
    world.sleep(30);
    assert_snapshot!(world.commands(), @"Expired bob@example.com sip:bob@198.51.100.7:5062");
    world.assert_empty();
}

#[test]
fn record_route_is_ignored() {
    let mut world = World::new();
    let answer = world.send(&bob().header("Record-Route: <sip:proxy.example.net;lr>"));
    assert!(answer.starts_with("SIP/2.0 200") && !answer.contains("Record-Route"));
}

#[test]
fn nothing_is_told_or_saved_that_nobody_wants() {
    let mut world = World::of(|config| config.tell.bindings = false);
    world.send(&bob());
    world.send(bob().again());
    world.sleep(3600);
    assert_eq!(world.commands(), "");
    assert_eq!(
        MaxContacts::ReplaceOldest,
        world.fixture.settings.registrar.as_ref().expect("there is one").max_contacts_policy
    );
}
