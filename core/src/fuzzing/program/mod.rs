//! Programs over a whole engine: a few users, a few slots, every operation valid. The invariants are the oracle.

mod invariants;
mod messages;
mod ops;
mod world;

use arbitrary::{Arbitrary, Unstructured};

pub use ops::{Op, Program};
use world::Host;

/// Runs a program. Bytes that are no program do nothing.
pub fn engine_ops(data: &[u8]) {
    let Ok(program) = Program::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut host = Host::new(program.open);
    for op in program.ops.iter().take(400) {
        host.run(op);
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
    let mut host = Host::new(false);
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
