//! A phone as presence sees it: what the registrar tells the room beside it.

use core::net::SocketAddr;

use crate::base::Time;

/// One binding of a presentity.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    /// Names the binding over all its refreshes.
    pub(crate) lineage: u64,
    /// The Contact URI.
    pub(crate) contact: Box<str>,
    /// The URN of the instance; empty for none.
    pub(crate) instance: Box<str>,
    /// Priority in thousandths, if it named one.
    pub(crate) q: Option<u16>,
    /// Since when it is bound.
    pub(crate) since: Time,
    /// Until when.
    pub(crate) expires_at: Time,
    /// Can it be reached?
    pub(crate) reachable: bool,
    /// Where it registered from.
    pub(crate) source: SocketAddr,
}
