use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KEY: HashKey = HashKey::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);

#[test]
fn hash128_is_siphash_2_4() {
    // The first 128-bit test vectors of the reference implementation: the empty input, under the key 00 01 .. 0f.
    assert_eq!(
        KEY.hash128(&[]).to_le_bytes(),
        *b"\xa3\x81\x7f\x04\xba\x25\xa8\xe6\x6d\xf6\x72\x14\xc7\x55\x02\x93"
    );
}

#[test]
fn parts_do_not_run_into_each_other() {
    assert_ne!(KEY.hash_parts(&[b"ab", b"c"]), KEY.hash_parts(&[b"a", b"bc"]));
    assert_ne!(KEY.hash_parts(&[b"ab"]), KEY.hash_parts(&[b"ab", b""]));
    assert_ne!(KEY.hash128(&[b"ab", b"c"]), KEY.hash128(&[b"a", b"bc"]));
}

#[test]
fn parts_too_long_for_one_piece_hash_as_if_they_fit() {
    let mut room = [0; ROOM];
    for len in [0, 1, 7, 8, 9, 100, ROOM - 9, ROOM - 8, ROOM - 7, ROOM, 5 * ROOM] {
        let parts: [&[u8]; 2] = [&vec![b'x'; len], b""];
        assert_eq!(join(&parts, &mut room).is_some(), len + 8 <= ROOM);
        let mut state = SipHasher13::new_with_keys(KEY.0[0], KEY.0[1]);
        delimit(&mut state, &parts);
        assert_eq!(KEY.hash_parts(&parts), state.finish());
        let mut state = SipHasher24::new_with_keys(KEY.0[0], KEY.0[1]);
        delimit(&mut state, &parts);
        assert_eq!(KEY.hash128(&parts), state.finish128().as_u128());
    }
}

#[test]
fn another_key_gives_another_hash() {
    let other = HashKey::new([1, 2]);
    assert_ne!(KEY.hash(b"alice"), other.hash(b"alice"));
    assert_ne!(KEY.hash_parts(&[b"alice"]), other.hash_parts(&[b"alice"]));
    assert_ne!(KEY.hash128(&[b"alice"]), other.hash128(&[b"alice"]));
    assert_eq!(format!("{KEY:?}"), "HashKey(<secret>)");
}

#[test]
fn equal_hashes_are_told_apart_by_the_bytes() {
    let names = ["alice", "bob", "carol"];
    let mut index = Index::new();
    for i in 0..names.len() {
        index.insert(7, i);
    }
    assert_eq!(index.find(7, |i| names[i] == "bob"), Some(1));
    assert_eq!(index.find(7, |i| names[i] == "dave"), None);
    assert_eq!(index.find(8, |_| true), None);
    assert_eq!(index.remove(7, |i| names[i] == "bob"), Some(1));
    assert_eq!(index.remove(7, |i| names[i] == "bob"), None);
    assert_eq!(index.replace(7, |i| names[i] == "carol", 0), Some(2));
    assert_eq!(index.replace(7, |i| names[i] == "bob", 0), None);
    assert_eq!(index.len(), 2);
}

#[test]
fn memory_goes_down_with_the_values() {
    let mut index = Index::new();
    let hashes: Vec<u64> = (0..10_000u32).map(|i| KEY.hash(&i.to_le_bytes())).collect();
    for (i, hash) in hashes.iter().enumerate() {
        index.insert(*hash, i);
    }
    let full = index.capacity();
    for (i, hash) in hashes.iter().enumerate().skip(100) {
        assert_eq!(index.remove(*hash, |v| v == i), Some(i));
    }
    assert!(index.capacity() < full / 10);
    for (i, hash) in hashes.iter().enumerate().take(100) {
        assert_eq!(index.remove(*hash, |v| v == i), Some(i));
    }
    assert!(index.is_empty() && index.capacity() <= FLOOR);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_is_a_map(ops in vec((any::<bool>(), 0u16..300), 0..600)) {
        let mut index = Index::new();
        let mut model = BTreeMap::new();
        for (n, (insert, name)) in ops.into_iter().enumerate() {
            let hash = KEY.hash(&name.to_le_bytes());
            let eq = |v: (u16, usize)| v.0 == name;
            prop_assert_eq!(index.find(hash, eq), model.get(&name).copied());
            if insert {
                let value = (name, n);
                if model.insert(name, value).is_some() {
                    prop_assert!(index.replace(hash, eq, value).is_some());
                } else {
                    index.insert(hash, value);
                }
            } else {
                prop_assert_eq!(index.remove(hash, eq), model.remove(&name));
            }
            prop_assert_eq!(index.len(), model.len());
        }
        for (name, value) in &model {
            prop_assert_eq!(index.find(KEY.hash(&name.to_le_bytes()), |v| v.0 == *name), Some(*value));
        }
        index.clear();
        prop_assert_eq!(index.capacity(), 0);
    }
}
