//! For the tests of rooms: everything a [`Ctx`] borrows, owned, with one UDP and one TCP flow up.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use super::{Ctx, Flow, Flows, Origin, Outbox, Overloaded, Timer};
use crate::base::{Ids, Time, Wheel};
use crate::config::{Config, Settings};
use crate::door::{Command, FlowId, Transmit, Transport};
use crate::stats::Stats;
use crate::wire::{Bounds, Layout, Message, parse};

/// The world of one room, without an engine.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) now: Time,
    pub(crate) wall_offset: i64,
    pub(crate) out: Outbox,
    pub(crate) timers: Wheel<Timer>,
    pub(crate) ids: Ids,
    pub(crate) stats: Stats,
    pub(crate) flows: Flows,
    pub(crate) overloaded: Overloaded,
    pub(crate) settings: Arc<Settings>,
}

impl Fixture {
    /// The UDP listener, at 192.0.2.1:5060.
    pub(crate) const UDP: FlowId = FlowId(2);
    /// A TCP connection to 192.0.2.1:5060 from 198.51.100.7:49152.
    pub(crate) const TCP: FlowId = FlowId(4);

    /// For `example.com`, with default settings.
    pub(crate) fn new() -> Fixture {
        Fixture::with(Config::new("example.com"))
    }

    /// With this configuration, which must be valid.
    pub(crate) fn with(config: Config) -> Fixture {
        Fixture::seeded(config, [7; 32])
    }

    /// With this configuration and seed.
    pub(crate) fn seeded(config: Config, seed: [u8; 32]) -> Fixture {
        let now = Time::from_secs(1_700_000_000);
        let mut fixture = Fixture {
            now,
            wall_offset: 0,
            out: Outbox::default(),
            timers: Wheel::new(now),
            ids: Ids::new(&seed),
            stats: Stats::default(),
            flows: Flows::default(),
            overloaded: Overloaded::default(),
            settings: config.validate().expect("the test's configuration is valid"),
        };
        fixture.flow_up(Fixture::UDP, Transport::Udp, None);
        fixture.flow_up(Fixture::TCP, Transport::Tcp, Some("198.51.100.7:49152"));
        fixture
    }

    /// What a room is handed.
    pub(crate) fn ctx(&mut self) -> Ctx<'_> {
        Ctx {
            now: self.now,
            wall_offset: self.wall_offset,
            out: &mut self.out,
            timers: &mut self.timers,
            ids: &mut self.ids,
            stats: &mut self.stats,
            flows: &mut self.flows,
            overloaded: &mut self.overloaded,
            settings: &self.settings,
        }
    }

    /// A socket of listener 0 at 192.0.2.1:5060 is up.
    pub(crate) fn flow_up(&mut self, id: FlowId, transport: Transport, remote: Option<&str>) {
        let local = "192.0.2.1:5060".parse().expect("an address");
        let remote = remote.map(|text| text.parse().expect("an address"));
        self.flows.insert(Flow { id, listener: 0, transport, local, remote, opening: false });
    }

    /// A message came from `remote` over the UDP listener.
    pub(crate) fn udp(&self, remote: &str) -> Origin {
        self.origin(Fixture::UDP, remote)
    }

    /// A message came over the TCP connection.
    pub(crate) fn tcp(&self) -> Origin {
        self.origin(Fixture::TCP, "198.51.100.7:49152")
    }

    /// A message came from `remote` over this flow, which is up.
    pub(crate) fn origin(&self, flow: FlowId, remote: &str) -> Origin {
        let remote: SocketAddr = remote.parse().expect("an address");
        let local = self.flows.get(flow).expect("the flow is up").local;
        self.flows.origin(flow, remote, local).expect("the flow is up")
    }

    /// Time passes; timers stay in the wheel, see [`Fixture::due`].
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    /// The next timer that is due by now.
    pub(crate) fn due(&mut self) -> Option<Timer> {
        self.timers.pop(self.now).map(|(_, timer)| timer)
    }

    /// All commands since the last call.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        core::iter::from_fn(|| self.out.pop()).collect()
    }

    /// All messages sent since the last call; other commands are dropped.
    pub(crate) fn sent(&mut self) -> Vec<Transmit> {
        let sent = |command| match command {
            Command::Transmit(transmit) => Some(transmit),
            _ => None,
        };
        self.commands().into_iter().filter_map(sent).collect()
    }
}

/// Shows a message written with line feeds, such as a string of a test, to `look`.
#[track_caller]
pub(crate) fn with_message<T>(text: &str, look: impl FnOnce(Message<'_>) -> T) -> T {
    let raw = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let mut layout = Layout::new();
    look(parse(raw.as_bytes(), &mut layout, &Bounds::default()).expect("the test's message is well-formed"))
}
