//! The sockets of the relay, in one thread: the same for every runtime, and beside all of them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use strowger_core::base::Time;
use strowger_core::door::{MediaAnswer, MediaQuery};

use super::watch::Watch;
use super::{Ports, RelayOptions, RelayStats, Table};
use crate::clock::Clock;

/// How often silent sessions are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// What the socket that wakes the thread is called, among ports.
const WAKER: u16 = 0;

/// A running relay. Dropping it ends its thread and frees all ports.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    clock: Clock,
    waker: UdpSocket,
}

#[derive(Debug)]
struct Shared {
    watch: Arc<Watch>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    table: Table,
    sockets: Sockets,
    stopped: bool,
}

#[derive(Debug)]
struct Sockets {
    address: IpAddr,
    open: BTreeMap<u16, Arc<UdpSocket>>,
    watch: Arc<Watch>,
}

impl Ports for Sockets {
    fn bind(&mut self, port: u16) -> bool {
        let Ok(socket) = bind(SocketAddr::new(self.address, port)).map(Arc::new) else { return false };
        if self.watch.add(port, &socket).is_err() {
            return false;
        }
        self.open.insert(port, socket);
        true
    }

    fn close(&mut self, port: u16) {
        if let Some(socket) = self.open.remove(&port) {
            self.watch.remove(port, &socket);
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; if it did, the table would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// Starts its thread.
    pub fn start(options: RelayOptions, clock: Clock) -> io::Result<Relay> {
        let watch = Arc::new(Watch::new()?);
        let sockets = Sockets { address: options.address, open: BTreeMap::new(), watch: watch.clone() };
        let state = State { table: Table::new(options), sockets, stopped: false };
        // A socket of its own wakes the thread: nothing else that every system has can be waited for with sockets.
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        woken.set_nonblocking(true)?;
        let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        waker.set_nonblocking(true)?;
        waker.connect(woken.local_addr()?)?;
        woken.connect(waker.local_addr()?)?;
        let woken = Arc::new(woken);
        watch.add(WAKER, &woken)?;
        let shared = Arc::new(Shared { watch, state: Mutex::new(state) });
        let (life, time) = (shared.clone(), clock.clone());
        thread::Builder::new().name("strowger-relay".into()).spawn(move || run(&life, &time, &woken))?;
        Ok(Relay { shared, clock, waker })
    }

    /// What a description becomes.
    pub fn describe(&self, query: &MediaQuery) -> MediaAnswer {
        let now = self.clock.now();
        let State { table, sockets, .. } = &mut *self.shared.lock();
        let answer = table.describe(now, query, sockets);
        self.wake();
        answer
    }

    /// A session is over.
    pub fn done(&self, session: u64) {
        let State { table, sockets, .. } = &mut *self.shared.lock();
        table.done(session, sockets);
        self.wake();
    }

    /// What it has done.
    pub fn stats(&self) -> RelayStats {
        self.shared.lock().table.stats()
    }

    fn wake(&self) {
        // If it is full, the thread wakes all the same.
        let _ = self.waker.send(&[0]);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        // Others may want the ports at once.
        let State { table, sockets, .. } = &mut *state;
        table.end(sockets);
        drop(state);
        self.wake();
    }
}

fn run(shared: &Shared, clock: &Clock, woken: &UdpSocket) {
    let mut ready = Vec::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut swept = clock.now();
    loop {
        shared.watch.wait(&mut ready);
        let now = clock.now();
        let mut state = shared.lock();
        for port in ready.drain(..) {
            match port {
                WAKER => while woken.recv(&mut buffer).is_ok() {},
                port => state.turn(now, port, &mut buffer),
            }
        }
        if now.since(swept) >= SWEEP {
            swept = now;
            let State { table, sockets, .. } = &mut *state;
            table.sweep(now, sockets);
        }
        if state.stopped {
            return;
        }
    }
}

impl State {
    /// Takes one packet from a socket and passes it on. What else waits there has its turn after all others.
    fn turn(&mut self, now: Time, port: u16, buffer: &mut [u8]) {
        let State { table, sockets, .. } = self;
        let Some(Ok((len, from))) = sockets.open.get(&port).map(|socket| socket.recv_from(buffer)) else {
            return;
        };
        let data = buffer.get(..len).unwrap_or_default();
        let Some(forward) = table.received(now, port, from, data) else { return };
        let to = match (sockets.address, forward.to) {
            (IpAddr::V6(_), SocketAddr::V4(to)) => {
                SocketAddr::new(to.ip().to_ipv6_mapped().into(), to.port())
            }
            (_, to) => to,
        };
        let sent = sockets.open.get(&forward.port).map(|socket| socket.send_to(data, to));
        if !matches!(sent, Some(Ok(_))) {
            table.lost();
        }
    }
}
