use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Insert(u16),
    /// Of all keys ever given.
    Remove(usize),
    Change(usize, u16),
    Drain,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => any::<u16>().prop_map(Op::Insert),
        4 => any::<usize>().prop_map(Op::Remove),
        1 => (any::<usize>(), any::<u16>()).prop_map(|(k, v)| Op::Change(k, v)),
        1 => Just(Op::Drain),
    ];
    vec(op, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slab_is_a_map_of_keys_never_given_twice(ops in ops()) {
        let mut slab = Slab::new();
        let mut model = BTreeMap::new();
        let mut given: Vec<Key<u16>> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(v) => {
                    let key = slab.insert(v);
                    prop_assert!(!given.contains(&key));
                    given.push(key);
                    model.insert(key, v);
                }
                Op::Remove(at) if !given.is_empty() => {
                    let key = given[at % given.len()];
                    prop_assert_eq!(slab.remove(key), model.remove(&key));
                    prop_assert_eq!(slab.remove(key), None);
                }
                Op::Change(at, v) if !given.is_empty() => {
                    let key = given[at % given.len()];
                    prop_assert_eq!(slab.get_mut(key).map(|old| core::mem::replace(old, v)), model.get(&key).copied());
                    model.entry(key).and_modify(|old| *old = v);
                }
                Op::Drain => for key in &given {
                    prop_assert_eq!(slab.remove(*key), model.remove(key));
                },
                Op::Remove(_) | Op::Change(..) => {}
            }
            prop_assert_eq!(slab.len(), model.len());
            prop_assert_eq!(slab.is_empty(), model.is_empty());
            // Keys are ordered by index, so the model iterates as the slab must.
            prop_assert!(slab.iter().map(|(k, v)| (k, *v)).eq(model.iter().map(|(k, v)| (*k, *v))));
            for key in &given {
                prop_assert_eq!(slab.get(*key), model.get(key));
                prop_assert_eq!(slab.contains(*key), model.contains_key(key));
            }
        }
    }
}

#[test]
fn a_key_survives_as_a_number() {
    let mut slab = Slab::new();
    slab.insert('a');
    let key = slab.insert('b');
    assert_eq!(Key::from_bits(key.to_bits()), key);
    assert_eq!(format!("{key:?}"), "1.2");
    assert_eq!(slab.get(Key::from_bits(0)), None);
    assert_eq!(slab.get(Key::from_bits(u64::MAX)), None);
    assert_eq!(slab.remove(Key::from_bits(1)), None);
}

#[test]
fn a_value_may_know_its_own_key() {
    let mut slab: Slab<u64> = Slab::new();
    let key = slab.insert_with(Key::to_bits);
    assert_eq!(slab.get(key), Some(&key.to_bits()));
}

#[test]
fn memory_is_released_with_the_last_value_and_old_keys_stay_dead() {
    let mut slab = Slab::new();
    let keys: Vec<_> = (0..1000).map(|i| slab.insert(i)).collect();
    assert!(slab.capacity() >= 1000);
    for key in &keys {
        slab.remove(*key);
    }
    assert!(slab.capacity() <= FLOOR);
    let again: Vec<_> = (0..1000).map(|i| slab.insert(i)).collect();
    assert!(keys.iter().all(|key| !slab.contains(*key)));
    assert!(again.iter().all(|key| slab.contains(*key)));
}

#[test]
fn values_are_changed_in_the_order_of_their_index() {
    let mut slab = Slab::new();
    let first = slab.insert(1);
    let second = slab.insert(2);
    let third = slab.insert(3);
    slab.remove(second);
    let mut seen = Vec::new();
    for (key, value) in slab.iter_mut() {
        *value *= 10;
        seen.push(key);
    }
    assert_eq!(seen, [first, third]);
    assert_eq!(format!("{slab:?}"), "{0.1: 10, 2.3: 30}");
}
