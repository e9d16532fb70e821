//! What a binding costs in memory and a refresh in allocations.

use super::super::binding::Binding;
use super::super::location::Record;
use super::{Phone, World};
use crate::door::Scheme;

#[test]
fn the_parts_of_a_binding_stay_small() {
    assert!(size_of::<Binding>() <= 128, "{}", size_of::<Binding>());
    assert!(size_of::<Record>() <= 56, "{}", size_of::<Record>());
}

#[test]
fn a_refresh_of_the_same_shape_writes_in_place() {
    let mut world = World::of(|config| config.tell.bindings = false);
    world.who.scheme = Scheme::None;
    let mut phone = Phone::at("198.51.100.7:5062").header("User-Agent: Phone/1.0");
    world.send(&phone);
    let blob = |world: &World| world.registrar.location.all().map(|(_, b)| b.contact().as_ptr()).next();
    let before = blob(&world);
    for cseq in 2..9 {
        phone.cseq = cseq;
        world.send(&phone);
        assert_eq!(blob(&world), before);
    }
}
