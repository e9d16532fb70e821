//! Many sources, one document: composition of presence (RFC 3903 s9, RFC 4479 s3.5, DECISIONS 29).
//!
//! [`Compose`] is the seam: what is live goes in by reference, one document comes out. [`ByRule`] is the composition
//! that is used unless a host brings its own. It is a function of its inputs and of nothing else, whatever order they
//! stand in, so its document prints the same bytes until an input changes.

mod by_rule;
#[cfg(test)]
mod tests;

pub(crate) use by_rule::names;
pub use by_rule::{ByRule, Services};

use super::pidf::{Note, Pidf, PresenceState};
use crate::base::{Ids, Time};

/// Makes one document of all that is known about a presentity.
pub trait Compose {
    /// The document that every watcher who may see everything gets.
    ///
    /// It must depend on the inputs alone, and not on their order; two calls with equal inputs print equal bytes.
    fn compose(&self, inputs: &Inputs<'_>) -> Composed;
}

/// All that is known about a presentity.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The presentity's URI as watchers know it.
    pub entity: &'a str,
    /// Live publications, in any order.
    pub publications: &'a [Publication<'a>],
    /// Bindings of the presentity, in any order.
    pub registrations: &'a [Registration<'a>],
    /// Since when there is an answered call of the presentity, if there is one.
    pub in_call: Option<Time>,
    /// The source of stable ids: its kind [`Tuple`](crate::base::IdKind::Tuple) keys them.
    pub ids: &'a Ids,
}

/// What one publisher said.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Names the publication over all its entity tags (RFC 3903 s4.1: a refresh gets a new one).
    pub lineage: u64,
    /// When its body came in: not that of a refresh without one, which changes nothing.
    pub received: Time,
    /// What it says.
    pub document: &'a Pidf,
    /// The binding of the device that sent it, if that is known (one flow, one source address): a
    /// [`Registration::lineage`].
    pub binding: Option<u64>,
}

/// What a registration says: somebody can be reached there.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// Names the binding over all its refreshes.
    pub lineage: u64,
    /// The Contact as it was registered. It is compared and never shown.
    pub contact: &'a str,
    /// Where watchers reach it: its public GRUU, or the address of the presentity.
    pub shown: &'a str,
    /// The URN of the instance (RFC 5626); empty if there is none.
    pub instance: &'a str,
    /// Its priority in thousandths, if it named one.
    pub q: Option<u16>,
    /// Since when it is as it is: made, or given up.
    pub since: Time,
    /// False from the death of its flow and its grace on (DECISIONS 11).
    pub reachable: bool,
}

/// One document, and where it came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Composed {
    /// What watchers get.
    pub document: Pidf,
    /// Where each tuple of the document came from, in their order.
    pub origins: Vec<Origin>,
}

/// Where a tuple came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// The publication of this lineage.
    Publication(u64),
    /// The binding of this lineage.
    Registration(u64),
    /// Nobody: nothing is known.
    Nobody,
}

impl Composed {
    /// What the presentity is, all in all.
    pub fn state(&self) -> PresenceState {
        self.document.state()
    }

    /// What it says about it.
    pub fn note(&self) -> Option<&Note> {
        self.document.note()
    }
}
