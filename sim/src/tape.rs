//! What happened, in order: messages on the wire, and notes. The ladder is drawn from it, and its hash says whether
//! two runs were the same.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::Time;

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives once.
    Arrives,
    /// It arrives this many times.
    Doubled,
    /// It never arrives.
    Lost,
    /// Nobody is there: the NAT has forgotten the port, or the connection is gone.
    Nowhere,
}

/// One line of a tape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A message left for the other side.
    Sent {
        /// When it was sent.
        at: Time,
        /// Who sent it.
        from: String,
        /// To whom.
        to: String,
        /// The bytes.
        bytes: Vec<u8>,
        /// What became of it.
        fate: Fate,
    },
    /// Something worth a line: a rebind, a restart, an event of the engine.
    Note {
        /// When.
        at: Time,
        /// What.
        text: String,
    },
}

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Every line, for ladders.
    Lines,
    /// Only the hash, for large worlds.
    Hash,
}

/// The recording of a run.
#[derive(Clone)]
pub struct Tape {
    /// Every line so far, if kept.
    pub lines: Vec<Line>,
    /// How many messages were sent.
    pub messages: u64,
    keep: Keep,
    hash: Sha256,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("lines", &self.lines.len())
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

impl Tape {
    /// An empty tape.
    pub fn new(keep: Keep) -> Tape {
        Tape { lines: Vec::new(), messages: 0, keep, hash: Sha256::new() }
    }

    /// Records a message.
    pub fn sent(&mut self, at: Time, from: &str, to: &str, bytes: &[u8], fate: Fate) {
        self.messages += 1;
        self.mix(&at.as_nanos().to_be_bytes());
        self.mix(from.as_bytes());
        self.mix(to.as_bytes());
        self.mix(bytes);
        self.mix(&[fate as u8]);
        if self.keep == Keep::Lines {
            self.lines.push(Line::Sent { at, from: from.into(), to: to.into(), bytes: bytes.into(), fate });
        }
    }

    /// Records a note.
    pub fn note(&mut self, at: Time, text: impl Into<String>) {
        let text = text.into();
        self.mix(&at.as_nanos().to_be_bytes());
        self.mix(text.as_bytes());
        if self.keep == Keep::Lines {
            self.lines.push(Line::Note { at, text });
        }
    }

    /// The hash of everything recorded: the same seed gives the same one.
    pub fn hash(&self) -> String {
        self.hash.clone().finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
    }

    // Each part with its length, so that two different tapes cannot run together into the same bytes.
    fn mix(&mut self, part: &[u8]) {
        self.hash.update((part.len() as u64).to_be_bytes());
        self.hash.update(part);
    }
}
