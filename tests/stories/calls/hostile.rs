//! Those who want to end, join or confuse a call that is not theirs, and those who cannot count.

use super::*;

/// A request in the dialog of alice, as mallory makes it up.
fn forged(world: &World, alice: PhoneId, method: &str, cseq: u32, spoil: impl Fn(&str) -> String) -> String {
    let dialog = world.talk(alice).dialog().cloned().expect("a dialog");
    let (local, remote) = (&dialog.local_tag, &dialog.remote_tag);
    spoil(&format!(
        "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.66.6:5060;branch=z9hG4bKforged{cseq}{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag={local}\r\nTo: <sip:bob@example.com>;tag={remote}\r\n\
         Call-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@10.0.66.6>\r\nContent-Length: 0\r\n\r\n",
        dialog.target,
        world.talk(alice).call_id
    ))
}

fn mallory(world: &mut World) -> PhoneId {
    world.phone_at("mallory", "mallory", "10.0.66.6:5060".parse().expect("an address"))
}

#[test]
fn a_bye_with_wrong_tags_or_another_call_id_ends_nothing() {
    let (mut world, alice, bob, _) = talking(1);
    let mallory = mallory(&mut world);
    let dialog = world.talk(alice).dialog().cloned().expect("a dialog");
    let call_id = world.talk(alice).call_id.clone();
    let wrong: [(&str, &str); 3] =
        [(&dialog.local_tag, "guess1"), (&dialog.remote_tag, "guess2"), (&call_id, "guess3")];
    for (i, (right, wrong)) in wrong.into_iter().enumerate() {
        let text = forged(&world, alice, "BYE", 5_000 + i as u32, |text| text.replace(right, wrong));
        world.act(mallory, |p, _| p.raw(text.into_bytes()));
        world.run_for(s(1));
    }
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_number_that_is_too_low_is_500_and_changes_nothing() {
    let (mut world, alice, bob, call) = talking(2);
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(s(1));
    world.act(alice, |p, now| {
        if let Some(dialog) = p.call_mut(call).dialog_mut() {
            dialog.cseq -= 2;
        }
        p.info(now, call, "1");
    });
    world.run_for(s(1));
    assert_eq!(world.talk(alice).told.last().map(|(_, status)| *status), Some(500), "{}", ladder(&world));
    assert!(world.talk(bob).notes.is_empty());
    world.act(alice, |p, _| {
        if let Some(dialog) = p.call_mut(call).dialog_mut() {
            dialog.cseq += 5;
        }
    });
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_cancel_from_elsewhere_cancels_nothing() {
    let (mut world, alice, bob, _) = world(3);
    let mallory = mallory(&mut world);
    world.call(alice, "bob");
    world.run_for(s(1));
    let invite = world.talk(alice).invite.clone().expect("sent");
    let field = |name: &str| invite.header(name).unwrap_or_default().to_owned();
    let cseq = field("CSeq").replace("INVITE", "CANCEL");
    for via in [
        "SIP/2.0/UDP 10.0.66.6:5060;branch=z9hG4bKguess".to_owned(),
        field("Via").replace("10.0.0.2", "10.0.66.6"),
    ] {
        let text = format!(
            "CANCEL sip:bob@example.com SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
             CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n",
            field("From"),
            field("To"),
            field("Call-ID")
        );
        world.act(mallory, |p, _| p.raw(text.into_bytes()));
        world.run_for(s(1));
    }
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Ringing; 2], "{}", ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn requests_of_unknown_dialogs_are_481_and_an_ack_is_nothing() {
    let tagged =
        ["BYE", "INVITE", "UPDATE", "INFO", "PRACK", "REFER", "ACK"].map(|method| (method, ";tag=none"));
    // What is only ever within a dialog, and names none.
    let bare = ["BYE", "UPDATE", "INFO", "PRACK", "ACK"].map(|method| (method, ""));
    for (method, tag) in tagged.into_iter().chain(bare) {
        let (mut world, ..) = world(4);
        let mallory = mallory(&mut world);
        let text = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.66.6:5060;branch=z9hG4bKun{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:mallory@example.com>;tag=m\r\nTo: <sip:bob@example.com>{tag}\r\n\
             Call-ID: unknown\r\nCSeq: 7 {method}\r\nContact: <sip:mallory@10.0.66.6>\r\nContent-Length: 0\r\n\r\n"
        );
        world.act(mallory, |p, _| p.raw(text.clone().into_bytes()));
        world.run_for(ms(100));
        let all = world.ladder().only(&[]).to_string();
        let answered = all.matches("server --> mallory  SIP/2.0 481 Call/Transaction Does Not Exist").count();
        assert_eq!(answered, if method == "ACK" { 0 } else { 1 }, "{method}\n{all}");
        if method == "INVITE" {
            // Its answer is repeated until the ACK.
            let ack = text.replace("INVITE sip:", "ACK sip:").replace("7 INVITE", "7 ACK");
            world.act(mallory, |p, _| p.raw(ack.into_bytes()));
        }
        over(world, s(40));
    }
}

#[test]
fn a_call_that_has_come_too_far_goes_no_further() {
    let (mut world, alice, bob, _) = world(5);
    world.act(alice, |p, now| p.call_with(now, "sip:bob@example.com", &[("Max-Forwards", "0")]));
    world.run_for(s(1));
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(483)), "{}", ladder(&world));
    world.act(alice, |p, now| p.call_with(now, "sip:bob@example.com", &[("Max-Forwards", "1")]));
    world.run_for(s(1));
    assert_eq!(world.talk(bob).invite.as_ref().and_then(|m| m.header("Max-Forwards")), Some("0"));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn what_is_required_and_not_understood_is_420() {
    let (mut world, alice, bob, _) = world(6);
    world.act(alice, |p, now| p.call_with(now, "sip:bob@example.com", &[("Require", "nonsense")]));
    world.run_for(s(1));
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(420)), "{}", ladder(&world));
    assert!(world[bob].calls().is_empty());
    over(world, s(2));
}

#[test]
fn who_floods_with_calls_gets_as_many_as_he_may_have_and_the_others_are_served() {
    let (mut world, alice, bob, carol) = world_with(7, |config| config.limits.calls_per_account = 4);
    for _ in 0..20 {
        world.call(alice, "bob");
    }
    world.run_for(s(2));
    let refused = world[alice].calls().iter().filter(|c| c.ending == Some(Ending::Refused(503))).count();
    assert_eq!((refused, world.engine().map(|e| e.sizes().calls)), (16, Some(4)), "{}", ladder(&world));
    assert!(ladder(&world).contains("Retry-After"), "and is told when to try again");
    world.call(bob, "carol");
    world.run_for(s(1));
    assert_eq!(world.talk(carol).state, State::Ringing, "{}", ladder(&world));
    world.hang_up(bob);
    for call in 0..20 {
        world.act(alice, |p, now| p.hang_up(now, call));
    }
    world.run_for(s(1));
    // It was not held against her.
    world.call(alice, "carol");
    world.run_for(s(1));
    assert_eq!(world.talk(alice).state, State::Ringing, "{}", ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_flood_of_calls_of_nobody_leaves_nothing() {
    let (mut world, ..) = world(8);
    let mallory = mallory(&mut world);
    let before = world.engine().map(|e| e.sizes());
    for n in 0..200 {
        let text = format!(
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.66.6:5060;branch=z9hG4bKflood{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:m{n}@example.com>;tag=m\r\nTo: <sip:bob@example.com>\r\n\
             Call-ID: flood{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:m@10.0.66.6>\r\nContent-Length: 0\r\n\r\n"
        );
        world.act(mallory, |p, _| p.raw(text.into_bytes()));
    }
    world.run_for(ms(200));
    let refused = world.ladder().only(&[]).to_string().matches("server --> mallory  SIP/2.0 401").count();
    assert_eq!((refused, world.engine().map(|e| e.sizes())), (200, before));
    over(world, s(2));
}

#[test]
fn a_phone_that_has_moved_ends_its_call_from_where_it_is_now() {
    // DECISIONS 2: the tags prove it, wherever it comes from.
    let (mut world, alice, bob, _) = talking(9);
    let elsewhere = mallory(&mut world);
    let text = forged(&world, alice, "BYE", 5_000, str::to_owned);
    world.act(elsewhere, |p, _| p.raw(text.into_bytes()));
    world.run_for(s(1));
    assert_eq!(world.talk(bob).ending, Some(Ending::PeerHungUp), "{}", ladder(&world));
    world.act(alice, |p, _| p.power_off());
    over(world, s(40));
}
