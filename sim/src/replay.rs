//! What a pure engine allows: the inputs of a run, fed again to another engine in another way, must give the same
//! commands.

use std::sync::Arc;

use strowger_core::Engine;
use strowger_core::config::Settings;
use strowger_core::door::{BadFrame, Command, FlowId, Input};

use crate::Time;
use crate::rng::Rng;

/// An input that owns its bytes.
#[derive(Clone, Debug)]
pub enum Fed {
    /// A message.
    Message {
        /// See [`Input::Message`].
        flow: FlowId,
        /// See [`Input::Message`].
        remote: std::net::SocketAddr,
        /// See [`Input::Message`].
        local: std::net::SocketAddr,
        /// See [`Input::Message`].
        data: Vec<u8>,
    },
    /// A bad frame.
    BadFrame {
        /// See [`Input::BadFrame`].
        flow: FlowId,
        /// See [`Input::BadFrame`].
        head: Vec<u8>,
        /// See [`Input::BadFrame`].
        reason: BadFrame,
    },
    /// Anything else.
    Other(Input<'static>),
}

impl Fed {
    /// A copy of an input.
    pub fn from(input: &Input<'_>) -> Fed {
        match input {
            Input::Message { flow, remote, local, data } => {
                Fed::Message { flow: *flow, remote: *remote, local: *local, data: data.to_vec() }
            }
            Input::BadFrame { flow, head, reason } => {
                Fed::BadFrame { flow: *flow, head: head.to_vec(), reason: *reason }
            }
            Input::FlowUp { flow, listener, transport, local, remote, peer } => Fed::Other(Input::FlowUp {
                flow: *flow,
                listener: *listener,
                transport: *transport,
                local: *local,
                remote: *remote,
                peer: peer.clone(),
            }),
            Input::FlowDown { flow, reason } => Fed::Other(Input::FlowDown { flow: *flow, reason: *reason }),
            Input::KeepAlive { flow, remote, kind } => {
                Fed::Other(Input::KeepAlive { flow: *flow, remote: *remote, kind: *kind })
            }
            Input::SendFailed { flow, remote, reason } => {
                Fed::Other(Input::SendFailed { flow: *flow, remote: *remote, reason: *reason })
            }
            Input::Timeout => Fed::Other(Input::Timeout),
            Input::Answer(answer) => Fed::Other(Input::Answer(answer.clone())),
            Input::Saved(seq) => Fed::Other(Input::Saved(*seq)),
            Input::SaveFailed(seq) => Fed::Other(Input::SaveFailed(*seq)),
            Input::Host { reply, request } => {
                Fed::Other(Input::Host { reply: *reply, request: request.clone() })
            }
            Input::Clock { wall_offset } => Fed::Other(Input::Clock { wall_offset: *wall_offset }),
            Input::Reload(settings) => Fed::Other(Input::Reload(Arc::clone(settings))),
        }
    }

    /// The input again.
    pub fn input(&self) -> Input<'_> {
        match self {
            Fed::Message { flow, remote, local, data } => {
                Input::Message { flow: *flow, remote: *remote, local: *local, data }
            }
            Fed::BadFrame { flow, head, reason } => Input::BadFrame { flow: *flow, head, reason: *reason },
            Fed::Other(input) => input.clone(),
        }
    }
}

/// Inputs and commands of one engine from its first moment.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the engine was told to be.
    pub settings: Arc<Settings>,
    /// Its seed.
    pub seed: [u8; 32],
    /// When it was made.
    pub start: Time,
    /// What it was fed.
    pub inputs: Vec<(Time, Fed)>,
    /// What it commanded.
    pub commands: Vec<Command>,
}

/// How a recording is fed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// As it was.
    Same,
    /// Commands are taken only at the very end.
    DrainLate,
    /// `Timeout` comes at random times between the inputs, whether due or not.
    EarlyTimeouts(u64),
    /// After each input the engine is replaced by a copy of itself.
    CloneAlways,
    /// The hash tables of the engine are keyed by another seed.
    HashKey(u64),
}

impl Recording {
    /// An empty recording of an engine that is about to be made.
    pub fn new(settings: Arc<Settings>, start: Time) -> Recording {
        Recording { settings, seed: [0; 32], start, inputs: Vec::new(), commands: Vec::new() }
    }

    /// Records an input.
    pub fn input(&mut self, now: Time, input: &Input<'_>) {
        self.inputs.push((now, Fed::from(input)));
    }

    /// Records a command.
    pub fn command(&mut self, command: &Command) {
        self.commands.push(command.clone());
    }

    /// Feeds the inputs to a fresh engine; its commands.
    pub fn replay(&self, manner: Manner) -> Vec<Command> {
        let settings = Arc::clone(&self.settings);
        let mut engine = match manner {
            Manner::HashKey(seed) => {
                let mut hash_seed = [0x5a; 32];
                hash_seed[..8].copy_from_slice(&seed.to_le_bytes());
                Engine::with_hash_seed(settings, self.seed, hash_seed, self.start)
            }
            _ => Engine::new(settings, self.seed, self.start),
        };
        let mut rng = Rng::new(match manner {
            Manner::EarlyTimeouts(seed) => seed,
            _ => 0,
        });
        let mut commands = Vec::new();
        let mut last = self.start;
        for (at, fed) in &self.inputs {
            if let Manner::EarlyTimeouts(_) = manner {
                // Never past the next deadline: a host that wakes late is another run.
                let end =
                    engine.poll_timeout().map_or(*at, |due| due.min(*at)).as_nanos().max(last.as_nanos());
                for _ in 0..rng.below(3) {
                    let span = end - last.as_nanos();
                    let now = Time::from_nanos(last.as_nanos() + rng.below(span.max(1)));
                    engine.handle(now, Input::Timeout);
                    last = now;
                }
            }
            engine.handle(*at, fed.input());
            last = *at;
            if manner == Manner::CloneAlways {
                engine = engine.clone();
            }
            if manner != Manner::DrainLate {
                commands.extend(std::iter::from_fn(|| engine.poll_command()));
            }
        }
        commands.extend(std::iter::from_fn(|| engine.poll_command()));
        commands
    }
}
