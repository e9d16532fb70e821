use std::collections::BTreeSet;

use super::*;
use crate::base::text;

const SEED: [u8; 32] = *b"a seed of exactly 32 bytes here.";

#[test]
fn a_draw_of_one_kind_leaves_the_others_alone() {
    let (mut one, mut other) = (Ids::new(&SEED), Ids::new(&SEED));
    for kind in Ids::kinds().filter(|&kind| kind != IdKind::Tag) {
        one.next(kind);
    }
    assert_eq!(one.next(IdKind::Tag), other.next(IdKind::Tag));
    assert_eq!(one.keyed(IdKind::Tag, &[b"x"]), other.keyed(IdKind::Tag, &[b"x"]));
    assert_eq!(one.secret(IdKind::Nonce), other.secret(IdKind::Nonce));
    assert_eq!((one.drawn(IdKind::Branch), other.drawn(IdKind::Branch)), (1, 0));
}

#[test]
fn no_two_identifiers_are_alike() {
    let mut ids = Ids::new(&SEED);
    let mut seen = BTreeSet::new();
    for kind in Ids::kinds() {
        assert!(seen.insert(ids.keyed(kind, &[])));
        assert!(seen.insert(ids.keyed(kind, &[b"ab", b"c"])) && seen.insert(ids.keyed(kind, &[b"a", b"bc"])));
        for _ in 0..100 {
            assert!(seen.insert(ids.next(kind)));
        }
    }
}

#[test]
fn another_seed_gives_other_identifiers() {
    let (mut one, mut other) = (Ids::new(&SEED), Ids::new(&[0; 32]));
    for kind in Ids::kinds() {
        assert_ne!(one.next(kind), other.next(kind));
        assert_ne!(one.keyed(kind, &[b"x"]), other.keyed(kind, &[b"x"]));
        assert_ne!(one.secret(kind), other.secret(kind));
    }
    assert!(one.hash_key() != other.hash_key() && one.hash_key() == Ids::new(&SEED).hash_key());
}

#[test]
fn every_kind_stands_at_its_own_place_under_its_own_name() {
    let names: BTreeSet<_> = KINDS.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), KINDS.len());
    assert!(Ids::kinds().enumerate().all(|(i, kind)| kind as usize == i));
}

#[test]
fn a_text_is_the_shard_and_sixteen_digits() {
    assert_eq!(&*write(0x0123_4567_89ab_cdef), "00123456789abcdef");
    assert_eq!(write(7).to_string(), format!("{:?}", write(7)));
    for id in [0, 1, u64::MAX, Ids::new(&SEED).next(IdKind::Tag)] {
        assert!(text::is_token(write(id).as_bytes()));
        assert_eq!(read(write(id).as_bytes()), Some(id));
    }
    for bad in
        ["", "0", "0123456789abcdef", "10123456789abcdef", "00123456789abcdeF", "00123456789abcdefa", "0x"]
    {
        assert_eq!(read(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(*Ids::new(&SEED).next_text(IdKind::Tag), *write(Ids::new(&SEED).next(IdKind::Tag)));
}

#[test]
fn draws_below_a_bound_are_even() {
    let mut ids = Ids::new(&SEED);
    let mut hits = [0; 10];
    for _ in 0..10_000 {
        hits[ids.below(IdKind::Jitter, 10) as usize] += 1;
    }
    assert!(hits.iter().all(|n| (850..1150).contains(n)), "{hits:?}");
    assert_eq!((ids.below(IdKind::Jitter, 0), ids.below(IdKind::Jitter, 1)), (0, 0));
}

#[test]
fn debug_shows_counts_and_no_secret() {
    let mut ids = Ids::new(&SEED);
    ids.next(IdKind::Tag);
    assert!(format!("{ids:?}").starts_with("{Tag: 1, Branch: 0, "));
}
