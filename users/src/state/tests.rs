//! The store against what the changes add up to, over new starts; and what it does with files it cannot use.

use proptest::prelude::*;
use strowger_core::base::Time;
use strowger_core::door::{BindingView, FlowId, StoredBinding, Transport};

use super::*;
use crate::scratch::Scratch;

fn put(id: u64, until: u64) -> Change {
    let addr = ([192, 0, 2, 1], 5060).into();
    let view = BindingView {
        aor: format!("u{id}@example.com").into(),
        contact: format!("sip:u{id}@192.0.2.1:5062;transport=udp").into(),
        params: "".into(),
        q: 1000,
        expires_at: Time::from_secs(until),
        since: Time::ZERO,
        call_id: format!("0123456789abcdef{id}").into(),
        cseq: 1,
        user_agent: "Phone 1.0".into(),
        instance: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into(),
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

fn change(kind: u8, id: u64, until: u64) -> Change {
    match kind {
        0 | 1 => put(id, until),
        2..=5 => Change::RefreshBinding { id, expires_at: Time::from_secs(until), cseq: until as u32 },
        6 => Change::RemoveBinding { aor: format!("u{id}@example.com").into(), id },
        7 => Change::PutDecision {
            aor: format!("u{id}@x").into(),
            watcher: "w@x".into(),
            allow: until.is_multiple_of(2),
        },
        _ => Change::RemoveMessage { id },
    }
}

fn open(scratch: &Scratch) -> StateStore {
    StateStore::open(&scratch.path("state"), Durability::WriteBehind).expect("a store")
}

fn load(store: &mut StateStore) -> Vec<Change> {
    let mut all = Vec::new();
    store.load(&mut |change| all.push(change)).expect("loaded");
    all
}

fn steps() -> impl Strategy<Value = Vec<Option<Vec<(u8, u64)>>>> {
    let batch = prop::collection::btree_map(0..12u64, 0..9u8, 1..6);
    let batch = batch.prop_map(|batch| batch.into_iter().map(|(id, kind)| (kind, id)).collect());
    prop::collection::vec(prop::option::weighted(0.95, batch), 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_loaded_is_what_was_committed(steps in steps()) {
        let scratch = Scratch::new();
        let mut store = open(&scratch).with_slack(2_000);
        let mut model = Folded::default();
        let mut until = 100;
        for step in steps.into_iter().chain([None]) {
            match step {
                Some(batch) => {
                    until += 1;
                    let batch: Vec<Change> = batch.into_iter().map(|(kind, id)| change(kind, id, until)).collect();
                    batch.iter().for_each(|change| model.apply(change.clone()));
                    store.commit(&batch).expect("committed");
                    prop_assert_eq!(store.len(), model.len());
                }
                None => {
                    drop(store);
                    store = open(&scratch).with_slack(2_000);
                    prop_assert_eq!(load(&mut store), model.changes().cloned().collect::<Vec<_>>());
                }
            }
        }
        // What is of no use is written anew a few parts at a time.
        for _ in 0..20 {
            store.commit(&[]).expect("committed");
        }
        let live: usize = model.changes().map(|change| change.to_record().len() + 60).sum();
        prop_assert!(store.bytes() <= 2 * live as u64 + 2_000, "{} for {live}", store.bytes());
    }
}

#[test]
fn refreshes_leave_nothing_behind() {
    let scratch = Scratch::new();
    let mut store = open(&scratch).with_slack(10_000);
    load(&mut store);
    for round in 0..300 {
        let batch: Vec<Change> =
            (0..20).map(|id| change(if round == 0 { 0 } else { 2 }, id, 100 + round)).collect();
        store.commit(&batch).expect("committed");
        assert!(store.bytes() < 20_000, "{} bytes in round {round}", store.bytes());
    }
    let rows: i64 =
        store.connection.query_row("SELECT count(*) FROM part", [], |row| row.get(0)).expect("a number");
    assert!(rows < 10, "{rows} parts");
    drop(store);
    assert_eq!(load(&mut open(&scratch)).len(), 20);
}

#[test]
fn one_state_is_written_by_one_server() {
    let scratch = Scratch::new();
    let mut first = open(&scratch);
    first.commit(&[put(1, 5)]).expect("committed");
    let second = StateStore::open(&scratch.path("state"), Durability::Strict);
    assert_eq!(second.err(), Some(StoreError::InUse));
    drop(first);
    assert_eq!(load(&mut open(&scratch)), [put(1, 5)]);
}

#[test]
fn a_full_disk_fails_the_commit_and_the_next_one_may_succeed() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    load(&mut store);
    store.commit(&[put(1, 5)]).expect("committed");
    let pages: i64 =
        store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a number");
    let limit = |store: &StateStore, pages: i64| {
        store.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).expect("set");
    };
    limit(&store, pages);
    let many: Vec<Change> = (2..200).map(|id| put(id, 5)).collect();
    assert!(matches!(store.commit(&many), Err(StoreError::Full(_))));
    assert_eq!(store.len(), 1);
    limit(&store, 100_000);
    store.commit(&[put(2, 5)]).expect("committed");
    drop(store);
    assert_eq!(load(&mut open(&scratch)), [put(1, 5), put(2, 5)]);
}

#[test]
fn a_disk_that_becomes_read_only_fails_the_commit_and_the_next_one_may_succeed() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    load(&mut store);
    store.commit(&[put(1, 5)]).expect("committed");
    let writable = |store: &StateStore, yes: bool| {
        store.connection.pragma_update(None, "query_only", !yes).expect("set");
    };
    writable(&store, false);
    assert!(matches!(store.commit(&[put(2, 5)]), Err(StoreError::ReadOnly(_))));
    assert_eq!(store.len(), 1);
    writable(&store, true);
    store.commit(&[put(3, 5)]).expect("committed");
    drop(store);
    assert_eq!(load(&mut open(&scratch)), [put(1, 5), put(3, 5)]);
}

#[test]
fn a_damaged_or_later_log_is_reported_and_left_alone() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    store.commit(&[put(1, 5)]).expect("committed");
    store.close();
    let set = |sql: &str| {
        Connection::open(scratch.path("state")).and_then(|c| c.execute_batch(sql)).expect("changed");
    };
    drop(store);
    set("INSERT INTO part VALUES (99, x'0102030405060708090a')");
    let before = std::fs::read(scratch.path("state")).expect("read");
    let failed = open(&scratch).load(&mut |_| {});
    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "{failed:?}");
    assert_eq!(std::fs::read(scratch.path("state")).expect("read"), before);
    let mut later = Vec::new();
    part::push(&mut later, &put(2, 5));
    later[part::LENGTH] = 200;
    part::seal(&mut later);
    let hex: String = later.iter().map(|byte| format!("{byte:02x}")).collect();
    set(&format!("UPDATE part SET records = x'{hex}' WHERE id = 99"));
    assert_eq!(open(&scratch).load(&mut |_| {}), Err(StoreError::Later(200)));
    set("PRAGMA user_version = 7");
    let newer = StateStore::open(&scratch.path("state"), Durability::Strict);
    assert_eq!(newer.err(), Some(StoreError::Later(7)));
    std::fs::write(scratch.path("other"), "these are the notes of somebody").expect("written");
    let foreign = StateStore::open(&scratch.path("other"), Durability::Strict);
    assert!(matches!(foreign, Err(StoreError::Foreign(_))));
}

#[test]
fn a_strict_store_waits_for_the_disk_and_the_other_one_leaves_that_to_the_system() {
    for (durability, full) in [(Durability::Strict, 2), (Durability::WriteBehind, 1)] {
        let scratch = Scratch::new();
        let store = StateStore::open(&scratch.path("state.db"), durability).expect("opened");
        // https://sqlite.org/pragma.html: 1 is NORMAL, 2 is FULL.
        let pragma = |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        assert_eq!(pragma("synchronous"), Ok(full));
        let journal =
            store.connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        assert_eq!(journal.as_deref(), Ok("wal"));
    }
}
