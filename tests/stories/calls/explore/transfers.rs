//! Transfers against everything else that may happen to their calls.

use super::*;

/// Alice talks to bob, and carol answers who calls her if she is to.
fn three(answers: bool) -> Table {
    let mut table = Table::new(THREE, |_| {});
    table.calling();
    table.act(BOB, |p, now| p.answer(now, 0));
    table.calm();
    if answers {
        table.phones[CAROL].manners =
            Manners { script: vec![(ms(0), Step::Answer { fork: 0 })], ..Manners::default() };
    }
    table
}

/// Alice talks to bob and to carol.
fn both() -> Table {
    let mut table = three(false);
    table.act(ALICE, |p, now| _ = p.call(now, "sip:carol@example.com"));
    table.calm();
    table.act(CAROL, |p, now| p.answer(now, 0));
    table.calm();
    assert!(table.phones[ALICE].calls().iter().all(|c| c.state == State::Talking));
    table
}

#[test]
fn a_transfer_and_a_bye_of_who_asked_in_every_order() {
    let (states, ends) = explore(three(true), &[Act::Refer(ALICE), Act::HangUp(ALICE)]);
    assert!(states > 100 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_transfer_and_a_bye_of_who_is_transferred_in_every_order() {
    let (states, ends) = explore(three(true), &[Act::Refer(ALICE), Act::HangUp(BOB)]);
    assert!(states > 100 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_transfer_that_the_callee_asks_for_and_a_bye_in_every_order() {
    let (states, ends) = explore(three(true), &[Act::Refer(BOB), Act::HangUp(ALICE)]);
    assert!(states > 100 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_transfer_and_a_new_session_in_every_order() {
    for holds in [ALICE, BOB] {
        let (states, ends) = explore(three(true), &[Act::Refer(ALICE), Act::Hold(holds)]);
        assert!(states > 100 && ends > 1, "{states} states, {ends} ends");
    }
}

#[test]
fn a_transfer_that_is_refused_and_a_bye_in_every_order() {
    for leaves in [ALICE, BOB] {
        let acts = [Act::Refer(ALICE), Act::Refuse(CAROL, 486), Act::HangUp(leaves)];
        let (states, ends) = explore(three(false), &acts);
        assert!(states > 100 && ends > 1, "{states} states, {ends} ends");
    }
}

#[test]
fn an_attended_transfer_and_each_bye_in_every_order() {
    for leaves in [Act::HangUp(ALICE), Act::HangUpSecond(ALICE), Act::HangUp(BOB), Act::HangUp(CAROL)] {
        let (states, ends) = explore(both(), &[Act::Join(ALICE), leaves]);
        assert!(states > 100 && ends > 1, "{leaves:?}: {states} states, {ends} ends");
    }
}
