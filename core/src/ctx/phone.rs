//! A phone as other rooms see it: what the registrar tells them.

use core::net::SocketAddr;

use super::{Ctx, Origin};
use crate::base::Time;
use crate::wire::Uri;

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

/// A phone that was found in the location service, as a request to it needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reached<'r> {
    /// Its Contact: the Request-URI.
    pub(crate) contact: &'r [u8],
    /// The Route; empty for none.
    pub(crate) path: &'r [u8],
    /// Over which socket to which address.
    pub(crate) to: Origin,
}

/// Where phones are, as far as it is in memory (DECISIONS 10).
pub(crate) trait Locate {
    /// The phone that an AoR or a GRUU of ours stands for.
    fn named(&self, ctx: &Ctx<'_>, uri: &Uri<'_>) -> Option<Reached<'_>>;

    /// The phone of this binding, while it is bound and can be reached; over a stream if that is asked for and it has one.
    fn bound(&self, ctx: &Ctx<'_>, binding: u64, stream: bool) -> Option<Reached<'_>>;

    /// RFC 5626 s7: another binding of the same instance that can be reached, beside those that were tried, the last of
    /// which failed.
    fn other_flow(&self, ctx: &Ctx<'_>, tried: &[u64]) -> Option<u64>;

    /// The newest flow of a phone of this AoR, known by its instance, else by its Contact; over a stream if that is
    /// asked for.
    fn flow_of(
        &self,
        ctx: &Ctx<'_>,
        aor: &str,
        instance: &[u8],
        contact: &Uri<'_>,
        stream: bool,
    ) -> Option<Origin>;
}
