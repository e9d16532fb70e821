//! What the engine costs in process: a request from datagram to answer, and the memory of bindings.

use std::time::Duration;

use strowger_benches::counting::{Count, Counting};
use strowger_benches::load::Kind;
use strowger_benches::micro::{self, Case};
use strowger_benches::world::{Show, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("memory") {
        return memory();
    }
    micro::main(&[
        ("refresh", || Exchange::boxed(Kind::Register, Show::Nothing, 200)),
        ("refresh_digest_sha256", || Exchange::boxed(Kind::Register, Show::Digest, 200)),
        ("refresh_bearer_cached", || Exchange::boxed(Kind::Register, Show::Token, 200)),
        ("wrong_password", || Exchange::boxed(Kind::Register, Show::Wrong, 401)),
        ("unknown_user", || Exchange::boxed(Kind::Register, Show::Unknown, 401)),
        ("challenge", || Exchange::boxed(Kind::Register, Show::Refused, 401)),
        ("options", || Exchange::boxed(Kind::Options, Show::Nothing, 200)),
        ("new", || Box::new(New(World::new(Kind::Register, Show::Nothing, 1_000_000, STEP)))),
    ]);
}

const PHONES: u32 = 5_000;
/// 500 requests a second: 16,000 transactions live at once (RFC 3261 timer J), each of which ends in the measured time too.
const STEP: Duration = Duration::from_millis(2);

/// Phones that are known already, and an engine whose tables no longer grow.
struct Exchange {
    world: World,
    status: u16,
}

impl Exchange {
    fn boxed(kind: Kind, show: Show, status: u16) -> Box<dyn Case> {
        let mut world = World::new(kind, show, PHONES, STEP);
        for round in 0..5 {
            world.round(if show == Show::Digest && round == 0 { 401 } else { status });
        }
        Box::new(Exchange { world, status })
    }
}

impl Case for Exchange {
    fn prepare(&mut self) {
        self.world.pass();
        self.world.prepare();
    }

    fn run(&mut self) {
        assert_eq!(self.world.run(), self.status);
    }
}

/// Phones that register for the first time.
struct New(World);

impl Case for New {
    fn prepare(&mut self) {
        self.0.pass();
        self.0.prepare();
    }

    fn run(&mut self) {
        assert_eq!(self.0.run(), 200);
    }
}

/// What is left of registrations once their transactions are over.
fn memory() {
    const AORS: u32 = 100_000;
    let mut world = World::new(Kind::Register, Show::Nothing, AORS, Duration::from_micros(500));
    let empty = Count::now();
    let per = |count: Count| count.live as f64 / f64::from(AORS);
    for wave in 0..=10 {
        world.round(200);
        world.wait(Duration::from_secs(40));
        println!(
            "wave={wave} bytes_per_binding={:.1} {:?}",
            per(Count::now().since(empty)),
            world.engine.sizes()
        );
    }
}
