//! What a call costs in process, as the back-to-back user agent that stands between two phones; and the memory of calls that
//! are up.
//!
//! `calls` measures; `calls NAME COUNT` runs one case under valgrind; `calls memory` fills an engine.

use std::time::Duration;

use strowger_benches::calls::{OVER, Spent, World};
use strowger_benches::counting::{Count, Counting};
use strowger_benches::micro::timed;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many calls are up beside the measured one.
const CASES: [(&str, u32); 3] = [("call", 0), ("call_among_5000", 5_000), ("call_among_50000", 50_000)];

const BATCHES: u32 = 40;
const BATCH: u32 = 500;

fn measure(name: &str, live: u32) {
    let mut world = World::among(live);
    let overhead = (0..100).map(|_| timed(|| {})).min().unwrap_or_default();
    let (mut best, mut allocations) = (Duration::MAX, u64::MAX);
    for _ in 0..BATCHES {
        world.take_spent();
        (0..BATCH).for_each(|_| world.call());
        let Spent { time, allocations: calls, messages } = world.take_spent();
        assert_eq!(messages, u64::from(BATCH) * 14, "the flow is this one");
        best = best.min((time / BATCH).saturating_sub(overhead * 7));
        allocations = allocations.min(calls);
    }
    println!("{name} ns={} allocations={:.3}", best.as_nanos(), allocations as f64 / f64::from(BATCH));
}

/// What is left of calls that are up, once the transactions that made them are over.
fn memory() {
    const CALLS: u32 = 50_000;
    let mut world = World::idle();
    world.wait(OVER);
    let empty = Count::now();
    let calls: Vec<u32> = (0..CALLS).map(|_| world.set_up().0).collect();
    drop(calls);
    world.wait(OVER);
    let each = Count::now().since(empty).live as f64 / f64::from(CALLS);
    println!("calls={CALLS} bytes_per_call={each:.0} {:?}", world.engine.sizes());
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [what] if what == "memory" => memory(),
        [list] if list == "--list" => CASES.iter().for_each(|(name, _)| println!("{name}")),
        [name, count] => {
            let (_, live) = CASES.iter().find(|(n, _)| n == name).expect("a name out of --list");
            let count: u32 = count.parse().expect("a number of calls");
            let mut world = World::among(*live);
            (0..count).for_each(|_| world.call());
        }
        _ => CASES.iter().for_each(|(name, live)| measure(name, *live)),
    }
}
