//! The loop: rounds of the driver, connections that were woken, listeners, and one `poll` for all of them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Token};
use strowger_core::base::Time;
use strowger_shell::clock::Clock;
use strowger_shell::dns::{Asking, Exchange, Exchanging};
use strowger_shell::driver::Driver;
use strowger_shell::inbox::Inbound;
use strowger_shell::socket::{BoundStream, dial};
use strowger_shell::stream::{Opening, Stream, Streams};

use crate::Outside;
use crate::bell::{Bell, Bells};
use crate::wire::{Socket, Wire};

/// Rounds of the driver after which everybody else gets his turn, however busy it is.
const ROUNDS_PER_TURN: u32 = 16;

/// Turns after which the sockets are looked at, however much there is to do without them.
const TURNS: u32 = 8;

/// Connections accepted from one listener in one turn.
const ACCEPTS: u32 = 64;

/// Events taken at once.
const EVENTS: usize = 256;

/// How long accepting pauses when the system has no file descriptor, or no memory, left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long connections may take to write what the engine said last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Of wake-ups from other threads.
pub(crate) const WAKER: Token = Token(usize::MAX - 1);

/// Listeners from here, UDP sockets below.
const LISTENERS: usize = 1 << 16;

/// Connections and questions from here.
const SLOTS: usize = 1 << 17;

/// The bell of the driver.
const DRIVER: usize = usize::MAX;

/// Everything beside the driver.
pub(crate) struct Loop {
    poll: mio::Poll,
    bells: Arc<Bells>,
    clock: Clock,
    streams: Option<Streams>,
    listeners: Vec<Listener>,
    /// When listeners are tried again, after the system had nothing left.
    accept_again: Option<Time>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    due: BTreeSet<(Time, usize)>,
}

struct Listener {
    bound: BoundStream<TcpListener>,
    may_have: bool,
}

/// A connection, or a question to a name server, and when it is looked at whatever happens.
struct Slot {
    bell: Arc<Bell>,
    due: Time,
    kind: Kind,
    wire: Option<Wire>,
}

enum Kind {
    Free,
    Stream(Box<Stream>),
    Question { number: u64, exchanging: Box<Exchanging> },
}

impl Loop {
    pub(crate) fn new(
        poll: mio::Poll,
        bells: Arc<Bells>,
        listeners: Vec<BoundStream<TcpListener>>,
        streams: Streams,
    ) -> Loop {
        Loop {
            poll,
            bells,
            clock: streams.clock.clone(),
            streams: Some(streams),
            listeners: listeners.into_iter().map(|bound| Listener { bound, may_have: true }).collect(),
            accept_again: None,
            slots: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
        }
    }

    /// Runs until the server is stopped, or drained, and everybody has said his last words.
    pub(crate) fn run(mut self, mut driver: Driver<Outside>) {
        let mut events = Events::with_capacity(EVENTS);
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            let token = Token(LISTENERS + at);
            // Without it, accepting is tried at every turn.
            let _ = self.poll.registry().register(&mut listener.bound.socket, token, Interest::READABLE);
        }
        let bell = self.bells.bell(DRIVER);
        let waker = bell.waker();
        let cx = &mut Context::from_waker(&waker);
        let mut turns: u32 = 0;
        driver.begin();
        while !driver.is_stopped() {
            let more = rounds(&mut driver);
            let mut busy = self.begin_errands(&mut driver);
            busy |= self.answer_bells(&bell);
            busy |= self.accept(cx);
            if more || busy || driver.poll_ready(cx).is_ready() {
                turns = turns.wrapping_add(1);
                if more || turns.is_multiple_of(TURNS) {
                    self.look(&mut events, &driver, Some(Duration::ZERO));
                }
                continue;
            }
            let until = driver.deadline();
            let until = self.deadline().map_or(until, |own| until.min(self.clock.instant_of(own)));
            self.sleep(&mut events, &driver, until);
        }
        driver.finish();
        self.begin_errands(&mut driver);
        drop(driver);
        self.end(&mut events, &bell);
    }

    /// The engine is gone: connections write what it said last, as far as their peers take it.
    fn end(mut self, events: &mut Events, bell: &Bell) {
        self.streams = None;
        self.listeners.clear();
        let until = self.clock.now() + LAST_WORDS;
        for slot in &self.slots {
            slot.bell.ring();
        }
        loop {
            self.answer_bells(bell);
            let now = self.clock.now();
            if self.free.len() == self.slots.len() || now >= until {
                return;
            }
            let next = self.deadline().map_or(until, |due| due.min(until));
            let patience = if self.bells.sleep() { next.since(now) } else { Duration::ZERO };
            let _ = self.poll.poll(events, Some(patience));
            self.bells.awake();
            for event in events.iter() {
                self.tell(event);
            }
        }
    }

    /// Waits for whatever comes first.
    fn sleep(&mut self, events: &mut Events, driver: &Driver<Outside>, until: Instant) {
        let now = self.clock.instant_of(self.clock.now());
        let patience = match self.bells.sleep() {
            // Rounded up to what epoll knows: waking early would be waking twice.
            true => until.saturating_duration_since(now),
            false => Duration::ZERO,
        };
        self.look(events, driver, Some(patience));
        self.bells.awake();
    }

    /// Asks what has happened to the sockets.
    fn look(&mut self, events: &mut Events, driver: &Driver<Outside>, patience: Option<Duration>) {
        if self.poll.poll(events, patience).is_err() {
            // Interrupted by a signal: what there is comes with the next look.
            return;
        }
        for event in events.iter() {
            match event.token() {
                WAKER => {}
                Token(at) if at < LISTENERS => {
                    if let Some(port) = driver.ports().get(at) {
                        port.watched().told();
                    }
                }
                _ => self.tell(event),
            }
        }
    }

    fn tell(&mut self, event: &mio::event::Event) {
        let Token(at) = event.token();
        if let Some(slot) = at.checked_sub(SLOTS).and_then(|at| self.slots.get_mut(at)) {
            if let Some(wire) = &mut slot.wire {
                wire.told(event);
                slot.bell.ring();
            }
        } else if let Some(listener) = at.checked_sub(LISTENERS).and_then(|at| self.listeners.get_mut(at)) {
            listener.may_have = true;
        }
    }

    /// Begins what the engine has ordered.
    fn begin_errands(&mut self, driver: &mut Driver<Outside>) -> bool {
        let errands = driver.errands();
        let openings = std::mem::take(&mut errands.openings);
        let exchanges = std::mem::take(&mut errands.exchanges);
        let busy = !openings.is_empty() || !exchanges.is_empty();
        openings.into_iter().for_each(|opening| self.open(opening));
        exchanges.into_iter().for_each(|exchange| self.question(exchange));
        busy
    }

    fn open(&mut self, opening: Opening) {
        let Some(streams) = self.streams.clone() else { return };
        let at = self.slot();
        let socket = dial(opening.remote, opening.local);
        let wire = socket.and_then(|socket| {
            let socket = Socket::Stream(mio::net::TcpStream::from_std(socket));
            Wire::new(socket, self.poll.registry(), Token(SLOTS + at))
        });
        let stream = match &wire {
            Ok(_) => opening.begin(streams),
            Err(_) => opening.failed(streams),
        };
        self.fill(at, Kind::Stream(Box::new(stream)), wire.ok(), Time::MAX);
    }

    fn question(&mut self, exchange: Exchange) {
        let (number, due) = (exchange.number, self.clock.now() + exchange.timeout);
        let at = self.slot();
        let begun = exchange.begin().and_then(|(exchanging, socket)| {
            let socket = match socket {
                Asking::Datagram(socket) => Socket::Datagram(mio::net::UdpSocket::from_std(socket)),
                Asking::Stream(socket) => Socket::Stream(mio::net::TcpStream::from_std(socket)),
            };
            Ok((exchanging, Wire::new(socket, self.poll.registry(), Token(SLOTS + at))?))
        });
        match begun {
            Ok((exchanging, wire)) => {
                let exchanging = Box::new(exchanging);
                self.fill(at, Kind::Question { number, exchanging }, Some(wire), due);
            }
            Err(_) => {
                self.free.push(at);
                self.answer(number, None);
            }
        }
    }

    /// Hands an answer to the driver. Without room the question's time runs out.
    fn answer(&self, number: u64, answer: Option<Vec<u8>>) {
        if let Some(streams) = &self.streams {
            let _ = streams.inbox.try_send(Inbound::Exchanged(number, answer));
        }
    }

    /// A slot that is free.
    fn slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            let at = self.slots.len();
            let bell = self.bells.bell(at);
            self.slots.push(Slot { bell, due: Time::MAX, kind: Kind::Free, wire: None });
            at
        })
    }

    fn fill(&mut self, at: usize, kind: Kind, wire: Option<Wire>, due: Time) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        (slot.kind, slot.wire, slot.due) = (kind, wire, due);
        if due < Time::MAX {
            self.due.insert((due, at));
        }
        slot.bell.ring();
    }

    /// Everybody who was woken, or whose time has come, goes on. False if there was nobody.
    fn answer_bells(&mut self, driver: &Bell) -> bool {
        let now = self.clock.now();
        for (_, at) in self.due.range(..=(now, usize::MAX)) {
            if let Some(slot) = self.slots.get(*at) {
                slot.bell.ring();
            }
        }
        let mut rung = self.bells.take(Vec::new());
        let busy = !rung.is_empty();
        for at in rung.drain(..) {
            if at == DRIVER {
                driver.answer();
            } else {
                self.go_on(at, now);
            }
        }
        busy
    }

    fn go_on(&mut self, at: usize, now: Time) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.bell.answer();
        let waker = slot.bell.waker();
        let cx = &mut Context::from_waker(&waker);
        let mut said = None;
        let next = match (&mut slot.kind, &mut slot.wire) {
            (Kind::Free, _) => return,
            (Kind::Stream(stream), wire) => match stream.poll(cx, wire.as_mut()) {
                Poll::Ready(()) => None,
                Poll::Pending => Some(stream.deadline()),
            },
            (Kind::Question { number, exchanging }, Some(wire)) => match exchanging.poll(cx, wire) {
                Poll::Ready(answer) => {
                    said = Some((*number, answer));
                    None
                }
                // After the timeout the stub has given it up by itself.
                Poll::Pending => (slot.due > now).then_some(slot.due),
            },
            (Kind::Question { .. }, None) => None,
        };
        if next != Some(slot.due) {
            self.due.remove(&(slot.due, at));
            slot.due = next.unwrap_or(Time::MAX);
            if slot.due < Time::MAX {
                self.due.insert((slot.due, at));
            }
        }
        if next.is_none() {
            slot.kind = Kind::Free;
            if let Some(wire) = slot.wire.take() {
                wire.forget(self.poll.registry());
            }
            self.free.push(at);
        }
        if let Some((number, answer)) = said {
            self.answer(number, answer);
        }
    }

    /// Takes connections where there are some. False if there was none.
    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.listeners.iter().any(|listener| listener.may_have) {
            return false;
        }
        let Some(streams) = self.streams.clone() else { return false };
        if let Some(again) = self.accept_again {
            if again > self.clock.now() {
                return false;
            }
            self.accept_again = None;
        }
        let mut busy = false;
        for at in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                let Some(listener) = self.listeners.get_mut(at).filter(|listener| listener.may_have) else {
                    break;
                };
                if streams.admission.poll_free(cx).is_pending() {
                    return busy;
                }
                match listener.bound.socket.accept() {
                    Ok((socket, remote)) => {
                        busy = true;
                        // Who may not have one more is turned away by dropping the socket.
                        if let Some(stream) = Stream::accept(&streams, &listener.bound, remote) {
                            let at = self.slot();
                            let (socket, token) = (Socket::Stream(socket), Token(SLOTS + at));
                            let wire = Wire::new(socket, self.poll.registry(), token);
                            self.fill(at, Kind::Stream(Box::new(stream)), wire.ok(), Time::MAX);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.may_have = false,
                    // The peer went away between its SYN and now.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => {
                        self.accept_again = Some(self.clock.now() + EXHAUSTED);
                        return busy;
                    }
                }
            }
        }
        busy
    }

    /// When somebody is to be looked at whatever happens.
    fn deadline(&self) -> Option<Time> {
        let first = self.due.first().map(|(due, _)| *due);
        [first, self.accept_again].into_iter().flatten().min()
    }
}

/// Rounds of the driver, until it has nothing to do, or had enough of them. True if there may be more, or it has ended.
fn rounds(driver: &mut Driver<Outside>) -> bool {
    (0..ROUNDS_PER_TURN).all(|_| driver.is_stopped() || driver.round())
}
