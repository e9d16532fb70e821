//! The grammar of a listener: `udp:ADDR:PORT[/ADVERTISED[:PORT]]`, as other SIP servers write it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use strowger_core::config::ListenerConfig;
use strowger_core::door::Transport;
use strowger_core::wire::Host;

/// A listener as written on the command line or in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// What it speaks.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
    /// What to call it towards phones outside the local networks.
    pub advertised: Option<Advertised>,
}

/// Host and port by which phones outside reach us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advertised {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port, if it is another one.
    pub port: Option<u16>,
}

impl From<Listen> for ListenerConfig {
    fn from(listen: Listen) -> ListenerConfig {
        let Listen { transport, addr, advertised } = listen;
        let advertised = advertised.map(|Advertised { host, port }| (host, port));
        ListenerConfig { transport, addr, advertised, algorithms: None }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let (proto, rest) =
            text.split_once(':').ok_or("write it as TRANSPORT:ADDRESS:PORT, such as udp:0.0.0.0:5060")?;
        let transport = Transport::ALL
            .into_iter()
            .find(|transport| transport.name().eq_ignore_ascii_case(proto))
            .ok_or_else(|| format!("{proto:?} is no transport: use udp, tcp, tls, ws or wss"))?;
        let (addr, advertised) = match rest.split_once('/') {
            Some((addr, advertised)) => (addr, Some(advertised.parse()?)),
            None => (rest, None),
        };
        let addr = addr.parse().map_err(|_| {
            // RFC 4007 s11.2: a zone is a matter of this machine, and its number is what the system takes.
            let example = match addr.contains('%') {
                true => "a zone is written as the number of its interface, as in [fe80::1%2]:5060",
                false => "write it as 0.0.0.0:5060, 192.0.2.1:5060 or [::]:5060",
            };
            format!("{addr:?} is not an address and a port: {example}")
        })?;
        Ok(Listen { transport, addr, advertised })
    }
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Advertised, String> {
        let bad = || format!("{text:?} is not a host name or an address that phones could call");
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (text, None),
            Err(_) => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| bad())?)),
                None => (text, None),
            },
        };
        let host = host.trim_matches(['[', ']']);
        let unusable = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if unusable || port == Some(0) || Host::parse_bare(host.as_bytes()).is_err() {
            return Err(bad());
        }
        Ok(Advertised { host: host.into(), port })
    }
}

macro_rules! from_str {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

from_str!(Listen, Advertised);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_as_other_servers_write_them() {
        let listen: Listen = "udp:0.0.0.0:5060/203.0.113.5".parse().expect("valid");
        assert_eq!((listen.transport, listen.addr.to_string().as_str()), (Transport::Udp, "0.0.0.0:5060"));
        assert_eq!(listen.advertised, Some(Advertised { host: "203.0.113.5".into(), port: None }));
        let listen: Listen = "TCP:[2001:db8::1]:5062/sip.example.com:5080".parse().expect("valid");
        assert_eq!(listen.addr.to_string(), "[2001:db8::1]:5062");
        assert_eq!(listen.advertised, Some(Advertised { host: "sip.example.com".into(), port: Some(5080) }));
        let listen: Listen = "udp:[::]:5060/[2001:db8::2]:5061".parse().expect("valid");
        assert_eq!(listen.advertised, Some(Advertised { host: "2001:db8::2".into(), port: Some(5061) }));
    }

    /// RFC 3261 s25.1 has no zones, and RFC 6874 none for SIP: they say where to listen, and nobody is told of them.
    #[test]
    fn a_zone_is_a_number_where_we_listen_and_nothing_that_phones_are_told() {
        let listen: Listen = "udp:[fe80::1%3]:5060".parse().expect("valid");
        assert!(matches!(listen.addr, SocketAddr::V6(addr) if addr.scope_id() == 3));
        for bad in ["udp:[fe80::1%eth0]:5060", "tcp:[fe80::1%25eth0]:5060"] {
            let error = bad.parse::<Listen>().expect_err(bad);
            assert!(error.ends_with("as in [fe80::1%2]:5060"), "{error}");
        }
        for told in ["fe80::1%3", "[fe80::1%3]:5060", "fe80::1%eth0"] {
            let error = format!("udp:[::]:5060/{told}").parse::<Listen>().expect_err(told);
            assert!(error.ends_with("is not a host name or an address that phones could call"), "{error}");
        }
    }

    #[test]
    fn what_is_no_listener_says_how_to_write_one() {
        for bad in [
            "",
            "5060",
            "udp:5060",
            "udp:::5060",
            "sctp:0.0.0.0:5060",
            "udp:0.0.0.0:99999",
            "udp:0.0.0.0:5060/",
            "udp:0.0.0.0:5060/0.0.0.0",
            "udp:0.0.0.0:5060/host:0",
            "udp:0.0.0.0:5060/a b",
        ] {
            let error = bad.parse::<Listen>().expect_err(bad);
            assert!(!error.is_empty());
        }
    }
}
