//! What may happen before a call is answered, and while it is kept alive: the route, PRACK, UPDATE, session timers.

use super::*;

/// Alice calls bob; both know of reliable provisional responses, and bob says nothing yet.
fn reliably() -> Table {
    let mut table = Table::new(&BOBS[..=1], |_| {});
    table.phones[ALICE].manners.reliable = Reliable::Supported;
    table.phones[BOB].manners = Manners { reliable: Reliable::Required, ..Manners::silent() };
    table.calling();
    table
}

/// Alice calls bob, and the host is asked where that goes.
fn routed() -> Table {
    let mut table = Table::new(&BOBS[..=1], |config| {
        if let Some(calls) = &mut config.calls {
            calls.ask_route = true;
        }
    });
    table.act(ALICE, |p, now| _ = p.call(now, "sip:bob@example.com"));
    table
}

/// Alice and bob talk, and in a moment the session is to be refreshed: by alice if she knows of that, else by the engine.
fn aging(alice: u32) -> Table {
    let mut table = Table::new(&BOBS[..=1], |_| {});
    table.phones[ALICE].manners.session_expires = alice;
    table.calling();
    table.act(BOB, |p, now| p.answer(now, 0));
    table.calm();
    table.run(s(40));
    loop {
        let mut next = table.clone();
        next.wake();
        if next.up.iter().chain(&next.down).any(|way| !way.is_empty()) {
            break;
        }
        table = next;
    }
    assert!(table.phones.iter().all(|p| p.talk().state == State::Talking));
    table
}

#[test]
fn a_route_and_a_cancel_in_every_order() {
    for usual in [true, false] {
        let (states, ends) = explore(routed(), &[Act::Route(usual), Act::HangUp(ALICE)]);
        assert!(states > 10 && ends > 1, "{states} states, {ends} ends");
    }
    let (states, ends) = explore(routed(), &[Act::Route(true), Act::Answer(BOB), Act::HangUp(ALICE)]);
    assert!(states > 100 && ends > 2, "{states} states, {ends} ends");
}

#[test]
fn a_route_and_its_deadline_in_every_order() {
    let (states, ends) = explore(routed(), &[Act::Route(true), Act::Later, Act::Later, Act::Later]);
    assert!(states > 10 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_prack_and_a_cancel_in_every_order() {
    let (states, ends) = explore(reliably(), &[Act::Early(BOB), Act::HangUp(ALICE)]);
    assert!(states > 30 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_prack_and_an_answer_in_every_order() {
    let (states, ends) = explore(reliably(), &[Act::Early(BOB), Act::Answer(BOB)]);
    assert!(states > 20, "{states} states, {ends} ends");
}

#[test]
fn a_prack_an_answer_and_a_cancel_in_every_order() {
    let (states, ends) = explore(reliably(), &[Act::Early(BOB), Act::Answer(BOB), Act::HangUp(ALICE)]);
    assert!(states > 300 && ends > 2, "{states} states, {ends} ends");
}

#[test]
fn a_prack_that_is_late_and_a_refusal_in_every_order() {
    let (states, ends) = explore(reliably(), &[Act::Early(BOB), Act::Refuse(BOB, 486), Act::Later]);
    assert!(states > 30, "{states} states, {ends} ends");
}

#[test]
fn an_update_and_a_bye_in_every_order() {
    for (updates, leaves) in [(ALICE, BOB), (ALICE, ALICE), (BOB, ALICE)] {
        let (states, ends) = explore(Table::talking(), &[Act::Update(updates), Act::HangUp(leaves)]);
        assert!(states > 20 && ends > 1, "{states} states, {ends} ends");
    }
}

#[test]
fn an_update_and_a_new_session_in_every_order() {
    let (states, ends) = explore(Table::talking(), &[Act::Update(ALICE), Act::Hold(BOB)]);
    assert!(states > 50 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_refresh_and_a_bye_in_every_order() {
    for alice in [0, 90] {
        for leaves in [ALICE, BOB] {
            let (states, ends) = explore(aging(alice), &[Act::Later, Act::HangUp(leaves)]);
            assert!(states > 10 && ends > 1, "{states} states, {ends} ends");
        }
    }
}

#[test]
fn a_refresh_and_a_new_session_in_every_order() {
    for alice in [0, 90] {
        let (states, ends) = explore(aging(alice), &[Act::Later, Act::Hold(BOB)]);
        assert!(states > 20, "{states} states, {ends} ends");
    }
}
