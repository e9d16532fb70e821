//! What real phones do: sequences that leave other registrars with stale contacts, and what is left here.

use insta::assert_snapshot;

use super::{Phone, World};
use crate::ctx::fixture::Fixture;
use crate::door::Transport;

const UUID: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"";

/// A phone that says which device it is.
fn device(addr: &str) -> Phone {
    Phone::at(addr).contact(&format!("<sip:bob@{addr}>;{UUID}"))
}

#[test]
fn linphone_changes_call_id_and_port_and_stays_one_contact() {
    let mut world = World::new();
    for round in 0..6 {
        let phone = device(&format!("198.51.100.7:{}", 40000 + round)).call(&format!("call{round}"), 20);
        assert!(world.send(&phone).starts_with("SIP/2.0 200"));
        assert_eq!(world.contacts(), [format!("sip:bob@198.51.100.7:{}", 40000 + round)]);
        world.sleep(10);
    }
    assert_snapshot!(world.commands(), @r"
    Registered bob@example.com sip:bob@198.51.100.7:40000
    Moved bob@example.com sip:bob@198.51.100.7:40001
    Moved bob@example.com sip:bob@198.51.100.7:40002
    Moved bob@example.com sip:bob@198.51.100.7:40003
    Moved bob@example.com sip:bob@198.51.100.7:40004
    Moved bob@example.com sip:bob@198.51.100.7:40005
    ");
}

#[test]
fn a_power_cycled_phone_replaces_itself_and_its_old_connection() {
    let mut world = World::new();
    let first = world.connect(Transport::Tcp, "198.51.100.7:40000");
    world.send(&device("198.51.100.7:40000").over(first));
    let second = world.connect(Transport::Tcp, "198.51.100.7:40001");
    // Nobody told us that the first connection is dead.
    world.send(&device("198.51.100.7:40001").over(second).call("after-reset", 1));
    assert_snapshot!(world.commands(), @r"
    Registered bob@example.com sip:bob@198.51.100.7:40000
    Moved bob@example.com sip:bob@198.51.100.7:40001
    Close 102 Replaced
    ");
    assert_eq!(world.lookup("bob@example.com")[0].flow, Some(second));
    world.disconnect(first);
    assert_eq!(world.commands(), "", "nothing hung on it any more");
    assert!(world.lookup("bob@example.com")[0].reachable);
}

#[test]
fn push_wakes_a_phone_with_a_new_call_and_leaves_no_old_contact() {
    let mut world = World::new();
    let tls = world.connect(Transport::Tls, "198.51.100.7:40000");
    let pushed = |addr: &str| {
        Phone::at(addr)
            .contact(&format!("<sip:bob@{addr};pn-provider=apns;pn-prid=00fc;pn-param=x.y>;{UUID}"))
    };
    world.send(&pushed("10.0.0.4:1").over(tls));
    world.disconnect(tls);
    let again = world.connect(Transport::Tls, "203.0.113.8:41000");
    world.send(&pushed("10.0.0.5:2").over(again).call("woken", 1));
    assert_eq!(world.contacts(), ["sip:bob@10.0.0.5:2;pn-provider=apns;pn-prid=00fc;pn-param=x.y"]);
}

#[test]
fn a_nat_gives_a_new_port_and_the_phone_is_reached_there() {
    let mut world = World::new();
    let mut phone = Phone::at("192.168.1.5:5060");
    phone.remote = "203.0.113.8:30001".parse().expect("an address");
    world.send(&phone);
    phone.again().remote = "203.0.113.8:30002".parse().expect("an address");
    world.send(&phone);
    assert_snapshot!(world.commands(), @r"
    Registered bob@example.com sip:bob@192.168.1.5:5060
    Moved bob@example.com sip:bob@192.168.1.5:5060
    ");
    let view = &world.lookup("bob@example.com")[0];
    assert_eq!(view.received, phone.remote);
    // DECISIONS 13: at most 300 s, and a keep-alive every 25 s to where it is now.
    assert_eq!(view.expires_at.since(world.fixture.now).as_secs(), 300);
    world.sleep(25);
    assert_eq!(world.commands(), "Ping 2 203.0.113.8:30002\n");
    world.sleep(275);
    assert!(world.commands().ends_with("Expired bob@example.com sip:bob@192.168.1.5:5060\n"));
    world.assert_empty();
}

#[test]
fn two_devices_of_one_user_are_two_contacts() {
    let mut world = World::new();
    world.send(&device("198.51.100.7:5060"));
    let other = Phone::at("198.51.100.8:5060")
        .call("other", 1)
        .contact("<sip:bob@198.51.100.8:5060>;q=0.8;+sip.instance=\"<urn:uuid:2>\"");
    world.send(&other);
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:5060", "sip:bob@198.51.100.8:5060"]);
    // One leaves, the other stays.
    let leave = other
        .call("other", 2)
        .without_expires()
        .header("Expires: 0")
        .contact("<sip:bob@198.51.100.8:5060>;+sip.instance=\"<urn:uuid:2>\"");
    world.send(&leave);
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:5060"]);
}

#[test]
fn two_phones_behind_two_routers_with_one_private_address_are_two_contacts() {
    let mut world = World::new();
    for (i, router) in ["203.0.113.8:30001", "203.0.113.9:30001"].into_iter().enumerate() {
        let mut phone = Phone::at("192.168.1.5:5060")
            .call(&format!("{i}"), 1)
            .contact(&format!("<sip:bob@192.168.1.5:5060>;+sip.instance=\"<urn:uuid:{i}>\""));
        phone.remote = router.parse().expect("an address");
        world.send(&phone);
    }
    let received: Vec<_> =
        world.lookup("bob@example.com").iter().map(|view| view.received.to_string()).collect();
    assert_eq!(received.len(), 2, "{received:?}");
}

#[test]
fn a_browser_reconnects_and_stays_one_contact() {
    let mut world = World::new();
    let jssip = |flow, user: &str, call: &str| {
        let mut phone = Phone::at("198.51.100.7:50000")
            .over(flow)
            .call(call, 1)
            .contact(&format!("<sip:{user}@a1b2c3.invalid;transport=ws>;{UUID};reg-id=1;expires=600"))
            .header("Supported: path,gruu,outbound");
        phone.sent_by = "a1b2c3.invalid".into();
        phone
    };
    let first = world.connect(Transport::Wss, "198.51.100.7:50000");
    assert_snapshot!(world.send(&jssip(first, "k3j", "one")), @r#"
    SIP/2.0 200 OK
    Contact: <sip:k3j@a1b2c3.invalid;transport=ws>;expires=600;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";reg-id=1;pub-gruu="sip:bob@example.com;gr=urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF";temp-gruu="sip:tgruu.Qh_PFFAq_0Cbp9pfFu2RKUGGO5bVvC5qfhbJVC5tSz4@example.com;gr"
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    Require: outbound
    "#);
    world.disconnect(first);
    assert!(!world.lookup("bob@example.com")[0].reachable, "nobody can connect to a browser");
    let second = world.connect(Transport::Wss, "198.51.100.7:50001");
    world.send(&jssip(second, "x9z", "two"));
    assert_eq!(world.contacts(), ["sip:x9z@a1b2c3.invalid;transport=ws"]);
    assert!(world.lookup("bob@example.com")[0].reachable);
    assert_snapshot!(world.commands(), @r"
    Registered bob@example.com sip:k3j@a1b2c3.invalid;transport=ws
    FlowLost { flow: FlowId(102), bindings: 1 }
    Unreachable bob@example.com sip:k3j@a1b2c3.invalid;transport=ws unreachable
    Moved bob@example.com sip:x9z@a1b2c3.invalid;transport=ws
    ");
}

#[test]
fn pjsip_rewrites_its_contact_and_removes_the_old_one() {
    let mut world = World::new();
    let mut phone = Phone::at("10.0.0.4:5060");
    phone.remote = "203.0.113.8:30001".parse().expect("an address");
    world.send(&phone);
    let rewrite = phone
        .call("1@phone", 2)
        .contact("<sip:bob@10.0.0.4:5060;ob>;expires=0")
        .and_contact("<sip:bob@203.0.113.8:30001;ob>");
    world.send(&rewrite);
    assert_eq!(world.contacts(), ["sip:bob@203.0.113.8:30001;ob"]);
}

#[test]
fn a_phone_that_starts_by_removing_everything_starts_clean() {
    let mut world = World::new();
    world.send(&device("198.51.100.7:40000").call("before-the-crash", 99));
    world.send(
        &Phone::at("198.51.100.7:40001").call("boot", 1).without_expires().contact("*").header("Expires: 0"),
    );
    world.send(&device("198.51.100.7:40001").call("boot", 2));
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:40001"]);
}

#[test]
fn a_late_datagram_of_the_old_life_does_not_undo_the_new_one() {
    let mut world = World::new();
    world.send(&device("198.51.100.7:40000").call("a", 2));
    // CSeq 1 was overtaken; its contact is another, its instance the same.
    assert!(world.send(&device("198.51.100.7:39999").call("a", 1)).starts_with("SIP/2.0 500"));
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:40000"]);
}

#[test]
fn twinkles_started_in_one_second_share_call_id_and_cseq() {
    let mut world = World::new();
    for port in [5060, 5062] {
        assert!(
            world
                .send(&Phone::at(&format!("198.51.100.7:{port}")).call("same", 1))
                .starts_with("SIP/2.0 200")
        );
    }
    assert_eq!(world.contacts().len(), 2);
}

#[test]
fn a_phone_with_two_flows_has_two_bindings_and_loses_one() {
    let mut world = World::new();
    let flow_phone = |flow, id: u32, cseq| {
        Phone::at("198.51.100.7:40000")
            .over(flow)
            .call("a", cseq)
            .header("Supported: outbound")
            .contact(&format!("<sip:bob@198.51.100.7;transport=tcp>;{UUID};reg-id={id}"))
    };
    let one = world.connect(Transport::Tcp, "198.51.100.7:40001");
    let two = world.connect(Transport::Tcp, "198.51.100.7:40002");
    world.send(&flow_phone(one, 1, 1));
    assert_snapshot!(world.send(&flow_phone(two, 2, 2)), @r#"
    SIP/2.0 200 OK
    Contact: <sip:bob@198.51.100.7;transport=tcp>;expires=3600;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";reg-id=1
    Contact: <sip:bob@198.51.100.7;transport=tcp>;expires=3600;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";reg-id=2
    Date: Tue, 14 Nov 2023 22:13:20 GMT
    Require: outbound
    Flow-Timer: 120
    "#);
    world.disconnect(one);
    let reachable: Vec<_> = world.lookup("bob@example.com").iter().map(|v| (v.reg_id, v.reachable)).collect();
    assert_eq!(reachable, [(Some(2), true), (Some(1), false)]);
    // The phone was reset and registers without flows: it is one contact.
    world.send(&device("198.51.100.7:5060").call("b", 1));
    assert_eq!(world.contacts(), ["sip:bob@198.51.100.7:5060"]);
}

#[test]
fn the_same_phone_over_another_transport_is_the_same_phone() {
    let mut world = World::new();
    world.send(&device("198.51.100.7:5060"));
    let tcp = world.connect(Transport::Tcp, "198.51.100.7:40000");
    let phone = Phone::at("198.51.100.7:40000")
        .over(tcp)
        .call("b", 1)
        .contact(&format!("<sip:bob@198.51.100.7:5060;transport=tcp>;{UUID}"));
    world.send(&phone);
    let [view] = &world.lookup("bob@example.com")[..] else { panic!("one binding") };
    assert_eq!((view.transport, view.flow), (Transport::Tcp, Some(tcp)));
    world.send(&device("198.51.100.7:5060").call("c", 1));
    let [view] = &world.lookup("bob@example.com")[..] else { panic!("one binding") };
    assert_eq!((view.transport, view.flow), (Transport::Udp, Some(Fixture::UDP)));
}
