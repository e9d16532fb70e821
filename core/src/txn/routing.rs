//! Where a response goes: RFC 3261 s18.2.2 with RFC 3581 s4.
//!
//! On a stream it goes back over the connection the request came by. Over UDP the first of these that applies:
//!
//! | top Via | address | port |
//! |---|---|---|
//! | `maddr` is an address of the same family | `maddr` | sent-by, else 5060 |
//! | `rport` | source | source |
//! | sent-by is not the source address (DECISIONS 13) | source | source |
//! | otherwise | source | sent-by, else 5060 |
//!
//! The source is the one seen on the socket, never a `received` or `rport` value the client wrote itself. A response
//! leaves from the address and port that the request was sent to (RFC 3581 s4).

use core::net::SocketAddr;

use crate::ctx::Origin;
use crate::wire::{Rport, Via};

const DEFAULT_PORT: u16 = 5060;

/// Where the response to a request that came from `origin` with this top Via goes.
pub(crate) fn response_target(origin: &Origin, via: &Via<'_>) -> Origin {
    if origin.transport.is_reliable() {
        return *origin;
    }
    let mut to = *origin;
    let sent_by = via.port.unwrap_or(DEFAULT_PORT);
    let maddr = via.maddr().and_then(|host| host.ip());
    // A maddr that is a name would have to be resolved, and one of the other family cannot be reached from here.
    if let Some(maddr) = maddr.filter(|ip| ip.is_ipv4() == origin.remote.is_ipv4() && !ip.is_unspecified()) {
        to.remote = SocketAddr::new(maddr, sent_by);
    } else if via.rport() == Rport::Absent && is_source(origin, via) && sent_by != 0 {
        // Port 0 cannot be sent to; the source port is the best guess left then.
        to.remote.set_port(sent_by);
    }
    to
}

fn is_source(origin: &Origin, via: &Via<'_>) -> bool {
    via.host.ip().is_some_and(|ip| ip.to_canonical() == origin.remote.ip().to_canonical())
}
