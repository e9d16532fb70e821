//! The engine in a loop of your own: one socket of the standard library with a read timeout, and no runtime at all.
//!
//! ```text
//! cargo run -p strowger-core --example own_loop
//! ```
//!
//! Let phones register over UDP at port 5070 of this machine, as `alice` with the password `a long secret`, and call
//! each other. What such a loop leaves out is what the shells are for: connections, names of servers, a store.
#![allow(clippy::disallowed_methods)] // A host is where time and randomness come from.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{AccountConfig, Config, ListenerConfig};
use strowger_core::door::{Command, Event, FlowDownReason, FlowId, Input, Secret, Transport};

fn main() -> io::Result<()> {
    serve(&UdpSocket::bind("0.0.0.0:5070")?, |_| true)
}

/// The time as the engine wants it: the wall clock at the start, and from there on a clock that never jumps.
struct Clock {
    started: Instant,
    at: Time,
}

impl Clock {
    fn start() -> Clock {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), at: Time::from_nanos(wall.as_nanos() as u64) }
    }

    fn now(&self) -> Time {
        self.at + self.started.elapsed()
    }
}

/// Identifiers are made of it: fresh at every start.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&RandomState::new().build_hasher().finish().to_ne_bytes());
    }
    seed
}

/// Serves phones on this socket for as long as `go_on` says so of what happens.
pub(crate) fn serve(socket: &UdpSocket, mut go_on: impl FnMut(&Event) -> bool) -> io::Result<()> {
    let local = socket.local_addr()?;
    let mut config = Config::new("localhost");
    config.listeners =
        vec![ListenerConfig { transport: Transport::Udp, addr: local, advertised: None, algorithms: None }];
    let password = Some(Secret("a long secret".into()));
    config.accounts = vec![AccountConfig { username: "alice".into(), password, ..AccountConfig::default() }];
    config.registrar = Some(Default::default());
    config.calls = Some(Default::default());
    config.tell.bindings = true;
    let settings = config.validate().map_err(|faults| io::Error::other(format!("{faults:?}")))?;

    let clock = Clock::start();
    let mut engine = Engine::new(settings, seed(), clock.now());
    // Even numbers are the host's to give away.
    let flow = FlowId(2);
    let up = Input::FlowUp { flow, listener: 0, transport: Transport::Udp, local, remote: None, peer: None };
    engine.handle(clock.now(), up);

    let mut buffer = vec![0; 65_536];
    loop {
        // What there is to do.
        while let Some(command) = engine.poll_command() {
            match command {
                Command::Transmit(transmit) => drop(socket.send_to(&transmit.payload, transmit.remote)),
                Command::Ping { remote, .. } => drop(socket.send_to(&[0; 4], remote)),
                // There are no connections here.
                Command::Open { flow, .. } => {
                    let down = Input::FlowDown { flow, reason: FlowDownReason::Unreachable };
                    engine.handle(clock.now(), down);
                }
                // Nothing is stored: what is in memory is as durable as it gets.
                Command::Save(change, _) => engine.handle(clock.now(), Input::Saved(change)),
                Command::Tell(event) => {
                    if !go_on(&event) {
                        return Ok(());
                    }
                }
                // Without tokens, other stores and routes to elsewhere nothing is asked that matters; what stays
                // unanswered ends by itself.
                Command::Ask(_) | Command::Close { .. } | Command::Reply(_) => {}
            }
        }
        // Wait for a datagram, or until something is due.
        let now = clock.now();
        let wait = engine.poll_timeout().map_or(Duration::from_secs(3600), |due| due.since(now));
        if wait.is_zero() {
            engine.handle(now, Input::Timeout);
            continue;
        }
        socket.set_read_timeout(Some(wait))?;
        match socket.recv_from(&mut buffer) {
            Ok((length, remote)) => {
                let data = &buffer[..length];
                engine.handle(clock.now(), Input::Message { flow, remote, local, data });
            }
            // Nothing came in time; or the answer to somebody came back.
            Err(_) => engine.handle(clock.now(), Input::Timeout),
        }
    }
}
