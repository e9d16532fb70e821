//! How a phone reaches the server, and what it does its own way.

use std::time::Duration;

/// How a phone reaches the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Datagrams.
    Udp,
    /// A stream; the phone opens it when it has something to send.
    Tcp,
    /// The same, protected: Bearer tokens may travel.
    Tls,
}

impl Via {
    /// Whether the network repeats and orders by itself.
    pub fn is_stream(self) -> bool {
        self != Via::Udp
    }

    pub(super) fn token(self) -> &'static str {
        match self {
            Via::Udp => "UDP",
            Via::Tcp => "TCP",
            Via::Tls => "TLS",
        }
    }
}

/// What kind of phone it is.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Transport.
    pub via: Via,
    /// Ask `rport` (RFC 3581).
    pub rport: bool,
    /// Refresh at this share of the granted expiry, in percent; 0 never refreshes by itself.
    pub refresh_percent: u32,
    /// Use the last nonce again without waiting for a challenge.
    pub preemptive: bool,
    /// Register again this long after a failure or a lost flow; zero gives up.
    pub retry: Duration,
    /// `+sip.instance` of the Contact.
    pub instance: Option<String>,
    /// `reg-id` of the Contact, with `Supported: outbound` (RFC 5626).
    pub reg_id: Option<u32>,
    /// `Supported: gruu` (RFC 5627).
    pub gruu: bool,
    /// Keep-alive interval; zero sends none.
    pub keepalive: Duration,
    /// Algorithms it knows, in its own order of preference; it takes the first challenge it knows if empty.
    pub algorithms: Vec<String>,
    /// Ask for `auth-int` if offered.
    pub integrity: bool,
    /// Use `userhash` if offered.
    pub hide_name: bool,
    /// A token for Bearer challenges.
    pub token: Option<String>,
    /// Takes TCP connections at its address.
    pub accepts: bool,
    /// What it says to a MESSAGE; `None` for nothing at all.
    pub texts: Option<u16>,
    /// More header fields for each REGISTER.
    pub headers: Vec<(String, String)>,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            via: Via::Udp,
            rport: true,
            refresh_percent: 90,
            preemptive: true,
            retry: Duration::from_secs(30),
            instance: None,
            reg_id: None,
            accepts: false,
            texts: Some(200),
            gruu: false,
            keepalive: Duration::ZERO,
            algorithms: Vec::new(),
            integrity: false,
            hide_name: false,
            token: None,
            headers: Vec::new(),
        }
    }
}
