//! What the machine says of its name servers and of names that need none.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::StubConfig;

/// The port of DNS.
const PORT: u16 = 53;

/// Reads `/etc/resolv.conf` and `/etc/hosts`. A file that cannot be read says nothing; without any server this machine is
/// asked, as resolv.conf(5) has it.
pub fn system() -> StubConfig {
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let mut config = resolv_conf(&text("/etc/resolv.conf"));
    config.hosts = hosts(&text("/etc/hosts"));
    config
}

/// What resolv.conf says.
pub fn resolv_conf(text: &str) -> StubConfig {
    let mut config = StubConfig::default();
    for line in text.lines() {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        match words.next() {
            Some("nameserver") => {
                // `fe80::1%eth0`: the zone is the system's affair.
                let server = words.next().and_then(|word| word.split('%').next());
                if let Some(ip) = server.and_then(|word| word.parse::<IpAddr>().ok()) {
                    config.servers.push(SocketAddr::new(ip, PORT));
                }
            }
            // The last one wins; `domain` is a search list of one.
            Some("search" | "domain") => {
                let domain = |word: &str| word.trim_end_matches('.').to_ascii_lowercase();
                config.search = words.map(domain).filter(|domain| !domain.is_empty()).collect();
            }
            Some("options") => {
                for option in words {
                    match option.split_once(':') {
                        Some(("timeout", seconds)) => {
                            let seconds = seconds.parse().unwrap_or(1).clamp(1, 5);
                            config.timeout = Duration::from_secs(seconds);
                        }
                        Some(("attempts", count)) => config.attempts = count.parse().unwrap_or(2).clamp(1, 5),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // resolv.conf(5): at most three servers, and this machine without any.
    config.servers.truncate(3);
    if config.servers.is_empty() {
        config.servers.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), PORT));
    }
    config
}

/// What hosts(5) says: addresses by name, in lower case. `localhost` is this machine in any case (RFC 6761 s6.3).
pub fn hosts(text: &str) -> BTreeMap<String, Vec<IpAddr>> {
    let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            let addresses = hosts.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
    }
    let local = || vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    hosts.entry("localhost".into()).or_insert_with(local);
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_names_servers_domains_and_patience() {
        let config = resolv_conf(
            "# a comment\nnameserver 192.0.2.53\nnameserver\tfe80::1%eth0\nnameserver nonsense\n\
             search Example.com. office.example\noptions ndots:1 timeout:2 attempts:3\n",
        );
        let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[fe80::1]:53"]);
        assert_eq!(config.search, ["example.com", "office.example"]);
        assert_eq!((config.timeout, config.attempts), (Duration::from_secs(2), 3));
        assert_eq!(resolv_conf("").servers[0].to_string(), "127.0.0.1:53");
    }

    #[test]
    fn hosts_are_names_of_addresses() {
        let hosts = hosts("127.0.0.1 localhost\n192.0.2.1 PBX pbx.example.com # ours\n::1 localhost\nx y\n");
        assert_eq!(hosts["pbx"], ["192.0.2.1".parse::<IpAddr>().expect("an address")]);
        assert_eq!(hosts["localhost"].len(), 2);
        assert!(!hosts.contains_key("y") && !hosts.contains_key("ours"));
        assert_eq!(super::hosts("")["localhost"].len(), 2);
    }
}
