//! Where a SIP server is: RFC 3263 over a stub resolver, both without sockets.
//!
//! [`select`] is a pure function: from what is wanted and the records that are known it says either which records are
//! missing, or all ways to get there in the order to try them. [`Stub`] finds those records: it keeps what it learnt as
//! long as it lives, asks one server after the other, and again over TCP what did not fit into a datagram. A runtime
//! carries out its [`Exchange`]s, each over a fresh socket, so that a forged answer must guess port and number.

mod exchange;
mod message;
mod select;
mod stub;
mod system;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use exchange::{Asking, Exchanging};
pub use select::{Selection, Want, Way, select};
pub use stub::{Exchange, Found, Stub, StubConfig};
pub use system::{hosts, resolv_conf, system};

/// What is asked of the DNS.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Question {
    /// A domain name in lower case, without the dot at its end.
    pub name: String,
    /// Which records.
    pub kind: Kind,
}

impl Question {
    /// The records of one kind that a name has.
    pub fn new(name: &str, kind: Kind) -> Question {
        Question { name: name.trim_end_matches('.').to_ascii_lowercase(), kind }
    }
}

/// Kinds of records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// IPv4 addresses (RFC 1035).
    A,
    /// IPv6 addresses (RFC 3596).
    Aaaa,
    /// Servers of a service (RFC 2782).
    Srv,
    /// Services of a domain (RFC 3403).
    Naptr,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A server of a service.
    Srv {
        /// Lower ones first.
        priority: u16,
        /// Its share among those of one priority.
        weight: u16,
        /// Where it listens.
        port: u16,
        /// Its name; empty means that there is no such service.
        target: String,
    },
    /// A service of a domain.
    Naptr {
        /// Lower ones first.
        order: u16,
        /// Likewise, among those of one order.
        preference: u16,
        /// In lower case: `s` leads to SRV records, `a` to addresses.
        flags: String,
        /// In upper case: `SIP+D2T`.
        service: String,
        /// The next name; empty if a regular expression says it.
        replacement: String,
    },
}
