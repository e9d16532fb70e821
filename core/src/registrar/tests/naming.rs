//! GRUUs (RFC 5627) and the questions of the host.

use super::{Phone, World};
use crate::door::{Scheme, Transport};

const UUID: &str = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

fn device(addr: &str) -> Phone {
    Phone::at(addr).contact(&format!("<sip:bob@{addr}>;+sip.instance=\"<{UUID}>\"")).header("Supported: gruu")
}

/// The value of a Contact parameter in the first line that has it.
fn param(answer: &str, name: &str) -> String {
    let from = answer.find(&format!(";{name}=\"")).expect("the parameter is there") + name.len() + 3;
    answer[from..].split('"').next().expect("it ends").to_owned()
}

fn found(world: &mut World, uri: &str) -> Vec<String> {
    world.lookup(uri).iter().map(|view| view.contact.to_string()).collect()
}

#[test]
fn a_public_gruu_is_the_aor_with_the_instance_and_leads_to_it_alone() {
    let mut world = World::new();
    let answer = world.send(&device("198.51.100.7:5060"));
    assert_eq!(param(&answer, "pub-gruu"), format!("sip:bob@example.com;gr={UUID}"));
    world.send(&Phone::at("198.51.100.8:5060").call("other", 1));
    assert_eq!(found(&mut world, "sip:bob@example.com").len(), 2);
    let gruu = format!("sip:bob@example.com;gr={}", UUID.to_uppercase());
    assert_eq!(found(&mut world, &gruu), ["sip:bob@198.51.100.7:5060"]);
    assert!(found(&mut world, "sip:bob@example.com;gr=urn:uuid:other").is_empty());
}

#[test]
fn every_registration_brings_a_new_temporary_gruu_and_all_of_them_work() {
    let mut world = World::new();
    let mut phone = device("198.51.100.7:5060");
    let first = param(&world.send(&phone), "temp-gruu");
    let second = param(&world.send(phone.again()), "temp-gruu");
    assert_ne!(first, second);
    assert!(first.starts_with("sip:tgruu.") && first.ends_with("@example.com;gr"), "{first}");
    for gruu in [&first, &second] {
        assert_eq!(found(&mut world, gruu), ["sip:bob@198.51.100.7:5060"]);
    }
    // The 200 to somebody else's REGISTER shows the newest.
    let query = Phone { contacts: vec![], ..device("198.51.100.8:5060").call("q", 1) };
    assert_eq!(param(&world.send(&query), "temp-gruu"), second);
}

#[test]
fn another_call_id_or_the_end_voids_temporary_gruus() {
    let mut world = World::new();
    let phone = device("198.51.100.7:5060");
    let old = param(&world.send(&phone), "temp-gruu");
    let new = param(&world.send(&phone.clone().call("rebooted", 1)), "temp-gruu");
    assert!(found(&mut world, &old).is_empty());
    assert_eq!(found(&mut world, &new).len(), 1);
    world.sleep(3600);
    assert!(found(&mut world, &new).is_empty());
    world.send(&phone.call("rebooted", 2));
    assert!(found(&mut world, &new).is_empty(), "it does not come back with the phone");
}

#[test]
fn a_second_flow_voids_nothing_and_the_first_may_go() {
    let mut world = World::new();
    let flow = |world: &mut World, id: u32| {
        let flow = world.connect(Transport::Tcp, &format!("198.51.100.7:5000{id}"));
        let phone = device("198.51.100.7:50000").over(flow).call(&format!("flow{id}"), 1).contact(&format!(
            "<sip:bob@198.51.100.7;transport=tcp>;+sip.instance=\"<{UUID}>\";reg-id={id};expires={id}00"
        ));
        param(&world.send(&phone), "temp-gruu")
    };
    let one = flow(&mut world, 1);
    let _two = flow(&mut world, 2);
    assert_eq!(found(&mut world, &one).len(), 2);
    world.sleep(150);
    assert_eq!(found(&mut world, &one).len(), 1, "the instance still has a binding");
    world.sleep(50);
    assert!(found(&mut world, &one).is_empty());
    world.assert_empty();
}

#[test]
fn a_client_cannot_name_its_gruus_and_is_told_none_it_did_not_ask_for() {
    let mut world = World::new();
    let cheat = device("198.51.100.7:5060").contact(&format!(
        "<sip:bob@198.51.100.7>;+sip.instance=\"<{UUID}>\";pub-gruu=\"sip:alice@example.com;gr\";temp-gruu=\"sip:x@example.com\""
    ));
    let answer = world.send(&cheat);
    assert!(!answer.contains("alice") && !answer.contains("sip:x@"), "{answer}");
    let mut plain = Phone::at("198.51.100.8:5060").call("b", 1);
    let answer = world.send(&plain);
    assert!(!answer.contains("gruu"), "{answer}");
    plain.contacts = vec![format!("<sip:bob@example.com;gr={UUID}>")];
    assert_eq!(world.send(&plain), "SIP/2.0 403 Contact Names This Server");
    let mut off = World::with(|config| config.gruu = false);
    assert!(!off.send(&device("198.51.100.7:5060")).contains("gruu"));
}

#[test]
fn a_sips_contact_has_sips_gruus() {
    let mut world = World::new();
    let tls = world.connect(Transport::Tls, "198.51.100.7:50000");
    let mut phone = device("198.51.100.7:50000")
        .over(tls)
        .contact(&format!("<sips:bob@198.51.100.7:50000>;+sip.instance=\"<{UUID}>\""));
    phone.uri = "sips:example.com";
    let answer = world.send(&phone);
    assert!(param(&answer, "pub-gruu").starts_with("sips:bob@"));
    let temporary = param(&answer, "temp-gruu");
    assert!(temporary.starts_with("sips:tgruu."));
    assert_eq!(found(&mut world, &temporary).len(), 1);
}

#[test]
fn looking_up_is_by_any_spelling_and_knows_what_is_not_ours() {
    let mut world = World::new();
    world.send(&Phone::at("198.51.100.7:5060").contact("<sip:bob@198.51.100.7>;q=0.1"));
    world.send(&Phone::at("198.51.100.8:5060").call("b", 1).contact("<sip:bob@198.51.100.8>;q=0.9"));
    for spelling in ["bob@example.com", "sip:bob@example.com", "SIPS:%62ob@EXAMPLE.COM:5061;user=phone"] {
        assert_eq!(
            found(&mut world, spelling),
            ["sip:bob@198.51.100.8", "sip:bob@198.51.100.7"],
            "{spelling}"
        );
    }
    assert!(found(&mut world, "nobody@example.com").is_empty(), "empty is not an error");
    let ctx = world.fixture.ctx();
    for foreign in ["bob@elsewhere.net", "example.com", "tel:+1555", "", "sip:"] {
        assert_eq!(world.registrar.lookup(&ctx, foreign), None, "{foreign}");
    }
    assert_eq!(world.registrar.lookup_contact(&ctx, "not a uri"), None);
    assert_eq!(
        world.registrar.lookup_contact(&ctx, "sip:%62ob@198.51.100.7").map(|found| found.len()),
        Some(1)
    );
    assert_eq!(
        world.registrar.lookup_contact(&ctx, "sip:bob@198.51.100.9").map(|found| found.len()),
        Some(0)
    );
}

#[test]
fn lists_come_in_pages_in_the_order_of_names() {
    let mut world = World::new();
    world.who.scheme = Scheme::None;
    const USERS: [&str; 7] = ["dora", "anna", "gus", "carl", "bert", "emil", "fritz"];
    for (i, user) in USERS.into_iter().enumerate() {
        world.send(&Phone { user, ..Phone::at(&format!("198.51.100.{i}:5060")) });
    }
    world.send(&Phone { user: "bert", ..Phone::at("198.51.100.99:5060").call("second", 1) });
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = world.registrar.list(&world.fixture.ctx(), after.as_deref(), 3);
        let names: Vec<String> = page.iter().map(|view| view.aor.to_string()).collect();
        let Some(last) = names.last() else { break };
        after = Some(last.clone());
        pages.push(
            names.iter().map(|name| name.split('@').next().unwrap_or_default()).collect::<Vec<_>>().join(" "),
        );
    }
    assert_eq!(pages, ["anna bert bert carl", "dora emil fritz", "gus"]);
}

#[test]
fn the_host_removes_one_or_all() {
    let mut world = World::new();
    for i in 1..=3 {
        world.send(&Phone::at(&format!("198.51.100.{i}:5060")).call(&format!("{i}"), 1));
    }
    world.commands();
    let mut remove = |aor: &str, contact| world.registrar.remove(&mut world.fixture.ctx(), aor, contact);
    assert_eq!(remove("bob@example.com", Some("sip:bob@198.51.100.2:5060")), Some(1));
    assert_eq!(remove("bob@example.com", Some("sip:bob@198.51.100.2:5060")), Some(0));
    assert_eq!(remove("bob@example.com", Some("<>")), None);
    assert_eq!(remove("bob@elsewhere.net", None), None);
    assert_eq!(remove("nobody@example.com", None), Some(0));
    assert_eq!(remove("sip:bob@example.com", None), Some(2));
    world.registrar.tell_pending(&mut world.fixture.ctx());
    insta::assert_snapshot!(world.commands(), @r"
    Removed bob@example.com sip:bob@198.51.100.2:5060
    Removed bob@example.com sip:bob@198.51.100.1:5060
    Removed bob@example.com sip:bob@198.51.100.3:5060
    ");
    world.assert_empty();
}
