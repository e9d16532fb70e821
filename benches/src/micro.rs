//! A bench for small things without a framework: best wall time of many batches, allocations per operation, and a mode
//! for valgrind, which collects instructions inside `measured` only.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::counting::Count;

/// One thing to measure.
pub trait Case {
    /// Work that is not measured, before each operation.
    fn prepare(&mut self) {}
    /// The operation.
    fn run(&mut self);
}

impl<F: FnMut()> Case for F {
    fn run(&mut self) {
        self();
    }
}

/// A case by its name, made when it is its turn.
pub type Entry = (&'static str, fn() -> Box<dyn Case>);

/// Valgrind looks for this name (`--toggle-collect`).
#[inline(never)]
pub fn measured(case: &mut dyn Case) {
    black_box(case).run();
}

/// Does what the command line says: nothing measures every case, `--list` names them, `--percentiles` measures each
/// operation of every case for itself, `NAME COUNT` runs one so often.
pub fn main(entries: &[Entry]) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [list] if list == "--list" => entries.iter().for_each(|(name, _)| println!("{name}")),
        [each] if each == "--percentiles" => {
            entries.iter().for_each(|(name, make)| percentiles(name, &mut *make()));
        }
        [name, count] => {
            let (_, make) = entries.iter().find(|(n, _)| n == name).expect("a name out of --list");
            let count: u32 = count.parse().expect("a number of operations");
            let mut case = make();
            for _ in 0..count {
                case.prepare();
                measured(&mut *case);
            }
        }
        _ => entries.iter().for_each(|(name, make)| report(name, &mut *make())),
    }
}

const BATCHES: u32 = 60;
const BATCH: u32 = 1_000;

fn report(name: &str, case: &mut dyn Case) {
    let mut best = Duration::MAX;
    let mut allocations = u64::MAX;
    // Reading the clock around every operation would cost as much as the smallest of them.
    let overhead = (0..100).map(|_| timed(|| {})).min().unwrap_or_default();
    for _ in 0..BATCHES {
        let (mut batch, mut calls) = (Duration::ZERO, 0);
        for _ in 0..BATCH {
            case.prepare();
            let before = Count::now();
            batch += timed(|| measured(case)).saturating_sub(overhead);
            calls += Count::now().since(before).calls;
        }
        best = best.min(batch / BATCH);
        allocations = allocations.min(calls);
    }
    println!("{name} ns={} allocations={:.3}", best.as_nanos(), allocations as f64 / f64::from(BATCH));
}

/// Operations of which each is measured for itself.
const EACH: usize = 20_000;

fn percentiles(name: &str, case: &mut dyn Case) {
    let mut times: Vec<Duration> = Vec::with_capacity(EACH);
    for _ in 0..EACH {
        case.prepare();
        times.push(timed(|| measured(case)));
    }
    times.sort_unstable();
    let at =
        |share: usize| times.get((EACH - 1) * share / 1000).map_or(0.0, |time| time.as_nanos() as f64 / 1e3);
    println!("{name} p50={:.1} p99={:.1} p999={:.1} max={:.1} us", at(500), at(990), at(999), at(1000));
}

/// How long some work takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
