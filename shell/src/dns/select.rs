//! Which transport, address and port: RFC 3263 s4.1 and s4.2, RFC 2782, as a pure function over records.
//!
//! | the URI has | transport | records |
//! |---|---|---|
//! | an address | as it says; sips TLS, else UDP | none |
//! | a name and a port | likewise | addresses |
//! | a name and a transport | as it says | SRV of that, where there is such a thing; without any, addresses |
//! | a name | as NAPTR, or else SRV, say | NAPTR, SRV; without any, addresses by UDP, sips by TLS |

use std::net::{IpAddr, SocketAddr};

use strowger_core::door::Transport;

use super::{Data, Kind, Question};

/// More ways than this to one server are not tried.
const WAYS: usize = 16;

/// What is to be reached.
#[derive(Clone, Debug)]
pub struct Want<'a> {
    /// A host name, or an address without brackets.
    pub host: &'a str,
    /// The port, if the URI names one.
    pub port: Option<u16>,
    /// The transport, if the URI names one.
    pub transport: Option<Transport>,
    /// Only secure ways.
    pub secure: bool,
    /// The transports that we speak, those we like best first.
    pub usable: &'a [Transport],
    /// We have IPv4, and IPv6.
    pub families: (bool, bool),
    /// Try IPv4 before IPv6.
    pub v4_first: bool,
    /// Domains in which a name without dots is looked up.
    pub search: &'a [String],
    /// Chooses among servers by their weights.
    pub seed: u64,
}

/// One way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Over what.
    pub transport: Transport,
    /// Where.
    pub remote: SocketAddr,
}

/// What is known of the ways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selection {
    /// These records must be known first; then ask again.
    Ask(Vec<Question>),
    /// All ways, in the order to try them; none if there is none.
    Ways(Vec<Way>),
}

/// Finds the ways. `known` gives the records of a question, none if there are none, and `None` if that was not asked yet.
pub fn select<'k>(want: &Want<'_>, known: &dyn Fn(&Question) -> Option<&'k [Data]>) -> Selection {
    let mut search = Search { want, known, missing: Vec::new(), ways: Vec::new(), draw: Draw(want.seed) };
    search.run();
    if search.missing.is_empty() {
        search.ways.truncate(WAYS);
        Selection::Ways(search.ways)
    } else {
        search.missing.sort();
        search.missing.dedup();
        Selection::Ask(search.missing)
    }
}

struct Search<'a, 'k> {
    want: &'a Want<'a>,
    known: &'a dyn Fn(&Question) -> Option<&'k [Data]>,
    missing: Vec<Question>,
    ways: Vec<Way>,
    draw: Draw,
}

impl<'k> Search<'_, 'k> {
    fn run(&mut self) {
        let want = self.want;
        let Some(asked) = transport_of(want) else { return };
        let by_default = asked.unwrap_or(if want.secure { Transport::Tls } else { Transport::Udp });
        let host = want.host.trim_matches(['[', ']']);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.way(by_default, ip.to_canonical(), want.port.unwrap_or(by_default.default_port()));
        }
        // RFC 3263 s4.2: with a port only the address is looked up.
        if let Some(port) = want.port {
            return self.addresses(host, by_default, port);
        }
        match asked {
            Some(transport) => {
                if !self.servers_of(host, transport) {
                    self.addresses(host, transport, transport.default_port());
                }
            }
            None => self.any_transport(host, by_default),
        }
    }

    /// RFC 3263 s4.1: the domain says by NAPTR what it likes; else what has SRV records is there.
    fn any_transport(&mut self, host: &str, by_default: Transport) {
        if let Some(services) = self.services(host) {
            for (transport, flags, replacement) in services {
                match flags.as_str() {
                    "s" => _ = self.servers(&replacement, transport),
                    _ => self.addresses(&replacement, transport, transport.default_port()),
                }
            }
            return;
        }
        if !self.missing.is_empty() {
            return;
        }
        let mut any = false;
        for &transport in self.want.usable {
            if transport.is_secure() || !self.want.secure {
                any |= self.servers_of(host, transport);
            }
        }
        if !any && self.missing.is_empty() {
            self.addresses(host, by_default, by_default.default_port());
        }
    }

    /// The services that we can use, in their order; `None` if there are none, or that is not known yet.
    fn services(&mut self, host: &str) -> Option<Vec<(Transport, String, String)>> {
        let mut services = Vec::new();
        for data in self.look(Question::new(host, Kind::Naptr))? {
            let Data::Naptr { order, preference, flags, service, replacement } = data else { continue };
            let Some(transport) = transport_of_service(service) else { continue };
            // A WebSocket is opened where the URI asks for one, and not else.
            let usable = self.want.usable.contains(&transport)
                && !transport.is_web()
                && (transport.is_secure() || !self.want.secure);
            if usable && matches!(flags.as_str(), "s" | "a") && !replacement.is_empty() {
                services.push(((*order, *preference), (transport, flags.clone(), replacement.clone())));
            }
        }
        services.sort_by_key(|(rank, _)| *rank);
        let services: Vec<_> = services.into_iter().map(|(_, service)| service).collect();
        (!services.is_empty()).then_some(services)
    }

    /// The servers of a domain for one transport; false if there are no records.
    fn servers_of(&mut self, host: &str, transport: Transport) -> bool {
        match prefix(transport) {
            Some(prefix) => self.servers(&format!("{prefix}.{host}"), transport),
            None => false,
        }
    }

    /// The servers that SRV records name; true also while they are not known.
    fn servers(&mut self, name: &str, transport: Transport) -> bool {
        let Some(records) = self.look(Question::new(name, Kind::Srv)) else { return true };
        let mut servers: Vec<Server<'k>> = records
            .iter()
            .filter_map(|data| match data {
                Data::Srv { priority, weight, port, target } => {
                    Some(Server { priority: *priority, weight: *weight, port: *port, target })
                }
                _ => None,
            })
            .collect();
        let any = !servers.is_empty();
        servers.sort_by_key(|server| (server.priority, server.weight, server.port));
        servers.truncate(WAYS);
        while let Some(first) = servers.first() {
            let priority = first.priority;
            let group = servers.iter().filter(|server| server.priority == priority).count();
            let chosen = self.draw.weighted(servers.get(..group).unwrap_or_default());
            let server = servers.remove(chosen);
            // RFC 2782: a target of the root alone says that there is no such service.
            if !server.target.is_empty() {
                self.addresses(server.target, transport, server.port);
            }
        }
        any
    }

    fn addresses(&mut self, host: &str, transport: Transport, port: u16) {
        let (v4, v6) = self.want.families;
        let mut names = vec![host.to_owned()];
        if !host.contains('.') {
            names.splice(0..0, self.want.search.iter().map(|domain| format!("{host}.{domain}")));
        }
        for name in names {
            let four = if v4 { self.look(Question::new(&name, Kind::A)) } else { Some(&[][..]) };
            let six = if v6 { self.look(Question::new(&name, Kind::Aaaa)) } else { Some(&[][..]) };
            let (Some(four), Some(six)) = (four, six) else { return };
            let order = if self.want.v4_first { [four, six] } else { [six, four] };
            for data in order.into_iter().flatten() {
                match data {
                    Data::A(ip) => self.way(transport, (*ip).into(), port),
                    Data::Aaaa(ip) => self.way(transport, (*ip).into(), port),
                    _ => {}
                }
            }
            if !four.is_empty() || !six.is_empty() {
                return;
            }
        }
    }

    fn way(&mut self, transport: Transport, ip: IpAddr, port: u16) {
        let family = if ip.is_ipv4() { self.want.families.0 } else { self.want.families.1 };
        let way = Way { transport, remote: SocketAddr::new(ip, port) };
        // Nobody listens on port 0, and nobody lives at no address.
        let sound = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
        if sound && family && self.want.usable.contains(&transport) && !self.ways.contains(&way) {
            self.ways.push(way);
        }
    }

    fn look(&mut self, question: Question) -> Option<&'k [Data]> {
        let found = (self.known)(&question);
        if found.is_none() {
            self.missing.push(question);
        }
        found
    }
}

/// The transport that a URI asks for: `Some(None)` if any will do, `None` if it asks for what cannot be.
fn transport_of(want: &Want<'_>) -> Option<Option<Transport>> {
    Some(match (want.transport, want.secure) {
        (None, _) => None,
        (Some(transport), false) => Some(transport),
        (Some(transport), true) => Some(transport.of_sips()?),
    })
}

/// RFC 3263 s4.1, RFC 7118 s8.3.
fn transport_of_service(service: &str) -> Option<Transport> {
    Some(match service {
        "SIP+D2U" => Transport::Udp,
        "SIP+D2T" => Transport::Tcp,
        "SIPS+D2T" => Transport::Tls,
        "SIP+D2W" => Transport::Ws,
        "SIPS+D2W" => Transport::Wss,
        _ => return None,
    })
}

/// RFC 3263 s4.1; WebSocket has none of its own.
const fn prefix(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Udp => Some("_sip._udp"),
        Transport::Tcp => Some("_sip._tcp"),
        Transport::Tls => Some("_sips._tcp"),
        Transport::Ws | Transport::Wss => None,
    }
}

struct Server<'k> {
    priority: u16,
    weight: u16,
    port: u16,
    target: &'k str,
}

/// SplitMix64: enough to share load, and nothing depends on its being unguessable.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// RFC 2782: those without weight stand first, and a draw between 0 and the sum of all falls on one.
    fn weighted(&mut self, group: &[Server<'_>]) -> usize {
        let sum: u64 = group.iter().map(|server| u64::from(server.weight)).sum();
        let mut drawn = self.next() % (sum + 1);
        for (at, server) in group.iter().enumerate() {
            match drawn.checked_sub(u64::from(server.weight)) {
                None | Some(0) => return at,
                Some(left) => drawn = left,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests;
