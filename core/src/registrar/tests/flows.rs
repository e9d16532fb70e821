//! Flows and the ways to phones: RFC 5626 s5 to s7, DECISIONS 8, 10, 11 and 13.

use insta::assert_snapshot;

use super::super::next_hop::NextHop;
use super::{Phone, World};
use crate::config::{IpNet, OutboundMode, PathMode};
use crate::door::{Scheme, Transport};

const OB: &str = "+sip.instance=\"<urn:uuid:1>\";reg-id=1";

/// Where a request to bob goes now, best first.
fn next(world: &mut World) -> Vec<String> {
    let ctx = world.fixture.ctx();
    let targets = world.registrar.targets(&ctx, b"bob@example.com");
    targets
        .iter()
        .map(|target| match target.next {
            NextHop::Over(origin) => format!("{} {}", origin.flow.0, origin.remote),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_next_hop_of_a_udp_phone() {
    for (contact, sent_by, remote, expected) in [
        // The contact's port at the source address.
        ("<sip:bob@198.51.100.7:5062>", "198.51.100.7:5062", "198.51.100.7:40000", "2 198.51.100.7:5062"),
        ("<sip:bob@198.51.100.7>", "198.51.100.7", "198.51.100.7:40000", "2 198.51.100.7:5060"),
        // Anything else: the source, whatever the contact says.
        ("<sip:bob@10.0.0.4:5062>", "10.0.0.4", "198.51.100.7:40000", "2 198.51.100.7:40000"),
        ("<sip:bob@gateway.example.net>", "198.51.100.7", "198.51.100.7:40000", "2 198.51.100.7:40000"),
        ("<sip:+1900@203.0.113.66>", "198.51.100.7", "198.51.100.7:40000", "2 198.51.100.7:40000"),
        (
            "<sip:b@198.51.100.7;maddr=203.0.113.66>",
            "198.51.100.7",
            "198.51.100.7:40000",
            "2 198.51.100.7:40000",
        ),
        // To be called over TCP at the same address.
        ("<sip:bob@198.51.100.7;transport=tcp>", "198.51.100.7", "198.51.100.7:5060", "Contact"),
        ("<sip:bob@203.0.113.66;transport=tcp>", "198.51.100.7", "198.51.100.7:5060", "2 198.51.100.7:5060"),
    ] {
        let mut world = World::new();
        let mut phone = Phone::at("198.51.100.7:5060").contact(contact);
        phone.sent_by = sent_by.into();
        phone.remote = remote.parse().expect("an address");
        assert!(world.send(&phone).starts_with("SIP/2.0 200"), "{contact}");
        assert_eq!(next(&mut world), [expected], "{contact}");
    }
}

#[test]
fn contacts_elsewhere_need_an_account_that_may_have_them() {
    let mut world = World::new();
    world.who.foreign_contacts = true;
    for (contact, sent_by, expected) in [
        ("<sip:bob@203.0.113.66>", "198.51.100.7", "Contact"),
        ("<sip:bob@gateway.example.net>", "198.51.100.7", "Contact"),
        // Behind a NAT the address it says is of no use.
        ("<sip:bob@10.0.0.4>", "10.0.0.4", "2 198.51.100.7:5060"),
        ("<sip:bob@x.invalid>", "198.51.100.7", "2 198.51.100.7:5060"),
    ] {
        let mut phone = Phone::at("198.51.100.7:5060").contact(contact).call(contact, 1);
        phone.sent_by = sent_by.into();
        world.send(&phone);
        assert_eq!(next(&mut world), [expected], "{contact}");
        world.registrar.remove(&mut world.fixture.ctx(), "bob@example.com", None);
    }
}

#[test]
fn through_a_proxy_neither_flow_nor_source_is_the_phones() {
    let mut world = World::with(|config| {
        config.path = PathMode::From(vec![IpNet::parse("203.0.113.0/24").expect("a network")]);
    });
    let mut phone = Phone::at("198.51.100.7:5060").header("Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx");
    phone.remote = "203.0.113.9:5060".parse().expect("an address");
    assert!(world.send(&phone).starts_with("SIP/2.0 200"));
    let view = &world.lookup("bob@example.com")[0];
    assert_eq!((view.flow, view.reachable), (None, false), "we do not send to wherever a contact says");
    assert!(next(&mut world).is_empty());
    world.send(&phone.clone().call("1@phone", 2).header("Path: <sip:edge.example.net;lr>"));
    assert_eq!(next(&mut world), ["Path"]);
    world.who.scheme = Scheme::Trusted;
    world.send(&phone.call("1@phone", 3));
    assert_eq!(next(&mut world), ["Contact"]);
}

#[test]
fn a_dead_stream_is_connected_to_again_only_where_that_can_work() {
    for (transport, contact, sent_by, extra, after) in [
        (Transport::Tcp, "<sip:bob@198.51.100.7:5060;transport=tcp>", "198.51.100.7", "", "Contact"),
        (Transport::Tls, "<sip:bob@198.51.100.7:5061;transport=tls>", "198.51.100.7", "", "Contact"),
        // DECISIONS 11: outbound, NAT, .invalid and WebSocket.
        (Transport::Tcp, "<sip:bob@198.51.100.7:5060;transport=tcp>", "198.51.100.7", OB, ""),
        (Transport::Tcp, "<sip:bob@10.0.0.4:5060;transport=tcp>", "10.0.0.4", "", ""),
        (Transport::Tcp, "<sip:bob@203.0.113.4;transport=tcp>", "198.51.100.7", "", ""),
        (Transport::Tcp, "<sip:bob@abc.invalid;transport=tcp>", "198.51.100.7", "", ""),
        (Transport::Ws, "<sip:bob@198.51.100.7:50000;transport=ws>", "198.51.100.7", "", ""),
    ] {
        let mut world = World::new();
        let flow = world.connect(transport, "198.51.100.7:50000");
        let contact = if extra.is_empty() { contact.to_owned() } else { format!("{contact};{extra}") };
        let mut phone =
            Phone::at("198.51.100.7:50000").over(flow).contact(&contact).header("Supported: outbound");
        phone.sent_by = sent_by.into();
        assert!(world.send(&phone).starts_with("SIP/2.0 200"));
        assert_eq!(next(&mut world), [format!("{} 198.51.100.7:50000", flow.0)], "{contact}");
        world.commands();
        world.disconnect(flow);
        assert_eq!(next(&mut world).concat(), after, "{contact}");
        assert_eq!(world.commands().contains("Unreachable"), after.is_empty(), "{contact}");
        assert_eq!(world.contacts().len(), 1, "the binding stays until it expires");
        world.sleep(3600);
        world.assert_empty();
    }
}

#[test]
fn outbound_is_granted_by_the_rules() {
    let edge = "Path: <sip:t@edge.example.net;lr;ob>";
    let bare = "Path: <sip:t@edge.example.net;lr>";
    let via = "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx";
    let mut table = String::new();
    for (params, headers) in [
        (OB, vec!["Supported: outbound"]),
        (OB, vec!["Supported: path"]),
        ("reg-id=1", vec!["Supported: outbound"]),
        ("+sip.instance=\"<urn:uuid:1>\"", vec!["Supported: outbound"]),
        ("+sip.instance=\"<urn:uuid:1>\";reg-id=0", vec!["Supported: outbound"]),
        (OB, vec!["Supported: outbound, path", via]),
        (OB, vec!["Supported: outbound, path", via, bare]),
        (OB, vec!["Supported: path", via, bare]),
        (OB, vec!["Supported: outbound, path", via, edge]),
    ] {
        let mut world = World::with(|config| {
            config.path = PathMode::From(vec![IpNet::parse("198.51.100.0/24").expect("a network")]);
            config.gruu = false;
        });
        let mut phone = Phone::at("198.51.100.7:5060").contact(&format!("<sip:bob@198.51.100.7>;{params}"));
        phone.headers.extend(headers.iter().map(|line| line.to_string()));
        let answer = world.send(&phone);
        let said: Vec<_> = ["200 OK", "439", "Require: outbound", "Flow-Timer: 120", "reg-id=1"]
            .into_iter()
            .filter(|part| answer.contains(part))
            .collect();
        table.push_str(&format!("{params} {headers:?}\n  {}\n", said.join(", ")));
    }
    assert_snapshot!(table, @r#"
    +sip.instance="<urn:uuid:1>";reg-id=1 ["Supported: outbound"]
      200 OK, Require: outbound, Flow-Timer: 120, reg-id=1
    +sip.instance="<urn:uuid:1>";reg-id=1 ["Supported: path"]
      200 OK, reg-id=1
    reg-id=1 ["Supported: outbound"]
      200 OK
    +sip.instance="<urn:uuid:1>" ["Supported: outbound"]
      200 OK
    +sip.instance="<urn:uuid:1>";reg-id=0 ["Supported: outbound"]
      200 OK
    +sip.instance="<urn:uuid:1>";reg-id=1 ["Supported: outbound, path", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx"]
      439
    +sip.instance="<urn:uuid:1>";reg-id=1 ["Supported: outbound, path", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx", "Path: <sip:t@edge.example.net;lr>"]
      439
    +sip.instance="<urn:uuid:1>";reg-id=1 ["Supported: path", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx", "Path: <sip:t@edge.example.net;lr>"]
      200 OK
    +sip.instance="<urn:uuid:1>";reg-id=1 ["Supported: outbound, path", "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx", "Path: <sip:t@edge.example.net;lr;ob>"]
      200 OK, Require: outbound, reg-id=1
    "#);
}

#[test]
fn a_flow_carries_one_contact() {
    let mut world = World::new();
    let phone = Phone::at("198.51.100.7:5060").contact(&format!("<sip:bob@198.51.100.7>;{OB}"));
    let two = phone.clone().and_contact("<sip:bob@198.51.100.7:5062>");
    assert_snapshot!(world.send(&two), @"SIP/2.0 400 One Contact per Flow");
    let with_removal = phone.and_contact("<sip:bob@198.51.100.7:5062>;expires=0");
    assert!(world.send(&with_removal).starts_with("SIP/2.0 200"));
    let mut off = World::with(|config| config.outbound = OutboundMode::Off);
    assert!(off.send(&two).starts_with("SIP/2.0 200"), "then reg-id means nothing");
}

#[test]
fn a_silent_flow_is_given_up_and_a_talking_one_is_not() {
    let mut world = World::new();
    let flow = world.connect(Transport::Tcp, "198.51.100.7:50000");
    let phone = Phone::at("198.51.100.7:50000")
        .over(flow)
        .header("Supported: outbound")
        .contact(&format!("<sip:bob@198.51.100.7;transport=tcp>;{OB}"));
    world.send(&phone);
    world.commands();
    for _ in 0..5 {
        world.sleep(120);
        world.registrar.keepalive(&mut world.fixture.ctx(), flow);
    }
    assert_eq!(world.commands(), "");
    world.sleep(149);
    assert_eq!(world.commands(), "");
    world.sleep(1);
    assert_snapshot!(world.commands(), @r"
    FlowLost { flow: FlowId(102), bindings: 1 }
    Unreachable bob@example.com sip:bob@198.51.100.7;transport=tcp unreachable
    Close 102 Idle
    ");
    assert!(next(&mut world).is_empty());
    world.disconnect(flow);
    assert_eq!(world.commands(), "");
    world.sleep(3600);
    world.assert_empty();
}

#[test]
fn of_one_instance_one_flow_is_tried_and_the_other_after_it_failed() {
    let mut world = World::new();
    let mut flows = Vec::new();
    for id in 1..=3 {
        let flow = world.connect(Transport::Tcp, &format!("198.51.100.7:5000{id}"));
        let phone = Phone::at("198.51.100.7:50000").over(flow).call("a", id).contact(&format!(
            "<sip:bob@198.51.100.7;transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id={id}"
        ));
        world.send(&phone);
        flows.push(flow);
        world.sleep(1);
    }
    world.disconnect(flows[1]);
    let ctx = world.fixture.ctx();
    let targets = world.registrar.targets(&ctx, b"bob@example.com");
    let [first] = &targets[..] else { panic!("one target") };
    let flow_of = |next| match next {
        NextHop::Over(origin) => origin.flow,
        other => panic!("{other:?}"),
    };
    assert_eq!(flow_of(first.next), flows[2], "the newest");
    let second = world.registrar.other_flow(&ctx, first.binding, &[]).expect("another flow");
    assert_eq!(flow_of(second.next), flows[0], "the one that is up");
    assert_eq!(world.registrar.other_flow(&ctx, second.binding, &[first.binding]), None);
}

#[test]
fn a_gateway_of_many_users_on_one_connection() {
    let mut world = World::new();
    world.who.scheme = Scheme::None;
    let flow = world.connect(Transport::Tcp, "198.51.100.7:50000");
    for user in ["u1", "u2", "u3", "u4", "u5"] {
        let phone = Phone {
            user,
            ..Phone::at("198.51.100.7:50000").over(flow).contact("<sip:gw@198.51.100.7:50000;transport=tcp>")
        };
        world.send(&phone);
    }
    let found =
        world.registrar.lookup_contact(&world.fixture.ctx(), "sip:gw@198.51.100.7:50000;transport=TCP");
    let aors: Vec<_> = found.expect("a URI").iter().map(|view| view.aor.to_string()).collect();
    assert_eq!(
        aors,
        ["u1@example.com", "u2@example.com", "u3@example.com", "u4@example.com", "u5@example.com"]
    );
    world.commands();
    world.disconnect(flow);
    assert_eq!(world.commands(), "FlowLost { flow: FlowId(102), bindings: 5 }\n");
    world.sleep(3600);
    world.assert_empty();
}

#[test]
fn keep_alives_go_to_udp_phones_behind_a_nat_only() {
    for (contact, sent_by, pinged) in [
        ("<sip:bob@10.0.0.4>", "10.0.0.4", true),
        ("<sip:bob@198.51.100.7>", "10.0.0.4", true),
        ("<sip:bob@10.0.0.4>", "198.51.100.7", true),
        ("<sip:bob@198.51.100.7>", "198.51.100.7", false),
        ("<sip:bob@198.51.100.7>", "phone.example.net", false),
        // RFC 5626 s4.4.2: it sends STUN itself.
        (&format!("<sip:bob@10.0.0.4>;{OB}"), "10.0.0.4", false),
    ] {
        let mut world = World::new();
        let mut phone = Phone::at("198.51.100.7:5060").contact(contact);
        phone.sent_by = sent_by.into();
        world.send(&phone);
        world.commands();
        world.sleep(50);
        let pings = world.commands().matches("Ping 2 198.51.100.7:5060").count();
        assert_eq!(pings, if pinged { 1 } else { 0 }, "{contact} {sent_by}");
        // A refresh keeps the rhythm.
        world.send(phone.again());
        world.commands();
        world.sleep(25);
        assert_eq!(world.commands().contains("Ping"), pinged);
        world.sleep(3600);
        world.assert_empty();
    }
}
