//! Programs over a whole engine: a few users, a few slots, every operation valid. The invariants are the oracle.

mod calls;
mod debts;
mod invariants;
mod messages;
mod ops;
mod phones;
mod presence;
mod world;

use arbitrary::{Arbitrary, Unstructured};

pub use calls::{CallStep, Pause, call_headers};
pub use ops::{Op, Program};
pub use presence::Step;
use world::{Host, Rooms};

/// Runs a program. The first byte says what there is beside the registrar; most say nothing, and then all bytes mean what
/// they meant before there was anything, and those that are no program do nothing.
pub fn engine_ops(data: &[u8]) {
    match data {
        [first @ 0xa0..=0xa7, steps @ ..] => run(first & 1 != 0, steps, Rooms::Calls, Host::call_step),
        [first @ 0xa8..=0xaf, steps @ ..] => run(first & 1 != 0, steps, Rooms::Relayed, Host::call_step),
        [first @ 0xf0..=0xfe, steps @ ..] => run(first & 1 != 0, steps, Rooms::Presence, Host::step),
        _ => {
            let Ok(program) = Program::arbitrary_take_rest(Unstructured::new(data)) else { return };
            let mut host = Host::new(program.open, Rooms::Nothing);
            program.ops.iter().take(STEPS).for_each(|op| host.run(op));
            host.end();
        }
    }
}

/// More are not done.
const STEPS: usize = 400;

/// Runs steps until there are no more bytes.
fn run<T: for<'a> Arbitrary<'a>>(open: bool, steps: &[u8], rooms: Rooms, act: fn(&mut Host, &T)) {
    let (mut bytes, mut host) = (Unstructured::new(steps), Host::new(open, rooms));
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        let Ok(step) = T::arbitrary(&mut bytes) else { break };
        act(&mut host, &step);
    }
    host.end();
}

/// Which scheme the bytes are tried as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    Digest,
    Bearer,
}

/// No invented credentials let anybody in.
pub(super) fn authorization(data: &[u8], scheme: Scheme) {
    let name = match scheme {
        Scheme::Digest => "Digest",
        Scheme::Bearer => "Bearer",
    };
    let value: Vec<u8> = data.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let mut host = Host::new(false, Rooms::Nothing);
    let lead =
        if value.to_ascii_lowercase().starts_with(name.to_ascii_lowercase().as_bytes()) { "" } else { name };
    let mut m = host.register(0, 0, 0, "60", 1, 0, 0).into_bytes();
    let more = [b"Authorization: ", lead.as_bytes(), b" ", &value, b"\r\nContent-Length: 0\r\n\r\n"].concat();
    m.extend_from_slice(&more);
    host.send(0, &m);
    host.run(&Op::WaitForTimer);
    assert_eq!(host.engine.sizes().bindings, 0, "{}", String::from_utf8_lossy(&value));
    host.end();
}
