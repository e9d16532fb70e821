use core::time::Duration;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the wheel must do, in the plainest form: timers sorted by (tick, insertion).
#[derive(Clone)]
struct Model {
    timers: BTreeMap<(u64, usize), u64>,
    position: u64,
}

impl Model {
    fn tick(&self, deadline: Time) -> u64 {
        deadline.as_nanos().div_ceil(NANOS).max(self.position)
    }

    fn pop(&mut self, now: Time) -> Option<(u64, u64)> {
        let floor = if now == Time::MAX { u64::MAX } else { now.as_millis() };
        match self.timers.first_key_value() {
            Some((&(tick, n), &value)) if tick <= floor => {
                self.timers.remove(&(tick, n));
                self.position = tick;
                Some((tick, value))
            }
            _ => {
                self.position = self.position.max(now.as_nanos().div_ceil(NANOS).min(floor));
                None
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Nanoseconds after now.
    Arm(u64),
    /// At a deadline that has passed.
    ArmBefore(u64),
    ArmAt(u64),
    /// Of all keys ever given.
    Disarm(usize),
    /// The earliest one.
    DisarmFirst,
    /// The clock goes on, and up to so many timers are popped.
    Pass(u64, usize),
    /// To the next deadline exactly, and to the nanosecond before.
    Next,
    Fork,
}

/// Durations of every size, so that every level sees timers.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u32..63).prop_flat_map(|bits| 0..1u64 << bits),
        4 => (0u64..200).prop_map(|ms| ms * NANOS),
        2 => (0u64..40_000).prop_map(|ms| ms * NANOS),
        1 => (0u64..5_000).prop_map(|s| s * 1000 * NANOS),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => span().prop_map(Op::Arm),
        1 => span().prop_map(Op::ArmBefore),
        1 => prop_oneof![Just(u64::MAX), Just(0), any::<u64>()].prop_map(Op::ArmAt),
        3 => any::<usize>().prop_map(Op::Disarm),
        2 => Just(Op::DisarmFirst),
        4 => (span(), 0usize..20).prop_map(|(d, n)| Op::Pass(d, n)),
        3 => Just(Op::Next),
        1 => Just(Op::Fork),
    ];
    vec(op, 0..150)
}

struct World {
    wheel: Wheel<u64>,
    model: Model,
    now: Time,
    keys: Vec<(TimerKey, (u64, usize))>,
}

impl World {
    fn new(now: Time) -> World {
        let model = Model { timers: BTreeMap::new(), position: now.as_millis() };
        World { wheel: Wheel::new(now), model, now, keys: Vec::new() }
    }

    fn arm(&mut self, deadline: Time) {
        let n = self.keys.len();
        let tick = self.model.tick(deadline);
        let key = self.wheel.arm(deadline, n as u64);
        assert!(!key.is_none() && self.keys.iter().all(|(k, _)| *k != key));
        assert_eq!(self.wheel.deadline(key), Some(Time::from_millis(tick)));
        self.model.timers.insert((tick, n), n as u64);
        self.keys.push((key, (tick, n)));
    }

    fn disarm(&mut self, at: usize) {
        let (key, place) = self.keys[at];
        let value = self.model.timers.remove(&place);
        assert_eq!(self.wheel.deadline(key), value.map(|_| Time::from_millis(place.0)));
        assert_eq!(self.wheel.disarm(key), value);
        assert_eq!(self.wheel.disarm(key), None);
        assert_eq!(self.wheel.deadline(key), None);
    }

    fn pop(&mut self) -> bool {
        let expected = self.model.pop(self.now).map(|(tick, value)| (Time::from_millis(tick), value));
        let popped = self.wheel.pop(self.now);
        assert_eq!(popped, expected);
        if let Some((deadline, _)) = popped {
            assert!(deadline <= self.now, "never early");
        }
        popped.is_some()
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Arm(after) => self.arm(self.now + Duration::from_nanos(after)),
            Op::ArmBefore(before) => self.arm(self.now - Duration::from_nanos(before)),
            Op::ArmAt(at) => self.arm(Time::from_nanos(at)),
            Op::Disarm(at) if !self.keys.is_empty() => self.disarm(at % self.keys.len()),
            Op::Disarm(_) => {}
            Op::DisarmFirst => {
                if let Some((&(_, n), _)) = self.model.timers.first_key_value() {
                    self.disarm(n);
                }
            }
            Op::Pass(span, pops) => {
                self.now = self.now + Duration::from_nanos(span);
                for _ in 0..pops {
                    if !self.pop() {
                        break;
                    }
                }
            }
            Op::Next => {
                let mut in_vain = 0;
                while let Some(next) = self.wheel.next_deadline().filter(|next| *next > self.now) {
                    self.now = next - Duration::from_nanos(1);
                    assert!(!self.pop(), "nothing moves before the deadline");
                    assert!(self.wheel.next_deadline() >= Some(next), "a look tells more, never less");
                    self.now = next;
                    if self.pop() {
                        break;
                    }
                    in_vain += 1;
                    assert!(in_vain <= LEVELS, "a look in vain puts a level right");
                }
            }
            Op::Fork => self.wheel = self.wheel.clone(),
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(
            (self.wheel.len(), self.wheel.is_empty()),
            (self.model.timers.len(), self.model.timers.is_empty())
        );
        let first = self.model.timers.first_key_value().map(|((tick, _), _)| Time::from_millis(*tick));
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_none(), first.is_none());
        assert!(next <= first, "no timer is overlooked");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_wheel_is_a_list_sorted_by_tick_and_insertion(start in prop_oneof![Just(0), any::<u64>()], ops in ops()) {
        let mut world = World::new(Time::from_nanos(start));
        for op in &ops {
            world.run(op);
        }
        world.now = Time::MAX;
        while world.pop() {
            world.check();
        }
        assert!(world.wheel.is_empty() && world.wheel.next_deadline().is_none());
        assert!(world.wheel.capacity() <= FLOOR.max(world.keys.len().next_power_of_two()));
    }
}

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

#[test]
fn a_timer_is_never_early_and_at_most_a_tick_late() {
    let mut wheel = Wheel::new(Time::ZERO);
    wheel.arm(Time::from_nanos(5_000_001), 'x');
    assert_eq!(wheel.next_deadline(), Some(ms(6)));
    assert_eq!(wheel.pop(Time::from_nanos(5_999_999)), None);
    assert_eq!(wheel.pop(ms(6)), Some((ms(6), 'x')));
}

#[test]
fn timers_of_one_tick_keep_their_order_from_whatever_level_they_came() {
    let mut wheel = Wheel::new(Time::ZERO);
    let deadline = ms(3_600_000);
    for (i, now) in [0, 1, 2_000_000, 3_590_000, 3_599_900, 3_599_999].into_iter().enumerate() {
        assert_eq!(wheel.pop(ms(now)), None);
        wheel.arm(deadline, i);
    }
    let order: Vec<_> = core::iter::from_fn(|| wheel.pop(deadline)).map(|(_, i)| i).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_block_is_entered_at_its_very_first_tick() {
    for at in [1 << 18, (1 << 18) + 1, (1 << 18) + 4095, (1 << 18) + 4096, 7 << 40] {
        let mut wheel = Wheel::new(Time::ZERO);
        wheel.arm(ms(at), 'x');
        assert_eq!(wheel.blocks.len(), 1);
        assert_eq!(wheel.pop(ms(at - 1)), None);
        wheel.arm(ms(at), 'y');
        assert_eq!(wheel.next_deadline(), Some(ms(at)));
        assert_eq!(wheel.pop(ms(at)), Some((ms(at), 'x')));
        assert_eq!(wheel.pop(ms(at)), Some((ms(at), 'y')));
        assert!(wheel.blocks.is_empty());
    }
}

#[test]
fn an_overdue_timer_is_due_at_once() {
    let mut wheel = Wheel::new(ms(1000));
    wheel.arm(ms(10), 'x');
    assert_eq!(wheel.next_deadline(), Some(ms(1000)));
    assert_eq!(wheel.pop(ms(1000)), Some((ms(1000), 'x')));
}

#[test]
fn a_clock_that_runs_backwards_pops_nothing_early() {
    let mut wheel = Wheel::new(ms(1000));
    wheel.arm(ms(1010), 'x');
    assert_eq!(wheel.pop(ms(1005)), None);
    assert_eq!(wheel.pop(ms(7)), None);
    assert_eq!(wheel.pop(ms(1010)), Some((ms(1010), 'x')));
}

#[test]
fn the_last_instant_is_reached() {
    let mut wheel = Wheel::new(Time::ZERO);
    wheel.arm(Time::MAX, 'x');
    assert_eq!(wheel.next_deadline(), Some(Time::MAX));
    assert_eq!(wheel.pop(Time::MAX - Duration::from_nanos(1)), None);
    assert_eq!(wheel.pop(Time::MAX), Some((Time::MAX, 'x')));
    wheel.arm(Time::MAX, 'y');
    wheel.arm(Time::ZERO, 'z');
    assert_eq!(wheel.pop(Time::MAX), Some((Time::MAX, 'y')));
    assert_eq!(wheel.pop(Time::MAX), Some((Time::MAX, 'z')));
}

#[test]
fn no_timer_is_found_under_no_name() {
    let mut wheel: Wheel<char> = Wheel::new(Time::ZERO);
    assert_eq!(wheel.disarm(TimerKey::NONE), None);
    assert_eq!(wheel.deadline(TimerKey::default()), None);
    assert_eq!(format!("{:?}", TimerKey::NONE), "none");
    let key = wheel.arm(ms(1), 'x');
    assert_eq!(format!("{key:?}"), "0.1");
    // A free place has no generation, and neither has a forged name.
    wheel.disarm(key);
    assert_eq!(wheel.disarm(TimerKey { index: 0, generation: 0 }), None);
}

#[test]
fn memory_is_released_with_the_last_timer_and_old_names_stay_dead() {
    let mut wheel = Wheel::new(Time::ZERO);
    let keys: Vec<_> = (0..1000).map(|i| wheel.arm(ms(i * 77), i)).collect();
    assert!(wheel.capacity() >= 1000);
    for key in &keys {
        assert!(wheel.disarm(*key).is_some());
    }
    assert!(wheel.capacity() <= FLOOR);
    assert_eq!((wheel.levels, wheel.occupied, wheel.blocks.len()), (0, [0; LEVELS], 0));
    for i in 0..1000 {
        wheel.arm(ms(i), i);
    }
    assert!(keys.iter().all(|key| wheel.disarm(*key).is_none()));
    assert_eq!(core::iter::from_fn(|| wheel.pop(ms(1000))).count(), 1000);
    assert!(wheel.capacity() <= FLOOR);
}

#[test]
fn a_timer_of_sixteen_bytes_costs_forty() {
    assert_eq!(size_of::<Entry<(u64, u64)>>(), 40);
    assert_eq!(size_of::<TimerKey>(), 8);
}
