//! The gate against a model: any order of saves, messages, commits and failures.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use strowger_core::door::{BindingView, FlowId, StoredBinding, Subject, Transport};

use super::*;
use crate::store::Folded;

/// Binding `id`, as long as that.
pub(crate) fn put(id: u64, until: u64) -> Change {
    let addr = ([192, 0, 2, 1], 5060).into();
    let view = BindingView {
        aor: format!("u{id}@example.com").into(),
        contact: "sip:u@192.0.2.1".into(),
        params: "".into(),
        q: 1000,
        expires_at: Time::from_secs(until),
        since: Time::ZERO,
        call_id: "c".into(),
        cseq: 1,
        user_agent: "".into(),
        instance: "".into(),
        reg_id: None,
        path: "".into(),
        transport: Transport::Udp,
        received: addr,
        local: addr,
        flow: Some(FlowId(2)),
        reachable: true,
    };
    Change::PutBinding(StoredBinding::new(id, &view).expect("short"))
}

pub(crate) fn refresh(id: u64, until: u64) -> Change {
    Change::RefreshBinding { id, expires_at: Time::from_secs(until), cseq: 1 }
}

pub(crate) fn remove(id: u64) -> Change {
    Change::RemoveBinding { aor: format!("u{id}@example.com").into(), id }
}

fn message(after: u64) -> Transmit {
    let addr = ([192, 0, 2, 1], 5060).into();
    let payload = Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n");
    let after = (after > 0).then_some(SaveSeq(after));
    Transmit { flow: FlowId(2), remote: addr, local: addr, since: Time::ZERO, after, payload }
}

fn gate(durability: Durability) -> Gate {
    Gate::new(StorageOptions::new(durability))
}

fn committed(batch: Batch, good: bool) -> Committed {
    let result = if good { Ok(()) } else { Err(StoreError::Full("disk".into())) };
    Committed { batch, result, took: Duration::from_millis(1) }
}

const T0: Time = Time::from_secs(1);

#[test]
fn strict_holds_what_stands_on_a_change_and_nothing_else() {
    let mut gate = gate(Durability::Strict);
    assert!(gate.transmit(message(0)).is_some());
    gate.save(T0, SaveSeq(1), put(1, 10));
    assert!(gate.transmit(message(1)).is_none() && gate.transmit(message(0)).is_some());
    let batch = gate.next_batch(T0).expect("nothing to wait for");
    // What comes while a commit runs goes into the next one, whatever it is about.
    gate.save(T0, SaveSeq(2), put(1, 20));
    assert!(gate.transmit(message(2)).is_none() && gate.next_batch(T0).is_none());
    gate.done(T0, committed(batch, true));
    assert!(matches!(gate.poll_verdict(), Some(Input::Saved(SaveSeq(1)))));
    assert_eq!(gate.poll_release().and_then(|t| t.after), Some(SaveSeq(1)));
    assert!(gate.poll_release().is_none() && gate.poll_verdict().is_none());
    // A retransmission of it passes.
    assert!(gate.transmit(message(1)).is_some());
    // Commits per second are bounded.
    assert!(gate.next_batch(T0).is_none());
    assert_eq!(gate.deadline(), Some(T0 + Duration::from_millis(10)));
    let batch = gate.next_batch(T0 + Duration::from_millis(10)).expect("its time has come");
    gate.done(T0, committed(batch, false));
    assert!(matches!(gate.poll_verdict(), Some(Input::SaveFailed(SaveSeq(2)))));
    assert!(gate.poll_verdict().is_none() && gate.poll_release().is_none());
    assert!(gate.transmit(message(2)).is_none(), "and never again");
    assert_eq!(gate.poll_turn(), Some(Turn::Fails(StoreError::Full("disk".into()))));
    assert!(!gate.is_busy() && gate.stats().held == 0);
}

#[test]
fn write_behind_collects_changes_and_the_last_of_a_subject_wins() {
    let mut gate = gate(Durability::WriteBehind);
    for seq in 1..=10 {
        gate.save(T0, SaveSeq(seq), if seq == 1 { put(1, 1) } else { refresh(1, seq) });
        assert!(gate.transmit(message(seq)).is_some());
    }
    gate.save(T0, SaveSeq(11), put(2, 5));
    gate.save(T0, SaveSeq(12), remove(2));
    assert!(gate.poll_verdict().is_none() && gate.next_batch(T0).is_none());
    let due = T0 + Duration::from_millis(100);
    assert_eq!(gate.deadline(), Some(due));
    let batch = gate.next_batch(due).expect("due");
    let mut whole = put(1, 1);
    whole.absorb(refresh(1, 10));
    assert_eq!(batch.changes, [whole, remove(2)]);
}

#[test]
fn a_full_batch_does_not_wait() {
    let mut gate = gate(Durability::WriteBehind);
    for seq in 1..=1000 {
        gate.save(T0, SaveSeq(seq), put(seq, 1));
    }
    assert_eq!(gate.next_batch(T0).map(|batch| batch.changes.len()), Some(1000));
}

#[test]
fn write_behind_tries_again_less_and_less_often_and_says_so_once() {
    let mut gate = gate(Durability::WriteBehind);
    gate.save(T0, SaveSeq(1), put(1, 1));
    let (mut now, mut waits) = (T0, Vec::new());
    for _ in 0..9 {
        let due = gate.deadline().expect("something is left");
        waits.push(due.since(now).as_millis());
        now = due;
        let batch = gate.next_batch(now).expect("due");
        gate.save(now, SaveSeq(2), refresh(1, 2));
        gate.done(now, committed(batch, false));
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert!(matches!(gate.poll_turn(), Some(Turn::Fails(_))) && gate.poll_turn().is_none());
    let batch = gate.next_batch(now + Duration::from_secs(10)).expect("due");
    assert_eq!(batch.changes.len(), 1);
    gate.done(now, committed(batch, true));
    assert_eq!((gate.poll_turn(), gate.is_busy(), gate.stats().failures), (Some(Turn::Recovered), false, 9));
}

#[test]
fn a_disk_that_is_away_for_long_costs_what_is_in_the_store_and_bounded_memory() {
    let options = StorageOptions { queue_bytes: 10_000, ..StorageOptions::new(Durability::WriteBehind) };
    let mut gate = Gate::new(options);
    let running = {
        gate.save(T0, SaveSeq(1), put(0, 1));
        gate.next_batch(T0 + Duration::from_secs(1)).expect("due")
    };
    for seq in 2..10_000 {
        gate.save(T0, SaveSeq(seq), put(seq, 1));
        gate.save(T0, SaveSeq(seq), refresh(seq, 2));
    }
    assert!(gate.pending_bytes <= 20_000, "{}", gate.pending_bytes);
    assert!(gate.stats().lost > 9_000);
    gate.done(T0, committed(running, true));
    let batch = gate.last_batch().expect("pending");
    assert!(matches!(batch.changes.first(), Some(Change::PutBinding(_))));
    assert!(batch.changes.iter().any(|change| matches!(change, Change::RemoveBinding { .. })));
}

#[test]
fn strict_refuses_what_cannot_wait_and_holds_a_bounded_number_of_bytes() {
    let options = StorageOptions { queue: 10, held_bytes: 50, ..StorageOptions::new(Durability::Strict) };
    let mut gate = Gate::new(options);
    for seq in 1..=12 {
        gate.save(T0, SaveSeq(seq), put(seq, 1));
        assert!(gate.transmit(message(seq)).is_none());
    }
    let stats = gate.stats();
    assert_eq!((stats.pending, stats.lost, stats.held, stats.dropped), (10, 2, 2, 8));
    let told: Vec<_> =
        core::iter::from_fn(|| gate.poll_verdict()).map(|input| format!("{input:?}")).collect();
    assert_eq!(told, ["SaveFailed(SaveSeq(11))", "SaveFailed(SaveSeq(12))"]);
}

#[test]
fn a_refresh_that_stands_on_a_failed_change_is_completed_by_it() {
    let mut gate = gate(Durability::Strict);
    gate.save(T0, SaveSeq(1), put(1, 10));
    let batch = gate.next_batch(T0).expect("due");
    gate.save(T0, SaveSeq(2), refresh(1, 20));
    gate.done(T0, committed(batch, false));
    let batch = gate.next_batch(T0 + Duration::from_secs(1)).expect("due");
    let mut whole = put(1, 10);
    whole.absorb(refresh(1, 20));
    assert_eq!(batch.changes, [whole]);
}

#[derive(Clone, Debug)]
enum Step {
    Save(u64, u8),
    Send(u64),
    Wait(u64),
    Commit,
    Done(bool),
    Tell,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..6u64, 0..4u8).prop_map(|(id, kind)| Step::Save(id, kind)),
        6 => (0..4u64).prop_map(Step::Send),
        2 => (0..200u64).prop_map(Step::Wait),
        3 => Just(Step::Commit),
        3 => prop::bool::weighted(0.7).prop_map(Step::Done),
        4 => Just(Step::Tell),
    ];
    prop::collection::vec(step, 0..200)
}

/// What the engine, the disk and the peers know.
#[derive(Default)]
struct Model {
    /// The number of the last message that was released.
    last_released: usize,
    /// The engine's bindings: how each would be restored.
    engine: BTreeMap<u64, Change>,
    disk: Folded,
    /// The subject of each save, and what became of it.
    saves: Vec<(u64, Option<bool>)>,
    /// What the engine had before each.
    before: Vec<Option<Change>>,
    flight: Option<(Batch, u64)>,
    now: Time,
}

impl Model {
    /// As the registrar does it: a later change stands, and should it fail too, what is restored is what was before both.
    fn roll_back(&mut self, at: usize) {
        let (id, before) = (self.saves[at].0, self.before[at].take());
        match (at + 1..self.saves.len()).find(|later| self.saves[*later].0 == id) {
            Some(later) => self.before[later] = before,
            None => match before {
                Some(before) => drop(self.engine.insert(id, before)),
                None => drop(self.engine.remove(&id)),
            },
        }
    }
}

fn run(mut gate: Gate, steps: Vec<Step>, strict: bool) -> Result<(), TestCaseError> {
    let mut model = Model { now: T0, ..Model::default() };
    let mut held: VecDeque<(usize, u64)> = VecDeque::new();
    let mut messages = 0;
    for step in steps.into_iter().chain([
        Step::Done(true),
        Step::Wait(20_000),
        Step::Commit,
        Step::Done(true),
        Step::Tell,
    ]) {
        match step {
            Step::Save(id, kind) => {
                let until = model.saves.len() as u64 + 100;
                let change = match (kind, model.engine.contains_key(&id)) {
                    (0, true) => remove(id),
                    (1 | 2, true) => refresh(id, until),
                    _ => put(id, until),
                };
                let before = model.engine.get(&id).cloned();
                match &change {
                    Change::RemoveBinding { .. } => drop(model.engine.remove(&id)),
                    refresh @ Change::RefreshBinding { .. } => {
                        model.engine.get_mut(&id).expect("it is there").absorb(refresh.clone());
                    }
                    other => drop(model.engine.insert(id, other.clone())),
                }
                model.before.push(before);
                model.saves.push((id, None));
                gate.save(model.now, SaveSeq(model.saves.len() as u64), change);
            }
            Step::Send(back) => {
                let after = (model.saves.len() as u64).saturating_sub(back);
                let known = after.checked_sub(1).and_then(|at| model.saves[at as usize].1);
                let passed = gate.transmit(message(after)).is_some();
                messages += 1;
                match (strict && after > 0, known) {
                    (false, _) | (true, Some(true)) => prop_assert!(passed),
                    (true, Some(false)) => prop_assert!(!passed, "it failed"),
                    (true, None) => {
                        prop_assert!(!passed, "it is not durable");
                        held.push_back((messages, after));
                    }
                }
            }
            Step::Wait(millis) => model.now = model.now + Duration::from_millis(millis),
            Step::Commit => {
                let due = gate.deadline().is_some_and(|due| due <= model.now);
                let batch = gate.next_batch(model.now);
                prop_assert_eq!(batch.is_some(), due);
                if let Some(batch) = batch {
                    let mut subjects: Vec<_> = batch.changes.iter().map(Change::subject).collect();
                    subjects.sort();
                    subjects.dedup();
                    prop_assert_eq!(subjects.len(), batch.changes.len());
                    prop_assert!(model.flight.is_none());
                    model.flight = Some((batch, model.saves.len() as u64));
                }
            }
            Step::Done(good) => {
                let Some((batch, upto)) = model.flight.take() else { continue };
                if good {
                    batch.changes.iter().for_each(|change| model.disk.apply(change.clone()));
                }
                if good || strict {
                    for at in 0..upto as usize {
                        if model.saves[at].1.is_none() {
                            model.saves[at].1 = Some(good);
                            if !good {
                                model.roll_back(at);
                            }
                        }
                    }
                }
                gate.done(model.now, committed(batch, good));
                // The engine is told before anything is released.
                let mut told = Vec::new();
                while let Some(verdict) = gate.poll_verdict() {
                    told.push(format!("{verdict:?}"));
                }
                prop_assert_eq!(told.is_empty(), !strict);
            }
            Step::Tell => {
                while let Some(released) = gate.poll_release() {
                    let after = released.after.expect("only such are held").0;
                    while held.front().is_some_and(|(_, a)| model.saves[*a as usize - 1].1 == Some(false)) {
                        held.pop_front();
                    }
                    let (number, expected) = held.pop_front().expect("it was held");
                    prop_assert_eq!(after, expected, "in the order in which they came");
                    prop_assert!(number > model.last_released);
                    prop_assert_eq!(model.saves[after as usize - 1].1, Some(true));
                    model.last_released = number;
                }
                let blocked = |(_, after): &&(usize, u64)| model.saves[*after as usize - 1].1.is_some();
                // The first that is left is not decided, or nothing is left.
                held.retain(|(_, after)| model.saves[*after as usize - 1].1 != Some(false));
                prop_assert!(held.front().filter(blocked).is_none());
            }
        }
    }
    prop_assert!(!gate.is_busy() && gate.stats().pending_bytes == 0);
    prop_assert_eq!((gate.stats().held, gate.held_bytes), (0, 0));
    for id in 1..6 {
        let kept = model.disk.changes().find(|c| c.subject() == Some(Subject::Binding(id)));
        prop_assert_eq!(kept, model.engine.get(&id));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_write_behind_stores_what_the_engine_has(steps in steps()) {
        run(gate(Durability::WriteBehind), steps, false)?;
    }

    #[test]
    fn in_any_order_strict_sends_what_is_durable_and_nothing_else(steps in steps()) {
        run(gate(Durability::Strict), steps, true)?;
    }
}
